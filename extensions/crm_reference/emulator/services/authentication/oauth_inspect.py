"""What becomes of tokens after they were given out: revocation (RFC 7009), introspection (RFC 7662), user information."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication import grants
from crm_reference.emulator.services.authentication import oauth_kept as kept
from crm_reference.emulator.services.authentication.issuing import Sign, session_holds
from crm_reference.emulator.services.authentication.oauth_clients import Client, acting, authenticate
from crm_reference.emulator.services.authentication.oauth_token import NO_STORE

#: A client that is registered with it may ask about every token of its tenant.
SCOPE_OF_ALL = "authentication.read"
#: Claims of an access token that an introspection tells.
_TOLD = ("scope", "client_id", "exp", "iat", "sub", "aud", "iss", "jti", "tenant", "sid", "auth_time", "acr", "amr", "act")


@handles("revokeToken")
def revoke(call: Call) -> Reply:
    """End a token of the client's; one that is unknown or has ended counts as revoked."""
    client = authenticate(call)
    token = str(call.body["token"])
    context = acting(call.world, client.tenant, "", client.id)
    renewal = kept.look(context, kept.REFRESH_TOKENS, kept.digest(token))
    if renewal is not None:
        _demand_own(client, renewal["client_id"])
        context = acting(call.world, client.tenant, renewal["user_id"], client.id)
        grant = context.records.peek(grants.GRANTS, renewal["grant_id"])
        if grant is not None and grant.doc["status"] == "active":
            grants.end(context, grant, "client")
        return Reply(200, {}, NO_STORE)
    claims = _claims(call, token)
    if claims is not None and claims.get("tenant") == client.tenant:
        _demand_own(client, str(claims.get("client_id", "")))
        grants.refuse_tokens(context, str(claims["jti"]))
    return Reply(200, {}, NO_STORE)


def _demand_own(client: Client, owner: str) -> None:
    if owner != client.id:
        raise Problem("unauthorized_client", "The token was given to another client, which alone can revoke it.")


def _claims(call: Call, token: str) -> dict[str, Any] | None:
    """Return the claims of an access token of ours, expired or not; ``None`` for anything else.

    :raises Problem: ``unsupported_token_type`` for an ID token.
    """
    try:
        return call.world.tokens.claims(token)
    except Problem:
        pass
    try:
        header = jwt.get_unverified_header(token)
        audience = jwt.decode(token, options={"verify_signature": False}).get("aud")
        if header.get("typ") == "JWT" and isinstance(audience, str):
            call.world.tokens.claims(token, type="JWT", audience=audience)
            raise Problem("unsupported_token_type", "The token is an ID token. It opens nothing, and can't be revoked.")
    except jwt.PyJWTError:
        return None
    except Problem as problem:
        if problem.code == "unsupported_token_type":
            raise
    return None


@handles("introspectToken")
def introspect(call: Call) -> Reply:
    """Tell whether a token holds now, and what it says."""
    client = authenticate(call)
    if not client.is_confidential:
        raise Problem("unauthorized_client", "A public client can't ask about tokens.")
    found = _of_refresh(call, client) or _of_access(call, client)
    return Reply(200, found or {"active": False}, NO_STORE)


def _of_access(call: Call, client: Client) -> dict[str, Any] | None:
    try:
        identity = call.world.tokens.verify(f"Bearer {call.body['token']}", call.world.clock.time())
    except Problem:
        return None
    claims = identity.claims
    if not _may_ask(client, identity.tenant, str(claims.get("client_id", ""))) or "jti" not in claims:
        return None
    context = acting(call.world, client.tenant)
    told = {name: claims[name] for name in _TOLD if name in claims}
    return {"active": True, "token_type": "Bearer", **told, **_username(context, str(claims["sub"]))}


def _of_refresh(call: Call, client: Client) -> dict[str, Any] | None:
    context = acting(call.world, client.tenant)
    token = kept.look(context, kept.REFRESH_TOKENS, kept.digest(str(call.body["token"])))
    if token is None or not _may_ask(client, client.tenant, token["client_id"]):
        return None
    grant = context.records.peek(grants.GRANTS, token["grant_id"])
    ended = token.get("used") or token.get("revoked") or token["ends"] <= kept.epoch(context)
    if ended or grant is None or grant.doc["status"] != "active":
        return {"active": False}
    sign = Sign.of(token["sign"])
    if "offline_access" not in token["scopes"] and not session_holds(context, sign.session_id):
        return {"active": False}
    body = {
        "active": True,
        "token_type": "refresh_token",
        "scope": " ".join(token["scopes"]),
        "client_id": token["client_id"],
        "sub": token["user_id"],
        "iss": call.world.site,
        "tenant": client.tenant,
        "iat": token["issued"],
        "exp": token["ends"],
    }
    return {**body, **_username(context, token["user_id"])}


def _may_ask(client: Client, tenant: str, owner: str) -> bool:
    return tenant == client.tenant and (owner == client.id or SCOPE_OF_ALL in client.scopes)


def _username(context: Context, subject: str) -> dict[str, str]:
    user = context.records.peek("users", subject)
    return {"username": user.doc["email"]} if user is not None and "email" in user.doc else {}


# -- the user --------------------------------------------------------------------------------------------------------------


@handles("getUserinfo")
def userinfo(call: Call) -> Reply:
    """Return claims about the user of the token, as its scopes open them."""
    subject = str(call.identity.claims.get("sub", call.identity.actor))
    body: dict[str, Any] = {"sub": subject, "tenant": call.tenant}
    user = call.records.peek("users", call.identity.user) if call.identity.user else None
    if user is not None:
        body |= claims_of(user.doc, call.identity.scopes)
    return Reply(200, {n: v for n, v in body.items() if v is not None}, NO_STORE)


@handles("postUserinfo")
def post_userinfo(call: Call) -> Reply:
    """Return the same by POST."""
    return userinfo(call)


def claims_of(doc: Mapping[str, Any], scopes: frozenset[str], /) -> dict[str, Any]:
    """Return the claims about a user that some scopes open (OpenID Connect Core, section 5.4)."""
    found: dict[str, Any] = {}
    if "profile" in scopes:
        first, _, last = str(doc.get("full_name", "")).rpartition(" ")
        found |= {
            "name": doc.get("full_name") or f"{doc.get('first_name', '')} {doc.get('last_name', '')}".strip() or None,
            "given_name": doc.get("first_name") or first or None,
            "family_name": doc.get("last_name") or last or None,
            "preferred_username": doc.get("email"),
            "locale": doc.get("language", "en"),
            "zoneinfo": doc.get("time_zone", "Europe/Amsterdam"),
            "updated_at": seconds_of(doc["updated_at"]) if "updated_at" in doc else None,
        }
    if "email" in scopes:
        found |= {"email": doc.get("email"), "email_verified": True}
    return found
