"""References to services that nobody has written yet: they are open, neither right nor wrong."""

from __future__ import annotations

from collections.abc import Iterator

from crm_reference.contract.findings import Finding
from crm_reference.contract.model import Contract


def open_references(contract: Contract, /) -> list[Finding]:
    """List what leads to services without a folder: calls, heard events, and collections that rules refer to.

    :return: One finding a reference with the rule ``open.call``, ``open.event`` or ``open.collection``, sorted by place.
    """
    found = {*_calls(contract), *_hearings(contract), *_collections(contract)}
    return sorted(found, key=lambda f: (f.place.document.name, f.place.line, f.rule, f.message))


def _calls(contract: Contract) -> Iterator[Finding]:
    for service in contract.services.values():
        for call in service.manifest.calls:
            if call.service not in contract.services:
                message = f"{service.slug} calls {call.operation} of {call.service}, which isn't written yet"
                yield Finding(call.place, "open.call", message)


def _hearings(contract: Contract) -> Iterator[Finding]:
    for service in contract.services.values():
        for hearing in service.manifest.hears:
            if hearing.service not in contract.services:
                message = f"{service.slug} hears {hearing.event} of {hearing.service}, which isn't written yet"
                yield Finding(hearing.place, "open.event", message)


def _collections(contract: Contract) -> Iterator[Finding]:
    for resource in contract.resources.values():
        for rule in resource.rules:
            target = str(rule.options.get("target", ""))
            if rule.kind == "reference" and target not in contract.resources:
                message = f"the rule {rule.id} leads to the collection {target}, which no service has yet"
                yield Finding(rule.place, "open.collection", message)
