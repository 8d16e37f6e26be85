"""Schemas: named, typed, bounded, described, with examples that hold; closed where written, open where read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from crm_reference.contract.documents import Node
from crm_reference.contract.lint.registry import Problem, rule
from crm_reference.contract.lint.survey import SchemaSite, Survey, references
from crm_reference.contract.yaml_source import escape

#: Members that may stand beside a $ref.
_SIBLINGS = frozenset({"$ref", "description", "default", "examples", "readOnly", "writeOnly", "deprecated"})
_SECTIONS = ("schemas", "parameters", "responses", "headers", "requestBodies", "links")
#: The one common value that is null by its nature: a custom field, which a merge patch removes.
_NULL_BY_NATURE = frozenset({"CustomFieldValue"})
#: Values whose length the standard of their content bounds, not a pattern.
_FREE_TEXT = frozenset({"base64", "base64url"})
#: Shared type by the name of the property that must have it.
_SHARED_TYPES = {
    "country": "CountryCode",
    "currency": "CurrencyCode",
    "language": "LanguageTag",
    "time_zone": "TimeZone",
    "email": "Email",
    "phone": "Phone",
}
#: Objects with fewer properties may be alike by chance.
_LEAST_COPY = 3


def types(node: Node) -> set[str]:
    """Return the types that a schema names."""
    said = node.get("type", [])
    return set(said) if isinstance(said, list) else {said}


def is_nullable_union(node: Node) -> bool:
    """Tell whether a schema is ``anyOf`` of one reference and null, as merge patches write it."""
    branches = node.get("anyOf") or []
    return len(branches) == 2 and branches[1] == {"type": "null"} and "$ref" in branches[0]


def _written_here(site: SchemaSite) -> bool:
    return not site.is_reference and isinstance(site.node.value, dict)


@rule("schema.inline")
def check_inline(survey: Survey) -> Iterator[Problem]:
    """Every object and every enumeration is a named component."""
    for site in survey.own_sites:
        if site.role == "component" or not _written_here(site):
            continue
        if "properties" in site.node or ("object" in types(site.node) and "additionalProperties" not in site.node):
            yield site.node.place, f"{site.label} is an object without a name; make it a component and refer to it"
        elif "enum" in site.node and "null" not in types(site.node):  # a patch adds null to the values
            yield site.node.place, f"{site.label} is an enumeration without a name; make it a component and refer to it"


@rule("schema.unused")
def check_unused(survey: Survey) -> Iterator[Problem]:
    """Every component is used."""
    for service in survey.services:
        document = service.openapi
        used = {r.partition("#")[2] for r in references(document.data) if r.startswith("#")}
        used |= {r.partition("#")[2] for r in references(service.asyncapi.data) if "openapi.yaml#" in r}
        for resource in service.resources.values():
            used |= {f"/components/schemas/{n}" for n in (resource.create, resource.update, resource.schema)}
        components = document.root.child("components") if "components" in document.root else None
        for section in _SECTIONS if components else ():
            for name, node in components.items(section) if components else ():
                if f"/components/{section}/{escape(name)}" not in used:
                    yield node.place, f"nothing refers to {section}/{name}; use or remove it"


@rule("schema.type")
def check_types(survey: Survey) -> Iterator[Problem]:
    """A schema has a type, or is a reference, or a union; `nullable` and `example` are OpenAPI 3.0."""
    for site in survey.sites:
        if not _written_here(site):
            continue
        if not {"type", "anyOf", "oneOf", "allOf"} & set(site.node.value):
            yield site.node.place, f"{site.label} has no type; name it"
        for old, new in (("nullable", "a type list with 'null', in an Update schema"), ("example", "examples")):
            if old in site.node:
                yield site.node.place, f"{site.label} has {old}; write {new}"
        said = {"properties", "additionalProperties", "oneOf", "allOf"} & set(site.node.value)
        if types(site.node) == {"object"} and not said and site.service:
            yield site.node.place, f"{site.label} is an object about which nothing is said; name its properties"


@rule("schema.siblings")
def check_siblings(survey: Survey) -> Iterator[Problem]:
    """Beside a $ref stand only annotations, which don't change what is valid."""
    for site in survey.sites:
        if site.is_reference:
            for key in site.node.value:
                if key not in _SIBLINGS and not key.startswith("x-"):
                    yield site.node.place, f"{site.label} has {key} beside $ref, which generators drop; make a schema of it"


