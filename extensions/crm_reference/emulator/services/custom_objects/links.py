"""Links between records of any two objects: their rules, many at once, and the records at their other ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.contract import Resource
from crm_reference.emulator.behaviours import batch
from crm_reference.emulator.behaviours.listing import paged_items
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.custom_fields.scope import CUSTOM
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import enforces, handles, sees
from crm_reference.emulator.services.custom_objects.letting_go import LINKS, TYPES, links_of, unlink
from crm_reference.emulator.services.custom_objects.relationship_types import limits_of
from crm_reference.emulator.store import Record

#: Whom to ask for a record that may be too new for the local copy, by the object.
_OWNERS = {"contact": ("contacts", "getContact"), "account": ("accounts", "getAccount"), "deal": ("deals", "getDeal")}

Doc = Mapping[str, Any]


# -- ends --------------------------------------------------------------------------------------------------------------------


def end_of(context: Context, id: str, /) -> tuple[Record, Resource] | None:
    """Return a living record of any extensible object by its ID, with its resource, whoever may see it."""
    for resource in context.world.contract.resources.values():
        if resource.extensible and resource.prefix == id[:3]:
            record = context.records.peek(resource.collection, id)
            return None if record is None else (record, resource)
    return None


def object_at(record: Record, resource: Resource, /) -> str:
    """Return the object of a record: the type of a custom one."""
    return str(record.doc["object_type"]) if resource.extensible == CUSTOM else resource.extensible


def name_of(record: Record, resource: Resource, /) -> str:
    """Return a record's name for people, as its resource makes it."""
    values = {k: v for k, v in record.doc.items() if isinstance(v, str)}
    return " ".join(resource.name.format_map(_Blank(values)).split())


class _Blank(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


@sees(LINKS)
def sees_link(context: Context, link: Record) -> bool:
    """Show a link to whoever sees both ends of it that are there."""
    if context.is_upkeep:
        return True
    ends = [end_of(context, link.doc[name]) for name in ("from_id", "to_id")]
    return all(context.records.visible(found[0]) for found in ends if found is not None)


# -- rules ---------------------------------------------------------------------------------------------------------------------


def _kind(context: Context, link: Doc) -> Doc | None:
    record = context.records.peek(TYPES, link["relationship_type_id"])
    return None if record is None else record.doc


@enforces("link_ends_fit")
def link_ends_fit(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Demand two records that the caller sees, of the objects that the type names."""
    kind = _kind(context, new)
    if context.is_upkeep or old is not None or kind is None:
        return ""
    for side in ("from", "to"):
        wanted, id = kind[f"{side}_type"], new[f"{side}_id"]
        if wanted in _OWNERS and context.service:
            context.ask(*_OWNERS[wanted])
        found = end_of(context, id)
        if found is None or not context.records.visible(found[0]) or object_at(*found) != wanted:
            return f"No {wanted.replace('_', ' ')} has the ID {id}.", f"{side}_id"
    return ("A record can't be tied to itself.", "to_id") if new["from_id"] == new["to_id"] else ""


@enforces("link_is_new")
def link_is_new(context: Context, new: Doc, old: Doc | None) -> str:
    """Refuse a second link of a type between two records."""
    if old is not None:
        return ""
    ends = {name: new[name] for name in ("relationship_type_id", "from_id", "to_id")}
    there = [link for link in context.records.find(LINKS, **ends) if link.id != new["id"]]
    return f"{there[0].id} ties the two already." if there else ""


@enforces("link_within_limits")
def link_within_limits(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Keep cardinality and limits of the type."""
    kind = _kind(context, new)
    if old is not None or kind is None:
        return ""
    for side, limit in zip(("from", "to"), limits_of(kind), strict=True):
        id = new[f"{side}_id"]
        ends = {"relationship_type_id": new["relationship_type_id"], f"{side}_id": id}
        count = len([link for link in context.records.find(LINKS, **ends) if link.id != new["id"]])
        if limit and count >= limit:
            links = "one link" if limit == 1 else f"{limit} links"
            return f"{id} has {links} of the type {kind['name']}, which is all that it may have.", f"{side}_id"
    return ""


# -- operations ------------------------------------------------------------------------------------------------------------------


@handles("deleteRecordLink")
def delete_link(call: Call) -> Reply:
    """Remove a link and tell of it whole."""
    unlink(call, call.found)
    return Reply(204)


@handles("batchCreateRecordLinks", by_item=True)
def create_links(call: Call) -> Reply:
    """Make up to a hundred links."""

    def one(item: Doc) -> tuple[int, Record]:
        return 201, call.records.create(LINKS, item, event="crm.record_link.created.v1")

    return batch.run_items(call, call.body["items"], one)


@handles("batchDeleteRecordLinks", by_item=True)
def delete_links(call: Call) -> Reply:
    """Remove up to a hundred links."""

    def one(id: str) -> tuple[int, None]:
        unlink(call, call.records.get(LINKS, id))
        return 204, None

    return batch.run_items(call, call.body["ids"], one)


@handles("listLinkedRecords")
def list_linked(call: Call) -> Reply:
    """List the records at the other ends of a record's links."""
    id = call.path["record_id"]
    found = end_of(call, id)
    if found is None or not call.records.visible(found[0]):
        raise Problem("not_found", f"No record that links can lead to has the ID {id}.")
    kinds = {r.id: r.doc for r in call.records.find(TYPES)}
    entries = []
    for link in links_of(call, id):
        if not sees_link(call, link) or call.query.get("relationship_type_id") not in (None, link.doc["relationship_type_id"]):
            continue
        entry = _linked(call, link, kinds[link.doc["relationship_type_id"]], id)
        if entry is not None and call.query.get("direction") in (None, entry["direction"]):
            entries.append(entry)
    return paged_items(call, sorted(entries, key=lambda e: (e["relationship_type_id"], e["record_link_id"])))


def _linked(call: Call, link: Record, kind: Doc, id: str) -> dict[str, Any] | None:
    forward = link.doc["from_id"] == id
    other = end_of(call, link.doc["to_id" if forward else "from_id"])
    if other is None:
        return None
    entry: dict[str, Any] = {
        "record_link_id": link.id,
        "relationship_type_id": kind["id"],
        "label": kind["label" if forward else "inverse_label"],
        "direction": "to" if forward else "from",
        "record_id": other[0].id,
        "object_type": object_at(*other),
        "is_current": link.doc.get("starts_on", "") <= call.now[:10] <= link.doc.get("ends_on", "9999"),
    }
    if name := name_of(*other):
        entry["record_name"] = name
    return entry | {day: link.doc[day] for day in ("starts_on", "ends_on") if day in link.doc}
