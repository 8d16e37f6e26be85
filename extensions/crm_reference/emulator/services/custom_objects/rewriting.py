"""Stored values changed on a large scale: a field takes another type, or one value of a picklist another's place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice
from typing import Any

from crm_reference.contract import Resource
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import Task, handles, task
from crm_reference.emulator.services.custom_objects import dependencies
from crm_reference.emulator.services.custom_objects.conversions import FAILED, converted, verdict
from crm_reference.emulator.services.custom_objects.definitions import (
    FIELDS,
    PICKLISTS,
    RECORDS,
    SETS,
    built_in,
    open_job,
    records_of,
)
from crm_reference.emulator.services.custom_objects.field_rules import OWN, SETTINGS
from crm_reference.emulator.services.custom_objects.fields import change_field
from crm_reference.emulator.services.custom_objects.object_types import listed_values
from crm_reference.emulator.services.custom_objects.picklists import demand_own_values, users_of, values_of, write_set
from crm_reference.emulator.services.custom_objects.schema_jobs import demand, rewrite, start, summed
from crm_reference.emulator.store import Record

#: So many records of a built-in object are written before the job begins.
AT_ONCE = 100
_OF_CHANGE = ("max_length", "decimal_places", "currency_code", "values")


# -- another type ----------------------------------------------------------------------------------------------------------


def _stored(context: Context, field: Record) -> list[Record]:
    return [r for r in records_of(context, field.doc["object_type"]) if dependencies.holds(r, field.doc["name"])]


def _new_definition(field: Record, body: Mapping[str, Any], records: list[Record]) -> dict[str, Any]:
    """Return the definition that a field would have: settings of its old type that the new one doesn't take are dropped."""
    fits = set(SETTINGS[body["type"]])
    kept = {k: v for k, v in field.doc.items() if k not in OWN or (k in fits and k != "default_value")}
    kept |= {"type": body["type"], **{k: body[k] for k in _OF_CHANGE if k in body}}
    if body["type"] not in PICKLISTS:
        kept.pop("choices", None)
    elif "values" not in kept and "global_value_set_id" not in kept:
        keys = sorted({k for r in records if (k := converted(field.doc["type"], kept, _value(r, field))) is not FAILED})
        kept["values"] = listed_values(keys) or listed_values(["other"])
    return kept


def _value(record: Record, field: Record) -> Any:
    return record.doc["custom_fields"][field.doc["name"]]


@handles("previewCustomFieldTypeChange")
def preview_type(call: Call) -> Reply:
    """Convert every stored value on trial."""
    field, body = call.found, call.body
    old, new = field.doc["type"], body["type"]
    said = {"from_type": old, "to_type": new, "verdict": verdict(old, new), "dependents": dependencies.of_field(call, field)}
    if field.doc["object_type"] in built_in(call) or said["verdict"] == "impossible":
        return Reply(200, said)
    records = _stored(call, field)
    wanted = _new_definition(field, body, records)
    failing = [r for r in records if converted(old, wanted, _value(r, field)) is FAILED]
    is_hidden = f"custom_fields.{field.doc['name']}" in call.records.masked("custom-records")
    seen = [] if is_hidden else [r for r in failing if call.records.visible(r)]
    shown = [{"record_id": r.id, "value": _value(r, field)} for r in seen[: dependencies.SAMPLES]]
    counts = {"value_count": len(records), "convertible_count": len(records) - len(failing)}
    return Reply(200, {**said, **counts, "failures": shown})