@rule("schema.description")
def check_descriptions(survey: Survey) -> Iterator[Problem]:
    """Components and properties have a description that says more than their name."""
    for site in survey.sites:
        if site.role not in ("component", "property"):
            continue
        text = str(site.node.get("description") or site.node.resolved().get("description") or "")
        if len(text) < 10:
            yield site.node.place, f"{site.label} has no description; say what it means, with unit and limits"
        elif site.name and re.sub(r"\W", "", text.lower()) == re.sub(r"\W|_", "", site.name.lower()):
            yield site.node.place, f"{site.label}: the description repeats the name; say more"


@rule("schema.bounds-text")
def check_text_bounds(survey: Survey) -> Iterator[Problem]:
    """Texts have minLength and maxLength, and where clients write them a pattern, a format or an enumeration."""
    for site in survey.sites:
        node = site.node
        if not _written_here(site) or "string" not in types(node) or {"enum", "const"} & set(node.value):
            continue
        if types(node) & {"number", "array"}:
            continue
        missing = [k for k in ("minLength", "maxLength") if k not in node]
        if missing:
            yield node.place, f"{site.label} has no {' and no '.join(missing)}; bound it"
        closed = {"pattern", "format", "contentMediaType"} & set(node.value) or node.get("contentEncoding") in _FREE_TEXT
        if not closed and (node.uri in survey.written or _parent_uri(node) in survey.written):
            yield node.place, f"{site.label} is written by clients and takes any character; add a pattern or a format"


def _parent_uri(node: Node) -> str:
    pointer = node.pointer
    for part in ("/items", "/additionalProperties"):
        pointer = pointer.removesuffix(part)
    if "/properties/" in pointer:
        pointer = pointer.rpartition("/properties/")[0]
    return Node(node.document, pointer, None).uri


@rule("schema.bounds-number")
def check_number_bounds(survey: Survey) -> Iterator[Problem]:
    """Integers have format, minimum and maximum; numbers minimum and maximum."""
    for site in survey.sites:
        node = site.node
        kind = types(node) & {"integer", "number"} if _written_here(site) else set()
        if not kind or {"enum", "const"} & set(node.value):
            continue
        lower = "minimum" in node or "exclusiveMinimum" in node
        upper = "maximum" in node or "exclusiveMaximum" in node
        if not lower or not upper:
            yield node.place, f"{site.label} has no minimum or no maximum; bound it"
        if "integer" in kind and node.get("format") not in ("int32", "int64"):
            yield node.place, f"{site.label} has no format; write int32 or int64"


@rule("schema.bounds-list")
def check_list_bounds(survey: Survey) -> Iterator[Problem]:
    """Lists have items and maxItems; free member names have a pattern and maxProperties."""
    for site in survey.sites:
        node = site.node
        if not _written_here(site):
            continue
        if "array" in types(node) and not types(node) & {"string", "number"}:
            for key in ("items", "maxItems"):
                if key not in node:
                    yield node.place, f"{site.label} has no {key}; add it"
        if isinstance(node.get("additionalProperties"), dict):
            for key in ("maxProperties", "propertyNames"):
                if key not in node:
                    yield node.place, f"{site.label} takes free member names and has no {key}; bound them"


