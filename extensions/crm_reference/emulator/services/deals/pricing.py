"""What something costs: prices by quantity, the price book that holds, the amounts of a line, and the sums of lines.

Everything here is computed from what is passed in, so that a preview, a line and a quote can't come to different results. Each
amount is rounded once, where the API shows it; sums add up what was rounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.deals.money import decimal_of, money, plain, rounded, unit_price

Doc = Mapping[str, Any]

#: Months that one charge pays for.
PERIOD_MONTHS: Mapping[str, int] = {"month": 1, "quarter": 3, "year": 12}
#: Term of a recurring line that names none.
DEFAULT_TERM = 12
#: Largest discounts in percent up to which nobody, and a manager, must agree.
_FREE, _MANAGER = Decimal(10), Decimal(25)
_HUNDRED = Decimal(100)


def price_of(entry: Doc, quantity: Decimal, /) -> Decimal:
    """Return what a quantity costs for one billing period, unrounded.

    :param entry: ``model``, ``unit_price`` and ``tiers`` with rising ``from_quantity``.
    """
    base, tiers = Decimal(entry["unit_price"]), entry.get("tiers") or []
    model = entry.get("model", "per_unit")
    if model == "volume":
        reached = [Decimal(t["unit_price"]) for t in tiers if Decimal(t["from_quantity"]) <= quantity]
        return (reached[-1] if reached else base) * quantity
    if model == "graduated":
        steps = [(Decimal(0), base)] + [(Decimal(t["from_quantity"]) - 1, Decimal(t["unit_price"])) for t in tiers]
        ends = [start for start, _ in steps[1:]] + [quantity]
        return sum(
            ((max(min(quantity, end) - start, Decimal(0))) * price for (start, price), end in zip(steps, ends, strict=True)),
            Decimal(0),
        )
    return base * quantity


@computes("price_of_quantity")
def price_of_quantity(asked: Doc, /) -> dict[str, str]:
    """Return the price of a quantity and of one unit of it, for vectors: ``entry``, ``quantity``, ``currency``."""
    quantity = Decimal(asked["quantity"])
    whole = price_of(asked["entry"], quantity)
    return {
        "unit_price": unit_price(whole / quantity, asked["currency"]),
        "gross_amount": money(whole, asked["currency"])["amount"],
    }


# -- which book ----------------------------------------------------------------------------------------------------------------


def _passed_over(book: Doc, account: str | None, on: str) -> str:
    """Return why a book doesn't count whatever it holds, or ``""``."""
    if not book.get("is_active", True):
        return "inactive"
    if not book.get("valid_from_on", "0") <= on <= book.get("valid_until_on", "9999-12-31"):
        return "not_valid"
    return "other_account" if book.get("account_ids") and account not in book["account_ids"] else ""


def _rank(book: Doc, account: str | None) -> tuple[bool, int, bool, str]:
    """Order books: those of the account first, then by priority, the default before others, then by ID."""
    return (account not in (book.get("account_ids") or ()), -book.get("priority", 0), not book.get("is_default"), book["id"])


@computes("price_resolution")
def resolve(asked: Doc, /) -> dict[str, Any]:
    """Return which book has the price that holds, and why every other one was passed over.

    :param asked: ``books`` (with ``id``, ``name`` and what decides), ``with_entry`` (IDs of the books that have an active price),
        ``account_id``, ``on``, and ``price_book_id`` where one is named.
    :return: ``price_book_id`` where there is one, and ``candidates``.
    """
    account, named = asked.get("account_id"), asked.get("price_book_id")
    books = [b for b in asked["books"] if named in (None, b["id"])]
    found, candidates = "", []
    for book in sorted(books, key=lambda b: _rank(b, account)):
        reason = _passed_over(book, account, asked["on"])
        if not reason and book["id"] not in asked["with_entry"]:
            reason = "no_entry"
        if not reason:
            reason = "outranked" if found else "named" if named else "chosen"
            found = found or book["id"]
        candidates.append({"price_book_id": book["id"], "name": book["name"], "reason": reason})
    return ({"price_book_id": found} if found else {}) | {"candidates": candidates}


# -- lines ---------------------------------------------------------------------------------------------------------------------


