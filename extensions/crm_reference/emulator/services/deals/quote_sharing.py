"""Quotes outside the tenant: the page behind the link, and the document to be printed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.deals.offers import QUOTES, fault
from crm_reference.emulator.services.deals.quote_steps import accepted, hash_of, rejected
from crm_reference.emulator.services.deals.quotes import expire_due, tell
from crm_reference.emulator.store import Record
from crm_reference.emulator.tokens import Identity

#: Members of a quote that its customer sees.
_SHARED = ("number", "revision", "name", "status", "valid_until_on", "terms", "lines", "totals")


def _opened(call: Call, token: str) -> tuple[Context, Record]:
    """Return the quote of a link, and the context of its tenant.

    :raises Problem: ``quote_link_wrong``, whatever is the matter with the link.
    """
    for tenant in call.world.store.tenants(QUOTES) if call.world.store.has(QUOTES) else ():
        context = Context(call.world, Identity(tenant, "", "", frozenset(), "all", "", 0, {}), "deals")
        if context.records.find(QUOTES, _token_hash=hash_of(token)):
            expire_due(context)
            found = context.records.find(QUOTES, _token_hash=hash_of(token))
            if found:
                return context, found[0]
    raise fault("quote_link_wrong", "The link leads to no quote any more. Ask who sent it for a new one.", "#/token")


def seller_of(context: Context, /) -> str:
    """Return the name under which the tenant offers."""
    tenant = context.records.peek("tenants", context.tenant)
    return str(tenant.doc["name"]) if tenant is not None else context.tenant


def _shared(context: Context, quote: Record) -> dict[str, Any]:
    return {name: quote.doc[name] for name in _SHARED if name in quote.doc} | {"seller_name": seller_of(context)}


@handles("openSharedQuote")
def open_shared(call: Call) -> Reply:
    """Show the quote, and count the view."""
    context, quote = _opened(call, call.body["token"])
    with upkeep(context):
        viewed = context.records.change(quote, {"view_count": quote.doc["view_count"] + 1, "last_viewed_at": call.now})
    tell(context, viewed, "crm.quote.viewed.v1")
    return Reply(200, _shared(context, viewed))


@handles("decideSharedQuote")
def decide_shared(call: Call) -> Reply:
    """Accept or reject in the name of the customer."""
    context, quote = _opened(call, call.body["token"])
    body = call.body
    if body["decision"] == "accepted":
        decided = accepted(context, quote, body["name"], body.get("purchase_order_number"))
    else:
        decided = rejected(context, quote, body.get("reason", "other"), body.get("note"))
    return Reply(200, _shared(context, decided))


# -- the document --------------------------------------------------------------------------------------------------------


def _row(cells: list[str], tag: str = "td") -> str:
    return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _said(amount: Mapping[str, Any]) -> str:
    return f"{amount['amount']} {amount['currency']}"


def page_of(quote: Mapping[str, Any], seller: str, /) -> str:
    """Return a quote as a page of HTML: no scripts, every text escaped."""
    title = f"{quote['number']} revision {quote['revision']}"
    rows = [_row(["Line", "Quantity", "Price", "Discount %", "Net"], "th")]
    for line in quote["lines"]:
        cells = [line["name"], line["quantity"], _said(line["unit_price"]), line["discount_percent"], _said(line["net_amount"])]
        rows.append(_row(cells))
    totals = quote["totals"]
    sums = [_row(["Net amount", _said(totals["net_amount"])])]
    sums += [_row([f"Tax {tax['tax_rate']} %", _said(tax["tax_amount"])]) for tax in totals["taxes"]]
    sums.append(_row(["Total", _said(totals["total_amount"])]))
    terms = f"<p>{escape(quote['terms'])}</p>" if "terms" in quote else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head><body>'
        f"<h1>{escape(quote.get('name', title))}</h1>"
        f"<p>{escape(seller)}: {escape(title)}, valid until {quote['valid_until_on']}</p>"
        f"<table>{''.join(rows)}</table><table>{''.join(sums)}</table>{terms}</body></html>"
    )


@handles("getQuoteDocument")
def document(call: Call) -> Reply:
    """Return the page with its digest."""
    quote = call.found
    page = page_of(quote.doc, seller_of(call))
    digest = base64.b64encode(hashlib.sha256(page.encode()).digest()).decode()
    name = f"{quote.doc['number'].lower()}-{quote.doc['revision']}.html"
    headers = {
        "Content-Digest": f"sha-256=:{digest}:",
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
    }
    return Reply(200, page, headers, "text/html")
