"""Deals one by one: what follows from their fields, what is computed when they are read, and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from crm_reference.emulator import owners
from crm_reference.emulator.call import Context
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, derives, enforces, guards, presents
from crm_reference.emulator.services.deals.common import DEALS, PIPELINES, STAGES, is_archived, stages_of
from crm_reference.emulator.services.deals.money import decimal_of, minor_units, weighted
from crm_reference.emulator.services.deals.offers import LINES
from crm_reference.emulator.store import Record

#: The largest amount of a deal.
MAX_AMOUNT = Decimal(1_000_000_000_000)
#: What is fixed once a deal is won or lost.
_FIXED = ("amount", "close_on", "forecast_category", "type", "account_id", "primary_contact_id")
_DAY = 86_400

Doc = Mapping[str, Any]


@derives(DEALS)
def follow(context: Context | None, doc: Doc) -> Doc:
    """Derive stage and pipeline of a new deal, its status, the amount to compare by, and the marks that are always there."""
    derived: dict[str, Any] = {
        "type": doc.get("type", "new_business"),
        "priority": doc.get("priority", "medium"),
        "source": doc.get("source", "manual"),
        "amount_source": doc.get("amount_source", "manual"),
        "is_probability_overridden": doc.get("is_probability_overridden", False),
        "original_close_on": doc.get("original_close_on", doc.get("close_on")),
        "amount_minor": None,
    }
    if context is None:
        derived["is_owner_active"] = doc.get("is_owner_active", True)
    else:
        derived["is_owner_active"] = owners.is_active(context, doc.get("owner_id", ""))
        derived |= _placed(context, doc)
        if (
            derived["amount_source"] == "line_items"
            and not context.is_upkeep
            and not context.records.find(LINES, deal_id=doc["id"])
        ):
            derived["amount_source"] = "manual"
    amount = doc.get("amount")
    if amount:
        derived["amount_minor"] = int(decimal_of(amount).scaleb(minor_units(amount["currency"])))
    return derived


def _placed(context: Context, doc: Doc) -> dict[str, Any]:
    """Return what follows from the stage; that of a new deal that names none is the first open one of its pipeline."""
    stage = context.records.peek(STAGES, doc["stage_id"]) if "stage_id" in doc else first_stage(context, doc.get("pipeline_id", ""))
    if stage is None:
        return {"status": doc.get("status", "open"), "probability": doc.get("probability", 0)}
    said = stage.doc
    return {
        "stage_id": stage.id,
        "pipeline_id": doc.get("pipeline_id", said["pipeline_id"]),
        "status": said["category"],
        "stage_entered_at": doc.get("stage_entered_at", context.now),
        "probability": doc.get("probability", said["probability"]),
        "forecast_category": doc.get("forecast_category", said["forecast_category"]),
    }


def first_stage(context: Context, pipeline: str, /) -> Record | None:
    """Return the first open stage of a pipeline, or of the tenant's default one where none is named."""
    if not pipeline:
        defaults = [p for p in context.records.find(PIPELINES) if p.doc.get("is_default")]
        pipeline = defaults[0].id if defaults else ""
    return next((s for s in stages_of(context, pipeline) if s.doc["category"] == "open"), None)


# -- what is computed when a deal is read ----------------------------------------------------------------------------------------


def days_between(since: str, now: str, /) -> int:
    """Return the whole days between two instants.

    >>> days_between("2026-01-01T10:00:00Z", "2026-01-05T09:00:00Z")
    3
    """
    return (seconds_of(now) - seconds_of(since)) // _DAY


@computes("deal_rotting")
def rotting(asked: Doc, /) -> dict[str, Any]:
    """Return days in the stage and whether they are too many.

    :param asked: ``status``, ``stage_entered_at``, ``now``, and ``rotting_after_days`` where the stage has a limit.
    """
    if asked["status"] != "open":
        return {"is_rotting": False}
    days = days_between(asked["stage_entered_at"], asked["now"])
    limit = asked.get("rotting_after_days")
    return {"days_in_stage": days, "is_rotting": limit is not None and days > limit}


@presents(DEALS)
def present(context: Context, deal: Record) -> Doc:
    """Return what a deal's amount weighs, how long the deal has been in its stage, and whether that is too long."""
    stage = context.records.peek(STAGES, deal.doc.get("stage_id", ""))
    limit = stage.doc.get("rotting_after_days") if stage is not None else None
    since = deal.doc.get("stage_entered_at", deal.doc.get("created_at", context.now))
    asked = {"status": deal.doc.get("status", "open"), "stage_entered_at": since, "now": context.now}
    amount = deal.doc.get("amount")
    return {
        "weighted_amount": weighted(amount, int(deal.doc.get("probability", 0))) if amount else None,
        **rotting(asked | ({} if limit is None else {"rotting_after_days": limit})),
    }


