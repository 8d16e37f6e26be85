"""Amounts: decimal strings with a currency, rounded half up to the currency's minor unit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal

#: Digits of the minor unit, where a currency has other than two (ISO 4217).
_MINOR = {
    **dict.fromkeys(("CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}

Amount = Mapping[str, str]


def rounded(value: Decimal, digits: int, /) -> str:
    """Return a number half up to so many digits, as text without an exponent.

    >>> rounded(Decimal(2) / 3, 4)
    '0.6667'
    """
    return format(value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP), "f")


def money(value: Decimal, currency: str, /) -> dict[str, str]:
    """Return an amount, half up to the minor unit.

    >>> money(Decimal("10.005"), "EUR")
    {'amount': '10.01', 'currency': 'EUR'}
    """
    return {"amount": rounded(value, _MINOR.get(currency, 2)), "currency": currency}


def weighted_sums(parts: Iterable[tuple[Amount | None, int]], /) -> list[dict[str, str]]:
    """Return sums of amounts times percentages, one for each currency, in alphabetical order; rounded once, at the end."""
    totals: dict[str, Decimal] = {}
    for amount, percent in parts:
        if amount is not None:
            currency = amount["currency"]
            totals[currency] = totals.get(currency, Decimal(0)) + Decimal(amount["amount"]) * percent / 100
    return [money(totals[currency], currency) for currency in sorted(totals)]


def sums(amounts: Iterable[Amount | None], /) -> list[dict[str, str]]:
    """Return sums, one for each currency, in alphabetical order."""
    return weighted_sums((amount, 100) for amount in amounts)
