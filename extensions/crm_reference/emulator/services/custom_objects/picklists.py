"""Values to choose from: of one field, shared by fields, and dependent on another field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.behaviours.listing import paged_items
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.custom_fields.values import allowed
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.records import merge_patch
from crm_reference.emulator.registry import computes, enforces, guards, handles, presents
from crm_reference.emulator.services.custom_objects import versions
from crm_reference.emulator.services.custom_objects.definitions import FIELDS, PICKLISTS, SETS, refused, tell_field
from crm_reference.emulator.services.custom_objects.dependencies import count
from crm_reference.emulator.services.custom_objects.fields import change_field
from crm_reference.emulator.store import Record

SET_UPDATED = "crm.global_value_set.updated.v1"
#: So many picklists may depend on each other in a row.
_LONGEST_CHAIN = 3


# -- sets ------------------------------------------------------------------------------------------------------------------


@presents(SETS)
def present(context: Context, record: Record, /) -> dict[str, Any]:
    """Return how many fields take their values from a set."""
    return {"field_count": len(users_of(context, record.id))}


@enforces("set_values_distinct")
def set_values_distinct(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None, /) -> str:
    """Refuse sets in which a value stands twice, or that offer nothing."""
    keys = [v["value"] for v in new["values"]]
    twice = sorted({k for k in keys if keys.count(k) > 1})
    if twice:
        return f"{twice[0]} stands twice."
    return "" if any(v.get("is_active", True) for v in new["values"]) else "At least one value must be active."


def users_of(context: Context, id: str, /) -> list[Record]:
    """Return the fields that take their values from a set."""
    return context.world.store.find(context.tenant, FIELDS, global_value_set_id=id)


@guards(SETS)
def keep_used(context: Context, record: Record, /) -> None:
    """Keep a set that fields use."""
    used = users_of(context, record.id)
    if used:
        raise Problem("value_set_in_use", f"{used[0].doc['name']} of {used[0].doc['object_type']} takes its values from the set.")


def write_set(context: Context, record: Record, patch: Mapping[str, Any], /) -> Record:
    """Change a set, and let every field that uses it follow."""
    changed = context.records.change(record, patch, event=SET_UPDATED)
    if changed is not record and "values" in patch:
        for field in users_of(context, record.id):
            follow(context, field)
    return changed


def follow(context: Context, field: Record, /) -> None:
    """Let a field take over the choices of its set."""
    changed = context.records.replace(field, dict(field.doc))
    if changed is not field:
        tell_field(context, changed, "values_changed")
        versions.note_field(context, field.doc, changed.doc, f"Field {field.doc['name']} was changed: choices.")


@handles("updateGlobalValueSet")
def update_set(call: Call) -> Reply:
    """Change a set; a value that records have can't be dropped."""
    if "values" in call.body:
        for field in users_of(call, call.found.id):
            _demand_unused(call, field, call.found.doc["values"], call.body["values"])
    return single.shown(call, write_set(call, call.found, call.body))


def _demand_unused(context: Context, field: Record, old: Iterable[Mapping[str, Any]], new: Iterable[Mapping[str, Any]]) -> None:
    kept = {v["value"] for v in new}
    for value in old:
        if value["value"] not in kept and count(context, field.doc["object_type"], field.doc["name"], value["value"]):
            detail = f"Records of {field.doc['object_type']} have {value['value']} in {field.doc['name']}."
            raise refused("picklist_value_in_use", detail, "#/values")


@handles("listGlobalValueSetFields")
def list_set_fields(call: Call) -> Reply:
    """Answer the fields that take their values from a set."""
    return paged_items(call, [call.records.shown(f) for f in users_of(call, call.found.id)])


# -- values of one field ---------------------------------------------------------------------------------------------------


def demand_picklist(field: Record, /) -> None:
    """Raise where a field has no values.

    :raises Problem: ``not_a_picklist``.
    """
    if field.doc["type"] not in PICKLISTS:
        raise Problem("not_a_picklist", f"{field.doc['name']} is of type {field.doc['type']}.")


def demand_own_values(field: Record, /) -> None:
    """Raise where a picklist takes its values from a set.

    :raises Problem: ``values_of_a_set``.
    """
    demand_picklist(field)
    if "global_value_set_id" in field.doc:
        raise Problem("values_of_a_set", f"{field.doc['name']} takes its values from {field.doc['global_value_set_id']}.")


def values_of(context: Context, field: Record, /) -> list[dict[str, Any]]:
    """Return all values of a picklist, its own or its set's."""
    if "values" in field.doc:
        return list(field.doc["values"])
    found = context.records.peek(SETS, field.doc["global_value_set_id"])
    return list(found.doc["values"]) if found is not None else []


@handles("listPicklistValues")
def list_values(call: Call) -> Reply:
    """Answer the values of a picklist with how many records have each."""
    field = call.found
    demand_picklist(field)
    data = []
    for value in values_of(call, field):
        used = count(call, field.doc["object_type"], field.doc["name"], value["value"])
        shown = {"is_default": False, "is_active": True, **value}
        data.append(shown if used is None else {**shown, "record_count": used})
    set_id = field.doc.get("global_value_set_id")
    return Reply(200, {**({"global_value_set_id": set_id} if set_id else {}), "data": data})


@handles("setPicklistValues")
def set_values(call: Call) -> Reply:
    """Write the whole list of a picklist of its own."""
    field = call.found
    demand_own_values(field)
    _demand_unused(call, field, field.doc["values"], call.body["values"])
    return single.shown(call, change_field(call, field, {**field.doc, "values": call.body["values"]}, "values_changed"))


