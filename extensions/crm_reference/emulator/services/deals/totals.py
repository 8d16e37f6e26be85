"""Deals added up: by currency as they are, and in one currency by the rates of today."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from crm_reference.emulator.behaviours.listing import criteria
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.deals.common import DEALS, currency_of, hides_amounts, own_deals
from crm_reference.emulator.services.deals.money import decimal_of, money, weighted
from crm_reference.emulator.services.deals.rates import rate
from crm_reference.emulator.store import Record

Doc = Mapping[str, Any]


@dataclass(slots=True)
class Adder:
    """Adds deals up in one currency.

    :param currency: The currency of the converted sums.
    :param has_amounts: Whether the caller may see amounts.
    """

    context: Context
    currency: str
    has_amounts: bool = True
    #: Currencies that have no rate.
    missing: set[str] = field(default_factory=set)

    def totals(self, deals: Iterable[Doc], /) -> dict[str, Any]:
        """Return the totals of deals."""
        known = list(deals)
        if not self.has_amounts:
            return {"deal_count": len(known), "by_currency": []}
        rates = {c: self._rate(c) for c in {d["amount"]["currency"] for d in known if "amount" in d}}
        self.missing |= {c for c, found in rates.items() if found is None}
        asked = {
            "deals": [_weighed(d) for d in known],
            "currency": self.currency,
            "rates": {c: str(r) for c, r in rates.items() if r is not None},
        }
        return dict(totals_of(asked))

    def _rate(self, currency: str) -> Decimal | None:
        """Return how many units of the target currency one unit of a currency is worth today."""
        if currency == self.currency:
            return Decimal(1)
        one, other = (rate(self.context, c, self.context.now[:10]) for c in (currency, self.currency))
        return None if one is None or other is None else other / one


def _weighed(deal: Doc) -> Doc:
    return {**deal, "weighted_amount": weighted(deal["amount"], deal["probability"])} if "amount" in deal else deal


@computes("deal_totals")
def totals_of(asked: Doc, /) -> dict[str, Any]:
    """Add deals up.

    :param asked: ``deals``, the target ``currency``, and ``rates``: what one unit of each currency is worth in it.
    """
    by_currency: dict[str, list[Doc]] = {}
    for deal in asked["deals"]:
        if "amount" in deal:
            by_currency.setdefault(deal["amount"]["currency"], []).append(deal)
    sums, whole, weight_of_all, converted = [], Decimal(0), Decimal(0), False
    for currency in sorted(by_currency):
        deals = by_currency[currency]
        amount = sum((decimal_of(d["amount"]) for d in deals), Decimal(0))
        weight = sum((decimal_of(d["weighted_amount"]) for d in deals), Decimal(0))
        told = {"amount": money(amount, currency)["amount"], "weighted_amount": money(weight, currency)["amount"]}
        sums.append({"currency": currency, "deal_count": len(deals), **told})
        if currency in asked["rates"]:
            converted = True
            whole += amount * Decimal(asked["rates"][currency])
            weight_of_all += weight * Decimal(asked["rates"][currency])
    counted = sum(len(deals) for deals in by_currency.values())
    body: dict[str, Any] = {
        "deal_count": len(asked["deals"]),
        "without_amount_count": len(asked["deals"]) - counted,
        "by_currency": sums,
    }
    if converted:
        body |= {"amount": money(whole, asked["currency"]), "weighted_amount": money(weight_of_all, asked["currency"])}
    return body


def adder(context: Context, currency: str = "", /) -> Adder:
    """Return what adds deals up for this caller."""
    return Adder(context, currency or currency_of(context), not hides_amounts(context))


_FIELDS = {
    "stage": "stage_id",
    "pipeline": "pipeline_id",
    "owner": "owner_id",
    "status": "status",
    "type": "type",
    "priority": "priority",
    "source": "source",
    "forecast_category": "forecast_category",
}


def key_of(deal: Doc, group: str, /) -> str:
    """Return the value by which a deal is grouped."""
    if group == "close_month":
        return str(deal.get("closed_on") or deal.get("close_on") or "none")[:7]
    return str(deal.get(_FIELDS[group]) or "none")


def grouped(deals: Iterable[Record], group: str, /) -> dict[str, list[Doc]]:
    """Return deals by the value of a group, in the alphabetical order of the values."""
    found: dict[str, list[Doc]] = {}
    for deal in deals:
        found.setdefault("all" if group == "none" else key_of(deal.doc, group), []).append(deal.doc)
    return dict(sorted(found.items()))


@handles("summarizeDeals")
def summarize(call: Call) -> Reply:
    """Add the deals that match up, group by group."""
    condition = own_deals(call).and_(criteria(call.records.fields(DEALS), call.body))
    found = call.world.store.select(call.tenant, DEALS, condition.sql, condition.arguments)
    adds = adder(call, call.body.get("currency", ""))
    groups = [{"key": key, "totals": adds.totals(docs)} for key, docs in grouped(found, call.body["group_by"]).items()]
    body: dict[str, Any] = {
        "group_by": call.body["group_by"],
        "currency": adds.currency,
        "groups": groups,
        "totals": adds.totals([d.doc for d in found]),
    }
    return Reply(200, body | {"missing_rates": sorted(adds.missing)})
