"""Published OpenAPI documents: source, common parts, standard headers, scopes and examples in one."""

from __future__ import annotations

from typing import Any

from crm_reference.contract.bundle.inline import Inliner, merge_components, prune_components
from crm_reference.contract.bundle.problems import own_problems, standard_problems
from crm_reference.contract.documents import Node
from crm_reference.contract.example_model import Exchange
from crm_reference.contract.model import Contract, Operation, Service
from crm_reference.contract.protocols import PROBLEM_JSON
from crm_reference.contract.validation import Validators

#: The headers of every answer.
STANDARD_HEADERS = ("X-Request-Id", "RateLimit-Policy", "RateLimit")
#: Those of every problem.
_PROBLEM_HEADERS = ("Content-Language",)
_TOP = ("openapi", "info", "servers", "tags")


def service_document(contract: Contract, service: Service, validators: Validators) -> dict[str, Any]:
    """Return a service's OpenAPI document, self-contained and with examples."""
    inliner = Inliner(service.openapi)
    root = service.openapi.root
    document: dict[str, Any] = {key: inliner.copy(root.child(key)) for key in _TOP if key in root}
    operations = {o.node.pointer: o for o in service.operations}
    paths: dict[str, Any] = {}
    for path, item in root.items("paths"):
        paths[path] = {}
        for key, node in item.items():
            operation = operations.get(node.pointer)
            paths[path][key] = inliner.copy(node) if operation is None else _operation(contract, operation, inliner, validators)
    document["paths"] = paths
    own = _own_components(service, inliner)
    document["components"] = merge_components(own, inliner.components)
    prune_components(document)
    document["components"]["securitySchemes"] = _schemes(contract, service)
    return document


def _own_components(service: Service, inliner: Inliner) -> dict[str, Any]:
    root = service.openapi.root
    if "components" not in root:
        return {}
    return {
        section: {name: inliner.copy(node) for name, node in parts.items()}
        for section, parts in root.child("components").items()
        if section != "securitySchemes"
    }


def _schemes(contract: Contract, service: Service) -> dict[str, Any]:
    """Return the security schemes that a service's operations use; OAuth's flows list the service's scopes."""
    used = {name for o in service.operations for alternative in o.node.get("security", ()) for name in alternative}
    common = contract.library.open("source_specs/common/security.yaml").data
    schemes = {name: scheme for name, scheme in common.items() if name in used and name != "oauth2"}
    return {"oauth2": _oauth2(service, common["oauth2"]), **schemes}


def _oauth2(service: Service, scheme: dict[str, Any]) -> dict[str, Any]:
    scopes = {name: scope.description for name, scope in sorted(service.manifest.scopes.items())}
    flows = {name: {**flow, "scopes": scopes} for name, flow in scheme["flows"].items()}
    return {**scheme, "flows": flows}


def _operation(contract: Contract, operation: Operation, inliner: Inliner, validators: Validators) -> dict[str, Any]:
    copied: dict[str, Any] = {}
    exchanges = [e for e in contract.services[operation.service].exchanges.values() if e.operation == operation.id]
    for key, node in operation.node.items():
        if key == "responses":
            copied[key] = {s: _response(s, n, inliner) for s, n in node.items()}
        elif key == "requestBody":
            copied[key] = inliner.copy(node.resolved())
        else:
            copied[key] = inliner.copy(node)
    if operation.errors:
        copied["x-errors"] = list(operation.errors)  # those too that the rules of its schema imply
    _add_request_examples(copied, operation, exchanges, validators)
    _add_response_examples(copied["responses"], exchanges)
    _add_problems(contract, copied["responses"], operation)
    return copied


def _response(status: str, node: Node, inliner: Inliner) -> dict[str, Any]:
    """Copy a response in place, since its examples are those of one operation, and add the standard headers."""
    found: dict[str, Any] = inliner.copy(node.resolved())
    names = (*STANDARD_HEADERS, *(_PROBLEM_HEADERS if PROBLEM_JSON in found.get("content", {}) else ()))
    headers = {name: {"$ref": inliner.part("headers.yaml", name)} for name in names}
    result = {"description": found.get("description", status), "headers": found.get("headers", {}) | headers}
    return result | {k: v for k, v in found.items() if k not in result}


def _example(exchange: Exchange, value: Any) -> dict[str, Any]:
    said = {"summary": exchange.summary}
    if exchange.description:
        said["description"] = exchange.description
    return {**said, "value": value}


