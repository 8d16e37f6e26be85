"""Money: decimal amounts of a currency, rounded half up to its minor unit, and how sums are shared out to the cent.

Amounts are :class:`decimal.Decimal` inside and ``{amount, currency}`` with decimal strings outside; no float is ever made of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any

from crm_reference.emulator.registry import computes

#: Currencies whose minor unit isn't a hundredth (ISO 4217).
_WHOLE = ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF")
_THOUSANDTHS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_PLACES: Mapping[str, int] = {**dict.fromkeys(_WHOLE, 0), **dict.fromkeys(_THOUSANDTHS, 3)}


def minor_units(currency: str, /) -> int:
    """Return how many decimal places a currency has.

    >>> minor_units("EUR"), minor_units("JPY"), minor_units("KWD")
    (2, 0, 3)
    """
    return _PLACES.get(currency, 2)


def minor_unit(currency: str, /) -> Decimal:
    """Return the smallest amount of a currency.

    >>> minor_unit("NOK")
    Decimal('0.01')
    """
    return Decimal(1).scaleb(-minor_units(currency))


def rounded(value: Decimal | str, currency: str, /) -> Decimal:
    """Return an amount rounded to the currency's minor unit, halves away from zero.

    >>> rounded("2.345", "EUR"), rounded("-2.345", "EUR"), rounded("99.5", "JPY")
    (Decimal('2.35'), Decimal('-2.35'), Decimal('100'))
    """
    return Decimal(value).quantize(minor_unit(currency), ROUND_HALF_UP)


def money(value: Decimal | str, currency: str, /) -> dict[str, str]:
    """Return an amount as the API writes it, rounded.

    >>> money("1250", "EUR")
    {'amount': '1250.00', 'currency': 'EUR'}
    """
    found = rounded(value, currency)
    return {"amount": format(found if found else abs(found), "f"), "currency": currency}


def decimal_of(amount: Mapping[str, Any] | None, /) -> Decimal:
    """Return the number of an amount of money; zero where there is none."""
    return Decimal(amount["amount"]) if amount else Decimal(0)


def add(amounts: Iterable[Mapping[str, Any]], currency: str, /) -> dict[str, str]:
    """Return the sum of amounts of one currency.

    >>> add([{"amount": "0.10", "currency": "EUR"}, {"amount": "0.20", "currency": "EUR"}], "EUR")
    {'amount': '0.30', 'currency': 'EUR'}
    """
    return money(sum((decimal_of(a) for a in amounts), Decimal(0)), currency)


def weighted(amount: Mapping[str, Any], probability: int, /) -> dict[str, str]:
    """Return an amount times a probability in percent.

    >>> weighted({"amount": "18500.00", "currency": "EUR"}, 25)
    {'amount': '4625.00', 'currency': 'EUR'}
    """
    return money(decimal_of(amount) * probability / 100, str(amount["currency"]))


def plain(value: Decimal, /, places: int = 4) -> str:
    """Return a number without needless zeros, rounded half up to so many places.

    >>> plain(Decimal("12.50000")), plain(Decimal("100")), plain(Decimal("0.33335"))
    ('12.5', '100', '0.3334')
    """
    text = format(value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def unit_price(value: Decimal, currency: str, /) -> str:
    """Return a price of one unit: at least as many places as the currency has, and four at most.

    >>> unit_price(Decimal("432"), "EUR"), unit_price(Decimal("80.916666"), "EUR")
    ('432.00', '80.9167')
    """
    text = plain(value)
    return (
        format(Decimal(text).quantize(minor_unit(currency)), "f") if len(text.partition(".")[2]) < minor_units(currency) else text
    )


def instalments(total: Decimal, count: int, currency: str, /) -> list[Decimal]:
    """Return a sum in so many parts that add up to it exactly; the cents that are left over go to the first parts.

    >>> [str(part) for part in instalments(Decimal("100.00"), 3, "EUR")]
    ['33.34', '33.33', '33.33']
    """
    unit = minor_unit(currency)
    part = (total / count).quantize(unit, ROUND_DOWN)
    over = int((total - part * count) / unit)
    step = unit if over >= 0 else -unit
    return [part + (step if place < abs(over) else 0) for place in range(count)]


@computes("money_rounded")
def money_rounded(asked: Mapping[str, Any], /) -> dict[str, str]:
    """Return an amount rounded, for vectors: ``value`` and ``currency``."""
    return money(asked["value"], asked["currency"])


@computes("instalments")
def instalments_of(asked: Mapping[str, Any], /) -> list[str]:
    """Return the parts of an amount, for vectors: ``amount`` as money and ``count``."""
    currency = asked["amount"]["currency"]
    return [money(part, currency)["amount"] for part in instalments(decimal_of(asked["amount"]), asked["count"], currency)]
