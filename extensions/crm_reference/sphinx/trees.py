"""Schemas as trees of fields that templates print: named, typed, constrained, linked, and finite for cyclic schemas too.

Pure: it reads the contract's nodes and gives picklable data.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from crm_reference.contract import Node
from crm_reference.sphinx import words

#: Deeper than this nothing is expanded: no reader follows, and the schema's own section has the rest.
_DEPTH = 8


class Field(NamedTuple):
    """One field, or one value that is not an object. A named tuple, since doctrees hold thousands and pickle it fastest.

    :param path: Dotted path from the tree's root: ``address.city``, ``items.email``; the field's anchor is made of it.
    :param type: Type in words.
    :param schema: Name of the component schema that describes it; empty for one of its own.
    :param linked: Whether that schema is described elsewhere, so that nothing is expanded here.
    :param description: CommonMark.
    :param constraints: CommonMark phrases.
    :param choices: Values of an enumeration with their meanings.
    :param example: A value, as JSON text.
    """

    name: str
    path: str
    type: str
    schema: str
    linked: bool
    required: bool
    marks: tuple[str, ...]
    description: str
    constraints: tuple[str, ...]
    choices: tuple[tuple[str, str], ...]
    example: str
    fields: tuple[Field, ...]
    branches: tuple[Branch, ...]

    @property
    def has_more(self) -> bool:
        """Whether something is below it."""
        return bool(self.fields or self.branches)

    def walk(self) -> Iterator[Field]:
        """Yield this field and all below it."""
        yield self
        for field in self.fields:
            yield from field.walk()
        for branch in self.branches:
            for field in branch.fields:
                yield from field.walk()

    def text(self) -> str:
        """Return all words of the tree, for the search index."""
        parts: list[str] = []
        for field in self.walk():
            parts += [field.name, field.type, field.description, *field.marks]
            parts += [part for choice in field.choices for part in choice]
        return " ".join(filter(None, parts))


class Branch(NamedTuple):
    """One shape of several: a branch of ``oneOf`` or ``anyOf``."""

    title: str
    when: str
    description: str
    linked: bool
    fields: tuple[Field, ...]


def schema_name(node: Node, /) -> str:
    """Return the component name of the schema that a node is or refers to; empty where it has none."""
    target = node.resolved()
    if target.pointer.startswith("/components/schemas/") and target.pointer.count("/") == 3:
        return target.name
    shared = target.document.name.startswith("source_specs/common/")
    return target.name if shared and target.pointer.count("/") == 1 and target.name[:1].isupper() else ""


def build_tree(node: Node, /, *, linked: Collection[str] = (), name: str = "") -> Field:
    """Build the tree of a schema.

    :param linked: Names of schemas that have a section of their own; they are named, not expanded. The root always is.
    :param name: Name of the root; empty for a body.
    """
    return _build_tree(node, frozenset(linked), name)


@functools.lru_cache(maxsize=8_192)
def _build_tree(node: Node, linked: frozenset[str], name: str) -> Field:
    return _Builder(linked).field(name, node, "", required=False, seen=(), root=True)


@dataclass(frozen=True, slots=True)
class _Builder:
    linked: frozenset[str]

    def field(
        self, name: str, node: Node, path: str, *, required: bool, seen: tuple[str, ...], root: bool = False
    ) -> Field:
        inner_node, nullable = _without_null(node)
        target, schema, component = _look(inner_node)
        if nullable and isinstance(node.value, dict):
            schema = {**schema, **{k: v for k, v in node.value.items() if k not in ("anyOf", "oneOf")}}
        cyclic = bool(component) and component in seen
        linked = not root and (cyclic or component in self.linked)
        seen = (*seen, component) if component else seen
        deep = len(seen) > _DEPTH or path.count(".") > _DEPTH
        fields: tuple[Field, ...] = ()
        branches: tuple[Branch, ...] = ()
        kind, inner = words.type_words(schema), component
        if not linked and not deep:
            fields, branches = self._below(target, schema, path, seen)
        if _is_array(schema) and not cyclic and not deep:
            kind, inner, entry = self._array(target, path, seen, schema)
            linked = linked or entry.linked
            if not linked and not deep:
                fields, branches = entry.fields, entry.branches
            schema = {**schema, "x-items": entry}
        return Field(
            name=name,
            path=path,
            type=_or_null(kind) if nullable else kind,
            schema=inner or component,
            linked=linked,
            required=required,
            marks=(*words.marks(schema), "recursive") if cyclic else words.marks(schema),
            description=str(schema.get("description", "")) if isinstance(schema, dict) else "",
            constraints=(*words.constraints(schema), *_entry_constraints(schema)),
            choices=words.choices(schema) or _entry_choices(schema),
            example=_example(schema),
            fields=fields,
            branches=branches,
        )

    def _array(self, node: Node, path: str, seen: tuple[str, ...], schema: Mapping[str, Any]) -> tuple[str, str, Field]:
        entry = self.field("", node.child("items"), path, required=False, seen=seen)
        nullable = " or null" if isinstance(schema.get("type"), list) and "null" in schema["type"] else ""
        return f"array of {_plural(entry.type)}{nullable}", entry.schema, entry

    def _below(
        self, node: Node, schema: Any, path: str, seen: tuple[str, ...]
    ) -> tuple[tuple[Field, ...], tuple[Branch, ...]]:
        if not isinstance(schema, dict):
            return (), ()
        prefix = f"{path}." if path else ""
        required = set(schema.get("required", ()))
        fields = [
            self.field(name, child, prefix + name, required=name in required, seen=seen)
            for name, child in node.items("properties")
        ]
        for part in node.entries("allOf"):
            target, merged, _ = _look(part)
            refined = {f.name: f for f in self._below(target, merged, path, seen)[0]}
            fields = [refined.pop(f.name, f) for f in fields] + list(refined.values())
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            fields.append(
                self.field("{name}", node.child("additionalProperties"), prefix + "{name}", required=False, seen=seen)
            )
        mapping = schema.get("discriminator", {})
        branches = tuple(
            self._branch(part, path, seen, mapping, index)
            for key in ("oneOf", "anyOf")
            for index, part in enumerate(node.entries(key), 1)
        )
        return tuple(fields), branches

    def _branch(
        self, node: Node, path: str, seen: tuple[str, ...], discriminator: Mapping[str, Any], index: int
    ) -> Branch:
        inside = f"{path}.{schema_name(node) or index}".lstrip(".")
        below = self.field("", node, inside, required=False, seen=seen)
        names = [
            value
            for value, target in discriminator.get("mapping", {}).items()
            if target.rpartition("/")[2] == below.schema
        ]
        key = discriminator.get("propertyName", "")
        when = f"{words.code(key)} is {' or '.join(map(words.code, names))}" if key and names else ""
        return Branch(
            title=below.schema or below.type,
            when=when,
            description=below.description,
            linked=below.linked,
            fields=below.fields or (() if below.linked else (below._replace(name=below.type),)),
        )


def _without_null(node: Node) -> tuple[Node, bool]:
    """Return what a union with null holds beside null, and whether it is such a union.

    "An address, or null to clear it" reads better than two shapes.
    """
    for key in ("anyOf", "oneOf"):
        parts = list(node.entries(key))
        others = [p for p in parts if p.get("type") != "null"]
        if len(parts) == 2 and len(others) == 1:
            return others[0], True
    return node, False


def _or_null(kind: str) -> str:
    head, comma, tail = kind.partition(",")
    return f"{head} or null{comma}{tail}"


def _look(node: Node) -> tuple[Node, Any, str]:
    """Return the node that describes a schema, its value with what stands beside the ``$ref``, and the component's name."""
    target = node.resolved()
    value = target.value
    if target is not node and isinstance(value, dict):
        beside = {k: v for k, v in node.value.items() if k != "$ref"}
        value = {**value, **beside} if beside else value
    return target, value, schema_name(node)


