"""Price books: one default a currency, tiers that rise, copies, adjustments, and the price that holds."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, enforces, handles, presents
from crm_reference.emulator.services.deals import pricing
from crm_reference.emulator.services.deals.money import minor_unit, money, plain, unit_price
from crm_reference.emulator.services.deals.offers import BOOKS, ENTRIES, LINES, PRODUCTS, demand_bounded, fault, unknown
from crm_reference.emulator.store import Record

_SHOWN_CHANGES = 100
_TIERED = ("volume", "graduated")


@presents(BOOKS)
def present(context: Context, book: Record) -> Mapping[str, Any]:
    """Count the prices whenever a book is read."""
    return {"entry_count": len(context.records.find(ENTRIES, price_book_id=book.id))}


@enforces("one_default_price_book")
def one_default(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Look for another active default book of the currency."""
    if not (new["is_default"] and new["is_active"]):
        return ""
    others = context.records.find(BOOKS, currency=new["currency"], is_default=True, is_active=True)
    taken = [b for b in others if b.id != new["id"]]
    return f"{taken[0].doc['name']} is the default for {new['currency']}." if taken else ""


@enforces("price_tiers_rise")
def tiers_rise(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Compare the tiers with the model, and their quantities with each other."""
    tiers = new.get("tiers") or []
    if (new["model"] in _TIERED) != bool(tiers):
        return "This model needs tiers." if not tiers else "The model per_unit has no tiers."
    last = Decimal(1)
    for index, tier in enumerate(tiers):
        if Decimal(tier["from_quantity"]) <= last:
            return f"A tier begins above {plain(last)}.", f"tiers.{index}.from_quantity"
        last = Decimal(tier["from_quantity"])
    return ""


@handles("deletePriceBook")
def delete(call: Call) -> Reply:
    """Delete a book that no line has a price from, with its entries."""
    if call.records.find(LINES, price_book_id=call.found.id):
        raise Problem("price_book_in_use", "Lines of deals have their price from this book. Take it out of use instead.")
    with upkeep(call):
        for entry in call.records.find(ENTRIES, price_book_id=call.found.id):
            call.records.delete(entry)
    return single.delete(call)


# -- the price that holds --------------------------------------------------------------------------------------------------------


def price_that_holds(
    context: Context, product: str, currency: str, /, account: str | None = None, book: str | None = None, on: str = ""
) -> tuple[Record, Record, list[dict[str, Any]]]:
    """Return the book and the entry that have the price of a product, and every book that was looked at.

    :raises Problem: ``price_not_found``.
    """
    books = context.records.find(BOOKS, currency=currency)
    entries = {e.doc["price_book_id"]: e for e in context.records.find(ENTRIES, product_id=product) if e.doc["is_active"]}
    question: dict[str, Any] = {"books": [b.doc for b in books], "with_entry": sorted(entries), "on": on or context.now[:10]}
    question |= {k: v for k, v in (("account_id", account), ("price_book_id", book)) if v is not None}
    answer = pricing.resolve(question)
    if "price_book_id" not in answer:
        where = book or f"active price book in {currency}"
        raise fault("price_not_found", f"{product} has no price in {where} for this customer and day.", "#/product_id")
    chosen = next(b for b in books if b.id == answer["price_book_id"])
    return chosen, entries[chosen.id], answer["candidates"]


def price_in(entry: Record, /) -> dict[str, Any]:
    """Return what of an entry makes a price."""
    return {name: entry.doc[name] for name in ("model", "unit_price", "tiers") if name in entry.doc}


@handles("resolveProductPrice")
def resolve(call: Call) -> Reply:
    """Answer the price that holds, and why."""
    body, on = call.body, call.body.get("priced_on", "")
    for collection, member in ((PRODUCTS, "product_id"), ("accounts", "account_id"), (BOOKS, "price_book_id")):
        if member in body and call.records.peek(collection, body[member]) is None:
            raise unknown(f"#/{member}", f"{body[member]} leads to no record of {collection}.")
    currency, quantity = body["currency"], Decimal(body.get("quantity", "1"))
    account, named = body.get("account_id"), body.get("price_book_id")
    book, entry, candidates = price_that_holds(call, body["product_id"], currency, account, named, on)
    whole = pricing.price_of(price_in(entry), quantity)
    demand_bounded(whole, "#/quantity")
    answer = {
        "product_id": body["product_id"],
        "quantity": plain(quantity),
        "price_book_id": book.id,
        "entry_id": entry.id,
        "model": entry.doc["model"],
        "unit_price": {"amount": unit_price(whole / quantity, currency), "currency": currency},
        "gross_amount": money(whole, currency),
        "candidates": candidates,
    }
    return Reply(200, answer)


# -- many prices at once -----------------------------------------------------------------------------------------------------------

_STEPS = {"unit": Decimal(1), "ten": Decimal(10)}


@computes("price_adjusted")
def adjusted(asked: Mapping[str, Any], /) -> str:
    """Return a price after a change in percent: ``amount``, ``percent``, ``currency``, and ``rounding`` (``minor_unit``)."""
    step = _STEPS.get(asked.get("rounding", "minor_unit"), minor_unit(asked["currency"]))
    raised = Decimal(asked["amount"]) * Decimal(asked.get("rate", "1")) * (100 + Decimal(asked["percent"])) / 100
    return format(((raised / step).quantize(Decimal(1), ROUND_HALF_UP) * step).quantize(minor_unit(asked["currency"])), "f")


def _adjusted_entry(doc: Mapping[str, Any], how: Mapping[str, Any], member: str) -> dict[str, Any]:
    """Return price and tiers of an entry after a change.

    :param member: Of the body, which is to blame where a price becomes too large.
    """
    found: dict[str, Any] = {"unit_price": adjusted({"amount": doc["unit_price"], **how})}
    if "tiers" in doc:
        found["tiers"] = [{**t, "unit_price": adjusted({"amount": t["unit_price"], **how})} for t in doc["tiers"]]
    for price in (found, *found.get("tiers", ())):
        demand_bounded(price["unit_price"], f"#/{member}")
    return found


@handles("clonePriceBook")
def clone(call: Call) -> Reply:
    """Copy a book with its prices, converted and changed."""
    source, body = call.found, call.body
    currency = body.get("currency", source.doc["currency"])
    if currency != source.doc["currency"] and "rate" not in body:
        raise fault("price_book_rate_missing", f"Say how many {currency} one {source.doc['currency']} is.", "#/rate")
    kept: dict[str, Any] = {
        k: source.doc[k] for k in ("description", "priority", "valid_from_on", "valid_until_on", "account_ids") if k in source.doc
    }
    made: dict[str, Any] = {
        **kept,
        "name": body["name"],
        "currency": currency,
        "is_active": False,
        "is_default": False,
        "cloned_from_id": source.id,
    }
    copy = call.records.create(BOOKS, made)
    how = {"percent": body.get("adjustment_percent", "0"), "rate": body.get("rate", "1"), "currency": currency}
    for entry in call.records.find(ENTRIES, price_book_id=source.id):
        same = {k: entry.doc[k] for k in ("product_id", "model", "is_active")}
        with upkeep(call):
            call.records.create(ENTRIES, {**same, **_adjusted_entry(entry.doc, how, "rate"), "price_book_id": copy.id})
    call.emit("crm.price_book.created.v1", copy.id, {"record": call.records.public(copy)})
    return single.shown(call, copy, 201, Location=f"/v1/price-books/{copy.id}")


@handles("adjustPriceBook")
def adjust(call: Call) -> Reply:
    """Change all active prices of a book, or those of a family, by a percentage."""
    book, body = call.found, call.body
    trial, currency = body.get("validate_only", False), book.doc["currency"]
    how = {"percent": body["percent"], "rounding": body.get("rounding", "minor_unit"), "currency": currency}
    changes = []
    for entry in call.records.find(ENTRIES, price_book_id=book.id, is_active=True):
        product = call.records.peek(PRODUCTS, entry.doc["product_id"])
        if "family" in body and (product is None or product.doc.get("family") != body["family"]):
            continue
        patch = _adjusted_entry(entry.doc, how, "percent")
        if patch.items() <= entry.doc.items():
            continue
        prices = {"old_unit_price": entry.doc["unit_price"], "new_unit_price": patch["unit_price"]}
        changes.append({"entry_id": entry.id, "product_id": entry.doc["product_id"], **prices})
        if not trial:
            call.records.change(entry, patch)
    answer = {
        "price_book_id": book.id,
        "is_validate_only": trial,
        "changed_count": len(changes),
        "changes": changes[:_SHOWN_CHANGES],
    }
    if changes and not trial:
        told = {"record": call.records.public(book), "percent": body["percent"], "changed_count": len(changes)}
        call.emit("crm.price_book.adjusted.v1", book.id, told)
    return Reply(200, answer)
