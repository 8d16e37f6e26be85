"""Grants: that a client may act for a user, how that begins, and the ways in which it ends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, hears, sees
from crm_reference.emulator.services.authentication import oauth_kept as kept
from crm_reference.emulator.services.authentication.oauth_clients import Client
from crm_reference.emulator.store import Record
from crm_reference.emulator.tokens import REVOCATIONS

GRANTS = "oauth-grants"
CREATED, REVOKED = "crm.oauth_grant.created.v1", "crm.oauth_grant.revoked.v1"
#: Who holds it sees and revokes what others granted.
SCOPE_OF_ALL = "authentication.grants"


@sees(GRANTS)
def visible(context: Context, record: Record) -> bool:
    """Show a grant to its user, and to whoever may see all of them."""
    return record.doc.get("user_id") == context.identity.user or SCOPE_OF_ALL in context.identity.scopes


def active(context: Context, user_id: str, client_id: str, /) -> Record | None:
    """Return the grant that holds between a user and a client."""
    found = context.world.store.find(context.tenant, GRANTS, user_id=user_id, client_id=client_id, status="active")
    return found[0] if found else None


def covers(grant: Record | None, scopes: Iterable[str], /) -> bool:
    """Tell whether a grant gives scopes without a question."""
    return grant is not None and bool(grant.doc.get("is_remembered")) and set(grant.doc["scopes"]).issuperset(scopes)


def give(
    context: Context,
    client: Client,
    scopes: Iterable[str],
    /,
    *,
    origin: str,
    session_id: str = "",
    remembered: bool = True,
) -> Record:
    """Let a client act for the context's user: a new grant, or the present one with more scopes.

    :param origin: ``browser``, ``device`` or ``first_party``.
    """
    user, wanted = context.identity.user, tuple(scopes)
    present = active(context, user, client.id)
    if present is None:
        body: dict[str, Any] = {
            "status": "active",
            "user_id": user,
            "client_id": client.id,
            "client_name": client.doc.get("name", client.id),
            "scopes": list(wanted),
            "origin": origin,
            "is_remembered": remembered,
            "is_offline": "offline_access" in wanted,
            "session_id": session_id or None,
        }
        return context.records.create(GRANTS, body, event=CREATED)
    merged = list(dict.fromkeys([*present.doc["scopes"], *wanted]))
    patch: dict[str, Any] = {"scopes": merged, "is_offline": "offline_access" in merged}
    if session_id:
        patch["session_id"] = session_id
    if remembered:
        patch["is_remembered"] = True
    grew = merged != present.doc["scopes"]
    return context.records.change(present, patch, event=CREATED if grew else "")


def used(context: Context, grant: Record, /) -> None:
    """Note that tokens were given for a grant; that is no change of it."""
    context.records.note(grant, last_used_at=context.now)


def end(context: Context, grant: Record, reason: str, /) -> Record:
    """Revoke a grant: its refresh tokens go, and its access tokens fail from the next call on."""
    for key, token in kept.every(context, kept.REFRESH_TOKENS, grant_id=grant.id):
        kept.keep(context, kept.REFRESH_TOKENS, key, {**token, "revoked": True})
    refuse_tokens(context, grant.id)
    patch = {"status": "revoked", "revoked_at": context.now, "end_reason": reason}
    return context.records.change(grant, patch, event=REVOKED)


def refuse_tokens(context: Context, value: str, /) -> None:
    """Let every access token that has a value in ``jti``, ``sid``, ``grant_id``, ``client_id`` or ``sub`` fail from now on."""
    context.world.store.put(context.tenant, Record(REVOCATIONS, value, 1, {"id": value}))


def revoke_grants(context: Context, /, *, user_id: str = "", client_id: str = "", reason: str = "administrator") -> int:
    """Revoke the active grants of a user, of a client, or of both together, and say how many there were."""
    equal: dict[str, Any] = {"status": "active"}
    if user_id:
        equal["user_id"] = user_id
    if client_id:
        equal["client_id"] = client_id
    found = context.world.store.find(context.tenant, GRANTS, **equal)
    for grant in found:
        end(context, grant, reason)
    return len(found)


@hears("crm.user.deactivated.v1")
def user_deactivated(context: Context, event: Mapping[str, Any]) -> None:
    """Revoke what a user granted who was deactivated."""
    user = str(event["data"].get("record", {}).get("id") or event.get("subject", ""))
    if user:
        kept.keep(context, kept.INACTIVE_USERS, user, {"since": context.now})
        revoke_grants(context, user_id=user, reason="user_deactivated")


@hears("crm.user.reactivated.v1")
def user_reactivated(context: Context, event: Mapping[str, Any]) -> None:
    """Let clients act as a user again; what was revoked stays so."""
    user = str(event["data"].get("record", {}).get("id") or event.get("subject", ""))
    context.world.store.remove(context.tenant, kept.INACTIVE_USERS, user)


# -- operations ------------------------------------------------------------------------------------------------------------


@handles("revokeOauthGrant")
def revoke(call: Call) -> Reply:
    """Take a grant back: by its user, or by an administrator."""
    if call.found.doc["status"] != "active":
        raise Problem("grant_not_active", f"{call.found.id} was revoked before; end_reason says why.")
    is_own = call.found.doc["user_id"] == call.identity.user
    return single.shown(call, end(call, call.found, "user" if is_own else "administrator"))


@handles("revokeOauthGrants")
def revoke_many(call: Call) -> Reply:
    """Revoke the grants of a user, of a client, or of both together."""
    user, client = call.body.get("user_id", ""), call.body.get("client_id", "")
    if not user and not client:
        entries = [{"pointer": "#", "code": "grants_not_named", "detail": "name user_id, client_id or both"}]
        raise Problem("grants_not_named", "Grants of everybody can't be revoked in one call.", entries)
    if call.body.get("validate_only"):
        equal = {"status": "active"} | ({"user_id": user} if user else {}) | ({"client_id": client} if client else {})
        return Reply(200, {"revoked_count": len(call.world.store.find(call.tenant, GRANTS, **equal))})
    return Reply(200, {"revoked_count": revoke_grants(call, user_id=user, client_id=client)})