def _add_request_examples(copied: dict[str, Any], operation: Operation, exchanges: list[Exchange], validators: Validators) -> None:
    if operation.body is None:
        return
    content = copied["requestBody"].get("content", {})
    for exchange in exchanges:
        request = exchange.request
        body = exchange.recorded.request_body if exchange.recorded else request.body if request.raw is None else request.raw
        if not exchange.succeeds or body is None:
            continue
        for media in _media_of(exchange, content):
            if "json" not in media or validators.is_valid(operation.body.media[media], body):
                _put(content[media].setdefault("examples", {}), exchange.name, _example(exchange, body))


def _media_of(exchange: Exchange, content: dict[str, Any]) -> list[str]:
    """Return the media types under which an exchange's body may be sent: its own, and where that is JSON, every other JSON one."""
    sent = exchange.request.content_type or next(iter(content), "")
    if sent not in content:
        return []
    return [media for media in content if media == sent or ("json" in media and "json" in sent)]


def _put(examples: dict[str, Any], name: str, example: dict[str, Any]) -> None:
    """Add an example unless one with the same value is there."""
    if name not in examples and all(e["value"] != example["value"] for e in examples.values()):
        examples[name] = example


def _add_response_examples(responses: dict[str, Any], exchanges: list[Exchange]) -> None:
    for exchange in exchanges:
        answer = exchange.recorded
        response = responses.get(str(answer.status)) if answer else None
        if answer is None or response is None or answer.body is None:
            continue
        content = response.get("content", {})
        said = {k.lower(): v for k, v in answer.headers.items()}.get("content-type", "").partition(";")[0]
        media = said if said in content else next(iter(content), "")
        if media:
            _put(content[media].setdefault("examples", {}), exchange.name, _example(exchange, answer.body))


def _add_problems(contract: Contract, responses: dict[str, Any], operation: Operation) -> None:
    """Add an example of each code that no exchange of this operation shows."""
    shown = {
        example["value"].get("code")
        for response in responses.values()
        for media in response.get("content", {}).values()
        for example in media.get("examples", {}).values()
        if isinstance(example["value"], dict) and "request_id" in example["value"]
    }
    for problem in (*own_problems(contract, operation), *standard_problems(contract, operation)):
        for media, content in responses[problem.status].get("content", {}).items():
            if ("problem" in media or operation.is_protocol) and problem.name not in shown:
                example = {"summary": problem.summary, "value": dict(problem.value)}
                _put(content.setdefault("examples", {}), problem.name, example)


def platform_document(documents: dict[str, dict[str, Any]], services: dict[str, Service]) -> dict[str, Any]:
    """Return one OpenAPI document of all services; tags get their service's slug before them.

    :param documents: The services' published documents by slug; they are not changed.
    """
    first = next(iter(documents.values()), {})
    info = first.get("info", {})
    scopes: dict[str, str] = {}
    combined: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "CRM platform",
            "summary": "Every operation of every service",
            "description": "One document for tools that want the whole platform. Each tag begins with the slug of its service.",
            "version": "1.0.0",
            "contact": info.get("contact", {}),
            "license": info.get("license", {}),
        },
        "servers": first.get("servers", []),
        "tags": [],
        "x-tagGroups": [],
        "paths": {},
        "components": {},
    }
    for slug, document in documents.items():
        names = []
        for tag in document.get("tags", []):
            names.append(f"{slug}-{tag['name']}")
            combined["tags"].append({**tag, "name": names[-1]})
        combined["x-tagGroups"].append({"name": services[slug].title, "tags": names})
        for path, item in document["paths"].items():
            combined["paths"][path] = {k: _retag(slug, v) for k, v in item.items()}
        for section, parts in document["components"].items():
            combined["components"].setdefault(section, {}).update(parts)
        for flow in document["components"]["securitySchemes"]["oauth2"]["flows"].values():
            scopes.update(flow["scopes"])
    if documents:
        scheme = combined["components"]["securitySchemes"]["oauth2"]
        flows = {name: {**flow, "scopes": dict(sorted(scopes.items()))} for name, flow in scheme["flows"].items()}
        combined["components"]["securitySchemes"]["oauth2"] = {**scheme, "flows": flows}
        combined["components"] = {s: dict(sorted(p.items())) for s, p in sorted(combined["components"].items())}
    return combined


def _retag(slug: str, value: Any) -> Any:
    if isinstance(value, dict) and "operationId" in value:
        return {**value, "tags": [f"{slug}-{tag}" for tag in value.get("tags", [])]}
    return value
