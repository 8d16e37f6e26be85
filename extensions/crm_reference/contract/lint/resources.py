"""Resources: what a read schema must have, and whether its rules and query table mean something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from crm_reference.contract.documents import Node
from crm_reference.contract.lint.registry import Problem, rule
from crm_reference.contract.lint.schemas import types
from crm_reference.contract.lint.survey import Survey
from crm_reference.contract.model import Resource, Rule
from crm_reference.contract.schema_tree import property_node

#: Members that the platform sets.
PLATFORM = ("id", "object", "created_at", "updated_at", "created_by", "version")
#: Query parameters of a list that are no filters.
_NO_FILTERS = frozenset({"limit", "cursor", "sort", "fields", "expand", "query", "q", "include"})
_ORDERED = frozenset({"lt", "lte", "gt", "gte", "between"})
_TEXTUAL = frozenset({"contains", "starts_with"})
#: Statuses that a breach may have by kind; the kinds that are not here are 422.
_STATUSES = {"unique": (409,), "transition": (409,), "custom": (409, 422)}
#: What ``compare`` takes in place of a field.
_MOMENTS = frozenset({"now", "today"})


def field_node(resource: Resource, name: str) -> Node | None:
    """Return the schema of a resource's field by dotted name, or ``None`` where it has none."""
    return property_node(resource.node, name.split("."))


@rule("resource.properties")
def check_properties(survey: Survey) -> Iterator[Problem]:
    """A resource has the platform's properties, read-only, and requires id and object alone."""
    for resource in survey.contract.resources.values():
        properties = dict(resource.node.items("properties"))
        for name in PLATFORM:
            node = properties.get(name)
            if node is None:
                yield resource.node.place, f"{resource.schema} has no {name}; add it"
            elif not (node.get("readOnly") or node.resolved().get("readOnly")):
                yield node.place, f"{resource.schema}.{name} is set by the platform; add readOnly: true"
        if not resource.object:
            yield resource.node.place, f"{resource.schema}.object has no const; write the record's kind"
        if sorted(resource.node.get("required", ())) != ["id", "object"]:
            yield resource.node.place, f"{resource.schema} must require id and object alone; use x-presence: always for the rest"
        for name in ("id", "object"):
            if name in properties and properties[name].get("x-presence") != "always":
                yield properties[name].place, f"{resource.schema}.{name} is always there; add x-presence: always"


@rule("resource.write-schemas")
def check_write_schemas(survey: Survey) -> Iterator[Problem]:
    """Create and update schemas exist, have no member that can't be read back, and an update demands nothing but a member."""
    for resource in survey.contract.resources.values():
        schemas = survey.contract.services[resource.service].schemas
        readable = dict(resource.node.items("properties"))
        for name in filter(None, (resource.create, resource.update)):
            schema = schemas.get(name)
            if schema is None:
                place = resource.node.child("x-resource").place
                yield place, f"{resource.schema}: there is no schema {name}; write it, or correct the name"
                continue
            for member, node in schema.node.items("properties"):
                if member not in readable and not node.get("writeOnly"):
                    yield node.place, f"{name}.{member} can't be read back in {resource.schema}; add it there, or writeOnly: true"
                elif member in readable and readable[member].get("readOnly"):
                    yield node.place, f"{name}.{member} is readOnly in {resource.schema}; remove one of the two"
            if name == resource.update and (schema.node.get("required") or schema.node.get("minProperties") != 1):
                yield schema.node.place, f"{name} is a merge patch; write minProperties: 1 and nothing required"


@rule("resource.path")
def check_resource_paths(survey: Survey) -> Iterator[Problem]:
    """A resource's path is one of its service's, and its parent is a collection with that parameter and property."""
    seen: dict[str, str] = {}
    for resource in (r for service in survey.services for r in service.resources.values()):
        place = resource.node.child("x-resource").place
        if resource.collection in seen:
            yield place, f"the collection {resource.collection} is one of {seen[resource.collection]} as well; rename it"
        seen.setdefault(resource.collection, resource.service)
        paths = {o.path for o in survey.contract.services[resource.service].operations}
        if not any(p == resource.path or p.startswith(resource.path + "/") for p in paths):
            yield place, f"no operation is on {resource.path}; write one, or correct the path"
        if resource.parent:
            if resource.parent.get("collection") not in survey.contract.resources:
                yield place, f"the parent {resource.parent.get('collection')} of {resource.collection} is no collection; correct it"
            if "{" + resource.parent.get("parameter", "") + "}" not in resource.path:
                yield place, f"{resource.path} has no parameter {resource.parent.get('parameter')}; correct parent.parameter"
            if resource.parent.get("property") not in resource.node.get("properties", {}):
                yield place, f"{resource.schema} has no {resource.parent.get('property')}; correct parent.property"
        if resource.owner and resource.owner not in resource.node.get("properties", {}):
            yield place, f"{resource.schema} has no {resource.owner}; correct x-resource.owner"


def _rules(survey: Survey) -> Iterator[tuple[Resource, Rule]]:
    for resource in survey.contract.resources.values():
        for item in resource.rules:
            yield resource, item


def _named_fields(rule_: Rule) -> Iterator[str]:
    options = rule_.options
    for key in ("fields", "scope", "any_of"):
        yield from options.get(key, ())
    for key in ("field", "left", "right"):
        if key in options:
            yield str(options[key])
    yield from options.get("when", {})