# -- rules ---------------------------------------------------------------------------------------------------------------------


@enforces("deal_owner_is_active")
def deal_owner_is_active(context: Context, new: Doc, old: Doc | None) -> str:
    """Refuse a user who was deactivated as the owner of a new deal."""
    return owners.inactive(context, new, old)


@enforces("stage_of_pipeline")
def stage_of_pipeline(context: Context, new: Doc, old: Doc | None) -> str:
    """Refuse a stage and a pipeline that don't belong together."""
    stage = context.records.peek(STAGES, new.get("stage_id", ""))
    if old is not None or stage is None or stage.doc["pipeline_id"] == new.get("pipeline_id"):
        return ""
    return f"{stage.doc['name']} is a stage of {stage.doc['pipeline_id']}."


@enforces("starts_open")
def starts_open(context: Context, new: Doc, old: Doc | None) -> str:
    """Refuse a stage that ends deals as the place where one begins."""
    if old is not None or context.is_upkeep or new.get("status") == "open":
        return ""
    return f"The stage means {new.get('status')}. Begin in an open stage."


@enforces("pipeline_active")
def pipeline_active(context: Context, new: Doc, old: Doc | None) -> str:
    """Refuse to begin a deal in a pipeline that is archived, or nowhere because there is no default pipeline."""
    if old is not None or context.is_upkeep:
        return ""
    if "stage_id" not in new:
        return "There is no active pipeline with an open stage to begin in."
    found = context.records.peek(PIPELINES, new.get("pipeline_id", ""))
    if found is None or not is_archived(context, found):
        return ""
    return f"{found.doc['name']} is archived and takes no deals."


@enforces("amount_fits")
def amount_fits(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Compare an amount with the bounds and with the places of its currency."""
    fault = amount_fault(new.get("amount"))
    return (fault, "amount.amount") if fault else ""


def amount_fault(amount: Doc | None, /) -> str:
    """Return what is wrong with an amount, or ``""``.

    >>> amount_fault({"amount": "12.345", "currency": "EUR"})
    'EUR has 2 decimal places.'
    """
    if not amount:
        return ""
    value, places = decimal_of(amount), minor_units(amount["currency"])
    if value < 0 or value > MAX_AMOUNT:
        return f"An amount is from 0 to {MAX_AMOUNT:,}."
    return "" if value == round(value, places) else f"{amount['currency']} has {places} decimal places."


@computes("deal_amount_fault")
def amount_fault_of(amount: Doc, /) -> str:
    """Return what is wrong with an amount, for vectors."""
    return amount_fault(amount)


@enforces("amount_by_hand")
def amount_by_hand(context: Context, new: Doc, old: Doc | None) -> str:
    """Refuse to change by hand what follows from line items, as long as there are some."""
    if old is None or context.is_upkeep or new.get("amount_source") != "line_items" or new.get("amount") == old.get("amount"):
        return ""
    return "The amount is the total of the line items. Change those."


@enforces("closed_locked")
def closed_locked(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Refuse to change what is fixed while a deal is won or lost."""
    if old is None or context.is_upkeep or old.get("status") == "open" or new.get("status") != old.get("status"):
        return ""
    changed = [name for name in _FIXED if new.get(name) != old.get(name)]
    return (f"The deal is {old.get('status')}. Reopen it to change this.", changed[0]) if changed else ""


@enforces("category_open")
def category_open(context: Context, new: Doc, old: Doc | None) -> str:
    """Keep the category closed for won deals."""
    reserved = new.get("status") == "open" and new.get("forecast_category") == "closed"
    return "Only a won deal is in the category closed." if reserved else ""


def demand_unordered(context: Context, deal: Record, /) -> None:
    """Refuse to lose or to take back a deal from which an order was made that isn't cancelled.

    :raises Problem: ``deal_has_order``.
    """
    orders = [o for o in context.records.find("orders", deal_id=deal.id) if o.doc.get("status") != "cancelled"]
    if orders:
        raise Problem("deal_has_order", f"{orders[0].id} was made from this deal. Cancel it first.")


@guards(DEALS)
def keep_ordered(context: Context, deal: Record) -> None:
    """Keep a deal that an order refers to."""
    demand_unordered(context, deal)


def today(context: Context, /) -> str:
    """Return today in UTC."""
    return datetime.fromisoformat(context.now.replace("Z", "+00:00")).date().isoformat()
