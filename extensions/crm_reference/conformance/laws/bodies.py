"""Bodies: required members, types, nulls and bounds, at every depth."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from crm_reference.conformance.laws.bounds import inside, outside
from crm_reference.conformance.laws.lab import Broken, Case, Lab, Skipped, demand, describe, entries_of, law, parts, put, split
from crm_reference.contract import Node
from crm_reference.contract.schema_tree import Spot, branches, choose, json_schema, says, used
from crm_reference.emulator import Response

#: A value of each JSON type, for sending the wrong one.
_SAMPLES: dict[str, Any] = {
    "string": "a text",
    "integer": 7,
    "number": 7.5,
    "boolean": True,
    "array": [],
    "object": {},
}


#: Where the item of a batch begins in a pointer.
_ITEM = re.compile(r"#/(?:items|ids)/(\d+)(?=/|$)")


@law("minimal-body")
def minimal_body(lab: Lab, operation: str) -> None:
    """The body with required members alone succeeds."""
    case = lab.model(operation)
    schema = _schema(case)
    full = case.body
    body = _required(schema, full)
    for _ in range(4):
        response = case.send(body)
        if lab.accepted(case.operation, response):
            return
        missing = _demanded(lab, case, body, response)
        if not missing:
            break
        body |= {name: full[name] for name in missing}
    raise Broken(f"the body with required members alone got {describe(response)}")


def _demanded(lab: Lab, case: Case, body: Any, response: Response) -> list[str]:
    """Return what a rule demands beyond the schema: the members that the answer names, of those that were left out.

    The schema alone says what is `required`, but for its conditions and the fields of rules. A body that may not be empty gets its
    first member.
    """
    full, entries = case.body, entries_of(response)
    if response.status != 422 or not isinstance(body, dict):
        return []
    resource = lab.contract.resources.get(case.operation.resource)
    said = [dict(r.options) for r in resource.rules] if resource else []
    conditions = [_schema(case).resolved().get(keyword) for keyword in ("then", "else", "dependentRequired")]
    ruled = orjson.dumps([said, conditions]).decode()
    found = []
    for entry in entries:
        name = (*parts(entry.get("pointer", "#")), "")[0]
        # The tenant's definitions demand custom fields, which no schema can say.
        is_ruled = entry["code"] != "required" or f'"{name}' in ruled or name == "custom_fields"
        if name in full and body.get(name) != full[name] and is_ruled:
            found.append(name)
    is_empty = any(entry.get("pointer") == "#" for entry in entries) and not body
    return found or (list(full)[:1] if is_empty else [])


def _schema(case: Case) -> Node:
    schema = json_schema(case.operation.body)
    if schema is None:
        raise Skipped("the operation takes no JSON body")
    return schema


def _required(node: Node, value: Any) -> Any:
    """Return a value reduced to its required members."""
    schema = node.resolved()
    union = branches(schema)
    if len(union) > 1 and (branch := choose(schema, union, value)) is not None:
        return _required(branch, value)
    if isinstance(value, list) and "items" in schema:
        least = max(schema.get("minItems", 0), 1)
        return [_required(schema.child("items"), entry) for entry in value[:least]]
    properties = dict(schema.items("properties"))
    if isinstance(value, dict) and properties:
        return {n: _required(properties[n], v) for n, v in value.items() if n in schema.get("required", ()) and n in properties}
    return value


@law("required-absent")
def required_absent(lab: Lab, subject: str) -> None:
    """Without one required member: 422 at its pointer, and nothing changes."""
    case, pointer = _field(lab, subject)
    body = case.body
    put(body, pointer, ...)
    _refused(lab, case, body, pointer, {"required"})


@law("wrong-type")
def wrong_type(lab: Lab, subject: str) -> None:
    """With a value of a type that the schema doesn't admit: 422 at its pointer."""
    case, pointer = _field(lab, subject)
    spot = _spot(case, pointer)
    # A union tells an object of no branch apart by its discriminator, and a constant by its value.
    loose = branches(spot.schema.resolved()) or says(spot.schema, "const") is not None
    codes = {"wrong_type", "required", "invalid_choice"} if loose else {"wrong_type"}
    for name, sample in _SAMPLES.items():
        if not _admits(spot.schema, name):
            body = case.body
            put(body, pointer, sample)
            _refused(lab, case, body, pointer, codes)


