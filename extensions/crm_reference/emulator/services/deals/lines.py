"""Lines of deals: priced when they are written, computed to the cent, in the order in which quotes show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from crm_reference.emulator import field_access, rules
from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Sort
from crm_reference.emulator.registry import enforces, handles
from crm_reference.emulator.services.deals import pricing, terms
from crm_reference.emulator.services.deals.changing import set_amount
from crm_reference.emulator.services.deals.common import currency_of, hides_amounts
from crm_reference.emulator.services.deals.money import decimal_of, plain
from crm_reference.emulator.services.deals.offers import (
    BOOKS,
    LINES,
    PRODUCTS,
    demand_bounded,
    fault,
    inside,
    lines_of,
    unknown,
    writable_deal,
)
from crm_reference.emulator.services.deals.price_books import price_in, price_that_holds
from crm_reference.emulator.store import Record

_RECURRING = ("billing_period", "term_months")


@enforces("one_discount")
def one_discount(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Refuse two discounts on a line, and one above its gross amount."""
    if new.get("discount_amount") and new.get("discount_percent"):
        return "A line has a percentage or an amount, not both."
    over = decimal_of(new["discount_total"]) > decimal_of(new["gross_amount"])
    return f"The discount is more than the gross amount of {new['gross_amount']['amount']}." if over else ""