@rule("rules.fields")
def check_rule_fields(survey: Survey) -> Iterator[Problem]:
    """A rule names fields that the resource or its create schema has; a rule's id is its service's alone."""
    seen: dict[tuple[str, str], str] = {}
    for resource, item in _rules(survey):
        key = (resource.service, item.id)
        if key in seen:
            yield item.place, f"the rule {item.id} stands on {seen[key]} as well; give it an id of its own"
        seen.setdefault(key, resource.schema)
        create = survey.contract.services[resource.service].schemas.get(resource.create)
        for name in _named_fields(item):
            known = field_node(resource, name) or (create and property_node(create.node, name.split(".")))
            if known is None and name not in _MOMENTS:
                yield item.place, f"the rule {item.id} names {name}, which {resource.schema} doesn't have; correct it"


@rule("rules.error")
def check_rule_errors(survey: Survey) -> Iterator[Problem]:
    """A rule's error exists with the status of its kind: 409 for unique and transition, either for custom, else 422."""
    for resource, item in _rules(survey):
        error = survey.contract.errors.get(item.error)
        if error is None or error.service not in ("", resource.service):
            yield item.place, f"the rule {item.id} answers {item.error}, which service.yaml doesn't have; add it to errors"
        elif error.status not in (wanted := _STATUSES.get(item.kind, (422,))):
            yield item.place, f"the rule {item.id} is of kind {item.kind} and {item.error} has {error.status}; make it {wanted[0]}"


@rule("rules.values")
def check_rule_values(survey: Survey) -> Iterator[Problem]:
    """A state machine names the values of its field's enumeration, and each value is reached or begun with."""
    for resource, item in _rules(survey):
        if item.kind != "transition":
            continue
        node = field_node(resource, str(item.options.get("field", "")))
        values = set(node.get("enum", ())) if node is not None else set()
        moves: dict[str, Any] = item.options.get("transitions", {})
        initial = set(item.options.get("initial", ()))
        named = set(moves) | initial | {v for targets in moves.values() for v in targets}
        for value in sorted(named - values):
            yield item.place, f"the rule {item.id} names {value!r}, which is no value of {item.options.get('field')}; correct it"
        reached = initial | {v for targets in moves.values() for v in targets}
        for value in sorted(values - reached) if initial else ():
            yield item.place, f"the rule {item.id} never reaches {value!r}; add a transition, or remove the value"


@rule("rules.reference")
def check_reference_rules(survey: Survey) -> Iterator[Problem]:
    """Every writable property that holds another record's ID has a reference rule."""
    for resource in survey.contract.resources.values():
        covered = {str(r.options.get("field", "")).split(".")[0] for r in resource.rules if r.kind == "reference"}
        covered |= {str(f).split(".")[0] for r in resource.rules if r.kind == "custom" for f in r.options.get("fields", ())}
        covered.add(resource.parent.get("property", ""))
        schemas = survey.contract.services[resource.service].schemas
        for name in dict.fromkeys(filter(None, (resource.create, resource.update))):
            for member, node in schemas[name].node.items("properties") if name in schemas else ():
                if member.endswith(("_id", "_ids")) and member not in covered and not member.startswith("external_"):
                    yield node.place, f"{name}.{member} leads to a record and no rule says to which; add a reference rule"
                    covered.add(member)


@rule("query.fields")
def check_query_fields(survey: Survey) -> Iterator[Problem]:
    """The query table names fields that exist, and operators that fit their types."""
    for resource in survey.contract.resources.values():
        for name, said in resource.node.items("x-query"):
            node = field_node(resource, name)
            if node is None and not name.startswith("custom_fields"):
                yield said.place, f"x-query names {name}, which {resource.schema} doesn't have; correct it"
                continue
            kinds = types(node) if node is not None else set()
            operators = set(said.get("operators", ()))
            textual = "string" in kinds or "array" in kinds
            if operators & _TEXTUAL and not textual:
                yield said.place, f"{name} is no text; remove contains and starts_with from its operators"
            if operators & _ORDERED and ("boolean" in kinds or (node is not None and "enum" in node)):
                yield said.place, f"{name} has no order; remove {', '.join(sorted(operators & _ORDERED))}"


@rule("query.parameters")
def check_query_parameters(survey: Survey) -> Iterator[Problem]:
    """Each filter of a list is in the query table: named there, or a field with its operator behind it."""
    for operation in survey.operations:
        if operation.behaviour != "list":
            continue
        resource = survey.contract.resources[operation.resource]
        named = {p: op for f in resource.query.values() for p, op in f.parameters.items()}
        for parameter in operation.parameters:
            name = parameter.name
            if parameter.location != "query" or name in _NO_FILTERS or name in named:
                continue
            field, operator = _split(name, resource)
            if not field or operator not in resource.query[field].operators:
                yield parameter.place, f"{operation.id} takes {name}, which the x-query of {resource.schema} doesn't cover; add it"
        known = {p.name for p in operation.parameters}
        for name in sorted(set(named) - known):
            place = resource.node.child("x-query").place
            yield place, f"x-query has the parameter {name}, which {operation.id} doesn't take; add or remove it"


def _split(name: str, resource: Resource) -> tuple[str, str]:
    """Split a filter parameter into field and operator; a bare field name is ``eq``."""
    if name in resource.query:
        return name, "eq"
    for field in sorted(resource.query, key=len, reverse=True):
        if name.startswith(field + "_"):
            return field, name[len(field) + 1 :]
    return "", ""


@rule("resource.restore")
def check_restore(survey: Survey) -> Iterator[Problem]:
    """Where a delete is soft, an operation restores."""
    for service in survey.services:
        for resource in service.resources.values():
            behaviours = {o.behaviour for o in service.operations if o.resource == resource.collection}
            place = resource.node.child("x-resource").place
            if resource.delete == "soft" and "delete" in behaviours and "restore" not in behaviours:
                yield place, f"{resource.collection} is deleted softly and never restored; add POST {resource.path}/{{id}}/restore"
