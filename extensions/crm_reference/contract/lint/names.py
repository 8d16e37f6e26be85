"""Names: paths, operations, schemas, properties, events, scopes, prefixes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

from crm_reference.contract.documents import Place
from crm_reference.contract.lint.registry import Problem, rule
from crm_reference.contract.lint.survey import SchemaSite, Survey

_KEBAB = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_CAMEL = re.compile(r"[a-z]+([A-Z][a-z0-9]*)+")
_PASCAL = re.compile(r"([A-Z][a-z0-9]+)+")
_RESERVED = frozenset({"Date", "Model", "Object"})
_ID_PATTERN = re.compile(r"\^(\([a-z]{3}(\|[a-z]{3})*\)|[a-z]{3}|\[a-z\]\{3\})_\[0-7\]\[0-9A-HJKMNP-TV-Z\]\{25\}\$")

#: Booleans that say what to do rather than what is; the house style names them itself.
_SWITCHES = frozenset({"atomic", "validate_only"})
#: Names that hold an ID and by their meaning don't end in ``_id``.
_ID_NAMES = frozenset({"id", "subject", "actor", "merged_into"})
#: Prefixes that resources of several services have.
_SHARED_PREFIXES = frozenset({"job"})
#: Suffixes that make a filter parameter of a field's name.
_OPERATORS = ("_gte", "_gt", "_lte", "_lt", "_in", "_not_in", "_ne", "_contains", "_starts_with", "_is_set")
#: Scopes whose names OpenID Connect gives (Core, sections 5.4 and 11).
_OIDC_SCOPES = frozenset({"openid", "profile", "email", "phone", "address", "offline_access"})
#: Names of the standards that our documents quote.
_FOREIGN_TIMES = frozenset({"time", "from", "to", "value", "cursor"})


@rule("name.path")
def check_paths(survey: Survey) -> Iterator[Problem]:
    """Path segments are kebab-case, parameters snake_case, nested three levels at most."""
    for operation in survey.operations:
        if operation.is_protocol:
            continue
        parts = [p for p in operation.path.split("/") if p]
        for part in parts:
            if part.startswith("{"):
                if not _SNAKE.fullmatch(part[1:-1]):
                    yield operation.place, f"{operation.path}: the parameter {part} is not snake_case; rename it"
            elif not _KEBAB.fullmatch(part):
                yield operation.place, f"{operation.path}: the segment {part!r} is not kebab-case; rename it"
        if sum(p.startswith("{") for p in parts) > 3:
            yield operation.place, f"{operation.path} nests more than three levels; give the inner resource a path of its own"


@rule("name.segment")
def check_segments(survey: Survey) -> Iterator[Problem]:
    """A path begins with a segment that its service's manifest declares, and that no other service has."""
    owners: dict[str, str] = {}
    for service in survey.services:
        place = service.manifest.node.place
        for segment in service.manifest.segments:
            if segment in owners:
                yield place, f"the segment {segment} belongs to {owners[segment]} as well; choose another noun"
            owners.setdefault(segment, service.slug)
        used = set()
        for operation in service.operations:
            first = operation.path.split("/")[1]
            used.add(first)
            if first not in service.manifest.segments and not operation.is_protocol:
                message = f"{operation.path} begins with {first}, which service.yaml doesn't declare; add it to segments"
                yield operation.place, message
        for segment in service.manifest.segments:
            if segment not in used:
                yield place, f"no path begins with the segment {segment}; remove it"