@law("null-value")
def null_value(lab: Lab, subject: str) -> None:
    """null removes what may be cleared, and is refused elsewhere."""
    case, pointer = _field(lab, subject)
    spot = _spot(case, pointer)
    body = case.body
    put(body, pointer, None)
    if _admits(spot.schema, "null"):
        response = case.send(body)
        refused = [e for e in entries_of(response) if e.get("pointer") == pointer and e["code"] == "wrong_type"]
        demand(not refused, f"null at {pointer} is admitted by the schema, and got {describe(response)}")
    else:
        _refused(lab, case, body, pointer, {"wrong_type", "invalid_choice", "required"})


@law("inside-bounds")
def inside_bounds(lab: Lab, subject: str) -> None:
    """Values on and just inside each bound are not refused for it."""
    case, pointer = _field(lab, subject)
    spot = _spot(case, pointer)
    for value in inside(spot.schema, spot.value):
        body = case.body
        put(body, pointer, value)
        response = case.send(body)
        bounds = {"too_short", "too_long", "out_of_range", "invalid_format", "not_unique", "wrong_type"}
        blamed = [e for e in entries_of(response) if e.get("pointer") == pointer and e["code"] in bounds]
        demand(not blamed, f"{value!r:.80} is within the bounds of {pointer}, and got {describe(response)}")


@law("outside-bounds")
def outside_bounds(lab: Lab, subject: str) -> None:
    """Values just outside each bound are refused with that bound's code."""
    case, pointer = _field(lab, subject)
    spot = _spot(case, pointer)
    for value, codes in outside(spot.schema, spot.value):
        body = case.body
        put(body, pointer, value)
        _refused(lab, case, body, pointer, codes)


def _field(lab: Lab, subject: str) -> tuple[Case, str]:
    operation, pointer = split(subject)
    case = lab.model(operation)
    return case, pointer


def _spot(case: Case, pointer: str) -> Spot:
    for spot in _spots(case):
        if spot.pointer == pointer and not spot.generic.endswith(">"):
            return spot
    raise Skipped(f"the model exchange doesn't send {pointer}")


def _spots(case: Case) -> Iterator[Spot]:
    return used(_schema(case), case.body)


def _admits(node: Node, name: str) -> bool:
    said = says(node, "type")
    if said is None:
        schema = node.resolved()
        return any(_admits(b, name) for b in (*schema.entries("oneOf"), *schema.entries("anyOf"))) or (
            "const" in schema and name == "string"
        )
    types = said if isinstance(said, list) else [said]
    return name in types or (name == "integer" and "number" in types)


def _refused(lab: Lab, case: Case, body: Any, pointer: str, codes: set[str]) -> None:
    case.rewind()
    before = lab.state()
    item = _ITEM.match(pointer) if case.operation.behaviour.startswith("batch_") else None
    if item is not None:
        _refused_item(case, body, int(item[1]), "#" + pointer[item.end() :], codes)
        if "atomic" not in _schema(case).resolved().get("properties", {}):
            return
        case.rewind()
        body = {**body, "atomic": True}
    response = case.send(body)
    _blamed(response, response.status, entries_of(response), pointer, codes)
    demand(lab.state() == before, "the state changed")


def _refused_item(case: Case, body: Any, index: int, pointer: str, codes: set[str]) -> None:
    """Demand that a batch answers for each item, and refuses the one whose schema is broken."""
    response = case.send({name: value for name, value in body.items() if name != "atomic"})
    demand(response.status == 207, f"207 with a result for each item was expected, and {describe(response)} came")
    result = response.json()["results"][index]
    _blamed(response, result["status"], result.get("problem", {}).get("errors", ()), pointer, codes)


def _blamed(response: Response, status: int, entries: Iterable[Mapping[str, Any]], pointer: str, codes: set[str]) -> None:
    fits = any(e["code"] in codes and _covers(e.get("pointer"), pointer) for e in entries)
    expected = f"422 with {' or '.join(sorted(codes))} at {pointer} was expected"
    demand(status == 422 and fits, f"{expected}, and {describe(response)} came")


def _covers(place: Any, pointer: str) -> bool:
    """Tell whether an entry's place is the pointer, or within it: a union's branch names its own members."""
    return isinstance(place, str) and (place == pointer or place.startswith(pointer + "/"))
