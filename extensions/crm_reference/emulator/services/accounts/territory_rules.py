"""Rules of territories: which accounts they hold for, and what they decide together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import computes, derives, enforces, handles
from crm_reference.emulator.services.accounts.reaching import ACCOUNTS, among
from crm_reference.emulator.services.accounts.territories import closed
from crm_reference.emulator.services.accounts.territory_places import ASSIGNMENTS, RULES, TERRITORIES, current, kind_of
from crm_reference.emulator.store import Record


@derives(RULES)
def derive(context: Context | None, rule: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the model from the territory."""
    territory = context.records.peek(TERRITORIES, rule["territory_id"]) if context is not None else None
    return {"model_id": territory.doc["model_id"]} if territory is not None else {}


@enforces("territory_rule_model_open")
def territory_rule_model_open(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse writes to rules of an archived model."""
    return _closed(context, new)


def _closed(context: Context, rule: Mapping[str, Any]) -> str:
    territory = context.records.peek(TERRITORIES, rule["territory_id"])
    return closed(context, territory.doc) if territory is not None else ""


def _check_criteria(call: Call) -> None:
    """Refuse fields and operators that this caller couldn't search accounts by."""
    if "filter_groups" in call.body:
        call.records.fields(ACCOUNTS).groups(call.body["filter_groups"], "#/filter_groups")


@handles("createTerritoryRule")
def create(call: Call) -> Reply:
    """Add a rule whose condition can be evaluated."""
    _check_criteria(call)
    return single.create(call)


@handles("updateTerritoryRule")
def update(call: Call) -> Reply:
    """Change a rule; it stays in its model."""
    _check_criteria(call)
    territory = call.records.peek(TERRITORIES, call.body.get("territory_id", ""))
    if territory is not None and territory.doc["model_id"] != call.found.doc["model_id"]:
        entry = {"pointer": "#/territory_id", "code": "territory_rule_foreign_model"}
        detail = f"{territory.doc['name']} belongs to another model than the rule."
        raise Problem("validation_failed", "1 field breaks a rule; see errors.", [{**entry, "detail": detail}])
    return single.update(call)


@handles("deleteTerritoryRule")
def delete(call: Call) -> Reply:
    """Delete a rule of a model that can still change."""
    detail = _closed(call, call.found.doc)
    if detail:
        raise Problem("territory_model_archived", detail)
    with upkeep(call):
        for assignment in call.records.find(ASSIGNMENTS, rule_id=call.found.id):
            call.records.change(assignment, {"rule_id": None})
    return single.delete(call)


# -- for which accounts a rule holds ---------------------------------------------------------------------------------


def rules_of(context: Context, model: str, /) -> list[Record]:
    """Return the rules of a model in the order in which they are tried."""
    return sorted(context.records.find(RULES, model_id=model), key=lambda r: (r.doc["priority"], r.id))


def holding(context: Context, groups: Sequence[Mapping[str, Any]], accounts: Iterable[str], /) -> frozenset[str]:
    """Return for which of some accounts a condition holds. One that names a field that is gone holds for none."""
    condition = access.criteria_of(context, context.resource(ACCOUNTS), {"criteria": {"filter_groups": groups}})
    whole = among(accounts).and_(condition if condition.sql else Condition("true"))
    return frozenset(a.id for a in context.world.store.select(context.tenant, ACCOUNTS, whole.sql, whole.arguments))


class Judgement:
    """The rules of a model, tried on some accounts.

    :param model: ID of the model.
    :param accounts: IDs of the accounts.
    """

    def __init__(self, context: Context, model: str, accounts: Sequence[str]) -> None:
        self._context, self._model = context, model
        self.rules = rules_of(context, model)
        self.holds = {rule.id: holding(context, rule.doc["filter_groups"], accounts) for rule in self.rules}
        self.kinds = {t.id: str(t.doc["kind"]) for t in context.records.find(TERRITORIES, model_id=model)}

    def of(self, account: str, /) -> dict[str, Any]:
        """Return what :func:`territory_decision` decides for an account."""
        pins = [a for a in current(self._context, account, self._model) if a.doc["is_pinned"]]
        rules = [
            {
                "id": rule.id,
                "territory_id": rule.doc["territory_id"],
                "kind": self.kinds.get(rule.doc["territory_id"], "standard"),
                "priority": rule.doc["priority"],
                "is_active": rule.doc["is_active"],
                "holds": account in self.holds[rule.id],
            }
            for rule in self.rules
        ]
        pinned = [{"territory_id": p.doc["territory_id"], "kind": kind_of(self._context, p.doc["territory_id"])} for p in pins]
        decision: dict[str, Any] = territory_decision({"rules": rules, "pinned": pinned})
        return decision


@computes("territory_decision")
def territory_decision(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Decide in which territories an account is.

    :param asked: ``rules``, each with ``id``, ``territory_id``, ``kind``, ``priority``, ``is_active`` and whether it ``holds`` for
        the account; ``pinned`` places, each with ``territory_id`` and ``kind``.
    :return: ``territory_ids`` in order, ``decided_by`` (territory to rule) and ``outcomes`` (rule to what became of it).
    """
    pinned = {place["territory_id"] for place in asked["pinned"]}
    standard = next((p["territory_id"] for p in asked["pinned"] if p["kind"] == "standard"), "")
    decided: dict[str, str] = {}
    outcomes: dict[str, str] = {}
    by_rule = ""
    for rule in sorted(asked["rules"], key=lambda r: (r["priority"], r["id"])):
        place = rule["territory_id"]
        if not rule["is_active"]:
            outcomes[rule["id"]] = "inactive"
        elif not rule["holds"]:
            outcomes[rule["id"]] = "not_met"
        elif place in pinned or (rule["kind"] == "standard" and standard):
            outcomes[rule["id"]] = "pinned"
        elif place in decided or (rule["kind"] == "standard" and by_rule):
            outcomes[rule["id"]] = "outranked"
        else:
            outcomes[rule["id"]], decided[place] = "decided", rule["id"]
            by_rule = place if rule["kind"] == "standard" else by_rule
    return {"territory_ids": sorted(pinned | decided.keys()), "decided_by": decided, "outcomes": outcomes}
