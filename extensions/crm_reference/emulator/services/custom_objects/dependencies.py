"""What depends on a type or a field, and how many records have a value; neighbours are asked for theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.contract import Resource
from crm_reference.emulator.behaviours.listing import paged_items
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.custom_fields.formulas import dependents as expressions_naming
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.custom_objects.definitions import FIELDS, JOBS, RECORDS, built_in, records_of
from crm_reference.emulator.store import Record

#: How many stored values a preview shows.
SAMPLES = 5
_KINDS = {"formula": "field", "roll_up": "field", "validation_rule": "validation_rule"}
_TEXTS = {"formula": "The formula names it.", "roll_up": "The roll-up computes over it.", "validation_rule": "The rule names it."}


def entry(kind: str, name: str, text: str, /, id: str = "", count: int = 1, *, is_blocking: bool = True) -> dict[str, Any]:
    """Return one dependent as the contract writes it."""
    about = {"record_id": id} if id else {}
    return {"kind": kind, **about, "name": name, "text": text, "count": count, "is_blocking": is_blocking}


def of_field(context: Context, field: Record, /) -> list[dict[str, Any]]:
    """Return what names a field and stands in the way of its deletion: rules, formulas, roll-ups, dependent picklists."""
    object_type, name = field.doc["object_type"], field.doc["name"]
    found = []
    for said in expressions_naming(context, object_type, name):
        if said["id"] != field.id:
            found.append(entry(_KINDS[said["kind"]], said["name"], _TEXTS[said["kind"]], said["id"]))
    for other in context.world.store.find(context.tenant, FIELDS, object_type=object_type, controlling_field=name):
        found.append(entry("field", other.doc["name"], "Its values depend on those of the field.", other.id))
    return found


def of_type(context: Context, record: Record, /) -> list[dict[str, Any]]:
    """Return what depends on an object type, first what blocks its deletion."""
    name, store, tenant = record.doc["name"], context.world.store, context.tenant
    found = []
    records = len(records_of(context, name))
    if records:
        found.append(entry("record", record.doc["plural_label"], "They would have no type any more.", count=records))
    for field in store.select(tenant, FIELDS):
        if field.doc["object_type"] == name:
            continue
        if field.doc.get("target") == name:
            found.append(entry("field", field.doc["name"], f"It refers from {field.doc['object_type']} to the type.", field.id))
        elif field.doc.get("roll_up", {}).get("object_type") == name:
            text = f"It computes over the type's records for {field.doc['object_type']}."
            found.append(entry("field", field.doc["name"], text, field.id))
    for kind in store.select(tenant, "relationship-types"):
        if name in kind.doc.values():
            found.append(entry("relationship_type", kind.doc.get("name", kind.id), "It links records of the type.", kind.id))
    for job in store.find(tenant, JOBS, object_type_id=record.id):
        if job.doc["status"] in ("queued", "running"):
            found.append(entry("schema_job", job.doc["kind"], "It is at work on the type.", job.id))
    for rule in store.find(tenant, "validation-rules", object_type=name):
        found.append(entry("validation_rule", rule.doc["name"], "It would have nothing to check.", rule.id, is_blocking=False))
    return found


@handles("listObjectTypeDependencies")
def list_type_dependencies(call: Call) -> Reply:
    """Answer what depends on an object type."""
    return paged_items(call, of_type(call, call.found))


# -- values ----------------------------------------------------------------------------------------------------------------


def _operation(context: Context, resource: Resource, behaviour: str) -> str:
    operations = context.world.contract.services[resource.service].operations
    return next((o.id for o in operations if o.resource == resource.collection and o.behaviour == behaviour), "")


def is_filled(name: str, value: str | None = None, /) -> dict[str, Any]:
    """Return the criteria of records that have a value of a field, or a certain one."""
    field = f"custom_fields.{name}"
    chosen = {"field": field, "operator": "is_set"} if value is None else {"field": field, "operator": "eq", "value": value}
    return {"filter_groups": [{"filters": [chosen]}]}


def _asked(context: Context, resource: Resource, behaviour: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Call the owner of built-in records; ``None`` where it is down or can't filter by the field, as by an inactive one."""
    operation = _operation(context, resource, behaviour)
    try:
        return context.call(resource.service, operation, body) if operation else None
    except Problem:
        return None


def count(context: Context, object_type: str, name: str = "", value: str | None = None, /) -> int | None:
    """Return how many records of an object there are, or have a value of a field; ``None`` where nobody can tell now.

    :param name: Field; without one all records count.
    :param value: Only records with this value.
    """
    resource = built_in(context).get(object_type)
    if resource is None:
        return sum(1 for r in records_of(context, object_type) if not name or holds(r, name, value))
    answer = _asked(context, resource, "count", is_filled(name, value) if name else {})
    return int(answer["count"]) if answer is not None else None


