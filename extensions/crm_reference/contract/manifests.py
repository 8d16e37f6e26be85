"""A service's manifest, ``service.yaml``, as data."""

from __future__ import annotations

from typing import Any

from crm_reference.contract.documents import Node
from crm_reference.contract.manifest_model import Call, Capability, ErrorCode, Hearing, Manifest, Metric, Scope, Setting


def error_code(code: str, node: Node, service: str, /) -> ErrorCode:
    """Build an error code from its entry."""
    return ErrorCode(
        code=code,
        service=service,
        status=int(node.get("status", 500)),
        title=str(node.get("title", code)),
        titles=node.get("titles", {}),
        cause=str(node.get("cause", "")),
        fix=str(node.get("fix", "")),
        retryable=bool(node.get("retryable", False)),
        field=bool(node.get("field", False)),
        place=node.place,
    )


def build_manifest(slug: str, node: Node, /) -> Manifest:
    """Build a manifest. What is missing becomes empty: lint says so with file and line."""
    boundary = node.get("boundary", {})
    events = node.child("events") if "events" in node else Node(node.document, node.pointer, {})
    return Manifest(
        summary=str(node.get("summary", "")),
        segments=_texts(node, "segments"),
        owns=tuple(boundary.get("owns", ())),
        excludes=tuple(boundary.get("excludes", ())),
        scopes={
            name: Scope(name, str(scope.get("description", "")), tuple(scope.get("roles", ())), scope.place)
            for name, scope in node.items("scopes")
        },
        charter={facet: tuple(_capability(facet, c) for c in listed.entries()) for facet, listed in node.items("charter")},
        stores=tuple(node.get("stores", ())),
        calls=tuple(map(_call, node.entries("calls"))),
        emits=tuple(events.get("emits", ())),
        hears=tuple(map(_hearing, events.entries("hears"))),
        configuration=tuple(map(_setting, node.entries("configuration"))),
        deployment=node.get("deployment", {}),
        service_levels=node.get("service_levels", {}),
        errors={code: error_code(code, error, slug) for code, error in node.items("errors")},
        metrics=tuple(map(_metric, node.entries("metrics"))),
        runbook=tuple(node.get("runbook", ())),
        seeds=tuple(node.get("seeds", ())),
        sagas=tuple(node.get("sagas", ())),
        node=node,
    )


def _capability(facet: str, node: Node) -> Capability:
    return Capability(
        id=str(node.get("id", "")),
        facet=facet,
        text=str(node.get("capability", "")),
        operations=_texts(node, "operations"),
        proof=_texts(node, "proof"),
        place=node.place,
    )


def _call(node: Node) -> Call:
    return Call(
        service=str(node.get("service", "")),
        operation=str(node.get("operation", "")),
        why=str(node.get("why", "")),
        mode=str(node.get("mode", "")),
        timeout_ms=int(node.get("timeout_ms", 0)),
        retries=int(node.get("retries", 0)),
        fallback=str(node.get("fallback", "")),
        used_by=_texts(node, "used_by"),
        place=node.place,
    )


def _hearing(node: Node) -> Hearing:
    return Hearing(
        event=str(node.get("event", "")),
        service=str(node.get("service", "")),
        effect=str(node.get("effect", "")),
        seen_by=str(node.get("seen_by", "")),
        place=node.place,
    )


def _setting(node: Node) -> Setting:
    return Setting(
        variable=str(node.get("variable", "")),
        type=str(node.get("type", "")),
        default=node.get("default"),
        required=bool(node.get("required", False)),
        secret=bool(node.get("secret", False)),
        effect=str(node.get("effect", "")),
        changes=_texts(node, "changes"),
        place=node.place,
    )


def _metric(node: Node) -> Metric:
    return Metric(
        name=str(node.get("name", "")),
        type=str(node.get("type", "")),
        unit=str(node.get("unit", "")),
        help=str(node.get("help", "")),
        labels=_texts(node, "labels"),
        moves_with=_texts(node, "moves_with"),
        statuses=tuple(node.get("statuses", ())),
        measures=node.get("measures", {}),
        alert=str(node.get("alert", "")),
        place=node.place,
    )


def _texts(node: Node, key: str) -> tuple[str, ...]:
    values: Any = node.get(key, ())
    return tuple(map(str, values))
