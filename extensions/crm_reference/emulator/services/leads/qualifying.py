"""What is decided about a lead on its way: qualified, turned down, set aside, recycled, responded to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Any

from crm_reference.emulator import access, owners
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import computes, handles, hears
from crm_reference.emulator.services.leads.common import LEADS, UPDATED, check_owner, invalid
from crm_reference.emulator.services.leads.frameworks import assessment, default_framework
from crm_reference.emulator.services.leads.scoring import is_spoken, leads_in
from crm_reference.emulator.store import Record

#: How long a lead can be set aside.
NURTURE_DAYS = 730
#: In which states each step can be taken.
STEPS = {
    "qualify": ("new", "working", "nurturing"),
    "disqualify": ("new", "working", "nurturing", "qualified"),
    "nurture": ("new", "working", "nurturing", "qualified"),
    "recycle": ("disqualified", "nurturing"),
    "respond": ("new", "working", "nurturing", "qualified"),
}
_CLEARED = dict.fromkeys(
    (
        "disqualified_at",
        "disqualification_reason",
        "nurture_until_on",
        "qualified_at",
        "first_responded_at",
        "first_response_due_at",
    )
)


def _demand(call: Call, step: str) -> Record:
    """Return the lead with which a step can be taken.

    :raises Problem: ``record_read_only`` or ``lead_step_refused``.
    """
    access.demand(call, call.found, "write")
    if call.found.doc["status"] not in STEPS[step]:
        begins = ", ".join(STEPS[step])
        raise Problem("lead_step_refused", f"{call.found.id} is {call.found.doc['status']}; this begins with {begins}.")
    return call.found


def _taken(call: Call, changes: Mapping[str, Any], action: str, **told: Any) -> Reply:
    """Write a step down and tell of it."""
    with upkeep(call):
        lead = call.records.change(call.found, changes, action=action)
    data = {"lead_id": lead.id, **{k: v for k, v in told.items() if v is not None}, "record": call.records.public(lead)}
    call.emit(f"crm.lead.{action}.v1", lead.id, data)
    return single.shown(call, lead)


@handles("qualifyLead")
def qualify(call: Call) -> Reply:
    """Mark a lead as worth converting."""
    lead = _demand(call, "qualify")
    framework, kept = default_framework(call), lead.doc.get("_assessment")
    if framework is not None and "override_reason" not in call.body:
        if kept is None or kept["framework_id"] != framework.id:
            raise Problem("lead_qualification_unmet", f"{lead.id} was not assessed by {framework.doc['name']}.")
        found = assessment({**framework.doc, "answers": kept["answers"]})
        if not found["is_met"]:
            missed = f"; missed: {', '.join(found['missed_keys'])}" if found["missed_keys"] else ""
            raise Problem("lead_qualification_unmet", f"{found['fit_percent']} percent of {framework.doc['name']}{missed}.")
    told = {"note": call.body.get("note"), "override_reason": call.body.get("override_reason")}
    changes = {"status": "qualified", "qualified_at": call.now, "nurture_until_on": None}
    return _taken(call, changes, "qualified", **told, fit_percent=kept["fit_percent"] if kept else None)


@handles("disqualifyLead")
def disqualify(call: Call) -> Reply:
    """End the work on a lead with a reason."""
    _demand(call, "disqualify")
    changes: dict[str, Any] = {"status": "disqualified", "disqualified_at": call.now, "qualified_at": None}
    changes |= {"disqualification_reason": call.body["reason"], "nurture_until_on": None}
    if call.body.get("withdraws_consent"):
        changes |= {"email_consent": "withdrawn", "email_consent_at": call.now}
    return _taken(call, changes, "disqualified", reason=call.body["reason"])


@handles("nurtureLead")
def nurture(call: Call) -> Reply:
    """Set a lead aside until a day."""
    access.demand(call, call.found, "write")
    until = call.body["until_on"]
    if not call.now[:10] < until <= days_later(call.now, NURTURE_DAYS)[:10]:
        detail = "The day is today or earlier, or more than two years ahead."
        raise invalid("#/until_on", "lead_nurture_date_invalid", detail)
    _demand(call, "nurture")
    changes = {"status": "nurturing", "nurture_until_on": until, "qualified_at": None}
    return _taken(call, changes, "nurtured", until_on=until)


@handles("recycleLead")
def recycle(call: Call) -> Reply:
    """Give a lead a second chance."""
    access.demand(call, call.found, "write")
    owner = call.body.get("owner_id")
    if owner:
        check_owner(call, owner, "#/owner_id")
    lead = _demand(call, "recycle")
    changes: dict[str, Any] = {**_CLEARED, "status": "new"}
    if owner:
        changes |= {"owner_id": owner, "is_owner_active": owners.is_active(call, owner)}
    return _taken(call, changes, "recycled", reason=call.body["reason"], previous_status=lead.doc["status"])


@handles("wakeNurturedLeads")
def wake(call: Call) -> Reply:
    """Bring back the resting leads whose day has come."""
    due = Condition("doc->>'$.status' = ? and doc->>'$.nurture_until_on' <= ?", ["nurturing", call.now[:10]])
    condition = access.condition(call, call.resource(LEADS)).and_(due)
    found = call.world.store.select(call.tenant, LEADS, condition.sql, condition.arguments, order="id")
    with upkeep(call):
        for lead in found:
            call.records.change(lead, {"status": "working", "nurture_until_on": None}, event=UPDATED, action="woken")
    return Reply(200, {"woken_count": len(found), "lead_ids": [lead.id for lead in found[:1000]]})


# -- first response --------------------------------------------------------------------------------------------------------


@handles("recordLeadResponse")
def respond(call: Call) -> Reply:
    """Note that somebody was in touch for the first time."""
    access.demand(call, call.found, "write")
    at = call.body.get("occurred_at", call.now)
    if not call.found.doc["created_at"] <= at <= call.now:
        raise invalid("#/occurred_at", "lead_response_time_invalid", "The time is in the future, or before the lead was created.")
    lead = _demand(call, "respond")
    if "first_responded_at" in lead.doc:
        raise Problem("lead_responded", f"Somebody was in touch at {lead.doc['first_responded_at']}.")
    return _taken(call, _response(lead, at), "responded", channel=call.body["channel"], is_in_time=_in_time(lead, at))


def _response(lead: Record, at: str) -> dict[str, Any]:
    return {"first_responded_at": at} | ({"status": "working"} if lead.doc["status"] == "new" else {})


def _in_time(lead: Record, at: str) -> bool | None:
    return at <= lead.doc["first_response_due_at"] if "first_response_due_at" in lead.doc else None


@hears("crm.activity_communication.logged.v1")
def communication_logged(context: Context, event: Mapping[str, Any]) -> None:
    """Count the first talk with a lead, or the first that somebody wrote to it, as the first response."""
    said = event["data"].get("record", event["data"])
    is_response = is_spoken(said) or (said.get("kind") not in ("call", "meeting") and said.get("direction") == "outbound")
    for id in leads_in(said) if is_response else ():
        lead = context.records.peek(LEADS, id)
        if lead is not None and "first_responded_at" not in lead.doc and lead.doc["status"] in STEPS["respond"]:
            with upkeep(context):
                context.records.change(lead, _response(lead, context.now), event=UPDATED, action="responded")


@computes("lead_response_times")
def response_times(input: Mapping[str, Any], /) -> dict[str, Any]:
    """Return how fast leads were responded to, by owner.

    :param input: ``now`` and ``leads`` with ``owner_id``, ``assigned_at``, ``first_response_due_at`` and, where there was one,
        ``first_responded_at``.
    """
    rows = [_row(owner, [d for d in input["leads"] if d["owner_id"] == owner], input["now"]) for owner in _owners(input["leads"])]
    rows.sort(key=lambda row: (-row["overdue_count"], -row["late_count"], row["owner_id"]))
    in_time = sum(row["in_time_count"] for row in rows)
    judged = in_time + sum(row["late_count"] + row["overdue_count"] for row in rows)
    return {"data": rows} | ({"in_time_percent": (200 * in_time + judged) // (2 * judged)} if judged else {})


def _owners(leads: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(doc["owner_id"] for doc in leads))


def _row(owner: str, leads: Sequence[Mapping[str, Any]], now: str) -> dict[str, Any]:
    responded = [d for d in leads if "first_responded_at" in d]
    late = [d for d in responded if d["first_responded_at"] > d["first_response_due_at"]]
    overdue = [d for d in leads if "first_responded_at" not in d and d["first_response_due_at"] < now]
    row: dict[str, Any] = {"owner_id": owner, "due_count": len(leads), "in_time_count": len(responded) - len(late)}
    row |= {"late_count": len(late), "overdue_count": len(overdue)}
    minutes = [_minutes(d["assigned_at"], d["first_responded_at"]) for d in responded]
    return row | ({"median_minutes": int(median(minutes))} if minutes else {})


def _minutes(start: str, end: str) -> int:
    return max(0, int((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()) // 60)


@handles("getLeadResponseTimes")
def report(call: Call) -> Reply:
    """Show how fast leads are responded to."""
    condition = access.condition(call, call.resource(LEADS)).and_(Condition("doc->>'$.first_response_due_at' is not null", []))
    for name, sql in (("owner_id", "= ?"), ("from_on", ">= ?"), ("to_on", "< ?")):
        if call.query.get(name):
            field = "owner_id" if name == "owner_id" else "assigned_at"
            condition = condition.and_(Condition(f"doc->>'$.{field}' {sql}", [call.query[name]]))
    found = call.world.store.select(call.tenant, LEADS, condition.sql, condition.arguments)
    leads = [{"assigned_at": r.doc["created_at"], **r.doc} for r in found]
    return Reply(200, response_times({"now": call.now, "leads": leads}))
