"""Walks over schemas: properties by path, all fields of a body, branches of unions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from crm_reference.contract.documents import Node


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
class Branch:
    """One form of a union.

    :param name: The schema's name.
    :param values: Discriminator values that lead to it.
    """

    name: str
    values: tuple[str, ...]
    node: Node


def branches(node: Node, /) -> tuple[Branch, ...]:
    """Return the forms of a ``oneOf`` with a discriminator; empty for any other schema."""
    schema = node.resolved()
    if "oneOf" not in schema:
        return ()
    mapping = schema.get("discriminator", {}).get("mapping", {})
    found = []
    for entry in schema.entries("oneOf"):
        target = entry.resolved()
        values = tuple(
            value
            for value, reference in mapping.items()
            if Node(schema.document, schema.pointer, {"$ref": reference}).resolved().uri == target.uri
        )
        found.append(Branch(target.name, values, target))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Member:
    """A property inside a schema.

    :param pointer: Place in the value, as in ``/emails/*/address``: ``*`` for a list's entries, ``{}`` for free member names.
    :param schema: The property as written, unresolved, so that sibling keywords of a ``$ref`` are there.
    :param required: Whether its object demands it.
    :param branch: Name of the union's form that it belongs to; empty outside unions.
    """

    pointer: str
    schema: Node
    required: bool
    branch: str


def members(node: Node, /, prefix: str = "", branch: str = "", _above: tuple[str, ...] = ()) -> Iterator[Member]:
    """Yield every property of a schema, outermost first. A schema that holds itself is entered once."""
    schema = node.resolved()
    if schema.uri in _above:
        return
    above = (*_above, schema.uri)
    for form in branches(schema):
        yield from members(form.node, prefix, form.name, above)
    required = schema.get("required", ())
    for name, property_ in schema.items("properties"):
        pointer = f"{prefix}/{name}"
        yield Member(pointer, property_, name in required, branch)
        yield from members(property_, pointer, branch, above)
    if "items" in schema:
        yield from members(schema.child("items"), f"{prefix}/*", branch, above)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from members(schema.child("additionalProperties"), prefix + "/{}", branch, above)
