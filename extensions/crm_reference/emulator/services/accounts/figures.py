"""Figures of companies: sums that never add amounts of different currencies. Pure functions; the vectors fix them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crm_reference.emulator.registry import computes

Doc = Mapping[str, Any]

#: Decimal places of currencies that haven't two (ISO 4217).
_MINOR = {"BHD": 3, "CLP": 0, "ISK": 0, "JPY": 0, "JOD": 3, "KRW": 0, "KWD": 3, "OMR": 3, "TND": 3, "VND": 0, "XAF": 0, "XOF": 0}
_COUNTS = ("employee_count", "contact_count", "open_deal_count", "won_deal_count")
#: Field of an account that a figure is made of, where their names differ.
SOURCES: Mapping[str, str] = {"annual_revenues": "annual_revenue"}
_AMOUNTS = ("annual_revenues", "open_deal_amounts", "won_deal_amounts")


@computes("sum_amounts")
def sum_amounts(amounts: Iterable[Doc]) -> list[dict[str, str]]:
    """Add amounts of money for each currency by itself, rounded half up to its smallest unit, in alphabetical order.

    >>> euros = [{"amount": amount, "currency": "EUR"} for amount in ("10.50", "0.5")]
    >>> sum_amounts([*euros, {"amount": "7", "currency": "NOK"}])
    [{'amount': '11.00', 'currency': 'EUR'}, {'amount': '7.00', 'currency': 'NOK'}]
    """
    sums: dict[str, Decimal] = {}
    for money in amounts:
        sums[money["currency"]] = sums.get(money["currency"], Decimal(0)) + Decimal(money["amount"])
    return [{"amount": rounded(sums[currency], currency), "currency": currency} for currency in sorted(sums)]


def rounded(value: Decimal, currency: str, /) -> str:
    """Return an amount with the decimal places of its currency."""
    unit = Decimal(1).scaleb(-_MINOR.get(currency, 2))
    return format(value.quantize(unit, rounding=ROUND_HALF_UP), "f")


def of(account: Doc, /) -> dict[str, Any]:
    """Return the figures of one account's document."""
    revenue = account.get("annual_revenue")
    counts: dict[str, Any] = {name: account.get(name, 0) for name in _COUNTS}
    amounts = {name: list(account.get(name, ())) for name in _AMOUNTS[1:]}
    return {"account_count": 1, **counts, "annual_revenues": sum_amounts([revenue] if revenue else []), **amounts}


@computes("roll_up")
def roll_up(figures: Sequence[Doc]) -> dict[str, Any]:
    """Sum figures of several companies.

    :param figures: Figures of each, as :func:`of` returns them.
    """
    total: dict[str, Any] = {"account_count": sum(f["account_count"] for f in figures)}
    total |= {name: sum(f[name] for f in figures) for name in _COUNTS}
    return total | {name: sum_amounts([money for f in figures for money in f[name]]) for name in _AMOUNTS}
