"""Tenants: another tenant's ID is answered as one that does not exist."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson

from crm_reference.conformance.laws.lab import Case, Lab, Skipped, at, demand, describe, finds, law, put
from crm_reference.contract import Contract, Operation
from crm_reference.contract.schema_tree import json_schema, says, used
from crm_reference.emulator import Response
from crm_reference.trace.subjects import model_exchange, record_parameters

_ID_PATTERN = re.compile(r"^\^(?P<prefix>[a-z]{3})_\[0-7\]")
#: What differs between two answers that are the same: request and record IDs, times, cursors, ETags.
_VARIABLE = re.compile(r"[a-z]{3}_[0-7][0-9A-HJKMNP-TV-Z]{25}|\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z|[A-Za-z0-9_-]{40,}")

#: What the law about secrets plants and looks for.
_SECRET = "planted-3f1c7a52"


def same(one: Response, other: Response, /) -> bool:
    """Tell whether two answers are equal but for IDs, times and cursors."""
    return one.status == other.status and _plain(one) == _plain(other)


def _plain(response: Response) -> str:
    return _VARIABLE.sub("~", response.body.decode("utf-8", "replace"))


@law("tenant-path")
def tenant_path(lab: Lab, operation: str) -> None:
    """IDs of one tenant in a path, sent by another tenant, are answered as IDs of nobody."""
    case = lab.any_case(operation)
    if not case.operation.scopes:
        raise Skipped("the operation takes no token")
    other = lab.full_bearer(lab.outsider(lab.tenant_of(case)))
    case.rewind()
    before = lab.state()
    foreign = case.send(headers={"authorization": other})
    nobody = {name: _nobody(case.path_values()[name]) for name in record_parameters(case.operation)}
    unknown = case.send(headers={"authorization": other}, path=case.path_with(**nobody))
    demand(foreign.status == 404, f"another tenant's ID got {describe(foreign)}")
    demand(same(foreign, unknown), f"another tenant's ID got {describe(foreign)}, and nobody's {describe(unknown)}")
    demand(lab.state() == before, "the state changed")


def _nobody(id: str) -> str:
    return id[:-2] + "ZY"


@finds("tenant-body")
def tenant_body(lab: Lab) -> Iterator[tuple[str, Callable[[], None]]]:
    """Another tenant's ID in a body, or in a slot of a batch, is answered as one of nobody."""
    for operation in lab.contract.operations.values():
        schema, model = json_schema(operation.body), model_exchange(lab.contract, operation)
        if schema is None or model is None or not operation.scopes:
            continue
        seen = set()
        for spot in used(schema, model.request.body):
            pattern = says(spot.schema, "pattern") or ""
            value = spot.value
            if isinstance(value, list) and says(spot.schema, "items"):
                pattern = str(spot.schema.resolved().child("items").resolved().get("pattern", ""))
            match = _ID_PATTERN.match(str(pattern))
            if match and spot.generic not in seen and (foreign := _foreign(lab.contract, match["prefix"])):
                seen.add(spot.generic)
                yield f"{operation.id} {spot.pointer}", _in_body(lab, operation, spot.pointer, foreign)


def _in_body(lab: Lab, operation: Operation, pointer: str, foreign: str) -> Callable[[], None]:
    def check() -> None:
        case = lab.model(operation.id)
        answers = []
        for id in (foreign, _nobody(foreign)):
            body = case.body
            present = at(body, pointer)
            put(body, pointer, [id, *present[1:]] if isinstance(present, list) else id)
            answers.append(case.send(body))
        demand(same(*answers), f"another tenant's ID got {describe(answers[0])}, and nobody's {describe(answers[1])}")

    return check


@finds("tenant-query")
def tenant_query(lab: Lab) -> Iterator[tuple[str, Callable[[], None]]]:
    """Another tenant's ID in a query parameter finds what nobody's ID finds."""
    for operation in lab.contract.operations.values():
        model = model_exchange(lab.contract, operation)
        for parameter in operation.parameters if model is not None and operation.scopes else ():
            match = _ID_PATTERN.match(str(says(parameter.schema, "pattern") or ""))
            if parameter.location == "query" and match and (foreign := _foreign(lab.contract, match["prefix"])):
                yield f"{operation.id} {parameter.name}", _in_query(lab, operation, parameter.name, foreign)


