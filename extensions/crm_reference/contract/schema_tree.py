"""Walks over schemas: a property by its path, and all the places that a body can have.

:func:`declared` walks a schema and :func:`used` a value beside its schema. Both name places alike, so that what a schema declares
can be compared with what bodies use. A *generic* pointer has ``*`` for any entry of a list, ``{}`` for any free member name, and
the branch of a union in angle brackets: ``#/phones/*/number``, ``#/owner<Team>/team_id``. A schema that holds itself is walked
once: a deeper round has the pointers of the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from crm_reference.contract.documents import Node
from crm_reference.contract.model import Body
from crm_reference.contract.yaml_source import escape

#: Media types whose bodies are walked, in the order in which one is chosen.
JSON_TYPES = ("application/json", "application/merge-patch+json", "application/cloudevents+json")


def property_node(node: Node, path: Sequence[str], /) -> Node | None:
    """Return the schema of a property by its path; lists are walked into without a part of their own.

    :param path: Property names, outermost first.
    :return: The resolved schema, or ``None`` where there is no such property.
    """
    return _property_node(node, tuple(path))


@lru_cache(maxsize=65_536)
def _property_node(node: Node, path: tuple[str, ...]) -> Node | None:
    schema = node.resolved()
    for part in path:
        if schema.get("type") == "array" and "items" in schema:
            schema = schema.child("items").resolved()
        if part in schema.get("properties", {}):
            schema = schema.child("properties").child(part).resolved()
        elif isinstance(schema.get("additionalProperties"), dict):
            schema = schema.child("additionalProperties").resolved()
        else:
            return None
    return schema


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a body.

    :param pointer: JSON Pointer into the value, as a URI fragment: ``#/phones/0/number``.
    :param generic: The same as the schema has it: ``#/phones/*/number``.
    :param schema: Node of the property's schema, its ``$ref`` not followed.
    :param required: Whether the object around it demands it.
    :param value: What stands there.
    """

    pointer: str
    generic: str
    schema: Node
    required: bool
    value: Any = None


def json_schema(media: Mapping[str, Node] | Body | None, /) -> Node | None:
    """Return the schema of a JSON body, or ``None`` where there is none."""
    schemas = media.media if isinstance(media, Body) else media or {}
    return next((schemas[t] for t in JSON_TYPES if t in schemas), None)


def branches(node: Node, /) -> tuple[Node, ...]:
    """Return the branches of a union; ``null`` is none, and a union of one branch and ``null`` is that branch."""
    if "oneOf" not in node and "anyOf" not in node:  # nearly always, and this is asked of every schema
        return ()
    found = (*node.entries("oneOf"), *node.entries("anyOf"))
    return tuple(b for b in found if b.resolved().get("type") != "null")


def says(node: Node, keyword: str, /) -> Any:
    """Return a keyword's value at a node, beside its ``$ref`` or behind it; ``None`` where neither has it."""
    return node.get(keyword) if keyword in node else node.resolved().get(keyword)


def declared(node: Node, /, *, skip: str = "readOnly") -> dict[str, Spot]:
    """Return every property that a schema declares, and every branch of its unions, by generic pointer.

    :param node: The schema of the whole body.
    :param skip: Properties on which this keyword is true are left out with all below: ``readOnly`` for requests,
        ``writeOnly`` for answers.
    """
    found: dict[str, Spot] = {}
    _declare(node, "#", {}, found, skip)
    return found


def _declare(node: Node, at: str, open_: Mapping[str, str], found: dict[str, Spot], skip: str) -> None:
    schema = node.resolved()
    if schema.uri in open_:
        return
    below = {**open_, schema.uri: at}
    union = branches(schema)
    if len(union) == 1:
        _declare(union[0], at, below, found, skip)
    for branch in union if len(union) > 1 else ():
        name = f"{at}<{branch.resolved().name}>"
        found.setdefault(name, Spot(name, name, branch, False))
        _declare(branch, name, below, found, skip)
    for part in schema.entries("allOf"):
        _declare(part, at, below, found, skip)
    for entry in (schema.child("items"),) if isinstance(schema.get("items"), dict) else ():
        _declare(entry, f"{at}/*", below, found, skip)
    required = schema.get("required", ())
    for name, child in schema.items("properties"):
        if says(child, skip) is not True:
            place = f"{at}/{escape(name)}"
            found.setdefault(place, Spot(place, place, child, name in required))
            _declare(child, place, below, found, skip)
    if isinstance(schema.get("additionalProperties"), dict):
        _declare(schema.child("additionalProperties"), f"{at}/{{}}", below, found, skip)


def used(node: Node, value: Any, /, *, skip: str = "readOnly") -> Iterator[Spot]:
    """Yield the declared properties that a value has, with the branches of unions that it took.

    A branch is yielded as a spot of its own, with a generic pointer that ends in ``>``.
    """
    yield from _use(node, value, "#", "#", {}, skip)


