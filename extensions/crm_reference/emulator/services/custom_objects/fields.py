"""Fields of any object: created, changed, retired, removed and brought back; every change is told to who keeps the records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.behaviours.batch import run_items
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.records import merge_patch
from crm_reference.emulator.registry import handles, sees
from crm_reference.emulator.services.custom_objects import versions
from crm_reference.emulator.services.custom_objects.definitions import (
    DESIGN,
    FIELD_LIMIT,
    FIELDS,
    definition,
    demand_writable,
    fields_of,
    records_of,
    refused,
    spoken,
    tell_field,
    tell_gone,
    type_named,
)
from crm_reference.emulator.services.custom_objects.dependencies import demand_free
from crm_reference.emulator.store import Record


def create_field(context: Context, body: Mapping[str, Any], /, *, versioned: bool = True) -> Record:
    """Create a field and tell of it.

    :param versioned: Whether a version of the type's schema is made.
    """
    demand_writable(context, body["object_type"])
    if len(fields_of(context, body["object_type"])) >= FIELD_LIMIT:
        detail = f"{body['object_type']} has {FIELD_LIMIT} fields, and can't have more."
        entry = {"pointer": "#/object_type", "code": "too_long", "detail": detail}
        raise Problem("validation_failed", detail, [entry])
    field = context.records.create(FIELDS, {**body, "is_active": True})
    tell_field(context, field, "created")
    if versioned:
        versions.note_field(context, None, field.doc, f"Field {field.doc['name']} was added.")
    return field


def change_field(context: Context, field: Record, doc: Mapping[str, Any], /, told: str, action: str = "updated") -> Record:
    """Write a field's document, and tell of it where it changed.

    :param told: What was done, as ``CustomFieldAction`` names it.
    """
    before = definition(field.doc)
    changed = context.records.replace(field, doc, action=action)
    if changed is not field:
        tell_field(context, changed, told)
        after = definition(changed.doc)
        names = [n for n in {*before, *after} if before.get(n) != after.get(n)]
        text = f"Field {field.doc['name']} was changed: {spoken(names)}."
        if told in ("deactivated", "reactivated"):
            text = f"Field {field.doc['name']} was {told}."
        versions.note_field(context, field.doc, changed.doc, text[:300])
    return changed


@sees(FIELDS)
def see(context: Context, field: Record, /) -> bool:
    """Show the fields of a draft to designers alone."""
    if DESIGN in context.identity.scopes:
        return True
    found = type_named(context, field.doc["object_type"])
    return found is None or found.doc["status"] != "draft"


@handles("createCustomField")
def create(call: Call) -> Reply:
    """Create a field."""
    field = create_field(call, call.body)
    return single.shown(call, field, 201, Location=single.location(call, field))


@handles("batchCreateCustomFields", by_item=True)
def create_many(call: Call) -> Reply:
    """Create fields, with an outcome for each."""
    return run_items(call, call.body["items"], lambda item: (201, create_field(call, item)))


@handles("updateCustomField")
def update(call: Call) -> Reply:
    """Change a field's definition."""
    field = call.found
    doc = merge_patch(field.doc, call.body)
    if doc.get("is_unique") and not field.doc.get("is_unique"):
        _demand_unique(call, field)
    return single.shown(call, change_field(call, field, doc, "updated"))


def _demand_unique(context: Context, field: Record) -> None:
    seen = set()
    for record in records_of(context, field.doc["object_type"]):
        value = record.doc.get("custom_fields", {}).get(field.doc["name"])
        folded = value.casefold() if isinstance(value, str) else value
        if value is not None and folded in seen:
            raise refused("values_not_unique", f"At least two records have the same {field.doc['name']}.", "#/is_unique")
        seen.add(folded)


def remove_field(context: Context, field: Record, /) -> None:
    """Delete a field and its values, and tell of it."""
    context.records.delete(field)
    tell_gone(context, field)
    versions.note_field(context, field.doc, None, f"Field {field.doc['name']} was deleted.")


@handles("deleteCustomField")
def delete(call: Call) -> Reply:
    """Delete a field that nothing names."""
    demand_free(call, call.found)
    remove_field(call, call.found)
    return Reply(204)


@handles("restoreCustomField", deleted=True)
def restore(call: Call) -> Reply:
    """Bring a definition back; its values are gone."""
    if call.found.deleted_at is None:
        return single.shown(call, call.found)
    field = call.records.restore(call.found)
    tell_field(call, field, "restored")
    versions.note_field(call, None, field.doc, f"Field {field.doc['name']} was restored.")
    return single.shown(call, field)


@handles("deactivateCustomField")
def deactivate(call: Call) -> Reply:
    """Take a field out of use; values stay."""
    field = call.found
    if not field.doc["is_active"]:
        raise Problem("field_inactive", f"{field.doc['name']} is inactive already.")
    demand_free(call, field)
    return single.shown(call, change_field(call, field, {**field.doc, "is_active": False}, "deactivated", "deactivated"))


@handles("reactivateCustomField")
def reactivate(call: Call) -> Reply:
    """Take a field back into use."""
    field = call.found
    if field.doc["is_active"]:
        raise Problem("field_active", f"{field.doc['name']} is in use.")
    return single.shown(call, change_field(call, field, {**field.doc, "is_active": True}, "reactivated", "reactivated"))
