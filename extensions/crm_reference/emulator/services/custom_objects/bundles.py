"""Object types as documents: exported without IDs, imported into another tenant or a sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.custom_objects import fields
from crm_reference.emulator.services.custom_objects.definitions import PICKLISTS, TYPES, fields_of, type_named
from crm_reference.emulator.services.custom_objects.object_types import new_type, told
from crm_reference.emulator.services.custom_objects.picklists import demand_dependency, demand_picklist, values_of
from crm_reference.emulator.store import Record

FORMAT = "crm-schema/1"
_SHOWN = (
    "name",
    "label",
    "type",
    "help_text",
    "is_required",
    "is_unique",
    "minimum",
    "maximum",
    "max_length",
    "pattern",
    "decimal_places",
    "currency_code",
    "target",
    "on_target_delete",
    "auto_number",
    "formula",
    "roll_up",
    "default_value",
    "controlling_field",
    "dependency",
)
#: Types of fields that may name others, and are made behind them.
_NAMING = ("formula", "roll_up")


@dataclass(frozen=True, slots=True)
class _Part:
    """A field of a document: the outcome of its type, its definition, and where it stands."""

    outcome: dict[str, Any]
    field: Mapping[str, Any]
    pointer: str


class _TakeBack(Exception):  # it carries no error: it ends a trial
    pass


def _document(call: Call, record: Record) -> dict[str, Any]:
    listed = []
    for field in fields_of(call, record.doc["name"]):
        if field.doc["is_active"]:
            shown = {k: field.doc[k] for k in _SHOWN if k in field.doc}
            listed.append({**shown, **({"values": values_of(call, field)} if field.doc["type"] in PICKLISTS else {})})
    kept: dict[str, Any] = {k: record.doc[k] for k in ("name", "label", "plural_label", "description") if k in record.doc}
    return {**kept, "fields": listed}


@handles("exportObjectTypes")
def export(call: Call) -> Reply:
    """Answer object types as one document."""
    found = []
    for index, id in enumerate(call.body["object_type_ids"]):
        record = call.records.peek(TYPES, id)
        if record is None:
            error = {"pointer": f"#/object_type_ids/{index}", "code": "invalid_reference", "detail": "No object type has this ID."}
            raise Problem("validation_failed", "One of the types is not there; see errors.", [error])
        found.append(_document(call, record))
    return Reply(200, {"format": FORMAT, "types": found})


@handles("importObjectTypes")
def take(call: Call) -> Reply:
    """Make drafts of what is missing, and add the fields that are; or tell what would be done."""
    trial = call.body.get("validate_only", False)
    outcomes: list[dict[str, Any]] = []
    numbers = dict(call.world.clock.numbers)
    try:
        with call.world.store.transaction():
            outcomes = _take_all(call, call.body["bundle"]["types"])
            if trial:
                raise _TakeBack
    except _TakeBack:
        call.world.clock.numbers = numbers  # a trial uses up no IDs
        outcomes = [{k: v for k, v in o.items() if k != "object_type_id" or o["action"] != "create"} for o in outcomes]
    return Reply(200, {"is_validate_only": trial, "types": outcomes})


def _take_all(call: Call, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make all types, then all fields, those that name others last; what a document names may come later in it.

    :raises Problem: ``import_field_conflict`` with an entry for each part that can't be taken.
    """
    outcomes: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    waiting: list[_Part] = []
    for index, document in enumerate(documents):
        outcomes.append(_take_type(call, document, f"#/bundle/types/{index}", errors))
        for place, field in enumerate(document["fields"]):
            waiting.append(_Part(outcomes[-1], field, f"#/bundle/types/{index}/fields/{place}"))
    waiting = [part for part in waiting if not errors and not _is_kept(call, part, errors)]
    for late in (False, True):
        errors += _make(call, [p for p in waiting if (p.field["type"] in _NAMING) is late])
    for part in waiting:
        if "dependency" in part.field and not errors:
            errors += _depend(call, part)
    if errors:
        raise Problem("import_field_conflict", f"{len(errors)} of the document's parts can't be taken; see errors.", errors)
    for outcome in outcomes:
        if outcome["action"] == "unchanged" and outcome["fields_created"]:
            outcome["action"] = "extend"
    return outcomes


def _conflict(pointer: str, detail: str) -> dict[str, str]:
    return {"pointer": pointer, "code": "import_field_conflict", "detail": detail}


def _said(problem: Problem) -> str:
    return str(problem.errors[0]["detail"]) if problem.errors else problem.detail


def _take_type(call: Call, document: Mapping[str, Any], pointer: str, errors: list[dict[str, str]]) -> dict[str, Any]:
    outcome: dict[str, Any] = {"name": document["name"], "action": "unchanged", "fields_created": [], "fields_kept": []}
    record = type_named(call, document["name"])
    if record is None:
        try:
            record = new_type(call, {k: v for k, v in document.items() if k != "fields"})
            told(call, record, "created")
        except Problem as problem:
            errors.append(_conflict(f"{pointer}/name", _said(problem)))
            return outcome
        outcome["action"] = "create"
    return {**outcome, "object_type_id": record.id}


def _is_kept(call: Call, part: _Part, errors: list[dict[str, str]]) -> bool:
    """Tell whether the type has a field of the name already, which then stays as it is."""
    found = next((f for f in fields_of(call, part.outcome["name"]) if f.doc["name"] == part.field["name"]), None)
    if found is None:
        return False
    part.outcome["fields_kept"].append(part.field["name"])
    if found.doc["type"] != part.field["type"]:
        detail = f"{part.field['name']} is {found.doc['type']} here and {part.field['type']} in the document."
        errors.append(_conflict(f"{part.pointer}/type", detail))
    return True


def _make(call: Call, parts: list[_Part]) -> list[dict[str, str]]:
    """Make fields, again and again as long as one more can be made; return why the rest can't."""
    while parts:
        left, errors = [], []
        for part in parts:
            kept = {k: v for k, v in part.field.items() if k not in ("controlling_field", "dependency")}
            try:
                with call.world.store.transaction():
                    fields.create_field(call, {**kept, "object_type": part.outcome["name"]})
                part.outcome["fields_created"].append(part.field["name"])
            except Problem as problem:
                left.append(part)
                errors.append(_conflict(part.pointer, _said(problem)))
        if len(left) == len(parts):
            return errors
        parts = left
    return []


def _depend(call: Call, part: _Part) -> list[dict[str, str]]:
    """Let a picklist depend on another one as the document says."""
    field = next(f for f in fields_of(call, part.outcome["name"]) if f.doc["name"] == part.field["name"])
    name, rows = part.field.get("controlling_field", ""), part.field["dependency"]
    try:
        demand_picklist(field)
        demand_dependency(call, field, name, rows)
    except Problem as problem:
        return [_conflict(f"{part.pointer}/dependency", _said(problem))]
    fields.change_field(call, field, {**field.doc, "controlling_field": name, "dependency": rows}, "dependency_changed")
    return []