def holds(record: Record, name: str, value: str | None = None, /) -> bool:
    """Tell whether a record has a value of a field, or a certain one."""
    stored = record.doc.get("custom_fields", {}).get(name)
    if value is None or stored is None:
        return stored is not None
    return value in stored if isinstance(stored, list) else bool(stored == value)


def samples(context: Context, object_type: str, name: str, /) -> list[dict[str, Any]] | None:
    """Return a few stored values of a field with their records, as far as the caller may see them."""
    resource = built_in(context).get(object_type)
    if resource is None:
        if f"custom_fields.{name}" in context.records.masked(RECORDS):
            return []
        found = [r for r in records_of(context, object_type) if holds(r, name) and context.records.visible(r)]
        return [{"record_id": r.id, "value": r.doc["custom_fields"][name]} for r in found[:SAMPLES]]
    answer = _asked(context, resource, "search", {**is_filled(name), "limit": SAMPLES})
    if answer is None:
        return None
    values = ((r["id"], r.get("custom_fields", {}).get(name)) for r in answer["data"])
    return [{"record_id": id, "value": value} for id, value in values if value is not None]


def neighbours_with(context: Context, resource: Resource, field: Record, value: str, /) -> dict[str, Any] | None:
    """Return what built-in records have in a picklist, by ID, of those that hold a value; ``None`` where their owner is down."""
    found: dict[str, Any] = {}
    name = field.doc["name"]
    chosen = is_filled(name, value if field.doc["type"] == "picklist" else None)
    body: dict[str, Any] = {**chosen, "fields": [f"custom_fields.{name}"], "limit": 200}
    while True:
        answer = context.call(resource.service, _operation(context, resource, "search"), body)
        if answer is None:
            return None
        values = {r["id"]: r["custom_fields"][name] for r in answer["data"] if name in r.get("custom_fields", {})}
        found |= {id: v for id, v in values.items() if v == value or (isinstance(v, list) and value in v)}
        if not answer["has_more"]:
            return found
        body["cursor"] = answer["next_cursor"]


def rewrite_neighbours(context: Context, resource: Resource, name: str, values: Mapping[str, Any], /) -> int:
    """Write a field of built-in records through their owner, a hundred at a time, and return how many it refused.

    :param values: The new value by the record's ID; ``None`` empties the field.
    """
    failed, operation, ids = 0, _operation(context, resource, "batch_update"), list(values)
    for start in range(0, len(ids), 100):
        items = [{"id": id, "changes": {"custom_fields": {name: values[id]}}} for id in ids[start : start + 100]]
        answer = context.call(resource.service, operation, {"items": items})
        failed += len(items) if answer is None else answer["failed_count"]
    return failed


@handles("getCustomFieldUsage")
def usage(call: Call) -> Reply:
    """Count the records that have a value of a field."""
    field = call.found
    object_type, name = field.doc["object_type"], field.doc["name"]
    whole, filled = count(call, object_type), count(call, object_type, name)
    body: dict[str, Any] = {"custom_field_id": field.id, "state": "unavailable", "dependents": of_field(call, field)}
    if whole is not None and filled is not None:
        percent = 100 * filled // whole if whole else 0
        body |= {"state": "counted", "record_count": whole, "filled_count": filled, "filled_percent": percent}
    return Reply(200, {**body, "measured_at": call.now})


@handles("previewCustomFieldDeletion")
def preview_deletion(call: Call) -> Reply:
    """Tell what a deletion of a field would take."""
    field = call.found
    object_type, name = field.doc["object_type"], field.doc["name"]
    named = of_field(call, field)
    body: dict[str, Any] = {"custom_field_id": field.id, "state": "unavailable", "dependents": named, "is_allowed": not named}
    lost, shown = count(call, object_type, name), samples(call, object_type, name)
    if lost is not None and shown is not None:
        body |= {"state": "counted", "lost_value_count": lost, "samples": shown}
    return Reply(200, body)


def demand_free(context: Context, field: Record, /) -> None:
    """Raise where something names a field.

    :raises Problem: ``field_in_use``.
    """
    named = of_field(context, field)
    if named:
        others = f" and {counted(len(named) - 1, 'other')}" if len(named) > 1 else ""
        raise Problem("field_in_use", f"{named[0]['name']}{others} names {field.doc['name']}; change that first.")