@rule("name.ambiguous-path")
def check_ambiguous(survey: Survey) -> Iterator[Problem]:
    """No two paths of one method can be meant by the same URL, unless one is the more literal at every place."""
    by_shape: dict[tuple[str, int], list[tuple[list[str], str, Place]]] = {}
    for operation in survey.operations:
        parts = operation.path.split("/")[1:]
        by_shape.setdefault((operation.method, len(parts)), []).append((parts, operation.path, operation.place))
    for (method, _), paths in by_shape.items():
        for (a, path, _), (b, other, place) in combinations(paths, 2):
            pairs = [(x.startswith("{"), y.startswith("{")) for x, y in zip(a, b, strict=True) if x != y]
            same = all(x == y or x.startswith("{") or y.startswith("{") for x, y in zip(a, b, strict=True))
            if not same or (pairs and len({p for p in pairs if p != (True, True)}) == 1):
                continue
            yield place, f"{method} {other} and {path} can be meant by the same URL; give one a noun of its own"


@rule("name.operation")
def check_operation_ids(survey: Survey) -> Iterator[Problem]:
    """An operationId is camelCase, verb first, and unique over all services."""
    seen: dict[str, Place] = {}
    for operation in survey.operations:
        if not _CAMEL.fullmatch(operation.id):
            yield operation.place, f"the operationId {operation.id!r} is not camelCase of a verb and a noun; rename it"
        if operation.id in seen:
            message = f"the operationId {operation.id} stands in {seen[operation.id]} as well; put the service's name in"
            yield operation.place, message
        seen.setdefault(operation.id, operation.place)


@rule("name.schema")
def check_schema_names(survey: Survey) -> Iterator[Problem]:
    """A schema's name is PascalCase without capital acronyms, none of Date, Model and Object, and unique over all services."""
    seen: dict[str, Place] = {name: s.place for name, s in survey.contract.common_schemas.items()}
    for service in survey.services:
        for name, schema in service.schemas.items():
            if not _PASCAL.fullmatch(name) or name in _RESERVED:
                yield schema.place, f"the schema name {name} is not of the form AccountPage; rename it"
            if name in seen:
                yield schema.place, f"the schema {name} stands in {seen[name]} as well; put the service's noun in, or refer to it"
            seen.setdefault(name, schema.place)


def _fields(survey: Survey) -> Iterator[SchemaSite]:
    """Yield the properties and the query and path parameters of services."""
    for site in survey.own_sites:
        if site.role == "property" or (site.role == "parameter" and "-" not in site.name):
            yield site


@rule("name.property")
def check_property_names(survey: Survey) -> Iterator[Problem]:
    """Properties and query parameters are snake_case; booleans say is_, has_ or can_."""
    profiled = _profiled(survey)
    for site in _fields(survey):
        if site.owner in profiled:
            continue
        if not _SNAKE.fullmatch(site.name):
            yield site.node.place, f"{site.label} is not snake_case; rename it"
        elif site.node.resolved().get("type") != "boolean" or site.name.startswith(("is_", "has_", "can_")):
            continue
        elif site.name not in _SWITCHES and not _is_option(survey, site):
            yield site.node.place, f"{site.label} is a boolean; begin its name with is_ or has_"


def _is_option(survey: Survey, site: SchemaSite) -> bool:
    """Tell whether a property is an option of an action: sent, never read back, and in no record's schema."""
    schema = survey.contract.schemas.get(site.owner)
    if schema is None or site.owner.endswith(("Create", "Update")):
        return False
    return schema.node.uri in survey.written and schema.node.uri not in survey.answered


def _profiled(survey: Survey) -> frozenset[str]:
    """Return the names of schemas that only operations with a profile reach, and those operations' ids."""
    profiled = [o for o in survey.operations if o.profile]
    ours = survey.reached(o for o in survey.operations if not o.profile)
    names = {uri.rpartition("/")[2] for uri in survey.reached(profiled) - ours}
    return frozenset(names | {o.id for o in profiled})


@rule("name.time")
def check_times(survey: Survey) -> Iterator[Problem]:
    """Instants end in _at, dates in _on."""
    profiled = _profiled(survey)
    for site in _fields(survey):
        if site.owner in profiled:
            continue
        form = site.node.resolved().get("format")
        if form not in ("date-time", "date") or site.name in _FOREIGN_TIMES:
            continue
        name = site.name
        for operator in _OPERATORS:
            name = name.removesuffix(operator)
        ending = "_at" if form == "date-time" else "_on"
        if not name.endswith(ending):
            yield site.node.place, f"{site.label} is a {form}; let its name end in {ending}"


