"""Exchange rates: how much of a currency one euro buys from a day on, and amounts in another currency.

The rates are configuration's; this is the copy that deals keeps of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.deals.money import decimal_of, money, rounded

RATES = "exchange-rates"
#: The currency that all rates are quoted against.
BASE = "EUR"


def known_rate(rates: Sequence[Mapping[str, Any]], currency: str, day: str, /) -> Mapping[str, Any] | None:
    """Return the rate that holds on a day: the latest one that is valid from that day or an earlier one."""
    held = [r for r in rates if r["currency"] == currency and r["valid_from"] <= day]
    return max(held, key=lambda r: str(r["valid_from"]), default=None)


def rate(context: Context, currency: str, day: str, /) -> Decimal | None:
    """Return how much of a currency one euro buys on a day; ``None`` where no rate is known."""
    if currency == BASE:
        return Decimal(1)
    found = known_rate([r.doc for r in context.records.find(RATES, currency=currency)], currency, day)
    return Decimal(str(found["rate"])) if found is not None else None


def crossed(value: Decimal, source: Decimal, target: Decimal, currency: str, /) -> Decimal:
    """Return an amount in another currency, rounded half up to its minor unit.

    :param source: Rate of the amount's own currency.
    :param target: Rate of ``currency``.

    >>> crossed(Decimal("640000.00"), Decimal("11.80"), Decimal(1), "EUR")
    Decimal('54237.29')
    """
    return rounded(value * target / source, currency)


def convert(context: Context, amount: Mapping[str, Any], currency: str, day: str, /) -> Decimal | None:
    """Return an amount in another currency by the rates of a day; ``None`` where one of them isn't known."""
    if amount["currency"] == currency:
        return decimal_of(amount)
    source, target = rate(context, str(amount["currency"]), day), rate(context, currency, day)
    return None if source is None or target is None else crossed(decimal_of(amount), source, target, currency)


def used(context: Context, currencies: set[str], day: str, /) -> list[dict[str, str]]:
    """Return the rates that amounts in some currencies were converted by, as the API writes them."""
    found = []
    for currency in sorted(currencies - {BASE}):
        known = known_rate([r.doc for r in context.records.find(RATES, currency=currency)], currency, day)
        if known is not None:
            found.append({"currency": currency, "rate": str(known["rate"]), "valid_from_on": str(known["valid_from"])})
    return found


def tenant_currency(context: Context, /) -> str:
    """Return the currency that a tenant adds up in."""
    tenant = context.records.peek("tenants", context.tenant)
    return str(tenant.doc.get("currency", BASE)) if tenant is not None else BASE


@computes("money_converted")
def money_converted(asked: Mapping[str, Any], /) -> dict[str, str] | None:
    """Convert an amount, for vectors: ``amount``, ``currency``, ``day`` and the list ``rates``; null where a rate is missing."""
    amount, currency, day = asked["amount"], asked["currency"], asked["day"]
    if amount["currency"] == currency:
        return money(decimal_of(amount), currency)
    found = []
    for name in (amount["currency"], currency):
        known = known_rate(asked["rates"], name, day)
        if name != BASE and known is None:
            return None
        found.append(Decimal(1) if name == BASE or known is None else Decimal(str(known["rate"])))
    return money(crossed(decimal_of(amount), found[0], found[1], currency), currency)
