"""How deals begin, one by one and by the hundred: each with a transition and a place on the board; copies, owners and tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import owners
from crm_reference.emulator.behaviours import batch, single
from crm_reference.emulator.behaviours.external import find_external
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.records import merge_patch
from crm_reference.emulator.refusals import invalid, refused
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.deals.changing import change_deal
from crm_reference.emulator.services.deals.common import DEALS, TRANSITIONS, UPDATED
from crm_reference.emulator.services.deals.ranks import rank_on_top
from crm_reference.emulator.services.deals.records import first_stage
from crm_reference.emulator.store import Record
from crm_reference.emulator.tags import changed_tags

CREATED = "crm.deal.created.v1"


def create_deal(context: Context, body: Mapping[str, Any], /, *, event: str = CREATED, **members: Any) -> Record:
    """Create a deal on top of its column, and note the beginning as its first transition.

    :param members: What clients can't set: ``source``, ``cloned_from_id``, ``renewed_contract_id``.
    """
    stage = body.get("stage_id")
    if stage is None:
        first = first_stage(context, body.get("pipeline_id", ""))
        stage = first.id if first is not None else ""
    whole = {**body, **members, "board_rank": rank_on_top(context, stage)}
    deal = context.records.create(DEALS, whole, event=event)
    note_transition(context, deal, None, "created")
    return deal


def note_transition(context: Context, deal: Record, before: Mapping[str, Any] | None, kind: str, /, **members: Any) -> Record:
    """Write a step of a deal.

    :param before: The deal as it was; ``None`` at its beginning.
    :param members: ``seconds_in_stage`` and ``reason``, as far as they are known.
    """
    doc = deal.doc
    body = {
        "deal_id": deal.id,
        "kind": kind,
        "to_pipeline_id": doc["pipeline_id"],
        "to_stage_id": doc["stage_id"],
        "to_category": doc["status"],
        "moved_at": context.now,
        "moved_by": context.identity.user or None,
        "amount": doc.get("amount"),
        "probability": doc["probability"],
        **members,
    }
    if before is not None:
        body |= {"from_pipeline_id": before["pipeline_id"], "from_stage_id": before["stage_id"], "from_category": before["status"]}
    with upkeep(context):
        return context.records.create(TRANSITIONS, body)


def write_external(context: Context, system: str, key: str, body: Mapping[str, Any], /) -> tuple[int, Record]:
    """Create or change the deal that has a key in another system; return 201 or 200 and the deal.

    :raises Problem: ``deal_external_id_taken`` where the caller may not see it.
    """
    present = find_external(context, DEALS, system, key)
    patch = merge_patch(body, {"external_ids": {system: key}})
    if present is not None and not context.records.visible(present):
        raise Problem("deal_external_id_taken", f"{key} of {system} can't be used.")
    if present is None:
        return 201, create_deal(context, patch)
    _demand_same_place(present, body)
    return 200, change_deal(context, present, patch)


def _demand_same_place(deal: Record, body: Mapping[str, Any]) -> None:
    """Refuse to move a deal, or to change where it came from, by writing it under its external ID.

    :raises Problem: ``deal_source_fixed`` as an entry, or ``deal_place_fixed``.
    """
    if body.get("source", deal.doc["source"]) != deal.doc["source"]:
        raise invalid("#/source", "deal_source_fixed", f"is {deal.doc['source']} for ever")
    moved = [name for name in ("stage_id", "pipeline_id") if body.get(name, deal.doc[name]) != deal.doc[name]]
    if moved:
        raise refused("deal_place_fixed", "The deal stands elsewhere. Move it by its own operation.", f"#/{moved[0]}")


# -- operations ----------------------------------------------------------------------------------------------------------------


@handles("createDeal")
def create(call: Call) -> Reply:
    """Create a deal in its stage."""
    deal = create_deal(call, call.body)
    return single.shown(call, deal, 201, Location=single.location(call, deal))


@handles("updateDeal")
def update(call: Call) -> Reply:
    """Change a deal by a merge patch."""
    return single.shown(call, change_deal(call, call.found, call.body))


@handles("upsertDealByExternalId")
def upsert(call: Call) -> Reply:
    """Write the deal that has a key in another system."""
    system, key = call.path["system"], call.path["key"]
    wanted, present = call.headers.get("If-Match"), find_external(call, DEALS, system, key)
    if wanted is not None and (present is None or wanted not in (present.etag, "*")):
        raise Problem("version_mismatch", f"If-Match is {wanted}, and no deal with this key has that ETag.")
    status, deal = write_external(call, system, key, call.body)
    headers = {"Location": f"/v1/deals/{deal.id}"} if status == 201 else {}
    return single.shown(call, deal, status, **headers)


@handles("getDealByExternalId")
def read_external(call: Call) -> Reply:
    """Return the deal that has a key in another system."""
    deal = find_external(call, DEALS, call.path["system"], call.path["key"])
    if deal is None or not call.records.visible(deal):
        raise Problem("not_found", f"No deal has the key {call.path['key']} in {call.path['system']}.")
    call.record = deal
    return single.read(call)


@handles("batchCreateDeals", by_item=True)
def batch_create(call: Call) -> Reply:
    """Create up to 100 deals."""
    return batch.run_items(call, call.body["items"], lambda item: (201, create_deal(call, item)))


@handles("batchUpdateDeals", by_item=True)
def batch_update(call: Call) -> Reply:
    """Change up to 100 deals, each guarded by its own ETag."""

    def one(item: Mapping[str, Any]) -> tuple[int, Record]:
        deal = call.records.get(DEALS, item["id"])
        if item.get("if_match") and item["if_match"] not in (deal.etag, "*"):
            raise Problem("version_mismatch", f"if_match is {item['if_match']}, and the deal's ETag is {deal.etag}.")
        return 200, change_deal(call, deal, item["changes"])

    return batch.run_items(call, call.body["items"], one, within="/changes")


@handles("batchUpsertDeals", by_item=True)
def batch_upsert(call: Call) -> Reply:
    """Create or change up to 100 deals by the keys of another system."""

    def one(item: Mapping[str, Any]) -> tuple[int, Record]:
        key = item["external_id"]
        return write_external(call, key["system"], key["key"], item["record"])

    return batch.run_items(call, call.body["items"], one, within="/record")


_COPIED = (
    "account_id",
    "primary_contact_id",
    "pipeline_id",
    "type",
    "priority",
    "next_step",
    "description",
    "tags",
    "custom_fields",
)


@handles("cloneDeal")
def clone(call: Call) -> Reply:
    """Copy a deal into an open stage, with what the caller may see of it."""
    original, asked = call.records.shown(call.found), call.body
    body = {name: original[name] for name in _COPIED if name in original}
    body["name"] = asked.get("name", f"{call.found.doc['name']} (copy)"[:160])
    body["owner_id"] = asked.get("owner_id", call.identity.user)
    body |= {name: asked[name] for name in ("stage_id", "close_on") if name in asked}
    if "stage_id" in asked:
        body.pop("pipeline_id", None)
    if asked.get("has_amount", True) and "amount" in original:
        body["amount"] = original["amount"]
    deal = create_deal(call, body, source="clone", cloned_from_id=call.found.id)
    return single.shown(call, deal, 201, Location=f"/v1/deals/{deal.id}")


# -- owners and tags -----------------------------------------------------------------------------------------------------------


@handles("changeDealOwner")
def change_owner(call: Call) -> Reply:
    """Give one deal to another user."""
    check_owner(call, call.body["owner_id"], "#/owner_id")
    return single.shown(call, hand_over(call, call.found, call.body["owner_id"], reason=call.body.get("reason")))


def check_owner(context: Context, user: str, pointer: str, /) -> None:
    """Refuse a user who can't become an owner; see :func:`crm_reference.emulator.owners.check_owner`."""
    owners.check_owner(context, user, pointer, "deal_owner_inactive")


def hand_over(context: Context, deal: Record, owner: str, /, **told: str | None) -> Record:
    """Set another owner of a deal and tell of it."""
    return owners.hand_over(context, deal, owner, "crm.deal.owner_changed.v1", **told)


@handles("changeDealTags")
def change_tags(call: Call) -> Reply:
    """Add and remove single tags."""
    tags = changed_tags(call, "deal_tag_limit_exceeded", "The deal")
    return single.shown(call, call.records.change(call.found, {"tags": tags or None}, event=UPDATED))
