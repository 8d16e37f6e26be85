"""What the modules of deals share: names of collections, who may see which deal, selections, refusals at a place of the body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from crm_reference.emulator import access
from crm_reference.emulator.behaviours.listing import criteria
from crm_reference.emulator.call import Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.refusals import invalid
from crm_reference.emulator.store import Record

DEALS, TRANSITIONS, REASONS, VIEWS = "deals", "deal-transitions", "deal-close-reasons", "deal-views"
#: The service's copies of what pipelines keeps.
PIPELINES, STAGES = "pipelines", "stages"
#: Pipelines that were heard to be archived or restored.
ARCHIVED = "deal-archived-pipelines"

UPDATED = "crm.deal.updated.v1"


def seen_deal(context: Context, id: str, /) -> Record | None:
    """Return a living deal that the caller may see, or ``None``."""
    deal = context.records.peek(DEALS, id)
    return deal if deal is not None and context.records.visible(deal) else None


def demand_open(deal: Record, /) -> None:
    """Refuse to go on with a deal that was won or lost.

    :raises Problem: ``deal_closed``.
    """
    if deal.doc["status"] != "open":
        raise Problem("deal_closed", f"{deal.id} is {deal.doc['status']}. Reopen it first.")


def stage_of(context: Context, id: str, pointer: str, /) -> Record:
    """Return a stage of the local copy.

    :param pointer: Where its ID stands in the body.
    :raises Problem: ``validation_failed`` with ``invalid_reference``.
    """
    stage = context.records.peek(STAGES, id)
    if stage is None:
        raise invalid(pointer, "invalid_reference", "There is no stage with this ID.")
    return stage


def stages_of(context: Context, pipeline: str, /) -> list[Record]:
    """Return the stages of a pipeline in their order."""
    return sorted(context.records.find(STAGES, pipeline_id=pipeline), key=lambda s: (s.doc["position"], s.id))


def is_archived(context: Context, pipeline: Record, /) -> bool:
    """Tell whether a pipeline takes no more deals, by what was heard of it last, else by its record."""
    heard = context.world.store.get(context.tenant, ARCHIVED, pipeline.id)
    return bool(heard.doc["is_archived"]) if heard is not None else pipeline.doc.get("status", "active") != "active"


def demand_active(context: Context, pipeline: str, /) -> None:
    """Refuse to put a deal into a pipeline that is archived.

    :raises Problem: ``deal_pipeline_archived``.
    """
    found = context.records.peek(PIPELINES, pipeline)
    if found is not None and is_archived(context, found):
        raise Problem("deal_pipeline_archived", f"{found.doc['name']} is archived and takes no deals.")


def own_deals(context: Context, /) -> Condition:
    """Return the condition of the deals that the caller may see."""
    return access.condition(context, context.resource(DEALS))


def matching(context: Context, body: Mapping[str, Any], pointer: str, /) -> Condition:
    """Return the condition of words and filter groups, of the deals that the caller may see.

    :param pointer: Of the filter groups, ``#/filter_groups``.
    """
    return own_deals(context).and_(criteria(context.records.fields(DEALS), body, pointer))


def selected(context: Context, selection: Mapping[str, Any], /, also: Condition | None = None, order: str = "id") -> list[str]:
    """Return the IDs of the living deals that a selection matches and that the caller may see.

    :param also: A further condition.
    :param order: Their order as :meth:`Fields.order` makes it.
    :raises Problem: ``validation_failed`` with pointers below ``#/selection``.
    """
    condition = matching(context, selection, "#/selection/filter_groups").and_(also or Condition())
    if "deal_ids" in selection:
        ids = orjson.dumps(list(selection["deal_ids"])).decode()
        condition = condition.and_(Condition("id in (select value from json_each(?))", [ids]))
    return [r.id for r in context.world.store.select(context.tenant, DEALS, condition.sql, condition.arguments, order=order)]


def hides_amounts(context: Context, /) -> bool:
    """Tell whether this caller may not see what deals are worth."""
    return "amount" in context.records.masked(DEALS)


def currency_of(context: Context, /) -> str:
    """Return the currency in which the tenant adds up."""
    tenant = context.records.peek("tenants", context.tenant)
    return str(tenant.doc.get("currency", "EUR")) if tenant is not None else "EUR"
