"""What universal rules and laws are about: lists of subjects, each computed from the contract alone.

A subject is a text that begins with the thing's own name (an operationId, an exchange, a service, a resource's collection), so that
:func:`place_of_subject` finds its file and line.
"""

from __future__ import annotations

from collections.abc import Iterator

from crm_reference.contract import Call, Contract, Exchange, Hearing, Node, Operation, Place, Resource, Service
from crm_reference.contract.documents import place_of
from crm_reference.contract.schema_tree import Spot, declared, json_schema, says, used

#: Behaviours that make, change or remove one record.
WRITES = frozenset({"create", "update", "replace", "delete", "restore", "upsert"})


def operations(contract: Contract, /) -> list[str]:
    """Return every operation."""
    return list(contract.operations)


def guarded(contract: Contract, /) -> list[str]:
    """Return the operations that demand a scope and speak the house style's bearer tokens."""
    return [o.id for o in contract.operations.values() if o.scopes and o.profile not in {"oauth", "oidc"}]


def public(contract: Contract, /) -> list[str]:
    """Return the operations that take no token, and no other credential."""
    return [o.id for o in contract.operations.values() if not o.scopes and _open(o)]


def _open(operation: Operation) -> bool:
    security = operation.node.get("security", [])
    return not security or {} in security


def with_record_id(contract: Contract, /) -> list[str]:
    """Return the operations that name a record in their path."""
    return [o.id for o in contract.operations.values() if record_parameters(o)]


def guarded_with_record_id(contract: Contract, /) -> list[str]:
    """Return the operations that name a record in their path and take a token, which names the tenant."""
    return [o.id for o in contract.operations.values() if o.scopes and record_parameters(o)]


def record_parameters(operation: Operation, /) -> list[str]:
    """Return the path parameters that hold IDs: those whose name ends in ``_id``."""
    return [p.name for p in operation.parameters if p.location == "path" and p.name.endswith("_id")]


def paged(contract: Contract, /) -> list[str]:
    """Return the operations that give pages: those whose query or body takes a ``cursor``."""
    return [o.id for o in contract.operations.values() if is_paged(o)]


def is_paged(operation: Operation, /) -> bool:
    """Return whether an operation takes a cursor, in its query or its body."""
    schema = json_schema(operation.body)
    return operation.parameter("cursor", "query") is not None or (
        schema is not None and "cursor" in schema.resolved().get("properties", {})
    )


def sized(contract: Contract, /) -> list[str]:
    """Return the operations with a body whose policy class limits its size."""
    return [
        o.id
        for o in contract.operations.values()
        if o.body is not None and (p := contract.policies.get(o.policy)) is not None and p.payload_limit_bytes > 0
    ]


def timed(contract: Contract, /) -> list[str]:
    """Return the policy classes that operations use, as ``policy class``."""
    return sorted({f"policy {o.policy}" for o in contract.operations.values() if o.policy})


def json_bodies(contract: Contract, /) -> list[str]:
    """Return the operations that take a JSON object and have an exchange that succeeds with one.

    What OAuth's RFCs demand depends on other members, and what a SCIM PATCH does on its ``op``, which no schema says: those
    operations have exchanges for it.
    """
    found = [o for o in contract.operations.values() if json_schema(o.body) is not None and o.profile not in {"oauth", "oidc"}]
    found = [o for o in found if (o.profile, o.method) != ("scim", "PATCH")]
    return [o.id for o in found if (e := model_exchange(contract, o)) is not None and e.request.has_body]


def model_exchange(contract: Contract, operation: Operation, /) -> Exchange | None:
    """Return the exchange that laws vary: the first of the operation's that succeeds, with the most members in its body."""
    found = [e for e in exchanges_of(contract, operation.id) if e.succeeds and e.scripted is None]
    if json_schema(operation.body) is not None:
        found = [e for e in found if isinstance(e.request.body, dict)]
    return max(found, key=lambda e: _members(e.request.body), default=None)


def _members(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_members, value.values()))
    return sum(map(_members, value)) if isinstance(value, list) else 0


def exchanges_of(contract: Contract, operation: str, /) -> tuple[Exchange, ...]:
    """Return the exchanges of an operation in the order of their file."""
    return contract.exchanges_by_operation.get(operation, ())


def sent_fields(contract: Contract, /) -> list[str]:
    """Return ``operationId #/pointer`` for each declared property that the operation's model exchange sends."""
    return [f"{o.id} {s.pointer}" for o, s in _sent(contract)]


def sent_required(contract: Contract, /) -> list[str]:
    """Return ``operationId #/pointer`` for each required property that the model exchange sends."""
    return [f"{o.id} {s.pointer}" for o, s in _sent(contract) if s.required]


def _sent(contract: Contract) -> Iterator[tuple[Operation, Spot]]:
    for operation in contract.operations.values():
        schema, model = json_schema(operation.body), model_exchange(contract, operation)
        if schema is None or model is None or operation.profile:
            continue
        seen: set[str] = set()
        for spot in used(schema, model.request.body):
            if spot.generic not in seen and not spot.generic.endswith(">"):
                seen.add(spot.generic)
                yield operation, spot


def bounded_fields(contract: Contract, /) -> list[str]:
    """Return ``operationId #/pointer`` for each sent field whose schema has a bound, pattern, format or enumeration."""
    return [f"{o.id} {s.pointer}" for o, s in _sent(contract) if any(says(s.schema, k) is not None for k in BOUNDS)]


