"""Who gets a lead: what each rule says, and whom it chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator import owners
from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition, Sort
from crm_reference.emulator.registry import computes, enforces, handles
from crm_reference.emulator.services.leads.common import LEADS, OPEN_STATUSES
from crm_reference.emulator.services.leads.conditions import fault, holds
from crm_reference.emulator.services.leads.conversion_plans import domain_of
from crm_reference.emulator.store import Record

RULES = "lead-assignment-rules"


@enforces("assignment_users_fit")
def assignment_users_fit(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a rule that can choose nobody, and users who are no longer there when they are named."""
    if new["method"] != "account_owner" and not new.get("user_ids"):
        return f"The method {new['method']} chooses among users, and none is named."
    for user in set(new.get("user_ids", ())) - set((old or {}).get("user_ids", ())):
        if context.records.peek("users", user) is None or not owners.is_active(context, user):
            return f"{user} doesn't exist or is deactivated."
    return ""


@enforces("assignment_conditions_sound")
def assignment_conditions_sound(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse conditions that can't be judged."""
    return fault(context, new.get("conditions", ()))


# -- choosing --------------------------------------------------------------------------------------------------------------


@computes("lead_assignment")
def assignment(input: Mapping[str, Any], /) -> dict[str, Any]:
    """Return which rule takes a lead and whom it chooses, with what every rule says.

    :param input: ``rules`` in their order, each with ``last_user_id`` where it had chosen before; ``lead``; ``active_user_ids``;
        ``loads`` (open leads by user); ``account_owner_id`` where an account has the domain of the lead's address.
    """
    taken: dict[str, Any] = {}
    verdicts = []
    for rule in input["rules"]:
        verdict: dict[str, Any] = {"rule_id": rule["id"], "name": rule["name"]}
        if taken:
            verdicts.append(verdict | {"reason": "not_reached"})
            continue
        verdict |= _verdict(rule, input)
        verdicts.append(verdict)
        if verdict["reason"] == "taken":
            taken = {"rule_id": rule["id"], "user_id": verdict["user_id"]}
    return {"is_taken": bool(taken), **taken, "verdicts": verdicts}


def _verdict(rule: Mapping[str, Any], input: Mapping[str, Any]) -> dict[str, Any]:
    if not rule["is_active"]:
        return {"reason": "inactive_rule"}
    for condition in rule.get("conditions", ()):
        if not holds(condition, input["lead"]):
            said = [condition["field"], condition["operator"], ", ".join(condition.get("values", ()))]
            return {"reason": "not_matching", "detail": " ".join(s for s in said if s)[:255]}
    candidates: Sequence[str] = rule.get("user_ids", ())
    if rule["method"] == "account_owner":
        if not input.get("account_owner_id"):
            return {"reason": "no_account"}
        candidates = [input["account_owner_id"]]
    active = [u for u in _in_turn(rule, candidates) if u in input["active_user_ids"]]
    if not active:
        return {"reason": "nobody_active"}
    loads = input["loads"]
    free = [u for u in active if loads.get(u, 0) < rule.get("capacity", loads.get(u, 0) + 1)]
    if not free:
        return {"reason": "all_full"}
    chosen = min(free, key=lambda u: loads.get(u, 0)) if rule["method"] == "least_loaded" else free[0]
    return {"reason": "taken", "user_id": chosen}


def _in_turn(rule: Mapping[str, Any], users: Sequence[str]) -> list[str]:
    """Return the users in the order in which they are asked: after the last one who was chosen, where they take turns."""
    last = str(rule.get("last_user_id", ""))
    if rule["method"] != "round_robin" or last not in users:
        return list(users)
    at = list(users).index(last) + 1
    return [*users[at:], *users[:at]]


def rules_of(context: Context, /) -> list[Record]:
    """Return all rules in their order."""
    return sorted(context.world.store.select(context.tenant, RULES), key=lambda r: (r.doc["position"], r.id))


def loads(context: Context, /) -> dict[str, int]:
    """Return the number of open leads by owner."""
    counted: dict[str, int] = {}
    is_open = Condition("doc->>'$.status' in (?, ?, ?, ?)", list(OPEN_STATUSES))
    for lead in context.world.store.select(context.tenant, LEADS, is_open.sql, is_open.arguments):
        counted[lead.doc["owner_id"]] = counted.get(lead.doc["owner_id"], 0) + 1
    return counted


def choose(context: Context, lead: Record, /, *, without: str = "") -> dict[str, Any]:
    """Ask the rules about a lead.

    :param without: A user who must not get it.
    """
    rules = rules_of(context)
    told = [{**r.doc, "id": r.id, "last_user_id": r.doc.get("_last")} for r in rules]
    owner = _account_owner(context, lead) if any(r["method"] == "account_owner" and r["is_active"] for r in told) else None
    users = {u for r in told for u in r.get("user_ids", ())} | ({owner} if owner else set())
    found: dict[str, Any] = assignment(
        {
            "rules": told,
            "lead": context.records.public(lead),
            "active_user_ids": sorted(u for u in users if u != without and owners.is_active(context, u)),
            "loads": loads(context),
            "account_owner_id": owner,
        }
    )
    return found


def _account_owner(context: Context, lead: Record) -> str | None:
    """Return the owner of the account whose domain the lead's address has; ``None`` while accounts is away."""
    domain = domain_of(lead.doc) or "-"
    answer = context.call("accounts", "listAccounts", None, query={"domain": domain, "limit": 1}) or {}
    found = answer.get("data", ())
    return found[0].get("owner_id") if found else None


# -- rules -----------------------------------------------------------------------------------------------------------------


@handles("listLeadAssignmentRules")
def list_rules(call: Call) -> Reply:
    """List rules in the order in which they are asked."""
    return listing.list_records(call, default=(Sort("position", False), Sort("id", False)))


@handles("createLeadAssignmentRule")
def create(call: Call) -> Reply:
    """Add a rule behind all others."""
    body = {**call.body, "position": len(rules_of(call)) + 1, "assigned_count": 0}
    rule = call.records.create(RULES, body, event="crm.lead_assignment_rule.created.v1")
    return single.shown(call, rule, 201, Location=f"/v1/{RULES}/{rule.id}")


@handles("deleteLeadAssignmentRule")
def delete(call: Call) -> Reply:
    """Remove a rule; those behind it move up."""
    reply = single.delete(call)
    _number(call, rules_of(call))
    return reply


@handles("reorderLeadAssignmentRules")
def reorder(call: Call) -> Reply:
    """Set the order of all rules."""
    known = {r.id: r for r in rules_of(call)}
    wanted = call.body["rule_ids"]
    if set(wanted) != set(known):
        missing = sorted(set(known) - set(wanted)) or sorted(set(wanted) - set(known))
        detail = f"{missing[0]} is {'left out' if missing[0] in known else 'not there'}."
        entry = {"pointer": "#/rule_ids", "code": "lead_rule_order_incomplete", "detail": detail}
        raise Problem("lead_rule_order_incomplete", detail, [entry])
    _number(call, [known[id] for id in wanted])
    call.emit("crm.lead_assignment_rule.reordered.v1", wanted[0], {"rule_ids": wanted})
    return Reply(200, {"rule_ids": wanted, "reordered_at": call.now})


def _number(context: Context, rules: Sequence[Record]) -> None:
    for position, rule in enumerate(rules, 1):
        context.records.change(rule, {"position": position}, action="reordered")
