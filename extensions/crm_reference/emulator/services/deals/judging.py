"""Whether enough is under way, how forecasts came true, and analyses as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.deals.analysis import asked
from crm_reference.emulator.services.deals.credit import asked_user, may_read_of, people_of
from crm_reference.emulator.services.deals.figures import counted, quota_for
from crm_reference.emulator.services.deals.forecasts import FORECASTS
from crm_reference.emulator.services.deals.money import decimal_of, money
from crm_reference.emulator.services.deals.outcomes import ranking, win_loss
from crm_reference.emulator.services.deals.periods import period_of
from crm_reference.emulator.services.deals.rates import tenant_currency
from crm_reference.emulator.services.deals.timing import created, cycles, slips

_FORECAST_SCOPE = "deals.forecast"
#: First characters that make a spreadsheet take a cell for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def coverage(quota: Decimal | None, closed: Decimal, open_: Decimal, target: Decimal, currency: str, /) -> dict[str, Any]:
    """Return how open deals cover what is missing to a quota, as the API shows it."""
    found: dict[str, Any] = {"closed_amount": money(closed, currency), "open_amount": money(open_, currency)}
    if quota is None:
        return {**found, "is_enough": False}
    missing = max(Decimal(0), quota - closed)
    needed = max(Decimal(0), missing * target - open_)
    found |= {"quota_amount": money(quota, currency), "remaining_amount": money(missing, currency)}
    found |= {"needed_amount": money(needed, currency), "is_enough": not needed}
    if missing:
        found["coverage_ratio"] = float((open_ / missing).quantize(Decimal("0.01"), ROUND_HALF_UP))
    return found


@computes("pipeline_coverage")
def coverage_of(question: Mapping[str, Any], /) -> dict[str, Any]:
    """Return a coverage, for vectors: ``quota_amount`` (or null), ``closed_amount``, ``open_amount``, ``target_ratio``."""
    quota = Decimal(question["quota_amount"]) if question.get("quota_amount") else None
    closed, open_ = Decimal(question["closed_amount"]), Decimal(question["open_amount"])
    return coverage(quota, closed, open_, Decimal(str(question["target_ratio"])), question["currency"])


@handles("getDealCoverage")
def cover(call: Call) -> Reply:
    """Check the coverage of a person or team."""
    query, period = call.query, period_of(call.query["period"])
    user, scope = asked_user(call, query), query.get("scope") or "own"
    currency, target = query.get("currency") or tenant_currency(call), Decimal(str(query.get("target_ratio") or 3))
    deals = counted(call, period, people_of(call, user, scope), currency)
    sums = [sum((c.amount or Decimal(0) for c in deals if (c.category == "closed") is won), Decimal(0)) for won in (True, False)]
    quota = quota_for(call, user, scope, period, currency) if _FORECAST_SCOPE in call.identity.scopes else None
    about = {"period": period.key, "user_id": user, "scope": scope, "target_ratio": float(target)}
    return Reply(200, {**about, **coverage(quota, sums[0], sums[1], target, currency)})


# -- accuracy --------------------------------------------------------------------------------------------------------------


def accuracy(expected: Decimal, closed: Decimal, /) -> dict[str, float]:
    """Return accuracy and bias of a forecast in percent of what was closed; nothing where nothing was.

    >>> accuracy(Decimal(110), Decimal(100))
    {'accuracy_percent': 90.0, 'bias_percent': 10.0}
    """
    if not closed:
        return {}
    bias = (expected - closed) * 100 / closed
    return {"accuracy_percent": _tenths(max(Decimal(0), 100 - abs(bias))), "bias_percent": _tenths(bias)}


@computes("forecast_accuracy")
def accuracy_of(question: Mapping[str, Any], /) -> dict[str, float]:
    """Return accuracy and bias, for vectors: ``expected_amount`` and ``closed_amount``."""
    return accuracy(Decimal(question["expected_amount"]), Decimal(question["closed_amount"]))


def _tenths(value: Decimal) -> float:
    return float(value.quantize(Decimal("0.1"), ROUND_HALF_UP))


@handles("getForecastAccuracy")
def judge(call: Call) -> Reply:
    """Hold a person's past forecasts against what was closed."""
    user, kind = asked_user(call, call.query), call.query.get("kind") or "quarter"
    found = call.records.find(FORECASTS, owner_id=user, period_kind=kind) if may_read_of(call, user) else []
    over = [f for f in found if period_of(f.doc["period"]).ends_on < call.now[:10]]
    over.sort(key=lambda f: period_of(f.doc["period"]).starts_on, reverse=True)
    rows = []
    for forecast in over[: call.query.get("periods") or 4]:
        expected = forecast.doc["effective_commit_amount"]
        deals = counted(call, period_of(forecast.doc["period"]), frozenset({user}), expected["currency"])
        closed = sum((c.amount or Decimal(0) for c in deals if c.category == "closed"), Decimal(0))
        row = {"period": forecast.doc["period"], "forecast_id": forecast.id, "expected_amount": expected}
        rows.append({**row, "closed_amount": money(closed, expected["currency"]), **accuracy(decimal_of(expected), closed)})
    body: dict[str, Any] = {"user_id": user, "kind": kind, "rows": rows}
    for name in ("accuracy_percent", "bias_percent"):
        known = [Decimal(str(row[name])) for row in rows if name in row]
        if known:
            body[f"average_{name}"] = _tenths(sum(known, Decimal(0)) / len(known))
    return Reply(200, body)


# -- files -----------------------------------------------------------------------------------------------------------------

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "win_loss": ("key", "label", "won_count", "lost_count", "won_amount", "lost_amount", "win_rate_percent"),
    "sales_cycle": ("key", "label", "deal_count", "average_days", "median_days", "slow_days", "shortest_days", "longest_days"),
    "created": ("starts_on", "created_count", "created_amount", "open_count", "won_count", "lost_count"),
    "slippage": ("deal_id", "name", "owner_id", "first_close_on", "present_close_on", "pushed_days", "push_count", "amount"),
    "leaderboard": ("rank", "user_id", "deal_count", "amount"),
}


@handles("exportDealAnalytics")
def export(call: Call) -> Reply:
    """Write the rows of an analysis as CSV."""
    about, report = asked(call), call.query["report"]
    match report:
        case "win_loss":
            rows = win_loss(call, about, "reason")["groups"]
        case "sales_cycle":
            rows = cycles(call, about, "pipeline")["groups"]
        case "created":
            rows = created(call, about, "month")
        case "slippage":
            rows = slips(call, about)[1]
        case _:
            rows = ranking(call, about, "won_amount")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([head for name in _COLUMNS[report] for head in _heads(name)])
    for row in rows:
        writer.writerow([cell for name in _COLUMNS[report] for cell in _cells(name, row.get(name))])
    name = f"deals-{report.replace('_', '-')}-{about.from_on}-{about.to_on}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    return Reply(200, text.getvalue(), headers, "text/csv")


def _heads(name: str) -> list[str]:
    return [name, name.replace("amount", "currency")] if name.endswith("amount") else [name]


def _cells(name: str, value: Any) -> list[Any]:
    if name.endswith("amount"):
        return [value["amount"], value["currency"]] if value else ["", ""]
    if isinstance(value, str) and value.startswith(_FORMULA):
        return [f"'{value}"]
    return ["" if value is None else value]