def periods_of(line: Doc, /) -> int:
    """Return how many billing periods a line charges; 1 for one that is charged once."""
    if line.get("billing") != "recurring":
        return 1
    months = PERIOD_MONTHS[line.get("billing_period", "month")]
    return max(int(line.get("term_months", DEFAULT_TERM)) // months, 1)


@computes("line_amounts")
def line_amounts(line: Doc, /) -> dict[str, Any]:
    """Return the amounts of a line.

    :param line: ``price`` (model, unit price, tiers), ``currency``, ``quantity``, ``discount_percent`` or ``discount_amount``,
        ``tax_rate``, and for recurring lines ``billing``, ``billing_period`` and ``term_months``.
    """
    currency, quantity, periods = line["currency"], Decimal(line["quantity"]), periods_of(line)
    whole = price_of(line["price"], quantity)
    gross = rounded(whole * periods, currency)
    discount = rounded(gross * Decimal(line.get("discount_percent") or 0) / _HUNDRED, currency)
    if line.get("discount_amount"):
        discount = rounded(decimal_of(line["discount_amount"]), currency)
    net = gross - discount
    tax = rounded(net * Decimal(line.get("tax_rate") or 0) / _HUNDRED, currency)
    amounts = {"gross_amount": gross, "discount_total": discount, "net_amount": net, "tax_amount": tax, "total_amount": net + tax}
    return {
        "unit_price": {"amount": unit_price(whole / quantity, currency), "currency": currency},
        "period_count": periods,
        **{name: money(value, currency) for name, value in amounts.items()},
    }


_SUMS = ("gross_amount", "discount_total", "net_amount", "tax_amount", "total_amount")


def _taxes(lines: Sequence[Doc], currency: str) -> list[dict[str, Any]]:
    by_rate: dict[Decimal, list[Doc]] = {}
    for line in lines:
        by_rate.setdefault(Decimal(line.get("tax_rate") or 0), []).append(line)
    return [
        {
            "tax_rate": plain(rate),
            "net_amount": _sum(of_rate, "net_amount", currency),
            "tax_amount": _sum(of_rate, "tax_amount", currency),
        }
        for rate, of_rate in sorted(by_rate.items())
    ]


def _sum(lines: Iterable[Doc], member: str, currency: str) -> dict[str, str]:
    return money(sum((decimal_of(line[member]) for line in lines), Decimal(0)), currency)


@computes("line_totals")
def totals_of(lines: Sequence[Doc], /) -> dict[str, Any]:
    """Return the sums of lines of one currency; at least one line."""
    currency = lines[0]["net_amount"]["currency"]
    recurring = [line for line in lines if line.get("billing") == "recurring"]
    monthly = sum(
        (rounded(decimal_of(line["net_amount"]) / line.get("term_months", DEFAULT_TERM), currency) for line in recurring),
        Decimal(0),
    )
    return {
        "line_count": len(lines),
        **{name: _sum(lines, name, currency) for name in _SUMS},
        "one_off_amount": _sum([line for line in lines if line.get("billing") != "recurring"], "net_amount", currency),
        "recurring_amount": _sum(recurring, "net_amount", currency),
        "monthly_recurring_amount": money(monthly, currency),
        "annual_recurring_amount": money(monthly * 12, currency),
        "taxes": _taxes(lines, currency),
    }


# -- discounts -----------------------------------------------------------------------------------------------------------------


@computes("approval_level")
def approval_level(lines: Sequence[Doc], /) -> str:
    """Return who must agree to the largest discount of some lines.

    :param lines: For each its ``list_amount``, what it would cost without any discount, and its ``net_amount``, as decimals.
    """
    largest = Decimal(0)
    for line in lines:
        full, net = Decimal(line["list_amount"]), Decimal(line["net_amount"])
        if full > 0:
            largest = max(largest, (full - net) / full * _HUNDRED)
    return "none" if largest <= _FREE else "manager" if largest <= _MANAGER else "director"


@computes("header_discount")
def with_header_discount(asked: Doc, /) -> dict[str, Any]:
    """Return a line's amounts after a discount over all lines: ``line`` with its amounts, and ``percent``."""
    line, percent = asked["line"], Decimal(asked["percent"])
    currency = line["net_amount"]["currency"]
    gross, net = decimal_of(line["gross_amount"]), decimal_of(line["net_amount"])
    net -= rounded(net * percent / _HUNDRED, currency)
    tax = rounded(net * Decimal(line.get("tax_rate") or 0) / _HUNDRED, currency)
    return {
        "discount_percent": plain((gross - net) / gross * _HUNDRED) if gross else "0",
        "gross_amount": money(gross, currency),
        "discount_total": money(gross - net, currency),
        "net_amount": money(net, currency),
        "tax_amount": money(tax, currency),
        "total_amount": money(net + tax, currency),
    }
