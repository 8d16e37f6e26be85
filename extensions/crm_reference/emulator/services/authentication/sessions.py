"""Sessions: how they begin, what tokens come of them, and how they end. Other modules and the protocol begin and end them here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.call import Call, Context, World
from crm_reference.emulator.clock import iso, seconds_of
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import presents
from crm_reference.emulator.services.authentication.acting import acting as acting
from crm_reference.emulator.services.authentication.acting import hashed
from crm_reference.emulator.services.authentication.oauth_scopes import OPENID, of_user
from crm_reference.emulator.store import Record
from crm_reference.emulator.tokens import REVOCATIONS

SESSIONS, ACTIVITIES = "sessions", "session-activities"
STARTED, STEPPED_UP, ENDED = (f"crm.session.{word}.v1" for word in ("started", "stepped_up", "ended"))
#: Collection with each tenant's rules for sessions as security told them; its one record has the ID ``policy``.
RULES = "session-rules"
PLATFORM: Mapping[str, int] = {"idle_timeout_minutes": 120, "maximum_lifetime_minutes": 720, "maximum_sessions": 10}
#: How long a confirmation counts as fresh.
FRESH_SECONDS = 600
TOKEN_SECONDS = 600
#: The names of RFC 8176 for what users prove themselves by.
AMR = {
    "password": "pwd",
    "totp": "otp",
    "email_code": "otp",
    "recovery_code": "otp",
    "bypass_code": "otp",
    "passkey": "hwk",
    "sso": "fed",
}


@presents(SESSIONS)
def _present(context: Context, session: Record) -> Mapping[str, Any]:
    """Tell whether the caller's token belongs to the session."""
    return {"is_current": context.identity.claims.get("sid") == session.id}


def rules(context: Context, /) -> dict[str, int]:
    """Return how long sessions of the tenant last, and how many a user may have."""
    record = context.world.store.get(context.tenant, RULES, "policy")
    told = record.doc if record is not None else {}
    return {name: min(int(told.get(name) or number), 43_200) for name, number in PLATFORM.items()}


def keep_rules(context: Context, told: Mapping[str, Any], /) -> None:
    """Keep the tenant's rules as security tells them."""
    doc = {"idle_timeout_minutes": told.get("idle_timeout_minutes"), "maximum_sessions": told.get("max_sessions")}
    if told.get("absolute_lifetime_hours"):
        doc["maximum_lifetime_minutes"] = int(told["absolute_lifetime_hours"]) * 60
    kept = {name: number for name, number in doc.items() if number}
    context.world.store.put(context.tenant, Record(RULES, "policy", 1, {"id": "policy", **kept}))


# -- beginning -----------------------------------------------------------------------------------------------------------------


def start(
    context: Context,
    user_id: str,
    /,
    *,
    methods: Sequence[str],
    acr: str,
    client_id: str = "",
    device_id: str = "",
    ip: str = "",
) -> tuple[Record, str]:
    """Begin a session; of too many the least used one ends.

    :param context: Of the user's tenant.
    :param methods: How the user proved to be the user, by the names of RFC 8176.
    :param acr: ``urn:crm:acr:pwd`` or ``urn:crm:acr:mfa``.
    :param client_id: For which client; the tenant's first-party one where empty.
    :return: The session and the value of its cookie.
    """
    policy = rules(context)
    living = sorted(active(context, user_id), key=lambda s: s.doc["last_seen_at"])
    for surplus in living[: max(len(living) + 1 - policy["maximum_sessions"], 0)]:
        end(context, surplus, "replaced")
    secret = context.world.secret("session-cookie")
    now = context.world.clock.time()
    doc = {
        "user_id": user_id,
        "client_id": client_id or first_party_client(context),
        "status": "active",
        "acr": acr,
        "amr": list(dict.fromkeys(methods)),
        "authenticated_at": context.now,
        "elevation_ends_at": iso(now + FRESH_SECONDS),
        "device_id": device_id,
        "ip_address": ip,
        "last_seen_at": context.now,
        "idle_expires_at": iso(now + policy["idle_timeout_minutes"] * 60),
        "expires_at": iso(now + policy["maximum_lifetime_minutes"] * 60),
        "_cookie_hash": hashed(secret),
    }
    session = context.records.create(SESSIONS, {k: v for k, v in doc.items() if v != ""})
    note(context, session, "started", ip)
    context.emit(STARTED, session.id, {"record": context.records.public(session)})
    return session, secret


def first_party_client(context: Context, /) -> str:
    """Return the tenant's own app among the OAuth clients; empty where it has none."""
    found = context.world.store.find(context.tenant, "oauth-clients", is_first_party=True)
    return found[0].id if found else ""


def note(context: Context, session: Record, kind: str, ip: str = "", detail: str = "", /) -> None:
    """Write down what happened in a session."""
    doc = {"session_id": session.id, "kind": kind, "ip_address": ip, "detail": detail}
    context.records.create(ACTIVITIES, {k: v for k, v in doc.items() if v})