def _is_array(schema: Any) -> bool:
    """Whether a schema admits lists and nothing else but null."""
    if not isinstance(schema, dict) or "items" not in schema:
        return False
    kind = schema.get("type", "array")
    return kind == "array" or (isinstance(kind, list) and set(kind) <= {"array", "null"})


def _plural(kind: str) -> str:
    head, comma, tail = kind.partition(",")
    if head.startswith("array of"):
        return f"arrays of {head[9:]}{comma}{tail}"
    if head.startswith(("any value", "one of")):
        return f"values{comma}{tail}"
    return " or ".join(f"{part}s" for part in head.split(" or ")) + comma + tail


def _entry_constraints(schema: Any) -> tuple[str, ...]:
    entry = schema.get("x-items") if isinstance(schema, dict) else None
    if entry is None or entry.has_more:
        return ()
    return tuple(f"each {phrase}" for phrase in entry.constraints)


def _entry_choices(schema: Any) -> tuple[tuple[str, str], ...]:
    entry = schema.get("x-items") if isinstance(schema, dict) else None
    return entry.choices if entry is not None else ()


def _example(schema: Any) -> str:
    if not isinstance(schema, dict) or not schema.get("examples") or "const" in schema:
        return ""
    return words.code(schema["examples"][0]) if not isinstance(schema["examples"][0], dict | list) else ""
