"""Products: what a bundle may hold, how long a product can be sold, and what keeps it from being deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import derives, enforces, guards, handles
from crm_reference.emulator.services.deals.offers import ENTRIES, LINES, PRODUCTS, fault
from crm_reference.emulator.store import Record


@derives(PRODUCTS)
def derive(context: Context | None, product: Mapping[str, Any]) -> Mapping[str, Any]:
    """Fill in what a product begins with; the period of a recurring one is a month where nobody says."""
    recurring = product.get("billing") == "recurring"
    return {
        "status": product.get("status", "active"),
        "billing_period": product.get("billing_period", "month") if recurring else None,
    }


@enforces("product_components_fit")
def components_fit(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Look at the parts of a bundle: active products, none of them a bundle, each once."""
    parts, is_bundle = new.get("components") or [], new["kind"] == "bundle"
    if old is not None and (parts, new["kind"]) == (old.get("components") or [], old["kind"]):
        return ""
    if is_bundle != bool(parts):
        return "A bundle needs components." if is_bundle else f"A {new['kind']} has no components."
    seen: set[str] = set()
    for index, part in enumerate(parts):
        known = context.records.peek(PRODUCTS, part["product_id"])
        what = ""
        if known is None or known.id == new["id"]:
            what = "is no product that a bundle could hold"
        elif known.doc["kind"] == "bundle":
            what = "is a bundle itself"
        elif known.doc["status"] == "retired":
            what = "is retired"
        elif known.id in seen:
            what = "stands in the bundle twice"
        if what:
            return f"{part['product_id']} {what}.", f"components.{index}.product_id"
        seen.add(part["product_id"])
    return ""


@enforces("product_usable")
def usable(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a retired product on what is new; that it exists another rule says."""
    id = new.get("product_id")
    if id is None or old is not None or context.is_upkeep:
        return ""
    product = context.records.peek(PRODUCTS, id)
    if product is None or product.doc["status"] == "active":
        return ""
    instead = f" Sell {product.doc['replacement_id']} instead." if product.doc.get("replacement_id") else ""
    return f"{product.doc['name']} is retired.{instead}"


@guards(PRODUCTS)
def keep_used(context: Context, product: Record) -> None:
    """Keep a product that something refers to.

    :raises Problem: ``product_in_use``.
    """
    bundles = [p for p in context.records.find(PRODUCTS) if _holds(p, product.id)]
    if bundles or any(context.records.find(name, product_id=product.id) for name in (ENTRIES, LINES)):
        raise Problem("product_in_use", "The product has a price, stands on a line, or is part of a bundle. Retire it instead.")


def _holds(bundle: Record, id: str) -> bool:
    return any(part["product_id"] == id for part in bundle.doc.get("components") or ())


@handles("retireProduct")
def retire(call: Call) -> Reply:
    """Take a product out of sale."""
    product, body = call.found, call.body
    if product.doc["status"] == "retired":
        raise Problem("product_retired", f"The product is retired since {product.doc['retired_on']}.")
    day, instead = body.get("retired_on", call.now[:10]), body.get("replacement_id")
    if day > call.now[:10]:
        raise fault("day_in_future", "A product is retired today at the latest.", "#/retired_on")
    if instead is not None:
        known = call.records.peek(PRODUCTS, instead)
        if known is None or known.id == product.id or known.doc["status"] != "active":
            raise fault("replacement_unusable", f"{instead} is no other product that is on sale.", "#/replacement_id")
    patch = {"status": "retired", "retired_on": day, "replacement_id": instead, "retire_reason": body.get("reason")}
    return _told(call, call.records.change(product, patch), "crm.product.retired.v1")


@handles("reactivateProduct")
def reactivate(call: Call) -> Reply:
    """Put a retired product back on sale."""
    if call.found.doc["status"] != "retired":
        raise Problem("product_not_retired", "The product is on sale.")
    patch = {"status": "active", "retired_on": None, "replacement_id": None, "retire_reason": None}
    return _told(call, call.records.change(call.found, patch), "crm.product.reactivated.v1")


def _told(call: Call, product: Record, event: str) -> Reply:
    call.emit(event, product.id, {"record": call.records.public(product)})
    return single.shown(call, product)
