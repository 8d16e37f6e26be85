"""Runs: what the rules of a model do with accounts, looked at beforehand and carried out by a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import maybe_trial
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import Task, computes, handles, task
from crm_reference.emulator.services.accounts import reaching
from crm_reference.emulator.services.accounts.companies import hand_over
from crm_reference.emulator.services.accounts.territory_places import (
    ASSIGNMENTS,
    MODELS,
    TERRITORIES,
    assign,
    current,
    kind_of,
    members,
    model_of,
    refresh,
    withdraw,
)
from crm_reference.emulator.services.accounts.territory_rules import Judgement
from crm_reference.emulator.store import Record

#: How many accounts a preview looks at.
PREVIEW_SIZE = 200
_OUTCOMES = ("assigned", "moved", "removed", "unchanged", "owner_changed")
_NAMES = {"assign": "assigned", "move": "moved", "remove": "removed"}


def plan(context: Context, judgement: Judgement, model: str, account: str, /) -> list[dict[str, Any]]:
    """Return what a run does with an account: one entry a territory, in the order of their IDs.

    :param judgement: The model's rules, tried on the account among others.
    """
    decision, there = judgement.of(account), {a.doc["territory_id"]: a for a in current(context, account, model)}
    wanted: list[str] = decision["territory_ids"]
    left = [t for t in there if t not in wanted and kind_of(context, t) == "standard"]
    entries: list[dict[str, Any]] = []
    for territory in wanted:
        entry: dict[str, Any] = {"account_id": account, "territory_id": territory}
        if territory in there:
            entry["action"] = "keep_pinned" if there[territory].doc["is_pinned"] else "keep"
        elif left and judgement.kinds.get(territory) == "standard":
            entry |= {"action": "move", "from_territory_id": left.pop()}
        else:
            entry["action"] = "assign"
        if territory in decision["decided_by"]:
            entry["rule_id"] = decision["decided_by"][territory]
        entries.append(entry)
    moved = {e.get("from_territory_id") for e in entries}
    gone = [t for t in sorted(there) if t not in wanted and t not in moved]
    return entries + [{"account_id": account, "territory_id": t, "action": "remove"} for t in gone]


# -- owners ----------------------------------------------------------------------------------------------------------


@computes("territory_owner")
def territory_owner(asked: Mapping[str, Any]) -> str | None:
    """Choose who owns an account that is in a territory.

    :param asked: ``strategy``; ``owner_id`` as it is; ``users`` of the territory, each with ``user_id``, ``role``, ``is_active``
        and ``owned_count``, the accounts of the territory that the user owns.
    :return: The new owner; ``None`` where the owner stays.
    """
    people = asked["users"]
    if asked["strategy"] == "keep" or asked["owner_id"] in {p["user_id"] for p in people if p["is_active"]}:
        return None
    role = "manager" if asked["strategy"] == "manager" else "representative"
    able = [p for p in people if p["role"] == role and p["is_active"]]
    if not able:
        return None
    if asked["strategy"] == "manager":
        return str(min(p["user_id"] for p in able))
    return str(min(able, key=lambda p: (p["owned_count"], p["user_id"]))["user_id"])


def _new_owner(context: Context, strategy: str, account: Record, territory: str) -> str | None:
    place = context.records.peek(TERRITORIES, territory)
    if place is None or strategy == "keep":
        return None
    inside = (
        context.records.peek(reaching.ACCOUNTS, a.doc["account_id"])
        for a in context.records.find(ASSIGNMENTS, territory_id=territory)
    )
    owners = [a.doc.get("owner_id") for a in inside if a is not None]
    users = [
        {"user_id": id, "role": mark["role"], "is_active": reaching.is_active(context, id), "owned_count": owners.count(id)}
        for id, mark in members(place).items()
    ]
    chosen: str | None = territory_owner({"strategy": strategy, "owner_id": account.doc.get("owner_id"), "users": users})
    return chosen


def _home(context: Context, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the standard territory that an account is in after a run; empty where it is in none."""
    stay = (e["territory_id"] for e in entries if e["action"] != "remove")
    return next((t for t in stay if kind_of(context, t) == "standard"), "")


