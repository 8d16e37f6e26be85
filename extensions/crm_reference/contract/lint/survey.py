"""What rules look at, collected once a run: schema sites, reachability, references, values against schemas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from crm_reference.contract.documents import Document, Node
from crm_reference.contract.example_model import Exchange
from crm_reference.contract.examples import exchange_documents
from crm_reference.contract.model import Contract, Operation, Service
from crm_reference.contract.validation import FieldError, Validators

COMMON = "source_specs/common/"
_COMMON_SCHEMAS = ("schemas.yaml", "health.yaml", "cloudevent.yaml")

Role = Literal["component", "property", "items", "branch", "map", "parameter", "header", "media"]


@dataclass(frozen=True, slots=True)
class SchemaSite:
    """A schema where it is written.

    :param service: Slug; empty for common documents.
    :param owner: Name of the component that it is in; the operationId for a schema that is in none.
    :param role: How it is used there.
    :param name: Name of the property or parameter; empty for other roles.
    """

    node: Node
    service: str
    owner: str
    role: Role
    name: str

    @property
    def label(self) -> str:
        """How messages name it: ``Contact.email``, ``Contact.tags[]`` or ``Contact``."""
        return f"{self.owner}.{self.name}" if self.name and self.name != self.owner else self.owner

    @property
    def is_reference(self) -> bool:
        """Whether it only refers to another schema."""
        return "$ref" in self.node


def walk_schema(node: Node, service: str, owner: str, role: Role, name: str = "") -> Iterator[SchemaSite]:
    """Yield a schema and those written inside it; references are yielded and not followed."""
    yield SchemaSite(node, service, owner, role, name)
    for key, child in node.items("properties"):
        yield from walk_schema(child, service, owner, "property", key)
    if isinstance(node.get("items"), dict):
        yield from walk_schema(node.child("items"), service, owner, "items", f"{name}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from walk_schema(node.child("additionalProperties"), service, owner, "map", f"{name}{{}}")
    for keyword in ("oneOf", "anyOf", "allOf"):
        for branch in node.entries(keyword):
            yield from walk_schema(branch, service, owner, "branch", name)


def references(value: Any) -> Iterator[str]:
    """Yield every ``$ref`` in JSON data, and every target of a discriminator's mapping."""
    if isinstance(value, dict):
        for key, member in value.items():
            if key == "$ref" and isinstance(member, str):
                yield member
            elif key == "mapping" and isinstance(member, dict):
                yield from (target for target in member.values() if isinstance(target, str))
            else:
                yield from references(member)
    elif isinstance(value, list):
        for entry in value:
            yield from references(entry)


