"""Postman collections (format 2.1): a folder a tag, a request an operation, its exchanges as saved answers."""

from __future__ import annotations

import uuid
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

from crm_reference.contract.bundle.problems import example_path
from crm_reference.contract.example_model import Exchange
from crm_reference.contract.model import Contract, Operation, Service

_SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"


def collection(contract: Contract, service: Service) -> dict[str, Any]:
    """Return a service's collection. ``baseUrl`` and ``token`` are its variables."""
    folders = []
    for tag in service.tags:
        items = [_item(contract, o) for o in service.operations if o.tag == tag.name]
        folders.append({"name": tag.title, "description": tag.description, "item": items})
    return {
        "info": {
            "_postman_id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://docs.crm.example/{service.slug}")),
            "name": service.title,
            "description": service.description,
            "schema": _SCHEMA,
        },
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
        "variable": [
            {"key": "baseUrl", "value": "https://sandbox.crm.example", "type": "string"},
            {"key": "token", "value": "", "type": "string"},
        ],
        "item": folders,
    }


def _item(contract: Contract, operation: Operation) -> dict[str, Any]:
    exchanges = [e for e in contract.services[operation.service].exchanges.values() if e.operation == operation.id]
    shown = next((e for e in exchanges if e.succeeds and e.recorded), None)
    request = _request(operation, shown)
    if operation.public:
        request["auth"] = {"type": "noauth"}
    return {
        "id": operation.id,
        "name": operation.summary,
        "request": {**request, "description": operation.description},
        "response": [_answer(operation, e) for e in exchanges if e.recorded],
    }


def _request(operation: Operation, exchange: Exchange | None) -> dict[str, Any]:
    recorded = exchange.recorded if exchange else None
    headers = dict(recorded.request_headers) if recorded else {}
    headers.pop("Authorization", None)
    said: dict[str, Any] = {
        "method": operation.method,
        "header": [{"key": k, "value": v} for k, v in headers.items()],
        "url": _url(recorded.url if recorded else example_path(operation)),
    }
    body = recorded.request_body if recorded else None
    if operation.body and body is not None:
        raw = body if isinstance(body, str) else orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()
        said["body"] = {"mode": "raw", "raw": raw, "options": {"raw": {"language": "json"}}}
        if not any(h["key"].lower() == "content-type" for h in said["header"]):
            said["header"].append({"key": "Content-Type", "value": next(iter(operation.body.media))})
    return said


def _url(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    query = [{"key": k, "value": v} for k, v in parse_qsl(parts.query, keep_blank_values=True)]
    raw = "{{baseUrl}}" + parts.path + (f"?{urlencode([(q['key'], q['value']) for q in query])}" if query else "")
    found: dict[str, Any] = {"raw": raw, "host": ["{{baseUrl}}"], "path": parts.path.strip("/").split("/")}
    return found | ({"query": query} if query else {})


def _answer(operation: Operation, exchange: Exchange) -> dict[str, Any]:
    recorded = exchange.recorded
    assert recorded is not None  # the caller picks those
    body = recorded.body
    text = body if isinstance(body, str) else "" if body is None else orjson.dumps(body, option=orjson.OPT_INDENT_2).decode()
    return {
        "name": exchange.summary,
        "originalRequest": _request(operation, exchange),
        "status": HTTPStatus(recorded.status).phrase,
        "code": recorded.status,
        "_postman_previewlanguage": "text" if isinstance(body, str) else "json",
        "header": [{"key": k, "value": v} for k, v in recorded.headers.items()],
        "body": text,
    }
