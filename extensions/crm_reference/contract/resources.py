"""Resources: what ``x-resource``, ``x-rules`` and ``x-query`` on a read schema say."""

from __future__ import annotations

from collections.abc import Mapping

from crm_reference.contract.documents import Node
from crm_reference.contract.model import QueryField, Resource, Rule, Schema

_RULE_MEMBERS = ("id", "kind", "text", "error")


def build_resources(slug: str, schemas: Mapping[str, Schema], /) -> dict[str, Resource]:
    """Build the resources of a service from its schemas, by collection."""
    found = {}
    for schema in schemas.values():
        if "x-resource" in schema.node:
            resource = _resource(slug, schema)
            found[resource.collection] = resource
    return found


def _resource(slug: str, schema: Schema) -> Resource:
    said = schema.node.get("x-resource")
    properties = schema.node.get("properties", {})
    return Resource(
        collection=said.get("collection", ""),
        service=slug,
        path=said.get("path", ""),
        prefix=said.get("prefix", ""),
        object=str(properties.get("object", {}).get("const", "")),
        schema=schema.name,
        create=said.get("create", ""),
        update=said.get("update", ""),
        parent=said.get("parent", {}),
        delete=said.get("delete", "hard"),
        restore_days=int(said.get("restore_days", 30)),
        owner=said.get("owner", ""),
        name=said.get("name", ""),
        history=bool(said.get("history", False)),
        require_if_match=bool(said.get("require_if_match", False)),
        extensible=str(schema.node.get("x-extensible", "")),
        rules=tuple(map(_rule, schema.node.entries("x-rules"))),
        query={name: _query_field(name, node) for name, node in schema.node.items("x-query")},
        node=schema.node,
    )


def _rule(node: Node) -> Rule:
    return Rule(
        id=str(node.get("id", "")),
        kind=str(node.get("kind", "")),
        text=str(node.get("text", "")),
        error=str(node.get("error", "")),
        options={k: v for k, v in node.value.items() if k not in _RULE_MEMBERS},
        place=node.place,
    )


def _query_field(name: str, node: Node) -> QueryField:
    return QueryField(
        name=name,
        operators=tuple(node.get("operators", ())),
        sort=bool(node.get("sort", False)),
        search=bool(node.get("search", False)),
        expand=str(node.get("expand", "")),
        parameters=node.get("parameter", {}),
    )
