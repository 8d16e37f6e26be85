"""Why an account is in a territory, and what a model leaves uncovered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.accounts import reaching
from crm_reference.emulator.services.accounts.territory_places import ASSIGNMENTS, TERRITORIES, current, kind_of, members, model_of
from crm_reference.emulator.services.accounts.territory_rules import Judgement, holding
from crm_reference.emulator.store import Record

#: How many accounts a list of IDs in a coverage holds.
_LISTED = 200


@handles("explainAccountTerritory")
def explain(call: Call) -> Reply:
    """Show every rule of a model with its verdict on an account."""
    account, model = call.found, model_of(call, call.query.get("model_id"))
    judgement = Judgement(call, model.id, [account.id])
    decision, there = judgement.of(account.id), current(call, account.id, model.id)
    body: dict[str, Any] = {"account_id": account.id, "model_id": model.id}
    body |= {"territory_ids": sorted(a.doc["territory_id"] for a in there), "decided_territory_ids": decision["territory_ids"]}
    body["is_in_step"] = body["territory_ids"] == decision["territory_ids"]
    for assignment in there:
        if assignment.doc["is_pinned"] and kind_of(call, assignment.doc["territory_id"]) == "standard":
            body["pinned_assignment_id"] = assignment.id
    body["rules"] = [_check(call, account, rule, decision["outcomes"][rule.id]) for rule in judgement.rules]
    return Reply(200, body)


def _check(call: Call, account: Record, rule: Record, outcome: str) -> dict[str, Any]:
    kept = {k: rule.doc[k] for k in ("name", "territory_id", "priority")}
    table, filters = call.records.fields(reaching.ACCOUNTS).table, []
    for place, group in enumerate(rule.doc["filter_groups"]):
        for said in group["filters"]:
            if said["field"] in table:
                met = account.id in holding(call, [{"filters": [said]}], [account.id])
                filters.append({"group": place, "field": said["field"], "operator": said["operator"], "is_met": met})
    return {"rule_id": rule.id, **kept, "outcome": outcome, "filters": filters}


@handles("getTerritoryCoverage")
def read_coverage(call: Call) -> Reply:
    """Try a model on every account that the caller may see, and tell what falls through."""
    model, accounts = call.found, [a.id for a in reaching.chosen(call, {})]
    judgement = Judgement(call, model.id, accounts)
    uncovered = [id for id in accounts if not any(judgement.kinds[t] == "standard" for t in judgement.of(id)["territory_ids"])]
    claims: dict[str, set[str]] = {}
    for rule in judgement.rules:
        if rule.doc["is_active"] and judgement.kinds[rule.doc["territory_id"]] == "standard":
            for id in judgement.holds[rule.id]:
                claims.setdefault(id, set()).add(rule.doc["territory_id"])
    covered = len(accounts) - len(uncovered)
    body = {"model_id": model.id, "account_count": len(accounts), "covered_count": covered}
    body["covered_percent"] = 100 * covered // len(accounts) if accounts else 0
    body["uncovered_account_ids"] = uncovered[:_LISTED]
    body["contested_account_ids"] = sorted(id for id, places in claims.items() if len(places) > 1)[:_LISTED]
    return Reply(200, body | {"gaps": _gaps(call, judgement, model)})


@handles("compareTerritoryModels")
def compare(call: Call) -> Reply:
    """Try two models on every account that the caller may see, and tell where they differ."""
    model, other = call.found, model_of(call, call.query.get("with_model_id"))
    accounts = reaching.chosen(call, {})
    homes = [_homes(call, m, accounts) for m in (model, other)]
    differences = []
    for account in accounts:
        here, there = (h.get(account.id) for h in homes)
        if _mark(here) != _mark(there):
            entry = {"account_id": account.id, "account_name": account.doc["name"]}
            entry |= {"territory_id": here.id} if here is not None else {}
            differences.append(entry | ({"with_territory_id": there.id} if there is not None else {}))
    body = {"model_id": model.id, "with_model_id": other.id, "compared_count": len(accounts)}
    return Reply(200, body | {"same_count": len(accounts) - len(differences), "differences": differences[:1000]})


def _homes(context: Context, model: Record, accounts: Sequence[Record]) -> dict[str, Record]:
    """Return the standard territory that a model gives each account, as far as it gives one."""
    judgement = Judgement(context, model.id, [a.id for a in accounts])
    territories = {t.id: t for t in context.records.find(TERRITORIES, model_id=model.id)}
    given = {a.id: [t for t in judgement.of(a.id)["territory_ids"] if judgement.kinds[t] == "standard"] for a in accounts}
    return {id: territories[places[0]] for id, places in given.items() if places}


def _mark(territory: Record | None) -> str:
    """Return by what a territory is known in another model: its code, or else its name."""
    return str(territory.doc.get("code") or territory.doc["name"]) if territory is not None else ""


def _gaps(context: Context, judgement: Judgement, model: Record) -> list[dict[str, Any]]:
    territories = sorted(context.records.find(TERRITORIES, model_id=model.id), key=lambda t: (t.doc["name"].casefold(), t.id))
    below = {t.id: _below(context, t.id) for t in territories}
    ruled = {r.doc["territory_id"] for r in judgement.rules if r.doc["is_active"]}
    peopled = {a.doc["territory_id"] for a in context.records.find(ASSIGNMENTS, model_id=model.id)}
    peopled |= {r.doc["territory_id"] for r in judgement.rules if r.doc["is_active"] and judgement.holds[r.id]}
    found = []
    for territory in territories:
        head = {"territory_id": territory.id, "territory_name": territory.doc["name"]}
        branch, people = {territory.id, *below[territory.id]}, members(territory)
        active = [mark["role"] for id, mark in people.items() if reaching.is_active(context, id)]
        missing = {
            "no_rule": ruled.isdisjoint(branch),
            "no_account": peopled.isdisjoint(branch),
            "no_manager": "manager" not in active,
            "no_representative": territory.id in peopled and "representative" not in active,
        }
        found += [{"kind": kind, **head} for kind, is_missing in missing.items() if is_missing]
        found += [
            {"kind": "rule_without_match", **head, "rule_id": r.id} for r in judgement.rules if _is_idle(judgement, r, territory)
        ]
        found += [{"kind": "inactive_user", **head, "user_id": id} for id in sorted(people) if not reaching.is_active(context, id)]
    return found


def _is_idle(judgement: Judgement, rule: Record, territory: Record) -> bool:
    doc: Mapping[str, Any] = rule.doc
    return doc["territory_id"] == territory.id and doc["is_active"] and not judgement.holds[rule.id]


def _below(context: Context, id: str) -> list[str]:
    found = []
    for territory in context.records.find(TERRITORIES, parent_id=id):
        found += [territory.id, *_below(context, territory.id)]
    return found
