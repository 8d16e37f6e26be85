"""Quotes: the lines of a deal frozen into an offer, its revisions and copies, its sums and the approval that it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import derives, enforces, guards, handles
from crm_reference.emulator.services.deals import pricing
from crm_reference.emulator.services.deals.lines import discount_of
from crm_reference.emulator.services.deals.money import decimal_of
from crm_reference.emulator.services.deals.offers import (
    DEALS,
    ORDERS,
    QUOTES,
    changed_content,
    lines_of,
    next_number,
    writable_deal,
)
from crm_reference.emulator.services.deals.terms import next_day
from crm_reference.emulator.store import Record

CREATED, UPDATED, EXPIRED = "crm.quote.created.v1", "crm.quote.updated.v1", "crm.quote.expired.v1"
VALID_DAYS = 30

_CONTENT = ("name", "valid_until_on", "recipient_contact_id", "terms", "internal_note", "header_discount_percent", "_base")
_OF_THE_LINE = (
    *("product_id", "sku", "name", "description", "quantity", "billing", "billing_period", "term_months", "period_count"),
    *("unit_price", "tax_rate", "gross_amount", "discount_total", "net_amount", "tax_amount", "total_amount"),
)


@derives(QUOTES)
def derive(context: Context | None, quote: Mapping[str, Any]) -> Mapping[str, Any]:
    """Compute lines and sums from the frozen lines and the discount over all of them, and who must agree."""
    base, percent = quote.get("_base"), quote.get("header_discount_percent")
    if base is None:
        return {}
    lines = []
    for line in base:
        amounts = pricing.with_header_discount({"line": line, "percent": percent}) if percent else {}
        lines.append({k: v for k, v in {**line, **amounts}.items() if k != "list_amount"})
    listed = [{"list_amount": b["list_amount"], "net_amount": x["net_amount"]["amount"]} for b, x in zip(base, lines, strict=True)]
    return {"lines": lines, "totals": pricing.totals_of(lines), "required_approval": pricing.approval_level(listed)}


@enforces("quote_content_fixed")
def content_fixed(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse another content once the quote is no draft any more."""
    if context.is_upkeep or old is None or old["status"] == "draft" or not changed_content(new, old, _CONTENT):
        return ""
    return f"The quote is {old['status'].replace('_', ' ')}. Make a revision of it."


