"""Out-of-office times and delegations: their rules, their state at a moment, and the events when they begin and end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, derives, enforces, handles, presents
from crm_reference.emulator.services.users.people import demand_own, is_able, may_act_for
from crm_reference.emulator.store import Record

ABSENCES, DELEGATIONS = "out-of-office", "delegations"
STARTED, ENDED = "crm.out_of_office.started.v1", "crm.out_of_office.ended.v1"


def moment_of(period: Mapping[str, Any], at: str, /) -> str:
    """Return where a period stands at a moment: ``scheduled``, ``active`` or ``ended``. One without an end goes on.

    >>> moment_of({"starts_at": "2026-01-05T09:00:00Z"}, "2026-01-05T09:00:00Z")
    'active'
    """
    if at < period["starts_at"]:
        return "scheduled"
    return "ended" if "ends_at" in period and period["ends_at"] <= at else "active"


@computes("period_state")
def period_state(asked: Mapping[str, Any]) -> str:
    """Return where a period stands, for vectors: ``starts_at``, ``ends_at`` where there is one, and ``at``."""
    return moment_of(asked, asked["at"])


@derives(ABSENCES)
def derive_absence(context: Context | None, absence: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fill in the caller as the user who is away."""
    derived: dict[str, Any] = {"_told": absence.get("_told", [])}
    if context is not None and "user_id" not in absence:
        derived["user_id"] = context.identity.user or None
    return derived


@derives(DELEGATIONS)
def derive_delegation(context: Context | None, delegation: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fill in the caller as the user who delegates."""
    if context is not None and "delegator_id" not in delegation:
        return {"delegator_id": context.identity.user or None}
    return {}


@presents(ABSENCES)
def present_absence(context: Context, absence: Record) -> Mapping[str, Any]:
    """Tell where the absence stands now."""
    return {"status": moment_of(absence.doc, context.now)}


@presents(DELEGATIONS)
def present_delegation(context: Context, delegation: Record) -> Mapping[str, Any]:
    """Tell where the delegation stands now."""
    return {"status": moment_of(delegation.doc, context.now)}


# -- rules ---------------------------------------------------------------------------------------------------------------------


def _unable(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None, member: str) -> str:
    id = new.get(member)
    known = context.records.peek("users", id) if id else None
    if context.is_upkeep or known is None or (old is not None and old.get(member) == id) or is_able(context, known.id):
        return ""
    return f"{known.doc['full_name']} is deactivated or no person."


@enforces("substitute_is_active")
def substitute_is_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a new substitute who can't stand in."""
    return _unable(context, new, old, "substitute_id")


@enforces("delegate_is_active")
def delegate_is_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a new delegate who can't act."""
    return _unable(context, new, old, "delegate_id")


@enforces("absences_apart")
def absences_apart(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Look for another absence of the user that shares an instant with this one."""
    if context.is_upkeep:
        return ""
    for other in context.records.find(ABSENCES, user_id=new.get("user_id", "")):
        if other.id != new["id"] and other.doc["starts_at"] < new["ends_at"] and new["starts_at"] < other.doc["ends_at"]:
            return f"{other.id} covers {other.doc['starts_at']} to {other.doc['ends_at']}."
    return ""


@enforces("absence_not_over")
def absence_not_over(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse to change an absence that ended."""
    if context.is_upkeep or old is None or moment_of(old, context.now) != "ended":
        return ""
    return f"The absence ended at {old['ends_at']}."


# -- operations ----------------------------------------------------------------------------------------------------------------


@handles("createOutOfOffice")
def create_absence(call: Call) -> Reply:
    """Record an absence, and tell at once where it has begun."""
    demand_own(call, call.body.get("user_id", call.identity.user))
    reply = single.create(call)
    tell_due(call)
    return reply


@handles("updateOutOfOffice")
def update_absence(call: Call) -> Reply:
    """Change an absence, and tell where it begins or ends by that."""
    demand_own(call, call.found.doc["user_id"])
    reply = single.update(call)
    tell_due(call)
    return reply


@handles("deleteOutOfOffice")
def delete_absence(call: Call) -> Reply:
    """Take an absence back; one that runs ends by it."""
    demand_own(call, call.found.doc["user_id"])
    state = moment_of(call.found.doc, call.now)
    if state == "ended":
        raise Problem("absence_over", f"The absence ended at {call.found.doc['ends_at']}.")
    if state == "active":
        call.emit(ENDED, call.found.id, {"record": call.records.public(call.found)})
    return single.delete(call)


def tell_due(context: Context, /) -> None:
    """Tell of every absence that has begun or ended and wasn't told yet."""
    for absence in context.records.find(ABSENCES):
        state, told = moment_of(absence.doc, context.now), list(absence.doc.get("_told", ()))
        for word, type, due in (("started", STARTED, state != "scheduled"), ("ended", ENDED, state == "ended")):
            if due and word not in told:
                told.append(word)
                context.emit(type, absence.id, {"record": context.records.public(absence)})
        if told != absence.doc.get("_told", []):
            context.records.note(absence, _told=told)


@handles("createDelegation")
def create_delegation(call: Call) -> Reply:
    """Let a colleague act for the caller, or for whom the caller may act."""
    demand_own(call, call.body.get("delegator_id", call.identity.user))
    return single.create(call)


@handles("updateDelegation")
def update_delegation(call: Call) -> Reply:
    """Change a delegation; its delegate may not."""
    demand_own(call, call.found.doc["delegator_id"])
    return single.update(call)


@handles("deleteDelegation")
def delete_delegation(call: Call) -> Reply:
    """End a delegation; its delegate may give it back."""
    if not may_act_for(call, call.found.doc["delegate_id"]):
        demand_own(call, call.found.doc["delegator_id"])
    return single.delete(call)
