"""Published AsyncAPI documents: self-contained, with the events that the exchanges emitted as examples."""

from __future__ import annotations

from typing import Any

from crm_reference.contract.bundle.inline import Inliner, merge_components, prune_components
from crm_reference.contract.model import Contract, Service

#: Examples of one message at most: the first shows it, the others what varies.
_MOST = 3


def event_document(contract: Contract, service: Service) -> dict[str, Any]:
    """Return a service's AsyncAPI document, self-contained and with examples."""
    inliner = Inliner(service.asyncapi)
    root = service.asyncapi.root
    document: dict[str, Any] = {k: inliner.copy(n) for k, n in root.items() if k != "components"}
    own: dict[str, Any] = {}
    if "components" in root:
        for section, parts in root.child("components").items():
            own[section] = {name: inliner.copy(node) for name, node in parts.items()}
    for name, message in own.get("messages", {}).items():
        examples = _examples(contract, service.slug, str(message.get("name", name)))
        if examples:
            message["examples"] = examples
    document["components"] = merge_components(own, inliner.components)
    document["components"]["schemas"] = _as_asyncapi(document["components"].get("schemas", {}))
    prune_components(document)
    document["info"].setdefault("tags", [{"name": service.slug, "description": service.manifest.summary}])
    for operation in document.get("operations", {}).values():
        operation.setdefault("description", operation.get("summary", ""))
    return document


def _as_asyncapi(value: Any) -> Any:
    """Return schemas in AsyncAPI's form: nothing stands beside a ``$ref``, and a discriminator is a property's name."""
    if isinstance(value, list):
        return [_as_asyncapi(v) for v in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("$ref"), str) and len(value) > 1:
        return {**{k: v for k, v in value.items() if k != "$ref"}, "allOf": [{"$ref": value["$ref"]}]}
    found = {k: _as_asyncapi(v) for k, v in value.items()}
    said = found.get("discriminator")
    if isinstance(said, dict) and isinstance(said.get("propertyName"), str):
        found["discriminator"] = said["propertyName"]
    return found


def _examples(contract: Contract, service: str, type_: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for exchange in contract.services[service].exchanges.values():
        for event in exchange.recorded.events if exchange.recorded else ():
            if event.get("type") == type_ and len(found) < _MOST and all(e["payload"] != event for e in found):
                found.append({"name": exchange.id.replace("/", "-"), "summary": exchange.summary, "payload": dict(event)})
    return found