@enforces("quote_not_over")
def not_over(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare a new last day with today."""
    day = new["valid_until_on"]
    if context.is_upkeep or (old is not None and old["valid_until_on"] == day) or day >= context.now[:10]:
        return ""
    return f"{day} is over."


@guards(QUOTES)
def keep_what_was_offered(context: Context, quote: Record) -> None:
    """Keep every quote but a draft.

    :raises Problem: ``quote_not_draft``.
    """
    writable_deal(context, quote.doc["deal_id"])
    demand_draft(quote)
    if context.records.find(ORDERS, quote_id=quote.id):
        raise Problem("quote_not_draft", "An order was made of the quote.")


def demand_draft(quote: Record, /) -> None:
    """Refuse a quote that is no draft.

    :raises Problem: ``quote_not_draft``.
    """
    if quote.doc["status"] != "draft":
        raise Problem("quote_not_draft", f"The quote is {quote.doc['status'].replace('_', ' ')}. Make a revision of it.")


def frozen(context: Context, deal_id: str, /) -> list[dict[str, Any]]:
    """Return the lines of a deal as a quote takes them over.

    :raises Problem: ``deal_without_lines``.
    """
    found = []
    for number, line in enumerate(lines_of(context, deal_id), 1):
        doc = line.doc
        kept = {name: doc[name] for name in _OF_THE_LINE if name in doc}
        percent = discount_of(decimal_of(doc["gross_amount"]), decimal_of(doc["net_amount"]))
        more = {"discount_percent": percent, "list_amount": doc.get("_list_amount", doc["gross_amount"]["amount"])}
        found.append({"line_number": number, "line_item_id": line.id, **kept, **more})
    if not found:
        raise Problem("deal_without_lines", "The deal has no lines. Add what is sold first.")
    return found


def expire_due(context: Context, /) -> None:
    """End every sent quote whose last day is over. A worker does it at midnight UTC; here whoever looks first."""
    today = context.now[:10]
    for quote in context.records.find(QUOTES, status="sent"):
        if quote.doc["valid_until_on"] < today:
            with upkeep(context):
                over = context.records.change(quote, {"status": "expired", "closed_at": context.now, "_token_hash": None})
            tell(context, over, EXPIRED)


def tell(context: Context, quote: Record, event: str, /) -> None:
    """Emit an event about a quote."""
    context.emit(event, quote.id, {"record": context.records.public(quote)})


def fresh(call: Call, /) -> Record:
    """Return the quote of the path after what is due has expired, for somebody who may write its deal."""
    expire_due(call)
    quote = call.records.get(QUOTES, call.path["quote_id"])
    writable_deal(call, quote.doc["deal_id"])
    return quote


def _new(context: Context, doc: Mapping[str, Any], base: Sequence[Mapping[str, Any]], **members: Any) -> Record:
    """Write a draft."""
    body = {"status": "draft", "revision": 1, "view_count": 0, "valid_until_on": next_day(context.now[:10], VALID_DAYS), **doc}
    if "number" not in members:
        members["number"] = next_number(context, "Q", QUOTES)
    return context.records.create(QUOTES, {**body, **members, "_base": list(base)}, event=CREATED)


def _made(call: Call, quote: Record) -> Reply:
    return single.shown(call, quote, 201, Location=f"/v1/quotes/{quote.id}")


# -- operations --------------------------------------------------------------------------------------------------------------------


@handles("listQuotes")
def list_quotes(call: Call) -> Reply:
    """Return quotes, those that are over among the expired."""
    expire_due(call)
    return listing.list_records(call)


@handles("getQuote")
def get(call: Call) -> Reply:
    """Return a quote as it is today."""
    expire_due(call)
    call.record = call.records.get(QUOTES, call.path["quote_id"])
    return single.read(call)


@handles("createQuote")
def create(call: Call) -> Reply:
    """Freeze the lines of a deal into a draft."""
    deal = call.records.peek(DEALS, call.body["deal_id"])
    if deal is None or not call.records.visible(deal):
        # There is nothing to freeze: the rule about the deal answers.
        return _made(call, call.records.create(QUOTES, {"status": "draft", "valid_until_on": call.now[:10], **call.body}))
    writable_deal(call, deal.id, is_open=True)
    return _made(call, _new(call, call.body, frozen(call, deal.id)))


def _visible_deal(context: Context, id: str) -> Record:
    """Return the open deal that a body names.

    :raises Problem: ``invalid_reference`` where it leads nowhere, ``deal_closed``.
    """
    try:
        return writable_deal(context, id, is_open=True)
    except Problem as problem:
        if problem.code != "not_found":
            raise
        error = {"pointer": "#/deal_id", "code": "invalid_reference", "detail": "leads to no deal"}
        raise Problem("validation_failed", "1 field is not valid; see errors.", [error]) from problem


@handles("updateQuote")
def update(call: Call) -> Reply:
    """Change a draft."""
    quote = fresh(call)
    return single.shown(call, call.records.change(quote, call.body, event=UPDATED))


@handles("refreshQuote")
def refresh(call: Call) -> Reply:
    """Take the lines that the deal has now."""
    quote = fresh(call)
    demand_draft(quote)
    changed = call.records.replace(quote, {**quote.doc, "_base": frozen(call, quote.doc["deal_id"])}, event=UPDATED)
    return single.shown(call, changed)


@handles("reviseQuote")
def revise(call: Call) -> Reply:
    """Make the next revision, and mark this one as superseded."""
    quote, body = fresh(call), call.body
    id = call.new_id("quo")
    base = frozen(call, quote.doc["deal_id"]) if body.get("is_refreshed") else quote.doc["_base"]
    patch = {"status": "superseded", "superseded_by_id": id, "_token_hash": None}
    old = call.records.change(quote, patch)
    kept = {k: quote.doc[k] for k in _CONTENT if k in quote.doc and k not in ("_base", "valid_until_on")}
    kept |= {"deal_id": quote.doc["deal_id"], "revision": quote.doc["revision"] + 1, "supersedes_id": quote.id}
    day = {"valid_until_on": body["valid_until_on"]} if "valid_until_on" in body else {}
    doc = {"status": "draft", "view_count": 0, "valid_until_on": next_day(call.now[:10], VALID_DAYS), **kept, **day}
    new = call.records.create(QUOTES, {**doc, "number": quote.doc["number"], "_base": base}, event=CREATED, id=id)
    tell(call, old, "crm.quote.superseded.v1")
    return _made(call, new)


@handles("cloneQuote")
def clone(call: Call) -> Reply:
    """Copy a quote to its deal or to another one."""
    expire_due(call)
    quote, body = call.found, call.body
    deal = _visible_deal(call, body.get("deal_id", quote.doc["deal_id"]))
    doc: dict[str, Any] = {k: quote.doc[k] for k in ("name", "terms", "header_discount_percent") if k in quote.doc}
    doc |= {k: body[k] for k in ("name", "valid_until_on") if k in body}
    return _made(call, _new(call, {**doc, "deal_id": deal.id}, quote.doc["_base"], cloned_from_id=quote.id))


@handles("listQuoteRevisions")
def revisions(call: Call) -> Reply:
    """Return all revisions of the offer, the newest first."""
    expire_due(call)
    found = sorted(call.records.find(QUOTES, number=call.found.doc["number"]), key=lambda q: -q.doc["revision"])
    return listing.paged_items(call, [call.records.shown(q) for q in found])
