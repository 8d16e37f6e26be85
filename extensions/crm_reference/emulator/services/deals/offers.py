"""What products, lines, quotes, orders and contracts share: who sees them, whether their deal takes a write, numbers, problems."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.call import Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import sees
from crm_reference.emulator.services.deals.common import DEALS as DEALS
from crm_reference.emulator.services.deals.common import demand_open, own_deals
from crm_reference.emulator.store import Record

PRODUCTS, BOOKS, ENTRIES, LINES = "products", "price-books", "price-book-entries", "line-items"
QUOTES, ORDERS, CONTRACTS, AMENDMENTS = "quotes", "orders", "contracts", "contract-amendments"
#: What an amount of a line, and a price of a book, stays below: 500 lines of it still fit into an amount of money.
LARGEST = Decimal(10) ** 12
#: The last number of each letter and year; no operation shows it.
_SERIES = "deal-number-series"


def fault(code: str, detail: str, pointer: str = "", /) -> Problem:
    """Return a problem with a code of its own that blames one member, where a pointer is given."""
    return Problem(code, detail, [{"pointer": pointer, "code": code, "detail": detail}] if pointer else [])


def demand_bounded(amount: Decimal | str, pointer: str, /) -> None:
    """Refuse an amount that sums could not hold any more.

    :raises Problem: ``amount_too_large``.
    """
    if abs(Decimal(amount)) >= LARGEST:
        raise fault("amount_too_large", "An amount has twelve digits before the point at most.", pointer)


def unknown(pointer: str, detail: str, /) -> Problem:
    """Return the problem of an ID in a body that leads nowhere."""
    return Problem("validation_failed", detail, [{"pointer": pointer, "code": "invalid_reference", "detail": detail}])


@sees(QUOTES)
@sees(ORDERS)
@sees(CONTRACTS)
@sees(LINES)
def see(context: Context, record: Record) -> bool:
    """Show what belongs to a deal to whoever sees the deal or saw it; where it is gone for good, to whoever sees every deal."""
    deal = context.world.store.get(context.tenant, DEALS, record.doc["deal_id"], deleted=True)
    return context.records.visible(deal) if deal is not None else not own_deals(context).sql


@sees(AMENDMENTS)
def see_amendment(context: Context, record: Record) -> bool:
    """Show an amendment with its contract."""
    contract = context.records.peek(CONTRACTS, record.doc["contract_id"])
    return contract is not None and see(context, contract)


def writable_deal(context: Context, id: str, /, *, is_open: bool = False) -> Record:
    """Return the deal on which something is written.

    :param is_open: Whether it must be neither won nor lost.
    :raises Problem: ``not_found``, ``record_read_only``, ``deal_closed``.
    """
    deal = context.records.get(DEALS, id)
    access.demand(context, deal, "write")
    if is_open:
        demand_open(deal)
    return deal


def lines_of(context: Context, deal_id: str, /) -> list[Record]:
    """Return the lines of a deal in their order."""
    return sorted(context.records.find(LINES, deal_id=deal_id), key=lambda line: (line.doc["position"], line.id))


def next_number(context: Context, letter: str, collection: str, /) -> str:
    """Return the next number of this year; one that was given is never given again, also where its record is gone."""
    year = context.now[:4]
    prefix, store = f"{letter}-{year}-", context.world.store
    series = store.get(context.tenant, _SERIES, prefix)
    numbers = [r.doc["number"] for r in store.select(context.tenant, collection, deleted=None)]
    known = [int(n.removeprefix(prefix)) for n in numbers if n.startswith(prefix)]
    last = max([series.doc["last"] if series else 0, *known])
    store.put(context.tenant, Record(_SERIES, prefix, 1, {"id": prefix, "last": last + 1}))
    return f"{prefix}{last + 1:04d}"


def changed_content(new: Mapping[str, Any], old: Mapping[str, Any], names: tuple[str, ...], /) -> bool:
    """Tell whether one of some members differs."""
    return any(new.get(name) != old.get(name) for name in names)


def inside(problem: Problem, place: str, /) -> Problem:
    """Return a problem about a record whose pointers lead into a place of the body: ``/lines/3``."""
    errors = [{**e, "pointer": "#" + place + re.sub("^#", "", str(e.get("pointer", "#")))} for e in problem.errors]
    return Problem(
        problem.code, problem.detail, errors or [{"pointer": "#" + place, "code": problem.code, "detail": problem.detail}]
    )