@dataclass(frozen=True)
class Survey:
    """The contract with what rules need of it, each part made on first use."""

    contract: Contract

    @cached_property
    def validators(self) -> Validators:
        """Validators of every schema of the contract."""
        return Validators(self.contract.library)

    def errors(self, schema: Node, value: Any) -> list[FieldError]:
        """Return what a schema finds wrong with a value; nothing where the schema itself is broken, which another rule says."""
        try:
            return self.validators.errors(schema, value)
        except ValueError:
            return []

    @property
    def services(self) -> Iterator[Service]:
        """The services, by slug."""
        yield from self.contract.services.values()

    @property
    def operations(self) -> Iterator[Operation]:
        """All operations, also those whose operationId another one has."""
        for service in self.services:
            yield from service.operations

    @cached_property
    def _exchanges(self) -> dict[str, list[Exchange]]:
        found: dict[str, list[Exchange]] = {}
        for exchange in self.contract.exchanges.values():
            found.setdefault(exchange.operation, []).append(exchange)
        return found

    def exchanges_of(self, operation: Operation) -> list[Exchange]:
        """Return the exchanges that call an operation."""
        return self._exchanges.get(operation.id, [])

    def example_documents(self, service: Service) -> list[Document]:
        """Return the documents that hold a service's exchanges."""
        return exchange_documents(self.contract.library, service.slug)

    def example_file(self, slug: str) -> str:
        """Return where a service's exchanges stand, for messages: its file, or its folder."""
        folder = f"examples/{slug}/"
        return folder if (self.contract.library.root / folder).is_dir() else f"examples/{slug}.yaml"

    def common(self, name: str) -> Document:
        """Return a document of ``source_specs/common`` by its file name."""
        return self.contract.library.open(COMMON + name)

    @cached_property
    def sites(self) -> tuple[SchemaSite, ...]:
        """Every schema of the common documents and the services' OpenAPI documents, where it is written."""
        return tuple(self._common_sites()) + tuple(s for x in self.services for s in self._service_sites(x))

    @cached_property
    def own_sites(self) -> tuple[SchemaSite, ...]:
        """The sites in the services' documents."""
        return tuple(s for s in self.sites if s.service)

    def _common_sites(self) -> Iterator[SchemaSite]:
        for file in _COMMON_SCHEMAS:
            for name, node in self.common(file).root.items():
                if "type" in node or "oneOf" in node:
                    yield from walk_schema(node, "", name, "component")
        for name, node in self.common("parameters.yaml").root.items():
            if "schema" in node:
                yield from walk_schema(node.child("schema"), "", name, "parameter", str(node.get("name", "")))
        for name, node in self.common("headers.yaml").root.items():
            if "schema" in node:
                yield from walk_schema(node.child("schema"), "", name, "header", name)

    def _service_sites(self, service: Service) -> Iterator[SchemaSite]:
        slug = service.slug
        for name, schema in service.schemas.items():
            yield from walk_schema(schema.node, slug, name, "component")
        components = service.openapi.root.child("components") if "components" in service.openapi.root else None
        if components is not None:
            for name, node in components.items("parameters"):
                if "schema" in node:
                    yield from walk_schema(node.child("schema"), slug, name, "parameter", str(node.get("name", "")))
            for name, node in components.items("headers"):
                if "schema" in node:
                    yield from walk_schema(node.child("schema"), slug, name, "header", name)
            for name, node in components.items("responses"):
                for _, media in node.items("content"):
                    if "schema" in media:
                        yield from walk_schema(media.child("schema"), slug, name, "media")
        for operation in service.operations:
            yield from self._operation_sites(operation)

    @staticmethod
    def _operation_sites(operation: Operation) -> Iterator[SchemaSite]:
        inline = f"{operation.node.pointer}/"
        document = operation.node.document
        for parameter in operation.parameters:
            node = parameter.schema
            if node.document is document and node.pointer.startswith(inline):
                yield from walk_schema(node, operation.service, operation.id, "parameter", parameter.name)
        bodies = [operation.body.media] if operation.body else []
        for media in [*bodies, *(r.media for r in operation.responses.values())]:
            for node in media.values():
                if node.document is document and node.pointer.startswith(inline):
                    yield from walk_schema(node, operation.service, operation.id, "media")

    @cached_property
    def written(self) -> frozenset[str]:
        """URIs of the schemas that requests reach."""
        return self._reach(n for o in self.operations if o.body for n in o.body.media.values())

    @cached_property
    def answered(self) -> frozenset[str]:
        """URIs of the schemas that answers and events reach."""
        answers = (n for o in self.operations for r in o.responses.values() for n in r.media.values())
        return self._reach((*answers, *(e.payload for e in self.contract.events.values())))

    def reached(self, operations: Iterable[Operation], /) -> frozenset[str]:
        """Return the URIs of the schemas that operations' bodies and answers reach."""
        bodies = [(o.body.media if o.body else {}, *(r.media for r in o.responses.values())) for o in operations]
        return self._reach(n for parts in bodies for media in parts for n in media.values())

    @staticmethod
    def _reach(roots: Any) -> frozenset[str]:
        seen: set[str] = set()
        pending: list[Node] = list(roots)
        while pending:
            node = pending.pop().resolved()
            if node.uri in seen:
                continue
            seen.add(node.uri)
            pending += (s.node for s in walk_schema(node, "", "", "media") if s.node.uri != node.uri)
        return frozenset(seen)

    @cached_property
    def scopes(self) -> frozenset[str]:
        """All scopes that manifests declare."""
        return frozenset(self.contract.scopes)
