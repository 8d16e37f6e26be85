"""Tokens as they are given out: access tokens (RFC 9068), refresh tokens, ID tokens (OpenID Connect Core, section 2)."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.authentication import oauth_kept as kept
from crm_reference.emulator.services.authentication.oauth_clients import Client
from crm_reference.emulator.services.authentication.sessions import rights
from crm_reference.emulator.store import Record

#: Seconds that an access token and an ID token hold, where the client says nothing else.
ACCESS_LIFETIME = 600
#: Seconds that a refresh token holds unused, and in all.
REFRESH_IDLE, REFRESH_ABSOLUTE = 30 * 86_400, 90 * 86_400
#: Algorithms by preference. Every OpenID library must know RS256 (Core, section 15.1); access tokens are read by services alone.
OF_ID_TOKENS, OF_ACCESS_TOKENS = ("RS256", "EdDSA"), ("EdDSA", "RS256")
SESSIONS = "sessions"


@dataclass(frozen=True, slots=True)
class Sign:
    """How and when the user proved who they are.

    :param session_id: The session at the platform; empty where there is none.
    :param at: Seconds since 1970.
    """

    session_id: str = ""
    at: int = 0
    acr: str = ""
    amr: tuple[str, ...] = ()

    def members(self) -> dict[str, Any]:
        """Return it as it is kept with codes and refresh tokens."""
        return {"session_id": self.session_id, "at": self.at, "acr": self.acr, "amr": list(self.amr)}

    @classmethod
    def of(cls, kept_members: Mapping[str, Any], /) -> Sign:
        """Return what :meth:`members` kept."""
        m = kept_members
        return cls(m.get("session_id", ""), int(m.get("at", 0)), m.get("acr", ""), tuple(m.get("amr", ())))

    @classmethod
    def of_session(cls, session: Record, /) -> Sign:
        """Return how the user of a session signed in."""
        doc = session.doc
        return cls(session.id, kept.epoch_of(doc["authenticated_at"]), doc.get("acr", ""), tuple(doc.get("amr", ())))


@dataclass(frozen=True, slots=True)
class Order:
    """What tokens to make.

    :param subject: The user, or the client where no user acts.
    :param actor: The claim ``act`` of an exchanged token.
    :param ends: Latest second at which the access token may end.
    """

    client: Client
    subject: str
    scopes: tuple[str, ...]
    grant_id: str = ""
    sign: Sign = field(default_factory=Sign)
    nonce: str = ""
    actor: Mapping[str, Any] | None = None
    ends: int = 0


def lifetime_of(client: Client, /) -> int:
    """Return how many seconds a client's access tokens hold."""
    return int(client.doc.get("access_token_lifetime_seconds", ACCESS_LIFETIME))


def session_holds(context: Context, session_id: str, /) -> bool:
    """Tell whether a session is there and has not ended."""
    session = context.records.peek(SESSIONS, session_id) if session_id else None
    return session is not None and session.doc.get("status") == "active" and session.doc.get("expires_at", "9999") > context.now


def access_token(context: Context, order: Order, /) -> tuple[str, int]:
    """Return a signed access token and how many seconds it holds.

    :raises Problem: ``invalid_grant`` where the user was deactivated.
    """
    if kept.look(context, kept.INACTIVE_USERS, order.subject) is not None:
        raise Problem("invalid_grant", "The user was deactivated, and nobody acts as that user.")
    now = kept.epoch(context)
    ends = now + lifetime_of(order.client)
    if order.ends:
        ends = min(ends, order.ends)
    claims: dict[str, Any] = {
        "iss": context.world.site,
        "aud": context.world.site,
        "sub": order.subject,
        "client_id": order.client.id,
        "tenant": order.client.tenant,
        "scope": " ".join(order.scopes),
        "jti": context.new_id("tok"),
        "iat": now,
        "exp": ends,
        "grant_id": order.grant_id,
        **_rights(context, order.subject),
        **_signed_in(context, order.sign),
        "act": order.actor,
    }
    claims = {name: value for name, value in claims.items() if value not in ("", None, [], ())}
    return _signed(context, claims, OF_ACCESS_TOKENS, "at+jwt"), ends - now