def _in_query(lab: Lab, operation: Operation, name: str, foreign: str) -> Callable[[], None]:
    def check() -> None:
        case = lab.model(operation.id)
        answers = [case.send(query=_with(case, name, id)) for id in (foreign, _nobody(foreign))]
        demand(same(*answers), f"another tenant's ID got {describe(answers[0])}, and nobody's {describe(answers[1])}")

    return check


def _with(case: Case, name: str, value: str) -> list[tuple[str, str]]:
    return [*((n, v) for n, v in case.request.query if n != name), (name, value)]


def _foreign(contract: Contract, prefix: str) -> str:
    """Return an ID of that prefix that belongs to the second tenant; empty where it has none."""
    tenants = [p.tenant for p in contract.principals.values()]
    first = tenants[0] if tenants else ""
    for records in contract.world.values():
        for record in records:
            if record.get("tenant", first) != first and str(record["id"]).startswith(prefix + "_"):
                return str(record["id"])
    return ""


@law("pii-masked")
def pii_masked(lab: Lab, subject: str) -> None:
    """A masked property shows with its scope and is left out without."""
    collection, _, pointer = subject.partition(" ")
    name = pointer.removeprefix("#/").split("/")[0]
    resource = lab.contract.resources[collection]
    property_: dict[str, Any] = resource.node.get("properties", {}).get(name, {})
    scope = property_.get("x-masked")
    if not scope:
        return  # What isn't masked must only stay out of logs, and the emulator writes none.
    lab.engine.reset()
    reader = next((o for o in lab.contract.operations.values() if o.resource == collection and o.behaviour == "read"), None)
    principal = lab.administrator()
    tenant = lab.contract.principals[principal].tenant
    creates = next((o for o in lab.contract.operations.values() if o.resource == collection and o.behaviour == "create"), None)
    record = next((r for r in lab.engine.world.store.select(tenant, collection) if name in r.doc), None)
    if record is None and creates is not None:
        lab.model(creates.id).send()
        record = next((r for r in lab.engine.world.store.select(tenant, collection) if name in r.doc), None)
    if reader is None or record is None:
        raise Skipped(f"no record of the world, and none that the model exchange creates, has {name}")
    from crm_reference.emulator import Request

    path = reader.url_path.rpartition("/")[0] + "/" + record.id
    every = set(lab.contract.scopes)
    for scopes, shown in ((sorted(every), True), (sorted(every - {scope}), False)):
        response = lab.send(reader, Request("GET", path, (), {"authorization": lab.bearer(principal, scopes=scopes)}))
        demand(
            (name in response.json()) is shown,
            f"{name} is {'missing' if shown else 'shown'} {'with' if shown else 'without'} {scope}",
        )


@law("secret-hidden")
def secret_hidden(lab: Lab, subject: str) -> None:
    """A secret that every record has stands in no answer of its service, and in no event."""
    collection, _, pointer = subject.partition(" ")
    name = pointer.removeprefix("#/").split("/")[0]
    service = lab.contract.services[lab.contract.resources[collection].service]
    for exchange in service.exchanges.values():
        case = lab.stage(exchange)
        case.rewind()
        _plant(lab, collection, {name: _SECRET, f"_{name}": _SECRET})
        events = len(lab.engine.outbox)
        response = lab.send(case.operation, case.altered())
        demand(_SECRET.encode() not in response.body, f"{exchange.id} gives {name} out: {describe(response)}")
        told = orjson.dumps(lab.engine.outbox[events:])
        demand(_SECRET.encode() not in told, f"an event of {exchange.id} tells {name}")


def _plant(lab: Lab, collection: str, members: dict[str, Any]) -> None:
    """Write members into every record of a collection, behind the API."""
    store = lab.engine.world.store
    for tenant in store.tenants(collection):
        for record in store.select(tenant, collection, deleted=None):
            store.put(tenant, replace(record, doc={**record.doc, **members}))
