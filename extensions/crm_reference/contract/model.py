"""The model: what the documents say, as frozen data that every consumer reads.

Names are the standards' own (operation, parameter, schema, event) or the project's one word for a thing (facet, exchange,
capability). Each object carries its :class:`~crm_reference.contract.documents.Node` or ``place``, so that a message can name file
and line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from crm_reference.contract.documents import Document, Library, Node, Place
from crm_reference.contract.example_model import AttackGroup, Exchange, Principal, Vectors
from crm_reference.contract.manifest_model import Capability, ErrorCode, Manifest, Scope
from crm_reference.contract.protocols import PROTOCOLS


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement, a criterion or a facet of the catalogue.

    :param id: ``REQ-1``, ``REQ-1.1`` or ``REQ-1.1-crud``.
    :param kind: Level in the catalogue.
    :param title: A few words.
    :param text: What must hold, in one sentence.
    :param parent: ID of the level above; empty for a requirement.
    :param service: Slug of the service that a criterion or facet is about; empty for requirements 7 to 10.
    :param rule: Name of the universal rule that decides the facet; empty for requirements 1 to 6.
    :param floor: Least number of subjects of that rule.
    :param also: Whether a rule's facet also needs a chapter section, an operation and a live exchange.
    :param needs: Slugs of services without which the rule can't be decided.
    """

    id: str
    kind: Literal["requirement", "criterion", "facet"]
    title: str
    text: str
    parent: str
    service: str
    rule: str
    floor: int
    also: bool
    place: Place
    needs: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        """The fragment of its place on the requirement pages: ``req-1-1-crud``."""
        return self.id.lower().replace(".", "-")


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy class: rate, latency targets, limits, caching. Latencies in milliseconds, sizes in bytes, times in seconds."""

    name: str
    title: str
    description: str
    requests: int
    window_seconds: int
    latency: Mapping[str, int]
    payload_limit_bytes: int
    timeout_seconds: int
    caching: str
    place: Place


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operation, its ``$ref`` resolved.

    :param location: ``path``, ``query``, ``header`` or ``cookie``.
    :param schema: Node of its schema, unresolved.
    :param default: The schema's default, or ``None``.
    """

    name: str
    location: str
    required: bool
    description: str
    schema: Node
    default: Any
    deprecated: bool
    place: Place


@dataclass(frozen=True, slots=True)
class Body:
    """A request body: media type to the node of its schema."""

    required: bool
    description: str
    media: Mapping[str, Node]
    place: Place


@dataclass(frozen=True, slots=True)
class Response:
    """A response of an operation, its ``$ref`` resolved.

    :param status: As written, ``"201"``.
    :param media: Media type to the node of its schema; empty where there is no body.
    :param headers: The operation's own headers by name; the three that stand on every answer are not repeated.
    :param common: Name of the shared response that it refers to; empty for the operation's own.
    """

    status: str
    description: str
    media: Mapping[str, Node]
    headers: Mapping[str, Node]
    links: Mapping[str, Any]
    common: str
    place: Place


@dataclass(frozen=True, slots=True)
class Operation:
    """One method on one path.

    :param behaviour: What its path's shape makes it do (``create``, ``list`` ...); empty where only a handler serves it.
    :param resource: Collection that it works on; empty where none is found from the path.
    :param errors: Own codes, those implied by the resource's rules included, in order.
    """

    id: str
    service: str
    method: str
    path: str
    summary: str
    description: str
    tag: str
    requirements: tuple[str, ...]
    policy: str
    parameters: tuple[Parameter, ...]
    body: Body | None
    responses: Mapping[str, Response]
    errors: tuple[str, ...]
    events: tuple[str, ...]
    security_note: str
    scopes: tuple[str, ...]
    public: str
    consistency: str
    profile: str
    deprecated: bool
    behaviour: str
    resource: str
    node: Node

    @property
    def place(self) -> Place:
        """File and line."""
        return self.node.place

    @property
    def url_path(self) -> str:
        """The path from the host on. Well-known paths stand before the version (RFC 8615, section 3)."""
        return self.path if self.path.startswith("/.well-known/") else f"/v1{self.path}"

    @property
    def is_protocol(self) -> bool:
        """Whether it follows a protocol's RFC in path, case, media type and errors."""
        return self.profile in PROTOCOLS

    @property
    def successes(self) -> tuple[Response, ...]:
        """Responses with a status below 400."""
        return tuple(r for r in self.responses.values() if r.status < "400")

    def parameter(self, name: str, location: str) -> Parameter | None:
        """Return the parameter of that name and location, or ``None``."""
        return next((p for p in self.parameters if p.name == name and p.location == location), None)


@dataclass(frozen=True, slots=True)
class Schema:
    """A named component schema.

    :param service: Slug; empty for those of ``common``.
    """

    name: str
    service: str
    node: Node

    @property
    def place(self) -> Place:
        """File and line."""
        return self.node.place

    @property
    def description(self) -> str:
        """The schema's own description."""
        return str(self.node.get("description", ""))


@dataclass(frozen=True, slots=True)
class Rule:
    """A business rule of a resource.

    :param options: The members that its kind has beside id, kind, text and error.
    """

    id: str
    kind: str
    text: str
    error: str
    options: Mapping[str, Any]
    place: Place