@handles("startCustomFieldTypeChange")
def change_type(call: Call) -> Reply:
    """Start to convert a field's values; its definition follows at the end."""
    field, body = call.found, call.body
    old, new = field.doc["type"], body["type"]
    found, is_foreign = verdict(old, new), field.doc["object_type"] in built_in(call)
    demand(found != "impossible", "conversion_impossible", f"{old} can't become {new}.", "#/type")
    detail = f"{field.doc['object_type']} belongs to another service; only lossless changes are possible."
    demand(found == "lossless" or not is_foreign, "conversion_impossible", detail, "#/type")
    dependencies.demand_free(call, field)
    open_job(call, custom_field_id=field.id)
    records = [] if is_foreign else _stored(call, field)
    wanted = _new_definition(field, body, records)
    failing = sum(1 for r in records if converted(old, wanted, _value(r, field)) is FAILED)
    clear = body.get("on_unconvertible", "refuse") == "clear"
    demand(not failing or clear, "conversion_failed", f"{failing} of {len(records)} values have no counterpart.", "#/type")
    settings = {k: v for k, v in wanted.items() if k in OWN or k == "type"}
    return start(call, "type_change", [r.id for r in records], custom_field_id=field.id, _settings=settings)


def _convert_one(context: Context, job: dict[str, Any], id: str) -> dict[str, int]:
    record, field = context.records.peek(RECORDS, id), context.records.peek(FIELDS, job["custom_field_id"])
    if record is None or field is None or not dependencies.holds(record, field.doc["name"]):
        return {}
    values = dict(record.doc["custom_fields"])
    new = converted(field.doc["type"], job["_settings"], values[field.doc["name"]])
    if new is FAILED:
        del values[field.doc["name"]]
        rewrite(context, record, values)
        return {"cleared": 1}
    values[field.doc["name"]] = new
    return {"changed": int(rewrite(context, record, values))}