@enforces("term_is_whole")
def term_is_whole(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare a recurring line's term with its billing period."""
    if new["billing"] != "recurring":
        return ""
    months = pricing.PERIOD_MONTHS[new["billing_period"]]
    return f"{new['term_months']} months are no whole number of periods of {months}." if new["term_months"] % months else ""


# -- pricing a line ----------------------------------------------------------------------------------------------------


def _currency(context: Context, deal: Record, lines: Sequence[Mapping[str, Any]], body: Mapping[str, Any]) -> str:
    """Return the currency of a line: that of the deal's other lines, of its own book or price, of the deal, of the tenant."""
    if lines:
        return str(lines[0]["net_amount"]["currency"])
    book = context.records.peek(BOOKS, body["price_book_id"]) if "price_book_id" in body else None
    if book is not None:
        return str(book.doc["currency"])
    for amount in (body.get("unit_price"), body.get("discount_amount"), deal.doc.get("amount")):
        if amount:
            return str(amount["currency"])
    return currency_of(context)


def _demand_currency(body: Mapping[str, Any], currency: str) -> None:
    for name in ("unit_price", "discount_amount"):
        if body.get(name) and body[name]["currency"] != currency:
            raise fault("line_currency_differs", f"The lines of this deal are in {currency}.", f"#/{name}/currency")


def _price(context: Context, deal: Record, body: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """Return what makes a line's price, and where it comes from."""
    product, named = body.get("product_id"), body.get("price_book_id")
    if body.get("unit_price"):
        price = {"model": "per_unit", "unit_price": body["unit_price"]["amount"]}
        return {"_price": price, "price_source": "manual", "price_book_id": named, "price_book_entry_id": None}
    if product is None:
        raise fault("price_not_found", "A line without a product has a unit_price of its own.", "#/unit_price")
    if named is not None and context.records.peek(BOOKS, named) is None:
        raise unknown("#/price_book_id", f"No price book has the ID {named}.")
    book, entry, _ = price_that_holds(context, product, currency, deal.doc.get("account_id"), named)
    ids = {"price_book_id": book.id, "price_book_entry_id": entry.id}
    return {"_price": price_in(entry), "price_source": "price_book", **ids}


def _list_price(context: Context, deal: Record, doc: Mapping[str, Any], currency: str) -> Mapping[str, Any]:
    """Return what the price list says for a line whose price was set by hand; its own price where it says nothing."""
    price: Mapping[str, Any] = doc["_price"]
    if doc["price_source"] == "manual" and doc.get("product_id"):
        try:
            _, entry, _ = price_that_holds(context, doc["product_id"], currency, deal.doc.get("account_id"))
        except Problem:
            return price
        return price_in(entry)
    return price


def computed(context: Context, deal: Record, doc: Mapping[str, Any], currency: str, /) -> dict[str, Any]:
    """Return a line with all amounts, and what it would cost by the price list."""
    amounts = pricing.line_amounts({**doc, "price": doc["_price"], "currency": currency})
    demand_bounded(amounts["gross_amount"]["amount"], "#/unit_price" if doc["price_source"] == "manual" else "#/quantity")
    listed = pricing.line_amounts({**doc, "price": _list_price(context, deal, doc, currency), "currency": currency})
    return {**doc, **amounts, "_list_amount": listed["gross_amount"]["amount"]}


def new_line(context: Context, deal: Record, body: Mapping[str, Any], others: Sequence[Mapping[str, Any]], /) -> dict[str, Any]:
    """Return a line as it would be written: text and billing from the product, price, amounts.

    :param others: The lines that the deal has beside it.
    :raises Problem: ``product_unusable``, ``price_not_found``, ``line_currency_differs``.
    """
    product = context.records.peek(PRODUCTS, body["product_id"]) if "product_id" in body else None
    if product is None and "name" not in body and "product_id" not in body:
        error = {"pointer": "#/name", "code": "required", "detail": "is required where there is no product"}
        raise Problem("validation_failed", "1 field is not valid; see errors.", [error])
    if "product_id" in body and product is None and "unit_price" not in body:
        raise unknown("#/product_id", f"No product has the ID {body['product_id']}.")
    known: Mapping[str, Any] = product.doc if product else {}
    line: dict[str, Any] = {"name": "", "quantity": "1", "tax_rate": "0", "billing": known.get("billing", "one_off")}
    line |= {n: known[n] for n in ("name", "sku", "description", "billing_period") if n in known}
    line |= {k: v for k, v in body.items() if k != "unit_price"}
    if line["billing"] == "recurring":
        line = {"billing_period": "month", "term_months": pricing.DEFAULT_TERM, **line}
    else:
        line = {k: v for k, v in line.items() if k not in _RECURRING}
    currency = _currency(context, deal, others, body)
    _demand_currency(body, currency)
    line |= {k: v for k, v in _price(context, deal, body, currency).items() if v is not None}
    return computed(context, deal, line, currency)


def write_line(context: Context, deal: Record, body: Mapping[str, Any], position: int, /, *, event: str = "") -> Record:
    """Write a new line of a deal at a place."""
    others = [line.doc for line in lines_of(context, deal.id)]
    line = new_line(context, deal, body, others)
    return context.records.create(LINES, {**line, "deal_id": deal.id, "position": position}, event=event)


# -- one line ----------------------------------------------------------------------------------------------------------


@handles("listLineItems")
def list_lines(call: Call) -> Reply:
    """Return the lines in their order."""
    return listing.list_records(call, default=(Sort("position", False), Sort("id", False)))


@handles("createLineItem")
def create(call: Call) -> Reply:
    """Add a line behind the others."""
    deal = writable_deal(call, call.path["deal_id"], is_open=True)
    line = write_line(call, deal, call.body, len(lines_of(call, deal.id)) + 1, event="crm.deal_line_item.created.v1")
    return single.shown(call, line, 201, Location=f"/v1/deals/{deal.id}/line-items/{line.id}")


@handles("updateLineItem")
def update(call: Call) -> Reply:
    """Change a line and compute it anew."""
    deal = writable_deal(call, call.path["deal_id"], is_open=True)
    line, body = call.found, dict(call.body)
    currency = line.doc["net_amount"]["currency"]
    _demand_currency(body, currency)
    doc = {k: v for k, v in {**line.doc, **body}.items() if v is not None}
    if "unit_price" in body or "price_book_id" in body:
        asked = {k: body[k] for k in ("unit_price", "price_book_id") if k in body}
        doc |= _price(call, deal, {**asked, **({"product_id": doc["product_id"]} if "product_id" in doc else {})}, currency)
    if doc["billing"] == "recurring":
        doc = {"billing_period": "month", "term_months": pricing.DEFAULT_TERM, **doc}
    else:
        doc = {k: v for k, v in doc.items() if k not in _RECURRING}
    doc = {k: v for k, v in computed(call, deal, doc, currency).items() if v is not None}
    return single.shown(call, call.records.replace(line, doc, event="crm.deal_line_item.updated.v1"))


@handles("deleteLineItem")
def delete(call: Call) -> Reply:
    """Remove a line; those behind it move up."""
    deal = writable_deal(call, call.path["deal_id"], is_open=True)
    reply = single.delete(call)
    place(call, [line.id for line in lines_of(call, deal.id)])
    return reply


def place(context: Context, ids: Sequence[str], /) -> None:
    """Give lines their places in an order."""
    with upkeep(context):
        for index, id in enumerate(ids):
            line = context.records.peek(LINES, id)
            if line is not None and line.doc["position"] != index + 1:
                context.records.change(line, {"position": index + 1})


# -- all lines ---------------------------------------------------------------------------------------------------------


@handles("reorderLineItems")
def reorder(call: Call) -> Reply:
    """Put the lines into another order."""
    deal = writable_deal(call, call.path["deal_id"], is_open=True)
    wanted = call.body["line_item_ids"]
    if sorted(wanted) != sorted(line.id for line in lines_of(call, deal.id)):
        detail = "The list must have every line of the deal once. Read the lines again."
        raise fault("line_order_incomplete", detail, "#/line_item_ids")
    place(call, wanted)
    call.emit("crm.deal_line_items.reordered.v1", deal.id, {"deal_id": deal.id, "line_item_ids": wanted})
    return Reply(200, {"line_item_ids": wanted})


@handles("replaceLineItems")
def replace(call: Call) -> Reply:
    """Write a whole set of lines in place of another."""
    deal = writable_deal(call, call.path["deal_id"], is_open=True)
    with upkeep(call):
        for line in lines_of(call, deal.id):
            call.records.delete(line)
    for index, body in enumerate(call.body["lines"]):
        try:
            write_line(call, deal, body, index + 1)
        except Problem as problem:
            raise inside(problem, f"/lines/{index}") from problem
    lines = lines_of(call, deal.id)
    call.emit("crm.deal_line_items.replaced.v1", deal.id, {"deal_id": deal.id, "line_item_ids": [line.id for line in lines]})
    answer: dict[str, Any] = {"lines": [call.records.shown(line) for line in lines]}
    return Reply(200, answer | ({"totals": pricing.totals_of([line.doc for line in lines])} if lines else {}))


@handles("previewLineItems")
def preview(call: Call) -> Reply:
    """Compute lines as if they were added."""
    deal = call.parents["deal_id"]
    made: list[dict[str, Any]] = []
    present = [line.doc for line in lines_of(call, deal.id)]
    for index, body in enumerate(call.body["lines"]):
        try:
            line = new_line(call, deal, body, [*present, *made])
            doc = {"id": "", "object": "line_item", **line}
            rules.enforce(call, call.resource(LINES), doc, None)
        except Problem as problem:
            raise inside(problem, f"/lines/{index}") from problem
        made.append(line)
    names = ("name", "unit_price", "price_source", "gross_amount", "discount_total", "net_amount", "tax_amount", "total_amount")
    shown = [{"position": i + 1, **{n: line[n] for n in names}} for i, line in enumerate(made)]
    return Reply(200, {"lines": shown, "totals": pricing.totals_of(made)})


@handles("repriceLineItems")
def reprice(call: Call) -> Reply:
    """Look up the prices of all lines again."""
    deal, body = writable_deal(call, call.path["deal_id"], is_open=True), call.body
    if "price_book_id" in body and call.records.peek(BOOKS, body["price_book_id"]) is None:
        raise unknown("#/price_book_id", f"No price book has the ID {body['price_book_id']}.")
    trial, changes, after = body.get("validate_only", False), [], []
    for line in lines_of(call, deal.id):
        new = _repriced(call, deal, line, body)
        after.append(line.doc if new is None else new)
        if new is None:
            continue
        prices = {"old_unit_price": line.doc["unit_price"], "new_unit_price": new["unit_price"]}
        changes.append({"line_item_id": line.id, "name": line.doc["name"], **prices, "price_book_id": new["price_book_id"]})
        if not trial:
            call.records.replace(line, new)
    if changes and not trial:
        call.emit("crm.deal_line_items.repriced.v1", deal.id, {"deal_id": deal.id, "changes": changes})
    answer: dict[str, Any] = {"is_validate_only": trial, "changes": changes, "kept_count": len(after) - len(changes)}
    return Reply(200, answer | ({"totals": pricing.totals_of(after)} if after else {}))


def _repriced(call: Call, deal: Record, line: Record, body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a line with today's price, or ``None`` where it keeps its own."""
    if "product_id" not in line.doc or (line.doc["price_source"] == "manual" and not body.get("include_manual")):
        return None
    currency = line.doc["net_amount"]["currency"]
    asked = {"product_id": line.doc["product_id"]} | ({"price_book_id": body["price_book_id"]} if "price_book_id" in body else {})
    try:
        new = computed(call, deal, {**line.doc, **_price(call, deal, asked, currency)}, currency)
    except Problem:
        return None
    return None if new["unit_price"] == line.doc["unit_price"] else new


@handles("getLineItemTotals")
def totals(call: Call) -> Reply:
    """Add up the lines, and compare with the deal's amount."""
    deal, lines = call.parents["deal_id"], [line.doc for line in lines_of(call, call.parents["deal_id"].id)]
    amount = None if hides_amounts(call) else deal.doc.get("amount")
    answer: dict[str, Any] = {"deal_id": deal.id, "is_synced": False} | ({"deal_amount": amount} if amount else {})
    if lines:
        sums = pricing.totals_of(lines)
        answer |= {"totals": sums, "is_synced": deal.doc.get("amount") == sums["net_amount"]}
    return Reply(200, answer)


@handles("getDealRevenueSchedule")
def schedule(call: Call) -> Reply:
    """Spread the lines over the days on which they are charged."""
    deal = call.parents["deal_id"]
    lines = [line.doc for line in lines_of(call, deal.id)]
    starts = deal.doc.get("close_on", call.now[:10])
    return Reply(200, {"deal_id": deal.id, **terms.schedule_of({"lines": lines, "starts_on": starts})})


@handles("syncDealAmount")
def sync(call: Call) -> Reply:
    """Make the net amount of the lines the amount of the deal."""
    deal = writable_deal(call, call.path["deal_id"], is_open=True)
    # The amount is written whatever the role may set; that the role may set it is asked here.
    field_access.check_writable(call, "deal", ["amount"])
    lines = [line.doc for line in lines_of(call, deal.id)]
    if not lines:
        raise Problem("deal_without_lines", "The deal has no lines. Add what is sold first.")
    changed = set_amount(call, deal, pricing.totals_of(lines)["net_amount"], "line_items")
    return single.shown(call, changed)


def discount_of(gross: Decimal, net: Decimal, /) -> str:
    """Return what was taken off in percent, to four places."""
    return plain((gross - net) / gross * 100) if gross else "0"
