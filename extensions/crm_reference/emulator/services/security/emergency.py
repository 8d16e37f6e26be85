"""Emergency access (break-glass): a role beyond one's own for a short time, granted by a second person, and reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import iso, seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import derives, enforces, handles, hears
from crm_reference.emulator.store import Record

ACCESSES = "break-glass"
APPROVE = "security.emergency_approve"
#: How long a grant waits to be used.
BEGIN_WITHIN_SECONDS = 3600

_OPEN = ("requested", "approved", "active")
_ENDED = "crm.break_glass.ended.v1"
_MOST_WRITES = 500


@derives(ACCESSES)
def follow(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Begin with a request of the caller."""
    if context is None:
        return {}
    return {"status": doc.get("status", "requested"), "user_id": doc.get("user_id", context.identity.user)}


@enforces("break_glass_one_open")
def one_open(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a second open request of one user."""
    if old is not None:
        return ""
    mine = [a for a in context.records.find(ACCESSES, user_id=new["user_id"]) if current(a, context.now)[0] in _OPEN]
    return f"{mine[0].id} is {mine[0].doc['status']}." if mine else ""


def current(access: Record, now: str, /) -> tuple[str, str]:
    """Return the status that an access has at an instant, and since when, where time alone changed it."""
    doc = access.doc
    if doc["status"] == "approved" and doc["begin_before_at"] <= now:
        return "expired", doc["begin_before_at"]
    if doc["status"] == "active" and doc["ends_at"] <= now:
        return "ended", doc["ends_at"]
    return doc["status"], ""


def lapse(context: Context, access: Record, /) -> Record:
    """Write down what time did to an access."""
    status, since = current(access, context.now)
    if status == access.doc["status"]:
        return access
    if status == "expired":
        return context.records.change(access, {"status": "expired"}, action="expired")
    return _end(context, access, "timed_out", since)


def _end(context: Context, access: Record, reason: str, at: str) -> Record:
    patch = {"status": "ended", "ended_at": at, "end_reason": reason}
    ended = context.records.change(access, patch, action="ended")
    context.emit(_ENDED, ended.id, {"record": context.records.public(ended)})
    return ended


@handles("listBreakGlass")
def list_accesses(call: Call) -> Reply:
    """List emergency accesses as they are now."""
    for access in call.records.find(ACCESSES):
        lapse(call, access)
    return listing.list_records(call)


@handles("getBreakGlass")
def get(call: Call) -> Reply:
    """Read an emergency access as it is now."""
    call.record = lapse(call, call.found)
    return single.read(call)


@handles("requestBreakGlass")
def request(call: Call) -> Reply:
    """Ask for a role beyond one's own."""
    for access in call.records.find(ACCESSES, user_id=call.identity.user):
        lapse(call, access)
    created = call.records.create(ACCESSES, call.body, event="crm.break_glass.requested.v1", action="requested")
    return single.shown(call, created, 201, Location=f"/v1/break-glass/{created.id}")


@handles("decideBreakGlass")
def decide(call: Call) -> Reply:
    """Grant or refuse a request of somebody else."""
    access = lapse(call, call.found)
    if access.doc["user_id"] == call.identity.user:
        raise Problem("own_request_not_decidable", "You asked for this access yourself.")
    if access.doc["status"] != "requested":
        raise Problem("break_glass_decided", f"The access is {access.doc['status']}.")
    granted = call.body["decision"] == "approve"
    patch = {"status": "approved" if granted else "denied", "decided_by": call.identity.user, "decided_at": call.now}
    patch["decision_note"] = call.body.get("note")
    if granted:
        patch["begin_before_at"] = iso(seconds_of(call.now) + BEGIN_WITHIN_SECONDS)
    decided = call.records.change(access, patch, action="decided")
    call.emit("crm.break_glass.decided.v1", decided.id, {"record": call.records.public(decided)})
    return single.shown(call, decided)


@handles("activateBreakGlass")
def activate(call: Call) -> Reply:
    """Let the role count from now on."""
    access = call.found
    if access.doc["user_id"] != call.identity.user:
        raise Problem("not_the_requester", "Somebody else asked for this access.")
    status, _ = current(access, call.now)
    if status != "approved":
        raise Problem("break_glass_not_approved", f"The access is {status}.")
    ends = iso(seconds_of(call.now) + 60 * access.doc["duration_minutes"])
    active = call.records.change(access, {"status": "active", "activated_at": call.now, "ends_at": ends}, action="activated")
    call.emit("crm.break_glass.activated.v1", active.id, {"record": call.records.public(active)})
    return single.shown(call, active)


@handles("endBreakGlass")
def end(call: Call) -> Reply:
    """End an access before its time."""
    access = call.found
    is_own = access.doc["user_id"] == call.identity.user
    if not is_own and APPROVE not in call.identity.scopes:
        raise Problem("not_the_requester", f"To end another user's access takes the scope {APPROVE}.")
    status, _ = current(access, call.now)
    if status != "active":
        raise Problem("break_glass_not_active", f"The access is {status}.")
    return single.shown(call, _end(call, access, "finished" if is_own else "revoked", call.now))


@handles("getBreakGlassReport")
def report(call: Call) -> Reply:
    """Report what the user wrote while the role counted."""
    access = lapse(call, call.found)
    doc = access.doc
    if "activated_at" not in doc:
        raise Problem("break_glass_never_used", f"The access is {doc['status']} and was never begun.")
    since, until = doc["activated_at"], doc.get("ended_at", call.now)
    writes = _writes(call, doc["user_id"], since, until)
    refused = [
        d
        for d in call.records.find("access-decisions", user_id=doc["user_id"])
        if since <= d.doc["created_at"] <= until and d.doc["decision"] != "allow"
    ]
    body = {
        "break_glass_id": access.id,
        "user_id": doc["user_id"],
        "role_id": doc["role_id"],
        "activated_at": since,
        "used_seconds": seconds_of(until) - seconds_of(since),
        "write_count": len(writes),
        "writes": writes[:_MOST_WRITES],
        "denied_count": len(refused),
    }
    return Reply(200, body | ({"ended_at": doc["ended_at"]} if "ended_at" in doc else {}))


def _writes(context: Context, user: str, since: str, until: str) -> list[dict[str, Any]]:
    """Return what a user wrote in a span of time, oldest first; what the platform keeps about accesses is left out."""
    found = []
    for resource in context.world.contract.resources.values():
        if resource.collection in (ACCESSES, "access-decisions") or not context.world.store.has(resource.collection):
            continue
        for change in context.world.store.changes(context.tenant, resource.collection):
            if change.actor == user and since <= change.at <= until:
                write = {"object_type": resource.object, "record_id": change.id, "action": change.action, "changed_at": change.at}
                found.append(((change.at, change.sequence), write))
    return [write for _, write in sorted(found, key=lambda pair: pair[0])]


@hears("crm.user.deactivated.v1")
def end_deactivated(context: Context, event: Mapping[str, Any]) -> None:
    """End the access of a user who was deactivated, and refuse what the user asked for."""
    for access in context.records.find(ACCESSES, user_id=event["subject"]):
        if current(access, context.now)[0] == "active":
            _end(context, access, "user_deactivated", event.get("time", context.now))
        elif access.doc["status"] in ("requested", "approved"):
            note = "The user was deactivated."
            context.records.change(access, {"status": "denied", "decision_note": note, "begin_before_at": None}, action="decided")
