"""Versions of an object type's schema: made with each change, read, compared, and gone back to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours.listing import list_records
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.query import Sort
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.custom_objects.comparing import breaks, compare
from crm_reference.emulator.services.custom_objects.definitions import (
    TYPES,
    VERSIONS,
    definition,
    fields_of,
    frozen,
    refused,
    tell_field,
    type_named,
)
from crm_reference.emulator.store import Record

#: Newest version first.
_NEWEST = (Sort("number", True),)


def note(context: Context, record: Record, cause: str, text: str, /, *, is_breaking: bool = False) -> int:
    """Make a version of a type's schema as it is now, and return its number.

    :param cause: As ``SchemaVersionCause`` names it.
    :param text: What changed, in one line.
    """
    present = context.world.store.get(context.tenant, TYPES, record.id) or record
    number = present.doc["schema_version"] + 1
    context.records.note(present, schema_version=number)
    fields = [frozen(context, f) for f in fields_of(context, present.doc["name"])]
    body = {"object_type_id": present.id, "number": number, "cause": cause, "is_breaking": is_breaking, "text": text}
    context.records.create(VERSIONS, {**body, "label": present.doc["label"], "fields": fields})
    return int(number)


def note_field(context: Context, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, text: str, /) -> None:
    """Make a version after a field changed, where the field's object is a type in use.

    :param before: The field's document; ``None`` where it is new or back. An inactive field counts as none.
    :param after: The field's document now; ``None`` where it is gone.
    """
    known = after or before or {}
    record = type_named(context, str(known.get("object_type")))
    if record is None or record.doc["status"] != "published":
        return
    old = before if before and before.get("is_active", True) else None
    new = after if after and after.get("is_active", True) else None
    if old is None and new is None:
        return
    cause = "field_changed" if old and new else "field_added" if new else "field_removed"
    note(context, record, cause, text, is_breaking=bool(breaks(old, new)))


@handles("listSchemaVersions")
def list_versions(call: Call) -> Reply:
    """Answer a page of versions, newest first."""
    return list_records(call, _NEWEST)


def _numbered(context: Context, record: Record, number: int, pointer: str) -> Record:
    found = context.world.store.find(context.tenant, VERSIONS, object_type_id=record.id, number=number)
    if not found:
        raise refused("schema_version_unknown", f"{record.doc['name']} has no version {number}.", pointer)
    return found[0]


@handles("compareSchemaVersions")
def compare_versions(call: Call) -> Reply:
    """Compare two versions of a type's schema."""
    record, body = call.found, call.body
    newest = max(record.doc["schema_version"], 1)
    first = _numbered(call, record, body["from_number"], "#/from_number")
    second = _numbered(call, record, body.get("to_number", newest), "#/to_number")
    differences = compare(first.doc["fields"], second.doc["fields"])
    numbers = {"from_number": first.doc["number"], "to_number": second.doc["number"]}
    return Reply(200, {**numbers, "is_breaking": any(d["is_breaking"] for d in differences), "differences": differences})


# -- going back ------------------------------------------------------------------------------------------------------------


@handles("rollBackSchema")
def roll_back(call: Call) -> Reply:
    """Bring the fields of a type back to what they were in a version."""
    record, version = call.parents["object_type_id"], call.found
    if record.doc["status"] != "published":
        raise refused("object_type_not_published", f"{record.doc['name']} is {record.doc['status']}.")
    wanted = {f["id"]: f for f in version.doc["fields"]}
    present = {f.id: f for f in fields_of(call, record.doc["name"], deleted=None)}
    living = [frozen(call, f) for f in present.values() if f.deleted_at is None]
    differences = compare(living, wanted.values())
    if not differences:
        raise refused("roll_back_unchanged", f"The fields are those of version {version.doc['number']}.")
    _demand_possible(call, wanted, present)
    trial = (call.body or {}).get("validate_only", False)
    number = record.doc["schema_version"] + 1
    if not trial:
        with upkeep(call):
            _go_back(call, wanted, present)
        text = f"Version {version.doc['number']} was brought back."
        broken = any(d["is_breaking"] for d in differences)
        number = note(call, record, "rolled_back", text, is_breaking=broken)
        changed = call.records.get(TYPES, record.id)
        data = {"record": call.records.public(changed), "changed_fields": ["schema_version"]}
        call.emit("crm.object_type.updated.v1", record.id, {**data, "previous": {"schema_version": number - 1}})
    said = {"is_validate_only": trial, "restored_number": version.doc["number"], "schema_version": number}
    return Reply(200, {**said, "differences": differences})


def _demand_possible(context: Context, wanted: Mapping[str, Any], present: Mapping[str, Record]) -> None:
    for id, field in wanted.items():
        now = present.get(id)
        if now is None or (now.deleted_at is not None and days_later(now.deleted_at, 30) <= context.now):
            raise refused("roll_back_impossible", f"{field['name']} was deleted for good.")
        if now.doc["type"] != field["type"]:
            raise refused("roll_back_impossible", f"{field['name']} was {field['type']} and is {now.doc['type']} now.")


def _go_back(context: Context, wanted: Mapping[str, Any], present: Mapping[str, Record]) -> None:
    for id, field in present.items():
        then = wanted.get(id)
        if then is None:
            if field.deleted_at is None and field.doc["is_active"]:
                changed = context.records.change(field, {"is_active": False}, action="deactivated")
                tell_field(context, changed, "deactivated")
            continue
        if field.deleted_at is not None:
            field = context.records.restore(field)
        kept = {k: v for k, v in field.doc.items() if k not in definition(field.doc)}
        changed = context.records.replace(field, {**kept, **definition(then)}, action="rolled_back", touched={})
        if changed is not field:
            tell_field(context, changed, "updated")