def _signed(context: Context, claims: Mapping[str, Any], algorithms: tuple[str, ...], type: str) -> str:
    """Return a JWT, signed by the first algorithm for which the tenant has an active key.

    :raises Problem: ``unavailable`` where it has none at all.
    """
    for algorithm in algorithms:
        try:
            return context.world.tokens.sign(claims, context.tenant, algorithm=algorithm, type=type)
        except KeyError:
            continue
    raise Problem(
        "unavailable", "The tenant has no key that signs. An administrator must rotate one.", headers={"Retry-After": "60"}
    )


def _rights(context: Context, subject: str) -> dict[str, Any]:
    """Return the claims by which services know a user's role, and whether the user sees all records."""
    if not subject.startswith("usr_"):
        return {}
    _, role, sees = rights(context, subject)
    return {"role": role, "sees": sees}


def _signed_in(context: Context, sign: Sign) -> dict[str, Any]:
    """Return the claims about the sign-in. ``sid`` is left out once the session has ended: it would end the token with it."""
    sid = sign.session_id if session_holds(context, sign.session_id) else ""
    return {"sid": sid, "auth_time": sign.at or None, "acr": sign.acr, "amr": list(sign.amr)}


@computes("at_hash")
def at_hash(access: str, /) -> str:
    """Return the claim by which an ID token is bound to an access token: half of its SHA-256 (Core, section 3.1.3.6).

    >>> at_hash("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y")
    '77QmUPtjPfzWtF2AnpK9RQ'
    """
    return urlsafe_b64encode(hashlib.sha256(access.encode()).digest()[:16]).decode().rstrip("=")


def id_token(context: Context, order: Order, access: str, /) -> str:
    """Return a signed ID token for the client, bound to an access token by ``at_hash``."""
    now = kept.epoch(context)
    claims: dict[str, Any] = {
        "iss": context.world.site,
        "sub": order.subject,
        "aud": order.client.id,
        "azp": order.client.id,
        "iat": now,
        "exp": now + ACCESS_LIFETIME,
        "nonce": order.nonce,
        "at_hash": at_hash(access),
        "tenant": order.client.tenant,
        **_signed_in(context, order.sign),
    }
    claims = {name: value for name, value in claims.items() if value not in ("", None, [], ())}
    return _signed(context, claims, OF_ID_TOKENS, "JWT")


def refresh_token(context: Context, order: Order, /, begun: int = 0) -> str:
    """Return a new refresh token.

    :param begun: When the first one of its line was given; now where it is the first.
    """
    now = kept.epoch(context)
    begun = begun or now
    idle = int(order.client.doc.get("refresh_token_lifetime_seconds", REFRESH_IDLE))
    members = {
        "grant_id": order.grant_id,
        "client_id": order.client.id,
        "user_id": order.subject,
        "scopes": list(order.scopes),
        "sign": order.sign.members(),
        "begun": begun,
        "issued": now,
        "ends": min(now + idle, begun + REFRESH_ABSOLUTE),
    }
    return kept.make(context, kept.REFRESH_TOKENS, "refresh-token", members)


def answer(
    context: Context, order: Order, /, *, renewable: bool = False, begun: int = 0, scopes: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the body of the token endpoint (RFC 6749, section 5.1).

    :param renewable: Whether a refresh token comes with it.
    :param begun: When the line of refresh tokens began.
    :param scopes: Scopes of the refresh token, where the access token has fewer.
    """
    access, seconds = access_token(context, order)
    body: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "expires_in": seconds}
    if renewable:
        whole = order if not scopes else Order(order.client, order.subject, scopes, order.grant_id, order.sign, order.nonce)
        body["refresh_token"] = refresh_token(context, whole, begun)
    body["scope"] = " ".join(order.scopes)
    if "openid" in order.scopes and order.subject.startswith("usr_"):
        body["id_token"] = id_token(context, order, access)
    return body


def is_renewable(client: Client, scopes: tuple[str, ...], /) -> bool:
    """Tell whether a client gets refresh tokens: with offline_access, and apps of the platform as long as the session lasts."""
    allowed = "refresh_token" in client.doc.get("grant_types", ())
    return allowed and ("offline_access" in scopes or bool(client.doc.get("is_first_party")))
