"""Shares: a sum in parts by weights, to the cent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_FLOOR, Decimal
from typing import Any

from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.deals.money import decimal_of, minor_unit, minor_units, money, rounded


def allot(total: Decimal, weights: Sequence[int], currency: str, /) -> list[Decimal]:
    """Return a sum in parts in proportion to weights; they add up to it exactly.

    Each part is rounded down to the minor unit. What is left over goes, a unit each, to the parts that lost most by rounding; among
    equal ones to the earlier.

    :param weights: At least one is above zero.

    >>> [str(part) for part in allot(Decimal("100.00"), [1, 1, 1], "EUR")]
    ['33.34', '33.33', '33.33']
    """
    unit, whole = minor_unit(currency), sum(weights)
    exact = [total * weight / whole for weight in weights]
    parts = [value.quantize(unit, ROUND_FLOOR) for value in exact]
    left = int((total - sum(parts)) / unit)
    most = sorted(range(len(parts)), key=lambda place: (parts[place] - exact[place], place))
    for place in most[:left]:
        parts[place] += unit
    return parts


def misfit(amount: Mapping[str, Any], /) -> str:
    """Return what is wrong with an amount: less than zero, or more decimal places than its currency has; else nothing.

    >>> misfit({"amount": "10.005", "currency": "EUR"})
    'EUR has 2 decimal places, and 10.005 has more.'
    """
    value, currency = decimal_of(amount), str(amount["currency"])
    if value < 0:
        return f"{value} is less than zero."
    if value != rounded(value, currency):
        return f"{currency} has {minor_units(currency)} decimal places, and {value} has more."
    return ""


@computes("amount_allotted")
def amount_allotted(asked: Mapping[str, Any], /) -> list[str]:
    """Return the parts of an amount, for vectors: ``amount`` as money and ``weights``."""
    currency = asked["amount"]["currency"]
    return [money(part, currency)["amount"] for part in allot(decimal_of(asked["amount"]), asked["weights"], currency)]
