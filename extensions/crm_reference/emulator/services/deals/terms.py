"""Time and money of what recurs: charges of lines, ends of contracts, the rest of a period, notice and renewal."""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.deals.money import decimal_of, instalments, money, rounded, unit_price
from crm_reference.emulator.services.deals.pricing import PERIOD_MONTHS, periods_of

Doc = Mapping[str, Any]


def months_later(day: date, months: int, /) -> date:
    """Return the same day so many months later, or the last day of a month that is too short.

    >>> months_later(date(2026, 1, 31), 1)
    datetime.date(2026, 2, 28)
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def last_day(starts_on: str, months: int, /) -> str:
    """Return the last day of a term.

    >>> last_day("2026-02-01", 24)
    '2028-01-31'
    """
    return (months_later(date.fromisoformat(starts_on), months) - timedelta(days=1)).isoformat()


def next_day(day: str, days: int = 1, /) -> str:
    """Return the day so many days later."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


@computes("contract_dates")
def contract_dates(asked: Doc, /) -> dict[str, str]:
    """Return last day and last day of notice: ``starts_on``, ``term_months``, ``notice_days``."""
    ends = last_day(asked["starts_on"], asked["term_months"])
    return {"ends_on": ends, "notice_until_on": next_day(ends, -asked["notice_days"])}


# -- charges -------------------------------------------------------------------------------------------------------------------


@computes("revenue_schedule")
def schedule_of(asked: Doc, /) -> dict[str, Any]:
    """Return the charges of lines, and their sums by month.

    :param asked: ``lines`` with ``id``, ``net_amount``, billing, and ``starts_on``, or ``starts_on`` for those without one.
    """
    charges: list[dict[str, Any]] = []
    for line in asked["lines"]:
        first = date.fromisoformat(line.get("starts_on") or asked["starts_on"])
        months, count = PERIOD_MONTHS[line.get("billing_period", "month")], periods_of(line)
        currency = line["net_amount"]["currency"]
        for place, part in enumerate(instalments(decimal_of(line["net_amount"]), count, currency)):
            due = months_later(first, place * months).isoformat()
            charges.append({"line_item_id": line["id"], "sequence": place + 1, "due_on": due, "amount": money(part, currency)})
    charges.sort(key=lambda c: (c["due_on"], c["line_item_id"]))
    by_month: dict[str, Decimal] = {}
    for charge in charges:
        month = charge["due_on"][:8] + "01"
        by_month[month] = by_month.get(month, Decimal(0)) + decimal_of(charge["amount"])
    currency = charges[0]["amount"]["currency"] if charges else "EUR"
    return {"instalments": charges, "months": [{"starts_on": m, "amount": money(a, currency)} for m, a in sorted(by_month.items())]}


# -- lines of contracts --------------------------------------------------------------------------------------------------------


def period_amount(line: Doc, /) -> dict[str, str]:
    """Return what one billing period of a contract's line costs."""
    price = line["unit_price"]
    gross = rounded(Decimal(line["quantity"]) * decimal_of(price), price["currency"])
    return money(gross - rounded(gross * Decimal(line["discount_percent"]) / 100, price["currency"]), price["currency"])


def monthly_of(lines: Sequence[Doc], /) -> dict[str, str]:
    """Return what a month of a contract costs: each line over the months of its period, rounded."""
    currency = lines[0]["period_amount"]["currency"]
    parts = (decimal_of(line["period_amount"]) / PERIOD_MONTHS[line["billing_period"]] for line in lines)
    return money(sum((rounded(part, currency) for part in parts), Decimal(0)), currency)


@computes("period_at")
def period_at(asked: Doc, /) -> dict[str, str]:
    """Return the billing period in which a day lies: ``starts_on`` of the contract, ``billing_period``, ``day``."""
    first, day, months = (
        date.fromisoformat(asked["starts_on"]),
        date.fromisoformat(asked["day"]),
        PERIOD_MONTHS[asked["billing_period"]],
    )
    count = ((day.year - first.year) * 12 + day.month - first.month) // months
    if months_later(first, count * months) > day:
        count -= 1
    starts, after = months_later(first, count * months), months_later(first, (count + 1) * months)
    return {"starts_on": starts.isoformat(), "ends_on": (after - timedelta(days=1)).isoformat()}


def days_of(first: str, last: str, /) -> int:
    """Return how many days there are from one to another, both counted."""
    return (date.fromisoformat(last) - date.fromisoformat(first)).days + 1


@computes("amendment_line")
def amended_line(asked: Doc, /) -> dict[str, Any]:
    """Return what another quantity of a contract's line costs for the rest of the billing period.

    :param asked: ``contract_starts_on``, ``line``, ``quantity`` and ``effective_on``.
    """
    line, effective = asked["line"], asked["effective_on"]
    new = {**line, "quantity": asked["quantity"]}
    period = period_at({"starts_on": asked["contract_starts_on"], "billing_period": line["billing_period"], "day": effective})
    whole, left = days_of(period["starts_on"], period["ends_on"]), days_of(effective, period["ends_on"])
    before, after = period_amount(line), period_amount(new)
    difference = (decimal_of(after) - decimal_of(before)) * left / whole
    return {
        "line_number": line["line_number"],
        "old_quantity": line["quantity"],
        "new_quantity": asked["quantity"],
        "period_starts_on": period["starts_on"],
        "period_ends_on": period["ends_on"],
        "days_left": left,
        "prorated_amount": money(difference, after["currency"]),
        "new_period_amount": after,
    }


@computes("termination_credit")
def credit_of(asked: Doc, /) -> dict[str, str]:
    """Return what was paid for days behind a contract's end: ``starts_on``, ``lines``, ``effective_on``.

    Each billing period is paid on its first day, so the one in which the end lies is paid whole.
    """
    currency, credit = asked["lines"][0]["period_amount"]["currency"], Decimal(0)
    for line in asked["lines"]:
        where = {"starts_on": asked["starts_on"], "billing_period": line["billing_period"], "day": asked["effective_on"]}
        period = period_at(where)
        unused = days_of(asked["effective_on"], period["ends_on"]) - 1
        credit += rounded(decimal_of(line["period_amount"]) * unused / days_of(period["starts_on"], period["ends_on"]), currency)
    return money(credit, currency)


@computes("renewal_terms")
def renewal_of(asked: Doc, /) -> dict[str, Any]:
    """Return the next term of a contract: ``contract`` with its lines, ``term_months`` and ``uplift_percent``."""
    contract, months, uplift = asked["contract"], asked["term_months"], Decimal(asked["uplift_percent"])
    lines = []
    for line in contract["lines"]:
        price = line["unit_price"]
        raised = unit_price(decimal_of(price) * (100 + uplift) / 100, price["currency"])
        lines.append({**line, "unit_price": {**price, "amount": raised}})
        lines[-1]["period_amount"] = period_amount(lines[-1])
    currency = lines[0]["period_amount"]["currency"]
    whole = sum((decimal_of(x["period_amount"]) * max(months // PERIOD_MONTHS[x["billing_period"]], 1) for x in lines), Decimal(0))
    starts = next_day(contract["ends_on"])
    return {
        "starts_on": starts,
        "ends_on": last_day(starts, months),
        "term_months": months,
        "notice_until_on": next_day(contract["ends_on"], -contract["notice_days"]),
        "uplift_percent": asked["uplift_percent"],
        "lines": lines,
        "monthly_amount": monthly_of(lines),
        "total_amount": money(whole, currency),
    }
