"""Handing leads to users: one, many, and all of somebody who leaves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from crm_reference.emulator import access, owners
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.job_collections import maybe_trial, tally
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import Task, handles, sees, task
from crm_reference.emulator.services.leads.assignment_rules import RULES, choose, loads, rules_of
from crm_reference.emulator.services.leads.common import JOBS, LEADS, OWNER_CHANGED, check_owner, refused
from crm_reference.emulator.services.leads.conversions import demand_open
from crm_reference.emulator.services.leads.scoring import targets
from crm_reference.emulator.store import Record

LOG = "lead-assignments"


@sees(LOG)
def see(context: Context, entry: Record) -> bool:
    """Show an entry of the log to those who may see the lead."""
    lead = context.records.peek(LEADS, entry.doc["lead_id"])
    return lead is not None and context.records.visible(lead)


@handles("previewLeadAssignment")
def preview(call: Call) -> Reply:
    """Ask the rules about a lead, and use up nobody's turn."""
    return Reply(200, {"lead_id": call.found.id, **choose(call, call.found)})


@handles("assignLead")
def assign(call: Call) -> Reply:
    """Hand a lead to the user whom the rules choose, or the body names."""
    lead, user = call.found, call.body.get("user_id")
    access.demand(call, lead, "write")
    if user:
        check_owner(call, user, "#/user_id")
    demand_open(lead)
    chosen: Mapping[str, Any] = {"user_id": user} if user else choose(call, lead)
    if "user_id" not in chosen:
        raise Problem("lead_not_assignable", f"None of the {len(rules_of(call))} rules takes {lead.id}.")
    return single.shown(call, give(call, lead, chosen, reason=call.body.get("reason")))


def give(
    context: Context, lead: Record, chosen: Mapping[str, Any], /, *, reason: str | None = None, job: str | None = None
) -> Record:
    """Hand a lead over, note it in the log and with the rule, and tell of it.

    :param chosen: ``user_id``, and ``rule_id`` where a rule chose.
    """
    rule = context.records.peek(RULES, chosen.get("rule_id", ""))
    before, user = lead.doc.get("owner_id"), chosen["user_id"]
    changes: dict[str, Any] = {"owner_id": user, "assigned_at": context.now, "assignment_rule_id": rule.id if rule else None}
    changes["is_owner_active"] = owners.is_active(context, user)
    if rule is not None and "response_hours" in rule.doc and "first_responded_at" not in lead.doc:
        changes["first_response_due_at"] = _later(context.now, rule.doc["response_hours"])
    with upkeep(context):
        changed = context.records.change(lead, changes, action="assigned")
        entry = {"lead_id": lead.id, "user_id": user, "previous_owner_id": before, "reason": reason, "job_id": job}
        if rule is not None:
            entry |= {"rule_id": rule.id, "method": rule.doc["method"]}
            counted = context.records.change(rule, {"assigned_count": rule.doc["assigned_count"] + 1}, action="assigned")
            context.records.note(counted, _last=user)
        context.records.create(LOG, {k: v for k, v in entry.items() if v is not None})
    told = {"record": context.records.public(changed), "previous_owner_id": before, "reason": reason}
    told = {k: v for k, v in told.items() if v is not None}
    if before != user:
        context.emit(OWNER_CHANGED, lead.id, told | ({"job_id": job} if job else {}))
    named = {"lead_id": lead.id, "owner_id": user} | ({"rule_id": rule.id} if rule is not None else {})
    context.emit("crm.lead.assigned.v1", lead.id, told | named)
    return changed


def _later(now: str, hours: int) -> str:
    return (datetime.fromisoformat(now) + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


# -- many ------------------------------------------------------------------------------------------------------------------


@handles("assignLeads")
def assign_many(call: Call) -> Reply:
    """Start to ask the rules about every open lead of a selection."""
    return JOBS.start(call, "assignment", targets(call, call.body.get("selection", {})))


@handles("reassignLeads")
def reassign(call: Call) -> Reply:
    """Start to take leads from one user and give them to others."""
    giver, taker = call.body["from_user_id"], call.body.get("to_user_id")
    if call.records.peek("users", giver) is None:
        entry = {"pointer": "#/from_user_id", "code": "invalid_reference", "detail": "There is no user with this ID."}
        raise Problem("validation_failed", "1 field is not valid; see errors.", [entry])
    if taker:
        check_owner(call, taker, "#/to_user_id")
    if taker == giver:
        raise refused("lead_reassign_same_user", f"{giver} can't take over from {giver}.", "#/to_user_id")
    chosen = targets(call, {**call.body.get("selection", {}), "owner_id": giver})
    return JOBS.start(call, "reassignment", chosen, _from=giver, _to=taker, _reason=call.body.get("reason"))


def _hand_out(context: Context, job: dict[str, Any], item: Any) -> str:
    lead = context.records.get(LEADS, item)
    access.demand(context, lead, "write")
    taker = job.get("_to")
    chosen: Mapping[str, Any] = {"user_id": taker} if taker else choose(context, lead, without=job.get("_from", ""))
    if "user_id" not in chosen:
        return "unassigned"
    maybe_trial(context, job, lambda: give(context, lead, chosen, reason=job.get("_reason"), job=job["id"]))
    return "assigned"


def _finish(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(outcomes)} | tally(outcomes, "assigned", "unassigned")


for _kind in ("assignment", "reassignment"):
    task(f"leads.{_kind}", Task(_hand_out, _finish, _finish))


@handles("getLeadCapacities")
def capacities(call: Call) -> Reply:
    """Show how many open leads the users have whom active rules name."""
    rules = [r for r in rules_of(call) if r.doc["is_active"]]
    counted = loads(call)
    found = []
    for user in dict.fromkeys(u for r in rules for u in r.doc.get("user_ids", ())):
        named = [r for r in rules if user in r.doc.get("user_ids", ())]
        limits = [r.doc["capacity"] for r in named if "capacity" in r.doc]
        entry: dict[str, Any] = {"user_id": user, "open_lead_count": counted.get(user, 0)}
        entry |= {"capacity": min(limits)} if limits else {}
        found.append(entry | {"is_active": owners.is_active(call, user), "rule_ids": [r.id for r in named]})
    found.sort(key=lambda e: (-e["open_lead_count"], e["user_id"]))
    return Reply(200, {"data": found})
