"""Forecast figures: which deals count in a period, for whom and with how much, and what they add up to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.deals.common import DEALS, hides_amounts
from crm_reference.emulator.services.deals.credit import credited, people_of
from crm_reference.emulator.services.deals.money import decimal_of, money, rounded
from crm_reference.emulator.services.deals.periods import Period
from crm_reference.emulator.services.deals.rates import convert
from crm_reference.emulator.store import Record

QUOTAS = "quotas"
#: From the surest on; each total adds the next one.
CATEGORIES = ("closed", "commit", "best_case", "pipeline")


@dataclass(frozen=True, slots=True)
class Counted:
    """A deal as it counts.

    :param share: Percent that is credited to the people who count.
    :param own: The share in the deal's currency; ``None`` where the deal has no amount.
    :param amount: The share in the currency of the figures; ``None`` without a known rate, and where amounts are hidden.
    """

    deal: Mapping[str, Any]
    category: str
    counts_on: str
    share: int
    own: Decimal | None
    amount: Decimal | None
    probability: int


def visible_deals(context: Context, /) -> list[Record]:
    """Return the deals that the caller may see, without amounts where those are hidden from it."""
    found = [r for r in context.world.store.select(context.tenant, DEALS) if context.records.visible(r)]
    if hides_amounts(context):
        return [replace(r, doc={k: v for k, v in r.doc.items() if k != "amount"}) for r in found]
    return found


def category_of(context: Context, deal: Mapping[str, Any], /) -> str:
    """Return a deal's forecast category: closed once it is won, else its own, else its stage's."""
    if deal.get("status") == "won":
        return "closed"
    if deal.get("forecast_category"):
        return str(deal["forecast_category"])
    stage = context.records.peek("stages", str(deal.get("stage_id", "")))
    return str(stage.doc.get("forecast_category", "pipeline")) if stage is not None else "pipeline"


def day_of(deal: Mapping[str, Any], /) -> str | None:
    """Return the day that puts a deal into a period: the closing date of a won one, the expected one of an open one."""
    if deal.get("status") == "lost":
        return None
    return deal.get("closed_on") if deal.get("status") == "won" else deal.get("close_on")


def counted(
    context: Context,
    period: Period,
    users: frozenset[str],
    currency: str,
    /,
    *,
    pipeline: str = "",
    with_omitted: bool = False,
    rate_day: str = "",
) -> list[Counted]:
    """Return the deals that count in a period.

    :param rate_day: Day of the rates for all; without it that of closing for won deals, and today for open ones.
    """
    found, hidden = [], hides_amounts(context)
    for record in visible_deals(context):
        deal = record.doc
        day = day_of(deal)
        if not period.holds(day) or (pipeline and deal["pipeline_id"] != pipeline):
            continue
        category = category_of(context, deal)
        share, own = credited(context, deal, users)
        if not share or (category == "omitted" and not with_omitted):
            continue
        on = rate_day or (str(day) if category == "closed" else context.now[:10])
        amount = None if hidden else Decimal(0)
        if own is not None:
            amount = convert(context, {"amount": str(own), "currency": deal["amount"]["currency"]}, currency, on)
        probability = 100 if category == "closed" else int(deal.get("probability", 0))
        found.append(Counted(deal, category, str(day), share, own, amount, probability))
    return found


def figures(deals: Iterable[Counted], currency: str, quota: Decimal | None = None, /) -> dict[str, Any]:
    """Return what deals add up to, as the API shows it."""
    entries = list(deals)
    told = [(c.category, c.amount, c.probability) for c in entries if c.amount is not None]
    return summed(told, currency, quota) | {"deal_count": len(entries), "unconverted_count": len(entries) - len(told)}


def summed(entries: Sequence[tuple[str, Decimal, int]], currency: str, quota: Decimal | None, /) -> dict[str, Any]:
    """Return the sums by category, the totals from the surest on, the weighted sum, and how they stand to a quota.

    :param entries: Category, amount and probability in percent of each deal.
    """
    sums = {name: sum((a for c, a, _ in entries if c == name), Decimal(0)) for name in CATEGORIES}
    found: dict[str, Any] = {f"{name}_amount": money(value, currency) for name, value in sums.items()}
    total = sums["closed"]
    for name in CATEGORIES[1:]:
        total += sums[name]
        found[f"{name}_total_amount"] = money(total, currency)
    weighted = sum((rounded(a * p / 100, currency) for c, a, p in entries if c in CATEGORIES), Decimal(0))
    found["weighted_amount"] = money(weighted, currency)
    if quota is not None:
        found["quota_amount"] = money(quota, currency)
        found["attainment_percent"] = percent(sums["closed"], quota)
        found["gap_amount"] = money(max(Decimal(0), quota - sums["closed"]), currency)
    return found


def percent(part: Decimal, whole: Decimal, /) -> float:
    """Return a part in percent of the whole, half up to one decimal; 0 where the whole is zero.

    >>> percent(Decimal(2), Decimal(3))
    66.7
    """
    if not whole:
        return 0.0
    return float((part * 100 / whole).quantize(Decimal("0.1"), ROUND_HALF_UP))


def quota_for(context: Context, user: str, scope: str, period: Period, currency: str, /) -> Decimal | None:
    """Return the quota of a user or a team, converted by today's rate.

    A team without a quota of its own has those of its people together; a quarter without one has those of its months.
    """
    own = _quota(context, user, "team" if scope == "team" else "person", period, currency)
    if own is not None or scope != "team":
        return own
    parts = [_quota(context, u, "person", period, currency) for u in sorted(people_of(context, user, "team"))]
    known = [p for p in parts if p is not None]
    return sum(known, Decimal(0)) if known else None


def _quota(context: Context, user: str, covers: str, period: Period, currency: str) -> Decimal | None:
    for keys in ([period.key], period.months):
        found = [q for k in keys for q in context.records.find(QUOTAS, owner_id=user, period=k, covers=covers)]
        amounts = [convert(context, q.doc["amount"], currency, context.now[:10]) for q in found]
        known = [a for a in amounts if a is not None]
        if known:
            return sum(known, Decimal(0))
    return None


@computes("forecast_figures")
def forecast_figures(asked: Mapping[str, Any], /) -> dict[str, Any]:
    """Add deals up, for vectors: ``deals`` (category, amount, probability), ``currency`` and ``quota_amount``."""
    told = [(d["category"], Decimal(d["amount"]), int(d.get("probability", 0))) for d in asked["deals"]]
    told = [(c, a, 100 if c == "closed" else p) for c, a, p in told]
    quota = Decimal(asked["quota_amount"]) if asked.get("quota_amount") else None
    return summed(told, asked["currency"], quota)


def counted_amount(entry: Counted, currency: str, /) -> dict[str, Any]:
    """Return a deal as it counts, as the API shows it."""
    deal = entry.deal
    shown: dict[str, Any] = {
        "deal_id": deal["id"],
        "name": deal["name"],
        "owner_id": deal["owner_id"],
        "status": deal["status"],
        "forecast_category": entry.category,
        "counts_on": entry.counts_on,
        "share_percent": entry.share,
    }
    if deal.get("amount"):
        shown["amount"] = money(decimal_of(deal["amount"]), deal["amount"]["currency"])
    if entry.amount is not None:
        shown["counted_amount"] = money(entry.amount, currency)
        shown["weighted_amount"] = money(entry.amount * entry.probability / 100, currency)
    return shown
