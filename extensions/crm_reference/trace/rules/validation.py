"""Requirements 9.1 to 9.3: fields are bounded, rules are proved, references lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crm_reference.contract import Contract, Exchange, Node, Resource, Rule
from crm_reference.contract.schema_tree import Spot, declared, json_schema, says
from crm_reference.trace import subjects as about
from crm_reference.trace.rules.requests import codes_of
from crm_reference.trace.universal import Context, Findings, Verdict, rule

#: Formats that bound a text by themselves.
_BOUNDED_FORMATS = frozenset({"date", "date-time", "time", "uuid", "duration"})

#: What the pattern of a prefixed ULID begins with.
_ID_PATTERN = re.compile(r"^\^\(?[a-z]{3}[_|]")


@rule("constraints")
def constraints(context: Context, /) -> Verdict:
    """Decide whether every field that can be sent has bounds. A subject is ``operationId #/pointer``."""
    found, subjects = Findings("constraints"), []
    for operation in context.contract.operations.values():
        schema = json_schema(operation.body)
        for pointer, spot in (declared(schema) if schema else {}).items():
            subjects.append(f"{operation.id} {pointer}")
            if missing := unbounded(spot.schema):
                found.add(spot.schema.place, f"{pointer} of {operation.id} has no {missing}")
    return Verdict(tuple(subjects), tuple(found))


def unbounded(schema: Node, /) -> str:
    """Return which bound a schema lacks; empty where it has all that its type needs."""
    said = says(schema, "type")
    types = set(said) if isinstance(said, list) else {said}
    if says(schema, "enum") is not None or says(schema, "const") is not None:
        return ""
    if "string" in types and says(schema, "maxLength") is None and says(schema, "format") not in _BOUNDED_FORMATS:
        return "maxLength"
    if types & {"integer", "number"}:
        open_ends = [k for k in ("minimum", "maximum") if says(schema, k) is None and says(schema, f"exclusive{k.title()}") is None]
        return " and ".join(open_ends)
    if "array" in types and says(schema, "maxItems") is None:
        return "maxItems"
    return ""


@rule("business_rules")
def business_rules(context: Context, /) -> Verdict:
    """Decide whether each business rule is broken by one exchange and kept by another. A subject is ``collection rule-id``."""
    found = Findings("business_rules")
    for resource in context.contract.resources.values():
        exchanges = list(_on(context, resource))
        for business in resource.rules:
            name = f"the rule {business.id} of {resource.collection}"
            if not any(business.error in codes_of(e) for e in exchanges):
                found.add(business.place, f"no exchange breaks {name} and is answered {business.error}; add one")
            if not any(_keeps(e, business) for e in exchanges):
                found.add(business.place, f"no exchange that succeeds meets {name}; add one that sends what it is about")
    return Verdict(tuple(about.rules(context.contract)), tuple(found))


def _on(context: Context, resource: Resource) -> Iterator[Exchange]:
    """Yield the exchanges that ran on a resource's operations, or on others that can answer with its rules' codes."""
    codes = {r.error for r in resource.rules}
    for operation in context.contract.operations.values():
        if operation.resource == resource.collection or codes & set(operation.errors):
            yield from context.by_operation[operation.id]


def _keeps(exchange: Exchange, business: Rule) -> bool:
    if not exchange.succeeds:
        return False
    fields = _fields(business)
    if business.kind == "transition" or not fields:
        return exchange.request.has_body or exchange.request.path != {}
    body = exchange.request.body
    sent = {*body, *body.get("record", {}), *body.get("changes", {})} if isinstance(body, dict) else set()
    return bool(sent & fields) or (isinstance(body, dict) and bool({"items", "ids"} & set(body)))


def _fields(business: Rule) -> set[str]:
    """Return the top-level fields that a rule speaks of."""
    options = business.options
    names = [*options.get("fields", ()), *options.get("any_of", ()), *options.get("when", {})]
    names += [str(options[k]) for k in ("field", "left", "right") if isinstance(options.get(k), str)]
    return {str(n).split(".")[0].split("/")[0] for n in names}


@rule("cross_entity")
def cross_entity(context: Context, /) -> Verdict:
    """Decide whether each field that holds an ID and can be set has its target and what the target's deletion does.

    A subject is ``collection field``. The owner and the parent are said by ``x-resource``. Targets in services that don't exist
    yet are taken on trust until every service exists.
    """
    found, subjects = Findings("cross_entity"), []
    complete = {r.service for r in context.contract.requirements.values() if r.service} <= set(context.contract.services)
    for resource in context.contract.resources.values():
        rules = {str(r.options.get("field")): r for r in resource.rules if r.kind == "reference"}
        for field, spot in _references(context.contract, resource):
            subjects.append(f"{resource.collection} {field}")
            if field in (resource.owner, resource.parent.get("property")):
                continue
            business = rules.get(field)
            if business is None and _is_of_several(spot) and any(field in _fields(r) for r in resource.rules if r.kind == "custom"):
                continue
            if business is None:
                message = f"{field} of {resource.collection} holds an ID and has no reference rule; name its target and on_delete"
                found.add(spot.schema.place, message)
            elif not business.options.get("on_delete"):
                found.add(business.place, f"the rule {business.id} doesn't say what the deletion of {field}'s target does")
            elif complete and business.options.get("target") not in context.contract.resources:
                message = f"the rule {business.id} has the target {business.options.get('target')}, which is no collection"
                found.add(business.place, message)
    return Verdict(tuple(subjects), tuple(found))


def _is_of_several(spot: Spot) -> bool:
    """Tell whether a field holds IDs of several kinds: it has no one target, and a custom rule looks where its prefix leads."""
    return str(says(spot.schema, "pattern") or "").startswith("^(")


def _references(contract: Contract, resource: Resource) -> Iterator[tuple[str, Spot]]:
    """Yield the top-level fields of a resource that hold an ID of a record and that clients can set."""
    written = [contract.schemas[n].node for n in (resource.create, resource.update) if n in contract.schemas]
    settable = {name for node in written for name in node.get("properties", {})}
    for pointer, spot in declared(resource.node).items():
        name = pointer.removeprefix("#/")
        if name in settable and name.endswith("_id") and _ID_PATTERN.match(str(says(spot.schema, "pattern") or "")):
            yield name, spot


@rule("extensible_entities")
def extensible_entities(context: Context, /) -> Verdict:
    """Decide whether what says ``x-extensible`` takes ``custom_fields`` in and gives them out. A subject is a resource."""
    found, subjects = Findings("extensible_entities"), []
    contract = context.contract
    for resource in about.extensible_resources(contract):
        subjects.append(resource.collection)
        for name in filter(None, (resource.schema, resource.create, resource.update)):
            schema = contract.schemas.get(name)
            if schema is None or "custom_fields" not in schema.node.get("properties", {}):
                place = schema.place if schema else resource.node.place
                found.add(place, f"{resource.collection} says x-extensible, and {name} has no custom_fields")
    for schema in contract.schemas.values():
        extensible = "x-extensible" in schema.node
        if "x-resource" in schema.node and "custom_fields" in schema.node.get("properties", {}) and not extensible:
            found.add(schema.place, f"{schema.name} has custom_fields and doesn't say x-extensible")
    return Verdict(tuple(subjects), tuple(found))