@rule("name.reference")
def check_references(survey: Survey) -> Iterator[Problem]:
    """A property ends in _id exactly where it holds an ID with its pattern."""
    profiled = _profiled(survey)
    for site in _fields(survey):
        if site.owner in profiled:
            continue
        node = site.node.resolved()
        target = next((b.resolved() for b in node.entries("anyOf") if b.resolved().get("type") != "null"), node)
        is_id = bool(_ID_PATTERN.fullmatch(str(target.get("pattern", ""))))
        named = (site.name == "id" or site.name.endswith(("_id", "_id_in"))) and not site.name.startswith("external_")
        if named and not is_id:
            yield site.node.place, f"{site.label} is named as an ID and has no ID's pattern; refer to a schema such as UserId"
        elif is_id and not named and site.name not in _ID_NAMES and not site.name.endswith("_by"):
            yield site.node.place, f"{site.label} holds an ID; let its name end in _id"


@rule("name.enum")
def check_enum_values(survey: Survey) -> Iterator[Problem]:
    """Values of enumerations are lower_snake; a dot leads into a nested field."""
    profiled = _profiled(survey)
    for site in survey.own_sites:
        if site.owner in profiled:
            continue
        for value in site.node.get("enum", ()) if isinstance(site.node.value, dict) else ():
            if isinstance(value, str) and not re.fullmatch(r"[a-z0-9]+([_.][a-z0-9]+)*", value):
                yield site.node.place, f"{site.label} has the value {value!r}, which is not lower_snake; rename it"


@rule("name.scope")
def check_scope_names(survey: Survey) -> Iterator[Problem]:
    """A scope begins with its service's slug or one of its nouns, and is no other service's."""
    seen: dict[str, str] = {}
    for service in survey.services:
        for name, scope in service.manifest.scopes.items():
            if name in _OIDC_SCOPES and any(o.is_protocol and name in o.scopes for o in service.operations):
                continue
            if not re.fullmatch(r"[a-z][a-z_-]*(\.[a-z_]+)+", name) or name.split(".")[0] not in (
                service.slug,
                *service.manifest.segments,
            ):
                yield scope.place, f"the scope {name} doesn't begin with {service.slug}; rename it"
            if name in seen:
                yield scope.place, f"the scope {name} is one of {seen[name]} as well; rename it"
            seen.setdefault(name, service.slug)


@rule("name.prefix")
def check_prefixes(survey: Survey) -> Iterator[Problem]:
    """A resource's ID prefix is its manifest's, its ID's pattern has it, and no other resource has it."""
    seen: dict[str, str] = {}
    for service in survey.services:
        owned = {str(o.get("prefix")) for o in service.manifest.owns} | _SHARED_PREFIXES
        for collection, resource in service.resources.items():
            place = resource.node.child("x-resource").place
            if resource.prefix in seen and resource.prefix not in _SHARED_PREFIXES:
                yield place, f"the prefix {resource.prefix} of {collection} is that of {seen[resource.prefix]}; choose another"
            seen.setdefault(resource.prefix, collection)
            if resource.prefix not in owned:
                yield place, f"{collection} has the prefix {resource.prefix}, which boundary.owns lacks; add it to service.yaml"
            if "id" in resource.node.get("properties", {}):
                pattern = str(resource.node.child("properties").child("id").resolved().get("pattern", ""))
                if not pattern.startswith((f"^{resource.prefix}_", "^(")):
                    yield place, f"the IDs of {collection} have the pattern {pattern or 'none'}; begin it with ^{resource.prefix}_"
        for prefix in sorted(owned - _SHARED_PREFIXES - {r.prefix for r in service.resources.values()}):
            yield service.manifest.node.place, f"boundary.owns has the prefix {prefix}, and no x-resource has it; align them"
