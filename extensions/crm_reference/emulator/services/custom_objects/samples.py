"""Records to try an expression on: stored ones, stored ones with changes, and made-up ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator.call import Call, Context
from crm_reference.emulator.custom_fields.checking import Checker
from crm_reference.emulator.custom_fields.evaluating import Lookup, to_json
from crm_reference.emulator.custom_fields.formulas import lookup
from crm_reference.emulator.custom_fields.grammar import Field
from crm_reference.emulator.custom_fields.scope import CUSTOM, may_ask, operands, resource_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.records import merge_patch

Doc = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """A record to try an expression on.

    :param before: The record before the changes; ``None`` for a new one.
    """

    lookup: Lookup
    before: Lookup | None


def sample_of(call: Call, object_type: str, asked: Doc, /) -> Sample:
    """Return the record that a request names or makes up.

    :param asked: ``record_id`` and ``values``, either or both.
    :raises Problem: ``sample_record_unknown``, where the caller can't see a record of the object with the ID.
    """
    stored = _stored(call, object_type, asked["record_id"]) if "record_id" in asked else None
    # An ID that is made up would open the roll-ups of whichever record has it.
    known = {n: o for n, o in operands(call, object_type).items() if n != "id"}
    custom = {n: v for n, v in asked.get("values", {}).items() if n in known and known[n].definition is not None}
    built_in = {n: v for n, v in asked.get("values", {}).items() if n in known and known[n].definition is None}
    base: Doc = {"object_type": object_type, "custom_fields": {}} if stored is None else stored
    doc = merge_patch(base, {**built_in, "custom_fields": custom})
    return Sample(lookup(call, object_type, doc), None if stored is None else lookup(call, object_type, stored))


def _stored(call: Call, object_type: str, id: str) -> dict[str, Any]:
    resource = resource_of(call, object_type)
    if resource is not None and not (resource.extensible and may_ask(call, resource)):
        resource = None
    record = call.records.peek(resource.collection, id) if resource is not None else None
    fits = record is not None and (resource is None or resource.extensible != CUSTOM or record.doc["object_type"] == object_type)
    if record is None or not fits or not call.records.visible(record):
        entry = {"pointer": "#/record_id", "code": "sample_record_unknown", "detail": f"no {object_type} has the ID {id}"}
        raise Problem("validation_failed", "There is no such record; see errors.", [entry])
    shown = call.records.shown(record)
    return {**shown, "custom_fields": {**shown.get("custom_fields", {})}}


def named_operands(context: Context, object_type: str, paths: Iterable[str], sample: Sample, /) -> list[dict[str, Any]]:
    """Return the fields that an expression names, with their types and what they are."""
    found = []
    for path in paths:
        entry = {"path": path, "type": Checker(context, operands(context, object_type)).type(Field(0, path))}
        value = to_json(sample.lookup(path))
        found.append(entry if value is None else {**entry, "value": value})
    return found
