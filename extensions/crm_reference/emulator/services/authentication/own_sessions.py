"""Operations on sessions: a user's own, and those of others for administrators."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.clock import iso
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication import sessions
from crm_reference.emulator.services.authentication.accounts import check_password, note_failure, own_account
from crm_reference.emulator.services.authentication.acting import NO_STORE, acting, refused
from crm_reference.emulator.services.authentication.sessions import SESSIONS
from crm_reference.emulator.services.authentication.signing import use_challenge
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record


def _own(call: Call) -> Record:
    """Return the caller's session that the path names, as it is now.

    :raises Problem: ``not_found``, also where it is somebody else's.
    """
    session = call.records.peek(SESSIONS, call.path["session_id"])
    if session is None or session.doc["user_id"] != call.identity.user:
        raise Problem("not_found", f"No session has the ID {call.path['session_id']}.")
    return sessions.present(call, session)


def _living(session: Record) -> Record:
    if session.doc["status"] != "active":
        raise Problem("session_ended", f"The session ended at {session.doc['ended_at']}.")
    return session


# -- own -----------------------------------------------------------------------------------------------------------------------


@handles("listSessions")
def list_own(call: Call) -> Reply:
    """List the caller's sessions."""
    sessions.lapse(call, call.identity.user)
    condition = Condition(f"{member('user_id')} = ?", [call.identity.user])
    if "status" in call.query:
        condition = condition.and_(Condition(f"{member('status')} = ?", [call.query["status"]]))
    return listing.paged(
        call,
        condition,
        fields=call.records.fields(SESSIONS),
        sorts=listing.NEWEST_FIRST,
        select=lambda where, arguments, order, limit: call.world.store.select(
            call.tenant, SESSIONS, where, arguments, order=order, limit=limit
        ),
        show=lambda record: call.records.shown(record),
    )


@handles("getSession")
def read_own(call: Call) -> Reply:
    """Return one of the caller's sessions."""
    call.record = _own(call)
    return single.read(call)


@handles("listSessionActivities")
def list_activities(call: Call) -> Reply:
    """List what happened in one of the caller's sessions."""
    _own(call)
    return listing.list_records(call)


@handles("revokeSession")
def revoke_own(call: Call) -> Reply:
    """End one of the caller's sessions."""
    return single.shown(call, sessions.end(call, _living(_own(call)), "revoked"))


@handles("revokeOtherSessions")
def revoke_others(call: Call) -> Reply:
    """End the caller's sessions but the present one."""
    sid = str(call.identity.claims.get("sid", ""))
    ended = sessions.end_all(call, call.identity.user, "revoked", but=sid)
    return Reply(200, {"ended_count": ended} | ({"kept_session_id": sid} if sid else {}))


@handles("stepUpSession")
def step_up(call: Call) -> Reply:
    """Confirm one of the caller's sessions by a fresh proof."""
    session = _living(_own(call))
    patch: dict[str, Any] = {"authenticated_at": call.now}
    patch["elevation_ends_at"] = iso(call.world.clock.time() + sessions.FRESH_SECONDS)
    if "password" in call.body:
        account = own_account(call)
        if not check_password(call, account, call.body["password"]):
            if account is not None:
                note_failure(call, account)
            raise refused("current_password_wrong", "#/password", "is not your password", commits=True)
        method = "password"
    else:
        method = use_challenge(call, call.body["challenge_id"], "session_id", session.id, call.identity.user)
        patch["acr"] = "urn:crm:acr:mfa"
    patch["amr"] = list(dict.fromkeys([*session.doc["amr"], sessions.AMR[method]]))
    confirmed = call.records.change(session, patch)
    sessions.note(call, confirmed, "stepped_up", call.request.address, f"By {method.replace('_', ' ')}")
    call.emit(sessions.STEPPED_UP, session.id, {"record": call.records.public(confirmed)})
    return _tokens(sessions.tokens(call, confirmed), confirmed)


def _tokens(made: dict[str, Any], session: Record) -> Reply:
    answer = {"session_id": session.id, **made, "acr": session.doc["acr"]}
    answer |= {"authenticated_at": session.doc["authenticated_at"], "session_expires_at": session.doc["expires_at"]}
    return Reply(200, answer, dict(NO_STORE))


@handles("renewSession")
def renew(call: Call) -> Reply:
    """Give a new access token for the session of a cookie's value."""
    found = sessions.find(call.world, call.body["session_secret"])
    if found is None:
        raise Problem("session_over", "No living session has this secret. Sign in.")
    tenant, session = found
    context = acting(call.world, tenant, session.doc["user_id"])
    idle = sessions.rules(context)["idle_timeout_minutes"] * 60
    patch: dict[str, Any] = {"last_seen_at": call.now, "idle_expires_at": iso(call.world.clock.time() + idle)}
    if session.doc.get("ip_address") != call.request.address:
        patch["ip_address"] = call.request.address
        former = session.doc.get("ip_address", "an unknown address")
        sessions.note(context, session, "address_changed", call.request.address, f"Before it was {former}")
    renewed = context.records.change(session, patch)
    sessions.note(context, renewed, "renewed", call.request.address)
    scope = " ".join(sessions.rights(context, context.identity.user)[0])
    return _tokens({**sessions.tokens(context, renewed), "scope": scope}, renewed)


# -- those of others -----------------------------------------------------------------------------------------------------------


@handles("listUserSessions")
def list_all(call: Call) -> Reply:
    """List the sessions of the tenant."""
    sessions.lapse(call)
    return listing.list_records(call)


@handles("getUserSession")
def read_any(call: Call) -> Reply:
    """Return one session of the tenant."""
    call.record = sessions.present(call, call.found)
    return single.read(call)


@handles("revokeUserSession")
def revoke_any(call: Call) -> Reply:
    """End one session of the tenant."""
    session = _living(sessions.present(call, call.found))
    return single.shown(call, sessions.end(call, session, "revoked_by_administrator", call.body["reason"]))


@handles("revokeUserSessions")
def revoke_all(call: Call) -> Reply:
    """End every session of one user."""
    user = call.body["user_id"]
    if call.records.peek("users", user) is None:
        entry = {"pointer": "#/user_id", "code": "invalid_reference", "detail": "leads to no user"}
        raise Problem("validation_failed", "1 field breaks a rule; see errors.", [entry])
    ended = sessions.end_all(call, user, "revoked_by_administrator", note_text=call.body["reason"])
    return Reply(200, {"ended_count": ended})
