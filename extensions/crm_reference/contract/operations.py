"""Operations of an OpenAPI document, and the behaviour that the shape of a path gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from crm_reference.contract.documents import Node
from crm_reference.contract.findings import ContractError, Finding
from crm_reference.contract.model import Body, Operation, Parameter, Resource, Response

#: HTTP methods that a path item may hold (OpenAPI 3.1, 4.8.9.1).
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")

#: Behaviour by method and what follows the collection's path; ``*`` stands for a path parameter.
_SHAPES: Mapping[tuple[str, str], str] = {
    ("POST", ""): "create",
    ("GET", ""): "list",
    ("GET", "/*"): "read",
    ("PATCH", "/*"): "update",
    ("PUT", "/*"): "replace",
    ("DELETE", "/*"): "delete",
    ("POST", "/*/restore"): "restore",
    ("POST", "/search"): "search",
    ("POST", "/count"): "count",
    ("POST", "/batch/create"): "batch_create",
    ("POST", "/batch/read"): "batch_read",
    ("POST", "/batch/update"): "batch_update",
    ("POST", "/batch/upsert"): "batch_upsert",
    ("POST", "/batch/delete"): "batch_delete",
    ("GET", "/describe"): "describe",
    ("GET", "/*/history"): "history",
    ("GET", "/changes"): "changes",
    ("GET", "/deleted"): "deleted",
    ("GET", "/by-external-id/*/*"): "read_external",
    ("PUT", "/by-external-id/*/*"): "upsert",
}

#: The same for the health operations of a service, by what follows its slug.
_HEALTH_SHAPES: Mapping[tuple[str, str], str] = {
    ("GET", "/health/live"): "liveness",
    ("GET", "/health/ready"): "readiness",
    ("GET", "/health"): "health",
    ("GET", "/metrics"): "metrics",
}


def build_operations(slug: str, spec: Node, resources: Mapping[str, Resource], /) -> tuple[Operation, ...]:
    """Build the operations of a service in the order of its document.

    :raises ContractError: If a reference dangles.
    """
    default_security = spec.get("security", [])
    return tuple(
        _operation(slug, path, method, item, node, resources, default_security)
        for path, item in spec.items("paths")
        for method, node in item.items()
        if method in METHODS
    )


def _operation(
    slug: str,
    path: str,
    method: str,
    item: Node,
    node: Node,
    resources: Mapping[str, Resource],
    default_security: list[dict[str, list[str]]],
) -> Operation:
    if not isinstance(node.value, dict):
        raise ContractError([Finding(node.place, "operation.empty", f"{method.upper()} {path} is not a mapping")])
    behaviour, resource = _behaviour(slug, method.upper(), path, resources)
    security = node.get("security", default_security)
    implied = _implied_errors(behaviour, resource)
    return Operation(
        id=str(node.get("operationId", f"{method} {path}")),
        service=slug,
        method=method.upper(),
        path=path,
        summary=str(node.get("summary", "")),
        description=str(node.get("description", "")),
        tag=str((node.get("tags") or [""])[0]),
        requirements=tuple(node.get("x-requirements", ())),
        policy=str(node.get("x-policy", "")),
        parameters=tuple(map(_parameter, (*item.entries("parameters"), *node.entries("parameters")))),
        body=_body(node.child("requestBody")) if "requestBody" in node else None,
        responses=_Responses(node),
        errors=tuple(dict.fromkeys((*node.get("x-errors", ()), *implied))),
        events=tuple(node.get("x-events", ())),
        security_note=str(node.get("x-security", "")),
        scopes=tuple(scope for alternative in security[:1] for scopes in alternative.values() for scope in scopes),
        public=str(node.get("x-public", "")),
        consistency=str(node.get("x-consistency", "strong")),
        profile=str(node.get("x-profile", "")),
        deprecated=bool(node.get("deprecated", False)),
        behaviour=behaviour,
        resource=resource.collection if resource else "",
        node=node,
    )


def _behaviour(slug: str, method: str, path: str, resources: Mapping[str, Resource]) -> tuple[str, Resource | None]:
    if path.startswith(f"/{slug}/") and (shape := _HEALTH_SHAPES.get((method, path.removeprefix(f"/{slug}")))):
        return shape, None
    best: tuple[str, Resource | None] = ("", None)
    longest = -1
    for resource in resources.values():
        rest = path.removeprefix(resource.path)
        if (path != resource.path and not path.startswith(resource.path + "/")) or len(resource.path) <= longest:
            continue
        longest = len(resource.path)
        shape = "/".join("*" if part.startswith("{") else part for part in rest.split("/"))
        best = (_SHAPES.get((method, shape), ""), resource)
    return best


#: Rule kinds that a write of each behaviour can break.
_CREATES = {"unique", "reference", "compare", "required-if", "custom", "transition"}
_CHANGES = _CREATES | {"immutable"}
_BREAKABLE: Mapping[str, set[str]] = {
    "create": _CREATES,
    "update": _CHANGES,
    "replace": _CHANGES,
    "upsert": _CHANGES,
    "restore": {"unique"},
}


#: What a behaviour does to a record, for rules that only some writes can break.
_WRITES: Mapping[str, set[str]] = {
    "create": {"create"},
    "update": {"update"},
    "replace": {"update"},
    "upsert": {"create", "update"},
    "restore": {"update"},
}


def _implied_errors(behaviour: str, resource: Resource | None) -> Iterator[str]:
    """Yield the codes of the rules that a write can break; batches report them for each item instead."""
    if resource is None:
        return
    kinds, writes = _BREAKABLE.get(behaviour, set()), _WRITES.get(behaviour, set())
    for rule in resource.rules:
        if rule.kind in kinds and rule.error and writes.intersection(rule.options.get("writes", writes)):
            if rule.kind == "transition" and behaviour == "create" and not rule.options.get("initial"):
                continue
            yield rule.error


def _parameter(node: Node) -> Parameter:
    return _resolved_parameter(node.resolved())


@lru_cache(maxsize=65_536)
def _resolved_parameter(node: Node) -> Parameter:
    """Build a parameter; a shared one is built once for all operations that refer to it."""
    schema = node.child("schema") if "schema" in node else Node(node.document, node.pointer, {})
    resolved = schema.resolved()
    return Parameter(
        name=str(node.get("name", "")),
        location=str(node.get("in", "")),
        required=bool(node.get("required", False)),
        description=str(node.get("description", "")),
        schema=schema,
        default=resolved.get("default"),
        deprecated=bool(node.get("deprecated", False)),
        place=node.place,
    )


def _body(node: Node) -> Body:
    node = node.resolved()
    return Body(
        required=bool(node.get("required", False)),
        description=str(node.get("description", "")),
        media={t: m.child("schema") for t, m in node.items("content") if "schema" in m},
        place=node.place,
    )


class _Responses(Mapping[str, Response]):
    """An operation's responses by status, each built on first use: a platform has ten thousand, and few consumers read them all."""

    __slots__ = ("_built", "_node")

    def __init__(self, operation: Node) -> None:
        self._node = operation
        self._built: dict[str, Response] = {}

    def __getitem__(self, status: str) -> Response:
        built = self._built.get(status)
        if built is None:
            node = self._node.child("responses").child(status)
            built = self._built[status] = Response(status, *_response_parts(node.resolved()), node.place)
        return built

    def __iter__(self) -> Iterator[str]:
        return iter(self._node.get("responses", ()))

    def __len__(self) -> int:
        return len(self._node.get("responses", ()))


@lru_cache(maxsize=65_536)
def _response_parts(node: Node) -> tuple[str, Mapping[str, Node], Mapping[str, Node], Mapping[str, Any], str]:
    """Read what a response consists of; a shared one is read once for all operations that refer to it."""
    return (
        str(node.get("description", "")),
        {t: m.child("schema") for t, m in node.items("content") if "schema" in m},
        {n: h.resolved() for n, h in node.items("headers")},
        node.get("links", {}),
        node.name if node.document.name.startswith("source_specs/common/") else "",
    )
