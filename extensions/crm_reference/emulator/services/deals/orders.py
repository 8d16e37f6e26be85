"""Orders: what an accepted quote becomes, how it is confirmed, and what was delivered of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.registry import enforces, guards, handles
from crm_reference.emulator.services.deals.money import plain
from crm_reference.emulator.services.deals.offers import (
    ORDERS,
    QUOTES,
    changed_content,
    fault,
    next_number,
    writable_deal,
)
from crm_reference.emulator.store import Record

_CONTENT = ("purchase_order_number", "requested_delivery_on", "delivery_address")
_OF_THE_LINE = (
    "line_number",
    "product_id",
    "name",
    "quantity",
    "billing",
    "billing_period",
    "unit_price",
    "discount_percent",
    "net_amount",
)


def _quote(context: Context, id: str) -> Record | None:
    quote = context.records.peek(QUOTES, id)
    return quote if quote is not None and context.records.visible(quote) else None


@enforces("order_quote_accepted")
def quote_accepted(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a quote that was not accepted."""
    if old is not None:
        return ""
    quote = _quote(context, new["quote_id"])
    if quote is None or quote.doc["status"] == "accepted":
        return ""
    return f"{quote.doc['number']} is {quote.doc['status'].replace('_', ' ')} and not accepted."


@enforces("order_quote_once")
def quote_once(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a second order of a quote, unless the first one was cancelled."""
    if old is not None:
        return ""
    others = [o for o in context.records.find(ORDERS, quote_id=new["quote_id"]) if o.doc["status"] != "cancelled"]
    return f"The quote became {others[0].doc['number']}." if others else ""


@enforces("order_content_fixed")
def content_fixed(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse another content once the order is confirmed."""
    if old is None or old["status"] == "draft" or not changed_content(new, old, _CONTENT):
        return ""
    return f"The order is {old['status'].replace('_', ' ')}."


@handles("createOrder")
def create(call: Call) -> Reply:
    """Take the lines of an accepted quote over."""
    body: dict[str, Any] = {"status": "draft", "lines": [], "fulfilments": [], **call.body}
    quote = _quote(call, body["quote_id"])
    if quote is not None:
        deal = writable_deal(call, quote.doc["deal_id"])
        body |= {name: quote.doc["totals"][name] for name in ("net_amount", "tax_amount", "total_amount")}
        body |= {"deal_id": deal.id, "account_id": deal.doc.get("account_id")}
        body["lines"] = [_line(line) for line in quote.doc["lines"]]
        body.setdefault("purchase_order_number", quote.doc.get("purchase_order_number"))
        body["number"] = next_number(call, "O", ORDERS)
    order = call.records.create(ORDERS, body, event="crm.order.created.v1")
    return single.shown(call, order, 201, Location=f"/v1/orders/{order.id}")


def _line(line: Mapping[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in _OF_THE_LINE if name in line} | {"fulfilled_quantity": "0"}


@handles("updateOrder")
def update(call: Call) -> Reply:
    """Change a draft."""
    writable_deal(call, call.found.doc["deal_id"])
    return single.update(call)


@guards(ORDERS)
def keep_binding(context: Context, order: Record) -> None:
    """Keep every order but a draft.

    :raises Problem: ``order_not_draft``.
    """
    writable_deal(context, order.doc["deal_id"])
    if order.doc["status"] != "draft":
        raise fault("order_not_draft", f"The order is {order.doc['status'].replace('_', ' ')}.")


def _step(call: Call, patch: Mapping[str, Any], event: str, **more: Any) -> Reply:
    writable_deal(call, call.found.doc["deal_id"])
    changed = call.records.change(call.found, patch)
    call.emit(event, changed.id, {"record": call.records.public(changed), **more})
    return single.shown(call, changed)


@handles("confirmOrder")
def confirm(call: Call) -> Reply:
    """Make an order binding."""
    if call.found.doc["status"] != "draft":
        raise fault("order_wrong_status", f"The order is {call.found.doc['status'].replace('_', ' ')}.")
    return _step(call, {"status": "confirmed", "confirmed_at": call.now}, "crm.order.confirmed.v1")


@handles("cancelOrder")
def cancel(call: Call) -> Reply:
    """Call an order off."""
    if call.found.doc["status"] == "cancelled":
        raise fault("order_wrong_status", "The order is cancelled already.")
    patch = {"status": "cancelled", "cancelled_at": call.now, "cancel_reason": call.body["reason"]}
    return _step(call, patch, "crm.order.cancelled.v1")


@handles("recordOrderFulfilment")
def fulfil(call: Call) -> Reply:
    """Add a delivery to the lines."""
    order, body = call.found, call.body
    if body["fulfilled_on"] > call.now[:10]:
        raise fault("day_in_future", "A delivery is recorded when it has taken place.", "#/fulfilled_on")
    lines = delivered(order.doc["lines"], body["lines"])
    is_whole = all(Decimal(line["fulfilled_quantity"]) == Decimal(line["quantity"]) for line in lines)
    patch = {
        "status": "fulfilled" if is_whole else "partly_fulfilled",
        "lines": lines,
        "fulfilments": [*order.doc["fulfilments"], dict(body)],
    }
    return _step(call, patch, "crm.order.fulfilled.v1", fulfilment=dict(body))


def delivered(lines: Sequence[Mapping[str, Any]], delivery: Sequence[Mapping[str, Any]], /) -> list[dict[str, Any]]:
    """Return an order's lines after a delivery.

    :raises Problem: ``order_line_unknown``, ``order_overfulfilled``.
    """
    after = {line["line_number"]: dict(line) for line in lines}
    for index, part in enumerate(delivery):
        line = after.get(part["line_number"])
        if line is None:
            raise fault("order_line_unknown", f"The order has no line {part['line_number']}.", f"#/lines/{index}/line_number")
        done = Decimal(line["fulfilled_quantity"]) + Decimal(part["quantity"])
        if done > Decimal(line["quantity"]):
            left = plain(Decimal(line["quantity"]) - Decimal(line["fulfilled_quantity"]))
            raise fault("order_overfulfilled", f"Of line {part['line_number']} only {left} are left.", f"#/lines/{index}/quantity")
        line["fulfilled_quantity"] = plain(done)
    return list(after.values())