def _use(node: Node, value: Any, at: str, generic: str, open_: Mapping[str, str], skip: str) -> Iterator[Spot]:
    schema = node.resolved()
    generic = open_.get(schema.uri, generic)
    below = {schema.uri: generic, **open_}
    union = branches(schema)
    if len(union) == 1:
        yield from _use(union[0], value, at, generic, below, skip)
    elif union and (branch := choose(schema, union, value)) is not None:
        name = f"{generic}<{branch.resolved().name}>"
        yield Spot(at, name, branch, False, value)
        yield from _use(branch, value, at, name, below, skip)
    for part in schema.entries("allOf"):
        yield from _use(part, value, at, generic, below, skip)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, entry in enumerate(value):
            yield from _use(schema.child("items"), entry, f"{at}/{index}", f"{generic}/*", below, skip)
    if isinstance(value, dict):
        yield from _use_members(schema, value, at, generic, below, skip)


def _use_members(
    schema: Node, value: Mapping[str, Any], at: str, generic: str, below: Mapping[str, str], skip: str
) -> Iterator[Spot]:
    required, properties = schema.get("required", ()), schema.get("properties", {})
    for name, child in schema.items("properties"):
        if name in value and says(child, skip) is not True:
            place, general = f"{at}/{escape(name)}", f"{generic}/{escape(name)}"
            yield Spot(place, general, child, name in required, value[name])
            yield from _use(child, value[name], place, general, below, skip)
    if isinstance(schema.get("additionalProperties"), dict):
        for name in value:
            if name not in properties:
                child = schema.child("additionalProperties")
                yield from _use(child, value[name], f"{at}/{escape(name)}", f"{generic}/{{}}", below, skip)


def undeclared(node: Node, value: Any, at: str = "#", /) -> Iterator[str]:
    """Yield the pointers of a value's members that its schema neither names nor leaves free.

    JSON Schema admits them in an answer, since a later version may add members; what an answer has today must be told today. An
    object that names no property at all is free.
    """
    schemas = tuple(_applied(node, value))
    if isinstance(value, list):
        if entry := next((s.child("items") for s in schemas if isinstance(s.get("items"), dict)), None):
            for index, part in enumerate(value):
                yield from undeclared(entry, part, f"{at}/{index}")
    elif isinstance(value, dict):
        named = {name: child for schema in schemas for name, child in schema.items("properties")}
        free = next((s for s in schemas if s.get("additionalProperties")), None)
        other = free.child("additionalProperties") if free and isinstance(free.get("additionalProperties"), dict) else None
        for name, part in value.items():
            if child := named.get(name, other):
                yield from undeclared(child, part, f"{at}/{escape(name)}")
            elif named and free is None:
                yield f"{at}/{escape(name)}"


def _applied(node: Node, value: Any) -> Iterator[Node]:
    """Yield the schemas that hold for a value: itself, what it is made of, and the branch that the value takes."""
    schema = node.resolved()
    yield schema
    union = branches(schema)
    taken = union[0] if len(union) == 1 else choose(schema, union, value) if union else None
    for part in (*schema.entries("allOf"), *((taken,) if taken is not None else ())):
        yield from _applied(part, value)


def choose(schema: Node, union: tuple[Node, ...], value: Any, /) -> Node | None:
    """Return the branch that a value takes: by discriminator, else the first whose type and members fit."""
    if not isinstance(value, dict):
        return next((b for b in union if _fits_type(b.resolved(), value)), None)
    tag = schema.get("discriminator", {}).get("propertyName")
    mapped = schema.get("discriminator", {}).get("mapping", {}).get(value.get(tag))
    for branch in union:
        target = branch.resolved()
        if mapped and (mapped == branch.get("$ref") or str(mapped).rpartition("/")[2] == target.name):
            return branch
        if not mapped and tag and says_const(target, tag, value.get(tag)):
            return branch
    if mapped or tag:
        return None
    return next((b for b in union if _fits_members(b.resolved(), value)), None)


def says_const(schema: Node, name: str, value: Any, /) -> bool:
    """Return whether the property of that name admits this one value, by ``const`` or ``enum``."""
    properties = dict(schema.items("properties"))
    if name not in properties:
        return False
    target = properties[name].resolved()
    return bool(target.get("const") == value or value in target.get("enum", ()))


def _fits_members(schema: Node, value: Mapping[str, Any]) -> bool:
    properties = schema.get("properties", {})
    if not _fits_type(schema, value):
        return False
    return set(schema.get("required", ())) <= set(value) and (not properties or set(value) <= set(properties))


_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,), "object": (dict,),
}  # fmt: skip


def _fits_type(schema: Node, value: Any) -> bool:
    said = schema.get("type", [])
    types = [said] if isinstance(said, str) else said
    return any(isinstance(value, _TYPES.get(t, ())) and (t == "boolean" or not isinstance(value, bool)) for t in types)
