"""A service's manifest, ``service.yaml``, as data."""

from __future__ import annotations

from typing import Any

from crm_reference.contract.documents import Node
from crm_reference.contract.model import Call, Capability, ErrorCode, Hearing, Manifest, Metric, Scope, Setting


def error_code(code: str, node: Node, service: str, /) -> ErrorCode:
    """Build an error code from its entry."""
    return ErrorCode(
        code=code,
        service=service,
        status=int(node.get("status", 500)),
        title=str(node.get("title", code)),
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
        charter={
            facet: tuple(
                Capability(
                    id=str(c.get("id", "")),
                    facet=facet,
                    text=str(c.get("capability", "")),
                    operations=_texts(c, "operations"),
                    proof=_texts(c, "proof"),
                    place=c.place,
                )
                for c in capabilities.entries()
            )
            for facet, capabilities in node.items("charter")
        },
        stores=tuple(node.get("stores", ())),
        calls=tuple(
            Call(
                service=str(c.get("service", "")),
                operation=str(c.get("operation", "")),
                why=str(c.get("why", "")),
                mode=str(c.get("mode", "")),
                timeout_ms=int(c.get("timeout_ms", 0)),
                retries=int(c.get("retries", 0)),
                fallback=str(c.get("fallback", "")),
                used_by=_texts(c, "used_by"),
                place=c.place,
            )
            for c in node.entries("calls")
        ),
        emits=tuple(events.get("emits", ())),
        hears=tuple(
            Hearing(
                event=str(h.get("event", "")),
                service=str(h.get("service", "")),
                effect=str(h.get("effect", "")),
                seen_by=str(h.get("seen_by", "")),
                place=h.place,
            )
            for h in events.entries("hears")
        ),
        configuration=tuple(
            Setting(
                variable=str(s.get("variable", "")),
                type=str(s.get("type", "")),
                default=s.get("default"),
                required=bool(s.get("required", False)),
                secret=bool(s.get("secret", False)),
                effect=str(s.get("effect", "")),
                changes=_texts(s, "changes"),
                place=s.place,
            )
            for s in node.entries("configuration")
        ),
        deployment=node.get("deployment", {}),
        service_levels=node.get("service_levels", {}),
        errors={code: error_code(code, error, slug) for code, error in node.items("errors")},
        metrics=tuple(
            Metric(
                name=str(m.get("name", "")),
                type=str(m.get("type", "")),
                unit=str(m.get("unit", "")),
                help=str(m.get("help", "")),
                labels=_texts(m, "labels"),
                moves_with=_texts(m, "moves_with"),
                alert=str(m.get("alert", "")),
                place=m.place,
            )
            for m in node.entries("metrics")
        ),
        runbook=tuple(node.get("runbook", ())),
        seeds=tuple(node.get("seeds", ())),
        sagas=tuple(node.get("sagas", ())),
        node=node,
    )


def _texts(node: Node, key: str) -> tuple[str, ...]:
    values: Any = node.get(key, ())
    return tuple(map(str, values))
