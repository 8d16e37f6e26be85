"""What an expression about an object may name: built-in fields, custom fields, and the fields of what they refer to.

An object is known by its name: ``contact``, or the name of a type that the tenant made, ``vessel``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crm_reference.contract import Resource
from crm_reference.contract.documents import Node
from crm_reference.contract.schema_tree import property_node
from crm_reference.emulator.custom_fields.values import COLLECTION, definitions

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

#: ``x-extensible`` of the resource that holds the records of every type which a tenant made.
CUSTOM = "custom_record"
#: Its collection, and that of the types.
RECORDS, TYPES = "custom-records", "object-types"

#: Type of an operand by the type of a custom field.
_KINDS: Mapping[str, str] = {
    "integer": "number",
    "decimal": "number",
    "percent": "number",
    "boolean": "boolean",
    "date": "date",
    "date_time": "date_time",
    "multi_picklist": "list",
    "currency": "number",  # a decimal string, in the definition's currency
    "geolocation": "place",
}
#: Members of values that are no scalars, and the types of these.
PARTS: Mapping[str, Mapping[str, str]] = {
    "money": {"amount": "number", "currency": "text"},
    "place": {"latitude": "number", "longitude": "number"},
}
#: Kinds of custom fields that no expression may read: whoever reads its result would read them.
_CLOSED = frozenset({"encrypted_text", "secret"})
_SYSTEM = frozenset({"id", "object", "object_type", "version"})


@dataclass(frozen=True, slots=True)
class Operand:
    """A field that an expression may name.

    :param type: ``number``, ``text``, ``boolean``, ``date``, ``date_time``, ``list``, ``money`` or ``place``.
    :param target: The object that it refers to; empty where it holds no ID.
    :param definition: The custom field's definition; ``None`` for a built-in field.
    """

    name: str
    type: str
    target: str = ""
    definition: Mapping[str, Any] | None = None


def extension(context: Context, resource: Resource, doc: Mapping[str, Any] | None = None, /) -> str:
    """Return the object whose custom fields a resource's records take; empty where they take none.

    :param doc: A record; without one the type stands in the path of the call.
    """
    if resource.extensible != CUSTOM:
        return resource.extensible
    return str((doc or {}).get("object_type") or getattr(context, "path", {}).get("object_type", ""))


def resource_of(context: Context, object_type: str, /) -> Resource | None:
    """Return the resource that keeps the records of an object, or ``None``."""
    resources = context.world.contract.resources
    if type_of(context, object_type) is not None:
        return resources.get(RECORDS)
    found = [r for r in resources.values() if object_type and object_type in (r.extensible, r.object) and r.path.count("{") == 0]
    return next((r for r in found if r.extensible == object_type), found[0] if found else None)


def type_of(context: Context, name: str, /) -> Mapping[str, Any] | None:
    """Return the document of a type that the tenant made, or ``None``."""
    store, tenant = context.world.store, context.tenant
    return store.remembered(TYPES, (tenant, name), lambda: next((r.doc for r in store.find(tenant, TYPES, name=name)), None))


def object_of(context: Context, target: str, /) -> str:
    """Return the object that a reference leads to, whether its definition names the object or its collection."""
    resource = context.world.contract.resources.get(target)
    return (resource.extensible or resource.object) if resource is not None else target


def operands(context: Context, object_type: str, /) -> Mapping[str, Operand]:
    """Return what an expression about an object may name, by name: built-in fields first."""
    store, tenant = context.world.store, context.tenant
    return store.remembered(COLLECTION, ("operands", tenant, object_type), lambda: _operands(context, object_type))


def seen_operands(context: Context, object_type: str, /) -> Mapping[str, Operand]:
    """Return what the caller may name in an expression about an object: :func:`operands`, less what is hidden from it."""
    known = operands(context, object_type)
    hidden = hidden_names(context, object_type)
    return {n: o for n, o in known.items() if member_of(o) not in hidden} if hidden else known


def root_operands(context: Context, object_type: str, /) -> Mapping[str, Operand]:
    """Return what an expression of the caller may name: of objects that take custom fields, and of nothing else."""
    return seen_operands(context, object_type) if takes_expressions(context, object_type) else {}


def takes_expressions(context: Context, object_type: str, /) -> bool:
    """Tell whether formulas and rules can be about an object: one whose records take custom fields."""
    resource = resource_of(context, object_type)
    return resource is not None and bool(resource.extensible)


def may_ask(context: Context, resource: Resource, /) -> bool:
    """Tell whether the caller may read a kind of record at all: what another service keeps takes that service's scope."""
    return context.is_upkeep or resource.service == context.service or f"{resource.service}.read" in context.identity.scopes


def hidden_names(context: Context, object_type: str, /) -> frozenset[str]:
    """Return the members of an object that the caller may not see; none where the platform works by itself."""
    resource = resource_of(context, object_type)
    return frozenset() if resource is None or context.is_upkeep else context.records.masked(resource.collection)


def member_of(operand: Operand, /) -> str:
    """Return where a record keeps an operand."""
    return operand.name if operand.definition is None else f"custom_fields.{operand.name}"


def _operands(context: Context, object_type: str) -> dict[str, Operand]:
    found: dict[str, Operand] = {}
    for name, said in definitions(context, object_type).items():
        if said["type"] not in _CLOSED:
            target = object_of(context, said.get("target", "")) if said["type"] == "reference" else ""
            found[name] = Operand(name, kind_of(context, object_type, said), target, said)
    resource = resource_of(context, object_type)
    return ({**_built_in(context, resource), **found}) if resource is not None else found


def kind_of(context: Context, object_type: str, said: Mapping[str, Any], /) -> str:
    """Return the type of a custom field's value."""
    if said["type"] == "formula":
        return result_type(said.get("formula", {}).get("result_type", "text"))
    if said["type"] == "roll_up":
        asked = said.get("roll_up", {})
        if asked.get("operation") not in ("min", "max"):
            return "number"
        definition = definitions(context, asked.get("object_type", "")).get(asked.get("field", ""))
        return "number" if definition is None else _KINDS.get(definition["type"], "number")
    return _KINDS.get(said["type"], "text")


def result_type(kind: str, /) -> str:
    """Return the type that an expression must have for a formula that gives a kind of value."""
    return _KINDS.get(kind, "text")


def _built_in(context: Context, resource: Resource) -> dict[str, Operand]:
    targets = {r.options["field"]: r.options["target"] for r in resource.rules if r.kind == "reference"}
    found = {}
    for name, property_ in resource.node.get("properties", {}).items():
        node = property_node(resource.node, [name])
        closed = property_.get("x-sensitive") == "secret" or property_.get("x-masked") or property_.get("writeOnly")
        kind = "" if node is None or closed else _built_in_kind(node)
        if kind and (name not in _SYSTEM or name == "id"):
            target = object_of(context, targets[name]) if name in targets and kind == "text" else ""
            found[name] = Operand(name, kind, target)
    return found


def _built_in_kind(node: Node) -> str:
    match node.get("type"):
        case "string":
            return {"date": "date", "date-time": "date_time"}.get(node.get("format", ""), "text")
        case "integer" | "number":
            return "number"
        case "boolean":
            return "boolean"
        case "array":
            items = node.child("items").resolved() if "items" in node else None
            return "list" if items is not None and items.get("type") == "string" else ""
        case "object" if {"amount", "currency"} <= node.get("properties", {}).keys():
            return "money"
    return ""
