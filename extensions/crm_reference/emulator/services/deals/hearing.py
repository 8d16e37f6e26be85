"""What deals does when another service tells it something. Every write follows from the event, so nobody's rights are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import field_access
from crm_reference.emulator.call import Context
from crm_reference.emulator.hearing import follow
from crm_reference.emulator.registry import hears
from crm_reference.emulator.services.deals.changing import change_deal
from crm_reference.emulator.services.deals.common import ARCHIVED, DEALS, STAGES, UPDATED
from crm_reference.emulator.services.deals.moving import Way, arrival, carry
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record

#: System under which a deal keeps the ID of the lead that it was.
LEAD_SYSTEM = "lead"
#: The kind of record of which field security speaks.
DEAL = "deal"

Event = Mapping[str, Any]

follow(__name__, DEALS, DEAL, UPDATED)


@hears("crm.stage.deleted.v1")
def stage_deleted(context: Context, event: Event) -> None:
    """Move the deals of a stage to the one that the event names; rules are not asked, since the deals have to go."""
    gone, to = event["data"]["record"]["id"], event["data"].get("move_to_id")
    target = context.records.peek(STAGES, to) if to else None
    if target is not None:
        way = Way("moved", reason="The stage was deleted", has_rules=False)
        for deal in context.world.store.select(context.tenant, DEALS, f"{member('stage_id')} = ?", [gone], deleted=None):
            if deal.deleted_at is None:
                carry(context, deal, target, way)
            else:  # it is restored to where it would be now; nobody hears of it before
                context.records.note(deal, **arrival(context, deal, target, way))


@hears("crm.pipeline.archived.v1")
def pipeline_archived(context: Context, event: Event) -> None:
    """Keep that the pipeline takes no more deals."""
    _note_pipeline(context, event["data"]["record"]["id"], is_archived=True)


@hears("crm.pipeline.restored.v1")
def pipeline_restored(context: Context, event: Event) -> None:
    """Let the pipeline take deals again."""
    _note_pipeline(context, event["data"]["record"]["id"], is_archived=False)


def _note_pipeline(context: Context, id: str, *, is_archived: bool) -> None:
    context.world.store.put(context.tenant, Record(ARCHIVED, id, 1, {"id": id, "is_archived": is_archived}))


@hears("crm.account.deleted.v1")
def account_deleted(context: Context, event: Event) -> None:
    """Take the customer from its deals."""
    for deal in context.records.find(DEALS, account_id=event["data"]["record"]["id"]):
        change_deal(context, deal, {"account_id": None})


@hears("crm.account.merged.v1")
def accounts_merged(context: Context, event: Event) -> None:
    """Point deals to the surviving account."""
    _repoint(context, event, "account_id")


@hears("crm.account.unmerged.v1")
def accounts_unmerged(context: Context, event: Event) -> None:
    """Give deals back to the account that is there again."""
    _point_back(context, event, "account_id")


def _repoint(context: Context, event: Event, field: str) -> None:
    """Point deals from those that were merged away to the survivor, and keep with each which merge it was."""
    target, merge = event["data"]["target_id"], event["data"].get("merge_id", "")
    for source in event["data"]["source_ids"]:
        for deal in context.records.find(DEALS, **{field: source}):
            changed = change_deal(context, deal, {field: target})
            context.records.note(changed, _merges={**deal.doc.get("_merges", {}), f"{merge} {field}": source})


def _point_back(context: Context, event: Event, field: str) -> None:
    """Undo what a merge changed, where nobody has changed it since."""
    target, key = event["data"]["target_id"], f"{event['data']['merge_id']} {field}"
    for deal in context.records.find(DEALS, **{field: target}):
        source = deal.doc.get("_merges", {}).get(key)
        if source is not None:
            kept = {k: v for k, v in deal.doc["_merges"].items() if k != key}
            changed = change_deal(context, deal, {field: source})
            context.records.note(changed, _merges=kept)


@hears("crm.contact.deleted.v1")
def contact_deleted(context: Context, event: Event) -> None:
    """Take the main contact from the deals that had it."""
    for deal in context.records.find(DEALS, primary_contact_id=event["data"]["record"]["id"]):
        change_deal(context, deal, {"primary_contact_id": None})


@hears("crm.contact.merged.v1")
def contacts_merged(context: Context, event: Event) -> None:
    """Point main contacts to the surviving person."""
    _repoint(context, event, "primary_contact_id")


@hears("crm.contact.unmerged.v1")
def contacts_unmerged(context: Context, event: Event) -> None:
    """Give deals their former main contact back."""
    _point_back(context, event, "primary_contact_id")


@hears("crm.contact.erased.v1")
def contact_erased(context: Context, event: Event) -> None:
    """Take a person who was erased, and those who had been merged into them, from deals, the recycle bin included."""
    gone = {event["data"]["contact_id"], *event["data"].get("merged_contact_ids", ())}
    for deal in context.world.store.select(context.tenant, DEALS, deleted=None):
        if deal.doc.get("primary_contact_id") in gone and deal.deleted_at is None:
            change_deal(context, deal, {"primary_contact_id": None})
        elif deal.doc.get("primary_contact_id") in gone:
            context.records.note(deal, primary_contact_id=None)


@hears("crm.lead.converted.v1")
def lead_converted(context: Context, event: Event) -> None:
    """Keep the lead's ID with the deal that it became, unless the deal has one."""
    deal = context.records.peek(DEALS, event["data"].get("deal_id", ""))
    if deal is not None and LEAD_SYSTEM not in deal.doc.get("external_ids", {}):
        change_deal(context, deal, {"external_ids": {LEAD_SYSTEM: event["data"]["lead_id"]}})


@hears("crm.field_security.changed.v1")
def field_security_changed(context: Context, event: Event) -> None:
    """Hide with the amount what follows from it; what was said of each field is kept already."""
    data, store = event["data"], context.world.store
    if DEAL not in (data.get("object_name"), data.get("object_type")):
        return
    amount = store.get(context.tenant, field_access.COLLECTION, f"{DEAL}.{data['role']}.amount")
    for name in ("amount_minor", "weighted_amount"):
        # It stands beside what was said of the field itself and goes before it: of two the later ID counts.
        id = f"{DEAL}.{data['role']}.{name} of a hidden amount"
        if amount is not None and amount.doc["access"] == "hidden":
            doc = {"id": id, "object_type": DEAL, "role": data["role"], "field": name, "access": "hidden"}
            store.put(context.tenant, Record(field_access.COLLECTION, id, 1, doc))
        else:
            store.remove(context.tenant, field_access.COLLECTION, id)
