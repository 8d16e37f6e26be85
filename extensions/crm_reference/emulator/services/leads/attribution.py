"""Which campaigns a customer is owed to: four models, their shares, and what each campaign returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.leads.campaigns import CAMPAIGNS, MEMBERS
from crm_reference.emulator.services.leads.common import LEADS
from crm_reference.emulator.store import Record

_CENT, _ALL = Decimal("0.01"), Decimal(100)
#: Currencies whose amounts have no decimals, or three.
_MINOR = {"JPY": Decimal(1), "ISK": Decimal(1), "KRW": Decimal(1), "CLP": Decimal(1), "VND": Decimal(1), "BHD": Decimal("0.001")}
_MINOR |= dict.fromkeys(("KWD", "OMR", "TND", "JOD"), Decimal("0.001"))


@computes("lead_attribution")
def attribution(input: Mapping[str, Any], /) -> list[dict[str, Any]]:
    """Return the share of each touch, in the order of time.

    :param input: ``model``; ``touches`` with ``campaign_id`` and ``touched_at``; ``until`` where the lead was converted; ``amount``
        where there is one.
    """
    until = input.get("until", "9999")
    touches = sorted((t for t in input["touches"] if t["touched_at"] <= until), key=lambda t: (t["touched_at"], t["campaign_id"]))
    percents = _portions(_ALL, _weights(input["model"], len(touches)), _CENT)
    shares = [{**touch, "percent": str(percent)} for touch, percent in zip(touches, percents, strict=True)]
    amount = input.get("amount")
    if amount and shares:
        unit = _MINOR.get(amount["currency"], _CENT)
        parts = _portions(Decimal(amount["amount"]), _weights(input["model"], len(touches)), unit)
        shares = [{**s, "amount": {"amount": str(p), "currency": amount["currency"]}} for s, p in zip(shares, parts, strict=True)]
    return shares


def _weights(model: str, count: int) -> list[Decimal]:
    """Return the weight of each touch by a model; they need not sum up to anything."""
    if model == "first_touch":
        return [Decimal(index == 0) for index in range(count)]
    if model == "last_touch":
        return [Decimal(index == count - 1) for index in range(count)]
    if model == "linear" or count < 3:
        return [Decimal(1)] * count
    middle = Decimal(20) / (count - 2)
    return [Decimal(40), *[middle] * (count - 2), Decimal(40)]


def _portions(total: Decimal, weights: Sequence[Decimal], unit: Decimal) -> list[Decimal]:
    """Share a total by weights, each rounded half up; what rounding leaves over goes to the last one that has a weight."""
    whole = sum(weights, Decimal(0))
    found = [(total * w / whole).quantize(unit, ROUND_HALF_UP) for w in weights]
    weighed = [index for index, w in enumerate(weights) if w]
    if weighed:
        found[weighed[-1]] += total.quantize(unit, ROUND_HALF_UP) - sum(found, Decimal(0))
    return found


# -- of records ------------------------------------------------------------------------------------------------------------


@handles("getLeadAttribution")
def of_lead(call: Call) -> Reply:
    """Share a lead's worth among the campaigns that touched it."""
    model = call.query.get("model") or "u_shaped"
    amounts, _ = _amounts(call, [call.found])
    found = {"lead_id": call.found.id, "model": model, "shares": _shares(call, call.found, model, amounts.get(call.found.id))}
    return Reply(200, found | ({"amount": amounts[call.found.id]} if call.found.id in amounts else {}))


def _shares(context: Context, lead: Record, model: str, amount: Mapping[str, str] | None) -> list[dict[str, Any]]:
    touches = []
    for member in context.records.find(MEMBERS, lead_id=lead.id):
        campaign = context.records.peek(CAMPAIGNS, member.doc["campaign_id"])
        if campaign is not None and "touched_at" in member.doc:
            touches.append({"campaign_id": campaign.id, "name": campaign.doc["name"], "touched_at": member.doc["touched_at"]})
    input: dict[str, Any] = {"model": model, "touches": touches} | ({"amount": amount} if amount else {})
    until = {"until": lead.doc["converted_at"]} if "converted_at" in lead.doc else {}
    shares: list[dict[str, Any]] = attribution(input | until)
    return shares


def _amounts(context: Context, leads: Sequence[Record]) -> tuple[dict[str, dict[str, str]], bool]:
    """Return what each lead is worth, and whether deals answered: the deal's amount, else the estimated value."""
    found = {lead.id: lead.doc["estimated_value"] for lead in leads if "estimated_value" in lead.doc}
    by_deal = {lead.doc["deal_id"]: lead.id for lead in leads if "deal_id" in lead.doc}
    ids, is_complete = sorted(by_deal) or ["dea_00000000000000000000000000"], True
    for start in range(0, len(ids), 100):
        answer = context.call("deals", "batchReadDeals", {"ids": ids[start : start + 100]})
        is_complete = is_complete and answer is not None
        for result in (answer or {}).get("results", ()):
            deal = result.get("record")
            if deal and "amount" in deal:
                found[by_deal[deal["id"]]] = deal["amount"]
    return found, is_complete


@handles("getCampaignReturns")
def returns(call: Call) -> Reply:
    """Share the deals of converted leads among campaigns, and compare the sums with the costs."""
    model = call.query.get("model") or "u_shaped"
    condition = access.condition(call, call.resource(LEADS)).and_(Condition("doc->>'$.status' = ?", ["converted"]))
    for name, operator in (("converted_from_on", ">="), ("converted_to_on", "<")):
        if call.query.get(name):
            condition = condition.and_(Condition(f"doc->>'$.converted_at' {operator} ?", [call.query[name]]))
    leads = call.world.store.select(call.tenant, LEADS, condition.sql, condition.arguments)
    amounts, is_complete = _amounts(call, leads)
    rows: dict[str, dict[str, Any]] = {}
    for lead in leads:
        for share in _shares(call, lead, model, amounts.get(lead.id)):
            row = rows.setdefault(share["campaign_id"], {"name": share["name"], "leads": set(), "sums": {}})
            row["leads"].add(lead.id)
            if "amount" in share:
                currency = share["amount"]["currency"]
                row["sums"][currency] = row["sums"].get(currency, Decimal(0)) + Decimal(share["amount"]["amount"])
    data = [_row(call, id, row) for id, row in rows.items()]
    data.sort(key=lambda entry: (entry["name"], entry["campaign_id"]))
    return Reply(200, {"model": model, "data": data, "is_complete": is_complete})


def _row(call: Call, id: str, row: Mapping[str, Any]) -> dict[str, Any]:
    sums = [{"amount": str(total), "currency": currency} for currency, total in sorted(row["sums"].items())]
    entry: dict[str, Any] = {"campaign_id": id, "name": row["name"], "lead_count": len(row["leads"]), "amounts": sums}
    campaign = call.records.peek(CAMPAIGNS, id)
    cost = campaign.doc.get("actual_cost") if campaign is not None else None
    if cost:
        entry["actual_cost"] = cost
        spent = Decimal(cost["amount"])
        if spent and set(row["sums"]) == {cost["currency"]}:
            gained = (row["sums"][cost["currency"]] - spent) * 100 / spent
            entry["return_percent"] = int(gained.quantize(Decimal(1), ROUND_HALF_UP))
    return entry
