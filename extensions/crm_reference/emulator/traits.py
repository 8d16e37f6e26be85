"""What a write or an answer must know of a resource's schema, read off once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crm_reference.contract import Contract, Resource
from crm_reference.contract.schema_tree import property_node


@dataclass(frozen=True, slots=True)
class Traits:
    """What follows from a resource's schemas.

    :param defaults: Values of members that a creation leaves out.
    :param hidden: Members that no answer holds: write-only ones and secrets.
    :param masked: Member to the scope without which it is left out.
    :param platform: Which of ``version``, ``created_by``, ``updated_by`` the schema has.
    :param searchable: Fields that text queries look into.
    :param owners: Calls that tell whether a reference leads somewhere, as service and operationId, by the collection referred to.
    """

    defaults: Mapping[str, Any]
    hidden: frozenset[str]
    masked: Mapping[str, str]
    platform: frozenset[str]
    searchable: tuple[str, ...]
    owners: Mapping[str, tuple[tuple[str, str], ...]]


def traits_of(contract: Contract, resource: Resource, /) -> Traits:
    """Read a resource's traits off its schemas."""
    properties = resource.node.get("properties", {})
    targets = {str(r.options["target"]) for r in resource.rules if r.kind == "reference"}
    return Traits(
        defaults=_defaults(contract, resource),
        hidden=frozenset(n for n, p in properties.items() if p.get("writeOnly") or p.get("x-sensitive") == "secret"),
        masked={n: p["x-masked"] for n, p in properties.items() if p.get("x-masked")},
        platform=frozenset({"version", "created_by", "updated_by"} & properties.keys()),
        searchable=tuple(name for name, field in resource.query.items() if field.search),
        owners={target: _owners(contract, resource, target) for target in targets},
    )


def _owners(contract: Contract, resource: Resource, target: str) -> tuple[tuple[str, str], ...]:
    owner = contract.resources[target].service if target in contract.resources else target
    edges = contract.services[resource.service].manifest.calls
    return tuple((e.service, e.operation) for e in edges if e.service == owner and e.operation.startswith("get"))


def _defaults(contract: Contract, resource: Resource) -> dict[str, Any]:
    schema = contract.schemas.get(resource.create or resource.schema)
    found = {}
    for name, property_ in (schema.node.get("properties", {}) if schema else {}).items():
        node = property_node(schema.node, [name]) if schema else None
        default = property_.get("default", node.get("default") if node else None)
        if default is not None:
            found[name] = default
    return found
