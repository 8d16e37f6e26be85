"""How long sales take, how many are opened, and how far closing dates slip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.field_access import limited
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.deals.analysis import NONE, Asked, asked, key_of, label_of, worth
from crm_reference.emulator.services.deals.common import DEALS
from crm_reference.emulator.services.deals.figures import percent
from crm_reference.emulator.services.deals.money import money
from crm_reference.emulator.services.deals.periods import period_around

_LISTED = 100


def days_between(start: str, end: str, /) -> int:
    """Return how many days lie between two days."""
    return (date.fromisoformat(end[:10]) - date.fromisoformat(start[:10])).days


def spread(days: Sequence[int], /) -> dict[str, Any]:
    """Return average, median and 90th percentile (nearest rank) of durations in days.

    >>> spread([10, 20, 40])["median_days"], spread([10, 20, 40])["slow_days"]
    (20.0, 40.0)
    """
    ordered = sorted(days)
    count, middle = len(ordered), len(ordered) // 2
    median = Decimal(ordered[middle]) if count % 2 else Decimal(ordered[middle - 1] + ordered[middle]) / 2
    return {
        "deal_count": count,
        "average_days": _tenths(Decimal(sum(ordered)) / count),
        "median_days": _tenths(median),
        "slow_days": float(ordered[-(-9 * count // 10) - 1]),
        "shortest_days": float(ordered[0]),
        "longest_days": float(ordered[-1]),
    }


def _tenths(value: Decimal) -> float:
    return float(value.quantize(Decimal("0.1"), ROUND_HALF_UP))


@computes("deal_sales_cycle")
def cycle_of(question: Mapping[str, Any], /) -> dict[str, Any]:
    """Return how durations are spread, for vectors: a list ``days``."""
    return spread(question["days"])


def cycles(call: Call, about: Asked, group_by: str, /) -> dict[str, Any]:
    """Return how long the deals of each group took, the slowest group first."""
    groups: dict[str, list[int]] = {}
    for deal in about.deals:
        if deal["status"] in ("won", "lost") and about.holds(deal.get("closed_on")):
            days = max(0, days_between(deal["created_at"], deal["closed_on"]))
            groups.setdefault(key_of(deal, group_by), []).append(days)
    rows: list[dict[str, Any]] = [{"key": k, **label_of(call, k, group_by), **spread(v)} for k, v in groups.items()]
    rows.sort(key=lambda r: (-r["median_days"], r["key"]))
    everything = [d for days in groups.values() for d in days]
    total = {"total": {"key": NONE, **spread(everything)}} if everything else {}
    return {"groups": rows, **total}


@handles("getDealSalesCycle")
def measure(call: Call) -> Reply:
    """Measure sales cycles."""
    about, group_by = asked(call), call.query.get("group_by") or "pipeline"
    return Reply(200, {**about.range, "group_by": group_by, **cycles(call, about, group_by)})


# -- creation --------------------------------------------------------------------------------------------------------------


def step_of(day: str, interval: str, /) -> str:
    """Return the first day of the week, month or quarter in which a day lies.

    >>> step_of("2026-01-01", "week"), step_of("2026-02-10", "quarter")
    ('2025-12-29', '2026-01-01')
    """
    if interval == "week":
        given = date.fromisoformat(day)
        return (given - timedelta(days=given.weekday())).isoformat()
    return period_around(day, interval).starts_on


def created(call: Call, about: Asked, interval: str, /) -> list[dict[str, Any]]:
    """Return the steps of a series of created deals, those without a deal too."""
    steps: dict[str, list[Mapping[str, Any]]] = {}
    day = step_of(about.from_on, interval)
    ahead = {"week": 7, "month": 32, "quarter": 93}[interval]
    while day <= about.to_on:
        steps[day] = []
        if (date.max - date.fromisoformat(day)).days < ahead:
            break  # the calendar ends here
        day = step_of((date.fromisoformat(day) + timedelta(days=ahead)).isoformat(), interval)
    for deal in about.deals:
        if about.holds(deal["created_at"][:10]):
            steps[step_of(deal["created_at"][:10], interval)].append(deal)
    return [_step(call, about, start, deals) for start, deals in steps.items()]


def _step(call: Call, about: Asked, start: str, deals: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    amounts = [worth(call, d, about.users, about.currency, call.now[:10]) or Decimal(0) for d in deals]
    found: dict[str, Any] = {"starts_on": start, "created_count": len(deals)}
    found["created_amount"] = money(sum(amounts, Decimal(0)), about.currency)
    return found | {f"{s}_count": sum(d["status"] == s for d in deals) for s in ("open", "won", "lost")}


@handles("getDealsCreated")
def follow(call: Call) -> Reply:
    """Follow how much pipeline is created."""
    about, interval = asked(call), call.query.get("interval") or "month"
    steps = created(call, about, interval)
    body = {
        **about.range,
        "interval": interval,
        "currency": about.currency,
        "steps": steps,
        "total_count": sum(s["created_count"] for s in steps),
        "total_amount": money(sum((Decimal(s["created_amount"]["amount"]) for s in steps), Decimal(0)), about.currency),
    }
    return Reply(200, body)


# -- slippage --------------------------------------------------------------------------------------------------------------


def pushes(context: Context, deal: Mapping[str, Any], /) -> tuple[str, int]:
    """Return the closing date that a deal had first, and how often it was moved to a later day."""
    first, count = "", 0
    for change in context.world.store.changes(context.tenant, DEALS, id=deal["id"], limit=1000):
        for entry in change.detail.get("changes", ()):
            if entry["field"] == "close_on" and entry.get("old_value"):
                first = first or entry["old_value"]
                count += entry.get("new_value", "") > entry["old_value"]
    first = deal.get("original_close_on") or first or deal["close_on"]
    return first, max(count, 1 if deal["close_on"] > first else 0)


def slips(call: Call, about: Asked, /) -> tuple[int, list[dict[str, Any]]]:
    """Return how many deals were first expected in a range, and those that were pushed, the longest push first."""
    expected, found = 0, []
    hidden = limited(call, "deal").get("close_on") == "hidden"
    for deal in about.deals:
        if not deal.get("close_on") or hidden:
            continue
        first, count = pushes(call, deal)
        if not about.holds(first):
            continue
        expected += 1
        if deal["close_on"] > first:
            found.append(_slip(deal, first, count))
    found.sort(key=lambda s: (-s["pushed_days"], s["deal_id"]))
    return expected, found


def _slip(deal: Mapping[str, Any], first: str, count: int) -> dict[str, Any]:
    shown = {name: deal[name] for name in ("name", "owner_id", "status")}
    amount = {"amount": deal["amount"]} if deal.get("amount") else {}
    moved = {"first_close_on": first, "present_close_on": deal["close_on"], "pushed_days": days_between(first, deal["close_on"])}
    return {"deal_id": deal["id"], **shown, **moved, "push_count": count, **amount}


@handles("getDealSlippage")
def find_slips(call: Call) -> Reply:
    """Find deals that slip."""
    about = asked(call)
    expected, found = slips(call, about)
    pushed = {s["deal_id"] for s in found}
    amounts = [worth(call, d, about.users, about.currency, call.now[:10]) for d in about.deals if d["id"] in pushed]
    body: dict[str, Any] = {**about.range, "currency": about.currency, "deal_count": expected, "pushed_count": len(found)}
    if expected:
        body["slip_rate_percent"] = percent(Decimal(len(found)), Decimal(expected))
    if found:
        body["average_pushed_days"] = _tenths(Decimal(sum(s["pushed_days"] for s in found)) / len(found))
    body["pushed_amount"] = money(sum((a or Decimal(0) for a in amounts), Decimal(0)), about.currency)
    return Reply(200, {**body, "deals": found[:_LISTED]})