def _set_type(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    field = context.records.peek(FIELDS, job["custom_field_id"])
    if field is not None:
        kept = {k: v for k, v in field.doc.items() if k not in OWN and k != "choices"}
        change_field(context, field, {**kept, **job["_settings"]}, "type_changed", "type_changed")
    return {"changed_count": 0, "cleared_count": 0, **_sum(context, job, outcomes)}


def _sum(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return summed(outcomes, len(job["_items"]))


task("custom-objects.type_change", Task(_convert_one, _set_type, so_far=_sum))


# -- another value ---------------------------------------------------------------------------------------------------------


def _demand_values(body: Mapping[str, Any], values: list[dict[str, Any]]) -> None:
    known = {v["value"]: v for v in values}
    demand(body["from_value"] in known, "picklist_value_unknown", f"There is no value {body['from_value']}.", "#/from_value")
    to = body.get("to_value")
    if to is not None:
        is_there = to in known and known[to].get("is_active", True) and to != body["from_value"]
        demand(is_there, "picklist_value_unknown", f"{to} is no active value that could take its place.", "#/to_value")


def _items(context: Context, fields: list[Record], said: Mapping[str, Any]) -> tuple[list[list[str]], str, dict[str, int]]:
    """Begin a replacement: write the first records of built-in objects at once, and list what is left.

    :return: What the job handles (a custom record, or what is left of a built-in object), the neighbour that it waits for, and
        what was done already.
    """
    items, neighbour, done = [], "", Counter({"changed": 0})
    for field in fields:
        object_type, name = field.doc["object_type"], field.doc["name"]
        resource = built_in(context).get(object_type)
        if resource is None:
            holders = (r for r in records_of(context, object_type) if dependencies.holds(r, name, said["from"]))
            items += [[field.id, r.id] for r in holders]
            continue
        found = dependencies.neighbours_with(context, resource, field, said["from"])
        if found is not None:
            first = dict(islice(found.items(), AT_ONCE))
            done.update(_write_at_neighbour(context, resource, field, first, said))
        if found is None or len(found) > AT_ONCE:
            items.append([field.id, ""])
            neighbour = neighbour or resource.service
    return items, neighbour, dict(done)


def _start(call: Call, fields: list[Record], **about: str) -> Reply:
    body = call.body
    wanted = {"from": body["from_value"], "to": body.get("to_value"), "then": body.get("then", "deactivate")}
    items, neighbour, done = _items(call, fields, wanted)
    worker = f"value_replacement_{neighbour}" if neighbour in _NEIGHBOURS else "value_replacement"
    return start(call, "value_replacement", items, worker, _replace=wanted, _begun=done, **about)


@handles("startPicklistValueReplacement")
def replace_value(call: Call) -> Reply:
    """Start to replace a value of one picklist."""
    demand_own_values(call.found)
    _demand_values(call.body, call.found.doc["values"])
    open_job(call, custom_field_id=call.found.id)
    return _start(call, [call.found], custom_field_id=call.found.id)


@handles("startGlobalValueReplacement")
def replace_set_value(call: Call) -> Reply:
    """Start to replace a value of a set in every field that uses it."""
    _demand_values(call.body, call.found.doc["values"])
    open_job(call, global_value_set_id=call.found.id)
    return _start(call, users_of(call, call.found.id), global_value_set_id=call.found.id)


def _replace_one(context: Context, job: dict[str, Any], item: list[str]) -> dict[str, int]:
    field, said = context.records.peek(FIELDS, item[0]), job["_replace"]
    if field is None:
        return {}
    resource = built_in(context).get(field.doc["object_type"])
    if resource is not None:
        return _replace_at_neighbour(context, field, said)
    record = context.records.peek(RECORDS, item[1])
    if record is None or not dependencies.holds(record, field.doc["name"], said["from"]):
        return {}
    values = dict(record.doc["custom_fields"])
    values[field.doc["name"]] = replaced(values[field.doc["name"]], said["from"], said["to"])
    if values[field.doc["name"]] is None:
        del values[field.doc["name"]]
    return {"changed": int(rewrite(context, record, values))}


def replaced(value: Any, old: str, new: str | None, /) -> Any:
    """Return a stored value with one choice in another one's place; ``None`` where nothing is left.

    >>> replaced(["a", "b"], "a", "b"), replaced("a", "a", None)
    (['b'], None)
    """
    if isinstance(value, list):
        kept = [new if v == old else v for v in value]
        return [v for v in dict.fromkeys(kept) if v is not None] or None
    return new


def _replace_at_neighbour(context: Context, field: Record, said: Mapping[str, Any]) -> dict[str, int]:
    resource = built_in(context)[field.doc["object_type"]]
    found = dependencies.neighbours_with(context, resource, field, said["from"])
    if found is None:
        raise Problem("unavailable", f"{resource.service} can't be reached.")
    return _write_at_neighbour(context, resource, field, found, said)


def _write_at_neighbour(
    context: Context, resource: Resource, field: Record, found: Mapping[str, Any], said: Mapping[str, Any]
) -> dict[str, int]:
    wanted = {id: replaced(value, said["from"], said["to"]) for id, value in found.items()}
    refused = dependencies.rewrite_neighbours(context, resource, field.doc["name"], wanted)
    return {"changed": len(found) - refused, **({"failed": refused} if refused else {})}


def _fate(values: list[dict[str, Any]], said: Mapping[str, Any]) -> list[dict[str, Any]]:
    if said["then"] == "remove":
        return [v for v in values if v["value"] != said["from"]]
    gone = {"is_active": False, "is_default": False}
    return [{**v, **gone} if v["value"] == said["from"] and said["then"] == "deactivate" else v for v in values]


def _set_values(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    field = context.records.peek(FIELDS, job.get("custom_field_id", ""))
    shared = context.records.peek(SETS, job.get("global_value_set_id", ""))
    if field is not None:
        doc = {**field.doc, "values": _fate(values_of(context, field), job["_replace"])}
        change_field(context, field, doc, "values_changed")
    elif shared is not None:
        write_set(context, shared, {"values": _fate(shared.doc["values"], job["_replace"])})
    return _replaced_so_far(context, job, outcomes)


def _replaced_so_far(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    begun = job["_begun"]
    return summed([begun, *outcomes], len(job["_items"]) + sum(begun.values()))


_NEIGHBOURS = ("contacts", "accounts", "leads", "deals", "activities")
task("custom-objects.value_replacement", Task(_replace_one, _set_values, so_far=_replaced_so_far))
for _name in _NEIGHBOURS:
    task(f"custom-objects.value_replacement_{_name}", Task(_replace_one, _set_values, so_far=_replaced_so_far, needs=_name))