@rule("schema.closed")
def check_closed(survey: Survey) -> Iterator[Problem]:
    """What clients write is closed and flat: additionalProperties false, no allOf."""
    protocol = survey.reached(o for o in survey.operations if o.profile)
    protocol -= survey.reached(o for o in survey.operations if not o.profile)
    for site in survey.sites:
        if site.role != "component" or site.node.uri not in survey.written:
            continue
        if "allOf" in site.node:
            yield site.node.place, f"{site.label} is written by clients and has allOf; write its properties out"
        # Who follows OAuth must ignore members that it doesn't know (RFC 6749, section 3.2; RFC 7591, section 2).
        ignores = site.node.uri in protocol and site.node.get("additionalProperties") is True
        if "properties" in site.node and site.node.get("additionalProperties") is not False and not ignores:
            yield site.node.place, f"{site.label} is written by clients and open; add additionalProperties: false"


@rule("schema.open")
def check_open(survey: Survey) -> Iterator[Problem]:
    """What clients only read stays open, so that fields can be added."""
    for site in survey.own_sites:
        uri = site.node.uri
        only_read = uri in survey.answered and uri not in survey.written
        if site.role == "component" and only_read and site.node.get("additionalProperties") is False:
            yield site.node.place, f"{site.label} is only read and closed; remove additionalProperties: false"


@rule("schema.null")
def check_null(survey: Survey) -> Iterator[Problem]:
    """Null stands in schemas of merge patches (their names end in Update or Patch) and nowhere else."""
    for site in survey.sites:
        node = site.node
        if not _written_here(site) or site.owner in _NULL_BY_NATURE:
            continue
        if "null" in types(node) and not site.owner.endswith(("Update", "Patch")):
            yield node.place, f"{site.label} admits null outside an Update schema; leave the member out instead"


@rule("schema.union")
def check_unions(survey: Survey) -> Iterator[Problem]:
    """A union is a oneOf of named branches with a discriminator that maps to each; anyOf only adds null to a reference."""
    for site in survey.sites:
        node = site.node
        if not _written_here(site):
            continue
        if "anyOf" in node and not is_nullable_union(node):
            yield node.place, f"{site.label} has anyOf; write oneOf with a discriminator, or one $ref and type: 'null'"
        if "oneOf" in node:
            branches = {b.resolved().uri for b in node.entries("oneOf")}
            if not all("$ref" in b for b in node.entries("oneOf")):
                yield node.place, f"{site.label} has a branch without a name; make it a component"
            mapping = (node.get("discriminator") or {}).get("mapping", {})
            if not mapping:
                yield node.place, f"{site.label} is a union without a discriminator; add one with a mapping"
                continue
            mapped = {Node(node.document, node.pointer, {"$ref": t}).resolved().uri for t in mapping.values()}
            if mapped != branches:
                yield node.place, f"{site.label}: the discriminator's mapping and the branches differ; map to each branch"


@rule("schema.examples")
def check_examples(survey: Survey) -> Iterator[Problem]:
    """A property that is no object has examples, its own or its schema's, and they are valid; so are defaults."""
    for site in survey.sites:
        node = site.node
        if not isinstance(node.value, dict):
            continue
        target = node.resolved()
        for value in node.get("examples", ()):
            for error in survey.errors(node, value)[:1]:
                yield node.place, f"{site.label}: the example {value!r} is not valid: {error.pointer} {error.detail}; correct it"
        if "default" in node and survey.errors(node, node.get("default")):
            yield node.place, f"{site.label}: the default {node.get('default')!r} is not valid; correct it"
        if site.role in ("property", "parameter", "header") and not _has_examples(node, target):
            yield node.place, f"{site.label} has no examples; add one that fits the world of examples/world"


def _has_examples(node: Node, target: Node) -> bool:
    if node.get("examples") or target.get("examples") or "const" in target:
        return True
    if is_nullable_union(target):
        return _has_examples(target, target.child("anyOf").child(0).resolved())
    if "array" in types(target) and isinstance(target.get("items"), dict):
        items = target.child("items")
        return _has_examples(items, items.resolved())
    return bool({"properties", "oneOf", "allOf"} & set(target.value)) or "object" in types(target)


