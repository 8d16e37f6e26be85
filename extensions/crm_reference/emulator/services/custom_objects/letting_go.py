"""What holds on to a record, or goes along, when it is deleted: links by their type's policies, reference fields by their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.call import Context
from crm_reference.emulator.custom_fields.scope import CUSTOM, object_of, resource_of
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.services.custom_objects.definitions import FIELDS, RECORDS
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record

LINKS, TYPES = "record-links", "relationship-types"
#: What a client says of a link.
SAID = ("relationship_type_id", "from_id", "to_id", "note", "starts_on", "ends_on")
_DELETED = "crm.custom_record.deleted.v1"

Doc = Mapping[str, Any]


def links_of(context: Context, id: str, /) -> list[Record]:
    """Return the links with a record at either end, the oldest first."""
    where = f"{member('from_id')} = ? or {member('to_id')} = ?"
    return context.world.store.select(context.tenant, LINKS, where, (id, id))


def referring(context: Context, object_type: str, id: str, /) -> Iterator[tuple[Record, str, str]]:
    """Yield the custom records with a reference field that leads to a record, with the field and what its deletion does."""
    for field in context.records.find(FIELDS, type="reference"):
        said = field.doc
        resource = resource_of(context, said["object_type"])
        if object_of(context, said.get("target", "")) != object_type or resource is None or resource.extensible != CUSTOM:
            continue
        where = f"{member('object_type')} = ? and {member('custom_fields.' + said['name'])} = ?"
        for record in context.world.store.select(context.tenant, RECORDS, where, (said["object_type"], id)):
            yield record, said["name"], said.get("on_target_delete", "clear")


def delete(context: Context, record: Record, /) -> None:
    """Move a custom record to the recycle bin with everything that goes along; all of it or nothing.

    :raises Problem: ``custom_record_held``; ``record_read_only`` where the caller may not delete it.
    """
    access.demand(context, record, "delete")
    with context.world.store.transaction():
        _delete(context, record, set())


def _delete(context: Context, record: Record, seen: set[str]) -> None:
    seen.add(record.id)
    gone = release(context, record.doc["object_type"], record.id, seen)
    with upkeep(context):
        context.records.delete(record)
    buried = context.world.store.get(context.tenant, RECORDS, record.id, deleted=True)
    if buried is None:  # pragma: no cover  (a soft deletion leaves it there)
        return
    if gone:
        context.records.note(buried, _gone=gone)
    left = {"id": record.id, "object": CUSTOM, "version": buried.version, "deleted_at": buried.deleted_at}
    context.emit(_DELETED, record.id, {"object_type": record.doc["object_type"], "record": left})


def release(context: Context, object_type: str, id: str, seen: set[str], /) -> list[dict[str, Any]]:
    """Let go of a record that is deleted, here or in another service: remove links, clear references, delete what depends on it.

    :return: What was done, for :func:`restore`.
    :raises Problem: ``custom_record_held``.
    """
    done: list[dict[str, Any]] = []
    for link in links_of(context, id):
        kind = context.records.peek(TYPES, link.doc["relationship_type_id"])
        side, other = ("from", "to") if link.doc["from_id"] == id else ("to", "from")
        policy = kind.doc.get(f"on_{side}_deleted", "unlink") if kind is not None else "unlink"
        if policy == "restrict" and not context.is_upkeep:
            raise Problem("custom_record_held", f"{link.id} ties {id} to {link.doc[f'{other}_id']}; remove the link first.")
        unlink(context, link)
        done.append({"link": link.doc, "version": link.version})
        if policy == "cascade":
            done += _along(context, link.doc[f"{other}_id"], seen)
    for record, field, policy in list(referring(context, object_type, id)):
        if policy == "restrict" and not context.is_upkeep:
            raise Problem("custom_record_held", f"{record.id} refers to {id} in {field}; change it first.")
        if policy == "cascade":
            done += _along(context, record.id, seen)
        else:
            done.append({"id": record.id, "field": field, "value": id})
            refer(context, record, field, None)
    return done


def unlink(context: Context, link: Record, /) -> None:
    """Remove a link and tell of it, with the whole link."""
    told = context.records.public(link)
    with upkeep(context):
        context.records.delete(link)
    context.emit("crm.record_link.deleted.v1", link.id, {"record": told})


def _along(context: Context, id: str, seen: set[str]) -> list[dict[str, Any]]:
    record = context.records.peek(RECORDS, id)
    if record is None or id in seen:
        return []
    if not context.is_upkeep and not access.may(context, context.resource(RECORDS), record, "delete"):
        raise Problem("custom_record_held", f"{id} would go along, and you may not delete it.")
    _delete(context, record, seen)
    return [{"record": id}]


def refer(context: Context, record: Record, field: str, value: str | None, /) -> None:
    """Set or clear a reference field of a custom record as upkeep, and tell of it."""
    with upkeep(context):
        changed = context.records.change(record, {"custom_fields": {field: value}}, touched={})
    data = {"object_type": changed.doc["object_type"], "record": context.records.public(changed)}
    previous = {} if value else {f"custom_fields.{field}": record.doc["custom_fields"][field]}
    context.emit(
        "crm.custom_record.updated.v1", changed.id, {**data, "changed_fields": [f"custom_fields.{field}"], "previous": previous}
    )


def restore(context: Context, record: Record, /) -> Record:
    """Bring a record back with what its deletion took, as far as the world allows.

    :raises Problem: ``not_found`` once its days are over; a unique rule's code where its place was taken meanwhile.
    """
    gone = record.doc.get("_gone", ())
    clean = Record(
        record.collection, record.id, record.version, {k: v for k, v in record.doc.items() if k != "_gone"}, record.deleted_at
    )
    restored = context.records.restore(clean)
    for entry in gone:
        with suppress(Problem), context.world.store.transaction(), upkeep(context):
            _take_back(context, entry)
    return restored


def erase(context: Context, record: Record, /) -> tuple[int, int, int]:
    """Remove a record for good with its history; what refers to it lets go as in a deletion.

    :return: How many entries its history had, how many links went, and how many records referred to it.
    :raises Problem: ``custom_record_held``.
    """
    with context.world.store.transaction():
        gone = [] if record.deleted_at else release(context, record.doc["object_type"], record.id, {record.id})
        history = context.records.erase(record)
    links = sum(1 for entry in gone if "link" in entry)
    return history, links, len(gone) - links


def _take_back(context: Context, entry: Doc) -> None:
    if "link" in entry:
        said = entry["link"]
        ends = [
            context.world.store.get(context.tenant, RECORDS, said[e]) for e in ("from_id", "to_id") if said[e].startswith("cob_")
        ]
        if None not in ends and context.records.peek(TYPES, said["relationship_type_id"]) is not None:
            back = context.records.revive(LINKS, said, entry["version"] + 1)
            context.emit("crm.record_link.created.v1", back.id, {"record": context.records.public(back)})
    elif "record" in entry:
        along = context.world.store.get(context.tenant, RECORDS, entry["record"], deleted=True)
        if along is not None and along.deleted_at is not None:
            back = restore(context, along)
            data = {"object_type": back.doc["object_type"], "record": context.records.public(back)}
            context.emit("crm.custom_record.restored.v1", back.id, data)
    else:
        holder = context.records.peek(RECORDS, entry["id"])
        if holder is not None and entry["field"] not in holder.doc.get("custom_fields", {}):
            refer(context, holder, entry["field"], entry["value"])


def copy_links(context: Context, record: Record, copy: Record, /) -> None:
    """Give a copy the links of the original, as far as cardinality lets it have them."""
    for link in links_of(context, record.id):
        said: dict[str, Any] = {name: link.doc[name] for name in SAID if name in link.doc}
        said = {k: copy.id if v == record.id else v for k, v in said.items()}
        with suppress(Problem), context.world.store.transaction():
            context.records.create(LINKS, said, event="crm.record_link.created.v1")