@handles("promotePicklistValues")
def promote(call: Call) -> Reply:
    """Make a set of a picklist's values, and let the field take them from there."""
    field = call.found
    demand_own_values(field)
    made = call.records.create(SETS, {**call.body, "values": field.doc["values"]}, event="crm.global_value_set.created.v1")
    doc = {k: v for k, v in field.doc.items() if k != "values"}
    change_field(call, field, {**doc, "global_value_set_id": made.id}, "values_changed")
    return single.shown(call, made, 201, Location=f"/v1/global-value-sets/{made.id}")


# -- dependent values ------------------------------------------------------------------------------------------------------


def _sibling(context: Context, field: Record, name: str) -> Record | None:
    found = context.world.store.find(context.tenant, FIELDS, object_type=field.doc["object_type"], name=name)
    return found[0] if found else None


def _dependency(field: Record) -> dict[str, Any]:
    if "controlling_field" not in field.doc:
        raise Problem("no_dependency", f"Nothing decides about the values of {field.doc['name']}.")
    return {"controlling_field": field.doc["controlling_field"], "rows": field.doc["dependency"]}


@handles("getPicklistDependency")
def get_dependency(call: Call) -> Reply:
    """Answer which values depend on which."""
    return Reply(200, _dependency(call.found))


def demand_dependency(context: Context, field: Record, name: str, rows: Sequence[Mapping[str, Any]], /) -> None:
    """Raise where a picklist can't depend on another one in this way.

    :param name: The controlling picklist.
    :param rows: The values that each controlling value allows.
    :raises Problem: ``dependency_not_possible``, ``picklist_value_unknown``.
    """
    controlling = _sibling(context, field, name)
    _demand_possible(context, field, controlling)
    known = {v["value"] for v in values_of(context, field)}
    above = {v["value"] for v in values_of(context, controlling)} if controlling is not None else set()
    for index, row in enumerate(rows):
        if row["controlling_value"] not in above:
            detail = f"{name} has no value {row['controlling_value']}."
            raise refused("picklist_value_unknown", detail, f"#/rows/{index}/controlling_value")
        for place, value in enumerate(row["values"]):
            if value not in known:
                detail = f"{field.doc['name']} has no value {value}."
                raise refused("picklist_value_unknown", detail, f"#/rows/{index}/values/{place}")


@handles("setPicklistDependency")
def set_dependency(call: Call) -> Reply:
    """Let a picklist depend on another one."""
    field, body = call.found, call.body
    demand_picklist(field)
    demand_dependency(call, field, body["controlling_field"], body["rows"])
    doc = {**field.doc, "controlling_field": body["controlling_field"], "dependency": body["rows"]}
    return Reply(200, _dependency(change_field(call, field, doc, "dependency_changed")))


def _demand_possible(context: Context, field: Record, controlling: Record | None) -> None:
    def refuse(detail: str) -> Problem:
        return refused("dependency_not_possible", detail, "#/controlling_field")

    if controlling is None or controlling.doc["type"] != "picklist":
        raise refuse(f"{field.doc['object_type']} has no single-choice picklist of this name.")
    chain: list[str] = [field.doc["name"]]
    above: Record | None = controlling
    while above is not None:
        if above.doc["name"] in chain:
            raise refuse(f"{above.doc['name']} depends on {field.doc['name']}.")
        chain.append(above.doc["name"])
        above = _sibling(context, field, above.doc["controlling_field"]) if "controlling_field" in above.doc else None
    if len(chain) > _LONGEST_CHAIN:
        raise refuse(f"A chain of {len(chain)} picklists is too long; {_LONGEST_CHAIN} are allowed.")


@handles("removePicklistDependency")
def remove_dependency(call: Call) -> Reply:
    """Let a picklist stand alone."""
    field = call.found
    _dependency(field)
    change_field(call, field, merge_patch(field.doc, {"controlling_field": None, "dependency": None}), "dependency_changed")
    return Reply(204)


@handles("listAllowedPicklistValues")
def list_allowed(call: Call) -> Reply:
    """Answer the values that can be chosen under a controlling value."""
    field, chosen = call.found, call.query.get("controlling_value")
    demand_picklist(field)
    active = [v for v in values_of(call, field) if v.get("is_active", True)]
    name = field.doc.get("controlling_field")
    if name is None:
        return Reply(200, {"data": active})
    controlling = _sibling(call, field, name)
    known = [v["value"] for v in values_of(call, controlling)] if controlling is not None else []
    if chosen is not None and chosen not in known:
        error = {"parameter": "controlling_value", "in": "query", "code": "picklist_value_unknown", "detail": f"{name} lacks it."}
        raise Problem("picklist_value_unknown", f"{name} has no value {chosen}.", [error])
    data = [v for v in active if v["value"] in allowed(field.doc, chosen)]
    return Reply(200, {"controlling_field": name, **({"controlling_value": chosen} if chosen else {}), "data": data})


@computes("allowed_values")
def allowed_values(input: Mapping[str, Any], /) -> list[str]:
    """Return which of ``values`` can be chosen under a ``controlling_value`` by a ``dependency``, as vectors give them."""
    active = [v["value"] for v in input["values"] if v.get("is_active", True)]
    if "dependency" not in input:
        return active
    return [v for v in active if v in allowed(input, input.get("controlling_value"))]