@dataclass(frozen=True, slots=True)
class QueryField:
    """What lists and searches may do with a field.

    :param parameters: Query parameter of the list to filter operator.
    """

    name: str
    operators: tuple[str, ...]
    sort: bool
    search: bool
    expand: str
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of record: what the store and the generic behaviours know of it.

    :param collection: Name in the store.
    :param path: Path of the collection, with parents as parameters.
    :param schema: Name of the read schema.
    :param create: Name of the schema that creates it; empty where clients can't.
    :param update: Name of the merge-patch schema; empty where clients can't.
    :param delete: ``soft``, ``hard`` or ``none``.
    """

    collection: str
    service: str
    path: str
    prefix: str
    object: str
    schema: str
    create: str
    update: str
    parent: Mapping[str, str]
    delete: str
    restore_days: int
    owner: str
    name: str
    history: bool
    require_if_match: bool
    extensible: str
    rules: tuple[Rule, ...]
    query: Mapping[str, QueryField]
    node: Node


@dataclass(frozen=True, slots=True)
class Event:
    """A message that a service emits.

    :param type: CloudEvents type, the same everywhere.
    :param channel: Key of its channel in the AsyncAPI document.
    :param payload: Node of the payload's schema, unresolved.
    """

    type: str
    service: str
    title: str
    summary: str
    description: str
    channel: str
    payload: Node
    node: Node

    @property
    def place(self) -> Place:
        """File and line."""
        return self.node.place


@dataclass(frozen=True, slots=True)
class Tag:
    """A group of operations, which is a page of the chapter."""

    name: str
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its three documents, its examples and its world."""

    slug: str
    title: str
    version: str
    description: str
    manifest: Manifest
    tags: tuple[Tag, ...]
    operations: tuple[Operation, ...]
    schemas: Mapping[str, Schema]
    resources: Mapping[str, Resource]
    events: Mapping[str, Event]
    exchanges: Mapping[str, Exchange]
    vectors: tuple[Vectors, ...]
    openapi: Document
    asyncapi: Document


@dataclass(frozen=True)
class Contract:
    """Everything: the one object that consumers read."""

    library: Library
    requirements: Mapping[str, Requirement]
    services: Mapping[str, Service]
    policies: Mapping[str, Policy]
    standard_errors: Mapping[str, ErrorCode]
    common_schemas: Mapping[str, Schema]
    principals: Mapping[str, Principal]
    world: Mapping[str, tuple[Mapping[str, Any], ...]] = field(repr=False)
    hostile: tuple[AttackGroup, ...] = ()

    @cached_property
    def operations(self) -> Mapping[str, Operation]:
        """All operations by operationId."""
        return {o.id: o for s in self.services.values() for o in s.operations}

    @cached_property
    def schemas(self) -> Mapping[str, Schema]:
        """All named schemas, the common ones first."""
        return {**self.common_schemas, **{n: x for s in self.services.values() for n, x in s.schemas.items()}}

    @cached_property
    def resources(self) -> Mapping[str, Resource]:
        """All resources by collection."""
        return {n: x for s in self.services.values() for n, x in s.resources.items()}

    @cached_property
    def events(self) -> Mapping[str, Event]:
        """All events by type."""
        return {n: x for s in self.services.values() for n, x in s.events.items()}

    @cached_property
    def exchanges(self) -> Mapping[str, Exchange]:
        """All exchanges by ``operationId/name``."""
        return {n: x for s in self.services.values() for n, x in s.exchanges.items()}

    @cached_property
    def exchanges_by_operation(self) -> Mapping[str, tuple[Exchange, ...]]:
        """All exchanges of each operation in the order of their files; an operation without any is absent."""
        found: dict[str, list[Exchange]] = {}
        for exchange in self.exchanges.values():
            found.setdefault(exchange.operation, []).append(exchange)
        return {operation: tuple(exchanges) for operation, exchanges in found.items()}

    @cached_property
    def errors(self) -> Mapping[str, ErrorCode]:
        """All error codes: the standard ones, then the services'."""
        own = {n: x for s in self.services.values() for n, x in s.manifest.errors.items()}
        return {**self.standard_errors, **own}

    @cached_property
    def scopes(self) -> Mapping[str, Scope]:
        """All scopes by name."""
        return {n: x for s in self.services.values() for n, x in s.manifest.scopes.items()}

    def scopes_of(self, principal: Principal, /) -> tuple[str, ...]:
        """Return the scopes of a principal's tokens: those listed, all for ``*``, those of its role for ``by-role``."""
        if "*" in principal.scopes:
            return tuple(sorted(self.scopes))
        if "by-role" in principal.scopes:
            return tuple(sorted(name for name, scope in self.scopes.items() if principal.role in scope.roles))
        return principal.scopes

    @cached_property
    def capabilities(self) -> tuple[Capability, ...]:
        """All capabilities of all charters."""
        return tuple(self._capabilities())

    def _capabilities(self) -> Iterator[Capability]:
        for service in self.services.values():
            for capabilities in service.manifest.charter.values():
                yield from capabilities

    def facets(self, parent: str = "") -> tuple[Requirement, ...]:
        """Return the facets below a requirement or criterion, or all of them."""
        return tuple(
            r
            for r in self.requirements.values()
            if r.kind == "facet" and (not parent or r.id.startswith((parent + ".", parent + "-")))
        )