def tokens(context: Context, session: Record, /) -> dict[str, Any]:
    """Return a new access token of a session, as operations answer it."""
    world, user = context.world, session.doc["user_id"]
    now = int(world.clock.time())
    scopes, role, sees = rights(context, user)
    claims = {
        "iss": world.site,
        "aud": world.site,
        "sub": user,
        "tenant": context.tenant,
        "client_id": session.doc.get("client_id"),
        "scope": " ".join(scopes),
        "role": role,
        "sees": sees,
        "jti": context.new_id("tok"),
        "sid": session.id,
        "auth_time": seconds_of(session.doc["authenticated_at"]),
        "acr": session.doc["acr"],
        "amr": session.doc["amr"],
        "iat": now,
        "exp": now + TOKEN_SECONDS,
    }
    token = world.tokens.sign({k: v for k, v in claims.items() if v not in (None, "")}, context.tenant)
    return {"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_SECONDS}


def rights(context: Context, user_id: str, /) -> tuple[list[str], str, str]:
    """Return the scopes of a user by its roles, the first role's key, and which records it sees where the token says so."""
    held = of_user(context, user_id)
    if context.world.store.has(access.ASSIGNMENTS) and access.people(context).has_assignments:
        keys = access.subject_of(context, user_id).role_keys
        return sorted((held or frozenset()) - OPENID.keys()), keys[0] if keys else "", ""
    contract = context.world.contract
    principal = next((p for p in contract.principals.values() if p.user == user_id), None)
    if principal is not None:
        return sorted((held or frozenset()) - OPENID.keys()), principal.role, principal.sees if principal.sees != "all" else ""
    user = context.world.store.get(context.tenant, "users", user_id)
    role = str(user.doc.get("_role", "viewer")) if user is not None else "viewer"
    return sorted(name for name, scope in contract.scopes.items() if role in scope.roles), role, ""


# -- finding -------------------------------------------------------------------------------------------------------------------


def find(world: World, secret: str, /) -> tuple[str, Record] | None:
    """Return the tenant and the living session of a cookie's value."""
    for tenant in world.store.tenants(SESSIONS):
        for session in world.store.find(tenant, SESSIONS, _cookie_hash=hashed(secret)):
            known = present(acting(world, tenant), session)
            return (tenant, known) if known.doc["status"] == "active" else None
    return None


def active(context: Context, user_id: str, /) -> list[Record]:
    """Return a user's living sessions."""
    found = [present(context, s) for s in context.records.find(SESSIONS, user_id=user_id, status="active")]
    return [s for s in found if s.doc["status"] == "active"]


def present(context: Context, session: Record, /) -> Record:
    """Return a session as it is now: ended where its time ran out. Nobody is told of that."""
    ends = min(session.doc.get("idle_expires_at", "9999"), session.doc["expires_at"])
    if session.doc["status"] == "active" and ends <= context.now:
        with upkeep(context):
            return context.records.change(session, {"status": "ended", "ended_at": ends, "end_reason": "expired"})
    return session


def lapse(context: Context, /, user_id: str = "") -> None:
    """End every session of the tenant, or of one user, whose time ran out."""
    equal = {"user_id": user_id} if user_id else {}
    for session in context.records.find(SESSIONS, status="active", **equal):
        present(context, session)


# -- ending --------------------------------------------------------------------------------------------------------------------


def end(context: Context, session: Record, reason: str, note_text: str = "", /) -> Record:
    """End a session with all that hangs on it: its cookie, its access tokens, and refresh tokens without offline access.

    :param reason: One of the schema's reasons.
    :param note_text: What an administrator wrote to it.
    :return: The session; one that ended already stays as it is.
    """
    if session.doc["status"] != "active":
        return session
    patch = {"status": "ended", "ended_at": context.now, "end_reason": reason, "end_note": note_text or None}
    ended = context.records.change(session, patch, event=ENDED)
    note(context, ended, "ended")
    context.world.store.put(context.tenant, Record(REVOCATIONS, session.id, 1, {"id": session.id, "revoked_at": context.now}))
    return ended


def end_all(context: Context, user_id: str, reason: str, /, *, but: str = "", note_text: str = "") -> int:
    """End a user's living sessions and return how many there were.

    :param but: ID of the session that goes on.
    """
    ending = [s for s in active(context, user_id) if s.id != but]
    for session in ending:
        end(context, session, reason, note_text)
    return len(ending)


def demand_fresh(call: Call, /) -> None:
    """Refuse what needs a fresh confirmation. A token that belongs to no session, a program's, isn't asked.

    :raises Problem: ``step_up_required`` (403).
    """
    sid = call.identity.claims.get("sid")
    session = call.records.peek(SESSIONS, str(sid)) if sid else None
    if session is not None and seconds_of(session.doc["authenticated_at"]) + FRESH_SECONDS <= call.world.clock.time():
        raise Problem("step_up_required", "Confirm the session by POST /sessions/{session_id}/step-up, then try again.")