@rule("schema.enum")
def check_enums(survey: Survey) -> Iterator[Problem]:
    """An enumeration says what each value means."""
    for site in survey.sites:
        if isinstance(site.node.value, dict) and "enum" in site.node:
            values = {str(v) for v in site.node.get("enum") if v is not None}
            said = set(site.node.get("x-enum-descriptions", {}))
            if values != said:
                differ = ", ".join(sorted(values ^ said))
                yield site.node.place, f"{site.label}: enum and x-enum-descriptions differ in {differ}; describe each value"


@rule("schema.required")
def check_required(survey: Survey) -> Iterator[Problem]:
    """What is required is a property."""
    for site in survey.sites:
        if isinstance(site.node.value, dict) and "properties" in site.node:
            for name in site.node.get("required", ()):
                if name not in site.node.get("properties"):
                    yield site.node.place, f"{site.label} requires {name}, which is no property; correct the name"


@rule("schema.id")
def check_ids(survey: Survey) -> Iterator[Problem]:
    """An ID is a prefixed ULID of 30 characters, with the one pattern."""
    for site in survey.sites:
        pattern = str(site.node.get("pattern", "")) if isinstance(site.node.value, dict) else ""
        if "HJKMNP" in pattern and not re.fullmatch(
            r"\^(\([a-z]{3}(\|[a-z]{3})*\)|[a-z]{3}|\[a-z\]\{3\})_\[0-7\]\[0-9A-HJKMNP-TV-Z\]\{25\}\$", pattern
        ):
            yield site.node.place, f"{site.label} has the pattern {pattern}; write ^abc_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$"


@rule("schema.sensitive")
def check_sensitive(survey: Survey) -> Iterator[Problem]:
    """E-mail addresses, telephone numbers and postal addresses of people are marked x-sensitive."""
    personal = ("Email", "Phone", "PostalAddress")
    for site in survey.own_sites:
        if site.role != "property" or "$ref" not in site.node:
            continue
        target = str(site.node.get("$ref")).rpartition("/")[2]
        if target in personal and "common/schemas" in str(site.node.get("$ref")) and "x-sensitive" not in site.node:
            yield site.node.place, f"{site.label} is a {target} and not marked; add x-sensitive: pii"


@rule("schema.shared")
def check_shared(survey: Survey) -> Iterator[Problem]:
    """Countries, currencies, languages, zones, e-mail addresses and telephone numbers are the shared types."""
    for site in survey.own_sites:
        wanted = _SHARED_TYPES.get(site.name) if site.role == "property" else None
        if wanted and _written_here(site) and types(site.node) == {"string"} and "enum" not in site.node:
            yield site.node.place, f"{site.label} is described anew; refer to common/schemas.yaml#/{wanted}"


@rule("schema.twice")
def check_twice(survey: Survey) -> Iterator[Problem]:
    """No object is written twice under two names: what two need is one component, or a common one."""
    seen: dict[bytes, str] = {}
    for site in survey.sites:
        if site.role != "component" or len(site.node.get("properties", {})) < _LEAST_COPY:
            continue
        said = _expanded({k: v for k, v in site.node.value.items() if k != "description"})
        shape = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
        if shape in seen:
            yield site.node.place, f"{site.label} is {seen[shape]} under another name; refer to that one"
        seen.setdefault(shape, site.label)


def _expanded(value: Any) -> Any:
    """Return data with references by their last part, which is what two files that refer to one thing have in common."""
    if isinstance(value, dict):
        return {k: v.rpartition("/")[2] if k == "$ref" and isinstance(v, str) else _expanded(v) for k, v in value.items()}
    return [_expanded(v) for v in value] if isinstance(value, list) else value