#: Keywords that a value can be just inside or just outside of.
BOUNDS = (
    "minLength", "maxLength", "pattern", "format", "enum", "const", "minimum", "maximum",
    "exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "uniqueItems",
)  # fmt: skip


def failing_exchanges(contract: Contract, /) -> list[str]:
    """Return the exchanges that expect a status of 400 or more."""
    return [e.id for e in contract.exchanges.values() if not e.succeeds]


def writable_with_read_only(contract: Contract, /) -> list[str]:
    """Return the operations whose JSON body writes a resource that has properties the platform sets."""
    found = []
    for operation in contract.operations.values():
        resource = contract.resources.get(operation.resource)
        if resource and operation.behaviour in {"create", "update", "replace", "upsert"} and json_schema(operation.body):
            found.append(operation.id)
    return found


def url_fields(contract: Contract, /) -> list[str]:
    """Return ``operationId #/pointer`` for each writable property that takes a URL which the platform fetches or shows."""
    found = []
    for operation in contract.operations.values():
        schema = json_schema(operation.body)
        for pointer, spot in (declared(schema) if schema else {}).items():
            if is_url(spot.schema):
                found.append(f"{operation.id} {pointer}")
    return found


def is_url(schema: Node, /) -> bool:
    """Return whether a property holds a URL."""
    return says(schema, "format") in {"uri", "url", "iri"}


def uploads(contract: Contract, /) -> list[str]:
    """Return the operations that take a file: a binary or multipart body."""
    return [
        o.id
        for o in contract.operations.values()
        if o.body and any(t.startswith(("multipart/", "application/octet-stream", "image/")) for t in o.body.media)
    ]


def services(contract: Contract, /) -> list[str]:
    """Return every service."""
    return list(contract.services)


def calls(contract: Contract, /) -> list[str]:
    """Return ``service -> operationId`` for each call to a service that exists."""
    return [call_subject(s, c) for s in contract.services.values() for c in s.manifest.calls if c.service in contract.services]


def call_subject(service: Service, call: Call, /) -> str:
    """Name a call: ``deals -> getPipeline``."""
    return f"{service.slug} -> {call.operation}"


def hearings(contract: Contract, /) -> list[str]:
    """Return ``service <- event`` for each event heard from a service that exists."""
    found = contract.services.values()
    return [hearing_subject(s, h) for s in found for h in s.manifest.hears if h.service in contract.services]


def hearing_subject(service: Service, hearing: Hearing, /) -> str:
    """Name an event that a service hears: ``deals <- crm.pipeline.deleted.v1``."""
    return f"{service.slug} <- {hearing.event}"


def dependencies(contract: Contract, /) -> list[str]:
    """Return ``service needs neighbour`` for the service's own database and for each service that its manifest calls."""
    found = []
    for service in contract.services.values():
        neighbours = dict.fromkeys(c.service for c in service.manifest.calls)
        found += [f"{service.slug} needs {name}" for name in ("database", *neighbours)]
    return found


def metrics(contract: Contract, /) -> list[str]:
    """Return ``service metric`` for each metric of each manifest."""
    return [f"{s.slug} {m.name}" for s in contract.services.values() for m in s.manifest.metrics]


def rules(contract: Contract, /) -> list[str]:
    """Return ``collection rule-id`` for each business rule of each resource."""
    return [f"{r.collection} {x.id}" for r in contract.resources.values() for x in r.rules]


def references(contract: Contract, /) -> list[str]:
    """Return ``collection rule-id`` for each reference rule whose target's service exists."""
    return [
        f"{r.collection} {x.id}"
        for r in contract.resources.values()
        for x in r.rules
        if x.kind == "reference" and x.options.get("target") in contract.resources
    ]


def extensible(contract: Contract, /) -> list[str]:
    """Return the resources that take custom fields."""
    return [r.collection for r in extensible_resources(contract)]


def extensible_resources(contract: Contract, /) -> list[Resource]:
    """Return the resources whose read schema says ``x-extensible``."""
    return [r for r in contract.resources.values() if r.extensible]


def resources(contract: Contract, /) -> list[str]:
    """Return every resource."""
    return list(contract.resources)


def changing(contract: Contract, /) -> list[str]:
    """Return the resources that have a change feed."""
    return sorted({o.resource for o in contract.operations.values() if o.behaviour == "changes"})


def events(contract: Contract, /) -> list[str]:
    """Return every event type."""
    return list(contract.events)


def sensitive(contract: Contract, kind: str, /) -> list[str]:
    """Return ``collection #/pointer`` for each property of a resource with that ``x-sensitive`` class."""
    return [
        f"{r.collection} {pointer}"
        for r in contract.resources.values()
        for pointer, spot in declared(r.node, skip="").items()
        if says(spot.schema, "x-sensitive") == kind
    ]


def place_of_subject(contract: Contract, subject: str, /) -> Place:
    """Return file and line of what a subject names; the requirement catalogue where it names nothing known.

    A service and its main collection share a name, so that the words after it decide which of the two is meant.
    """
    name, _, rest = subject.partition(" ")
    for table in (contract.operations, contract.exchanges, contract.events, contract.errors):
        if name in table:
            return table[name].place
    if name == "policy" and rest in contract.policies:
        return contract.policies[rest].place
    resource, service = contract.resources.get(name), contract.services.get(name)
    if resource is not None and (rest.startswith("#") or rest in {r.id for r in resource.rules} or service is None):
        return next((r.place for r in resource.rules if r.id == rest), resource.node.place)
    if service is not None:
        return next((m.place for m in service.manifest.metrics if m.name == rest), service.manifest.node.place)
    return place_of("source_specs/requirements.yaml")