# -- looked at beforehand --------------------------------------------------------------------------------------------


@handles("previewTerritoryAssignments")
def preview(call: Call) -> Reply:
    """Tell what a run would do with up to 200 accounts."""
    named = call.body.get("model_id")
    if named and call.records.peek(MODELS, named) is None:
        entry = {"pointer": "#/model_id", "code": "invalid_reference", "detail": "No territory model has this ID."}
        raise Problem("validation_failed", "1 field breaks a rule; see errors.", [entry])
    model, found = model_of(call, named), reaching.chosen(call, call.body)
    accounts = found[:PREVIEW_SIZE]
    judgement = Judgement(call, model.id, [a.id for a in accounts])
    strategy = call.body.get("owner_strategy", "keep")
    changes: list[dict[str, Any]] = []
    uncovered = 0
    for account in accounts:
        entries = plan(call, judgement, model.id, account.id)
        home = _home(call, entries)
        uncovered += not home
        owner = _new_owner(call, strategy, account, home)
        for entry in entries:
            changed = {"owner_id": owner} if owner and entry["territory_id"] == home else {}
            changes.append({**entry, "account_name": account.doc["name"], **changed})
    body = {"model_id": model.id, "evaluated_count": len(accounts), "is_complete": len(found) <= PREVIEW_SIZE}
    return Reply(200, body | {"unassigned_count": uncovered, "changes": changes, "territories": _balance(call, changes)})


def _balance(context: Context, changes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Count accounts of each territory before and after the changes."""
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    for change in changes:
        here, action = change["territory_id"], change["action"]
        was = change.get("from_territory_id") or (here if action in ("keep", "keep_pinned", "remove") else "")
        if was:
            before[was] = before.get(was, 0) + 1
        if action != "remove":
            after[here] = after.get(here, 0) + 1
    names = {id: context.records.get(TERRITORIES, id).doc["name"] for id in {*before, *after}}
    ordered = sorted(names, key=lambda id: (names[id].casefold(), id))
    return [
        {"territory_id": id, "name": names[id], "before_count": before.get(id, 0), "after_count": after.get(id, 0)}
        for id in ordered
    ]


# -- carried out -----------------------------------------------------------------------------------------------------


@handles("startTerritoryAssignment")
def start(call: Call) -> Reply:
    """Accept a run over the accounts of a selection."""
    model_of(call, None)
    accounts = [a.id for a in reaching.chosen(call, call.body)]
    return reaching.JOBS.start(call, "assign_territories", accounts, _strategy=call.body.get("owner_strategy", "keep"))


def _step(context: Context, job: dict[str, Any], account: Any) -> Any:
    """Do with one account what the rules say now."""
    return maybe_trial(context, job, lambda: _carry_out(context, job, context.records.get(reaching.ACCOUNTS, account)))


def _carry_out(context: Context, job: Mapping[str, Any], account: Record) -> list[str]:
    model = model_of(context, None)
    entries = plan(context, Judgement(context, model.id, [account.id]), model.id, account.id)
    there = {a.doc["territory_id"]: a for a in current(context, account.id, model.id)}
    outcomes = []
    for entry in entries:
        place = context.records.get(TERRITORIES, entry["territory_id"])
        if entry["action"] in ("move", "remove"):
            withdraw(context, there[entry.get("from_territory_id", place.id)], job=job["id"])
        if entry["action"] in ("assign", "move"):
            assign(context, account.id, place, "rule", job=job["id"], rule_id=entry["rule_id"])
        if entry["action"] in _NAMES:
            outcomes.append(_NAMES[entry["action"]])
    refresh(context, account.id)
    owner = _new_owner(context, job["_strategy"], account, _home(context, entries))
    if owner is not None:
        account = context.records.get(reaching.ACCOUNTS, account.id)
        access.demand(context, account, "write")
        hand_over(context, account, owner, reason="territory_run", job_id=job["id"])
        outcomes.append("owner_changed")
    return outcomes or ["unchanged"]


def _finish(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return reaching.counted(outcomes, _OUTCOMES)


task("accounts.assign_territories", Task(_step, _finish, _finish))
