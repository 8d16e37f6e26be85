"""What a service offered when it was last released, and how today's differs.

A snapshot is JSON in ``examples/baseline/{slug}.json``: operations with their parameters, bodies, answers, error codes and
events, and the exchanges that clients could read. It is written once at each release by :func:`write_baseline`, committed, and
never edited. What it doesn't hold, such as descriptions and examples, can't break a client.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import orjson

from crm_reference.contract import Contract, Exchange, ExchangeRequest, Node, Operation, Service
from crm_reference.contract.documents import place_of
from crm_reference.contract.schema_tree import declared, json_schema, says

#: A service's snapshot as JSON data: ``version``, ``operations``, ``events`` and ``exchanges``.
Snapshot = Mapping[str, Any]

#: Folder of the snapshots, relative to the project's root.
FOLDER = "examples/baseline"


class Change(IntEnum):
    """Class of a difference, which is the part of the version that must grow."""

    none = 0
    patch = 1
    minor = 2
    major = 3


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between a baseline and today.

    :param subject: The operation or event that differs.
    :param text: What is different, for people.
    """

    change: Change
    subject: str
    text: str


def snapshot(service: Service, /) -> dict[str, Any]:
    """Return what clients of a service can depend on."""
    return {
        "version": service.version,
        "operations": {o.id: _operation(o) for o in service.operations},
        "events": {e.type: _fields(e.payload, "") for e in service.events.values()},
        "exchanges": {e.id: _exchange(e) for e in service.exchanges.values() if e.scripted is None},
    }


def _exchange(exchange: Exchange) -> dict[str, Any]:
    """Return what an author wrote of an exchange: what a client of that release relied on."""
    request = exchange.request
    return {
        "operation": exchange.operation,
        "given": list(exchange.given),
        "as": exchange.principal,
        "request": {
            "path": request.path,
            "query": request.query,
            "headers": request.headers,
            "content_type": request.content_type,
            **({"raw": request.raw} if request.raw is not None else {"body": request.body} if request.has_body else {}),
        },
        "expect": exchange.expect,
    }


def exchanges_of(service: Service, baseline: Snapshot, /) -> dict[str, Exchange]:
    """Return the exchanges of a baseline, to be run against today's emulator."""
    found = {}
    for id, said in baseline.get("exchanges", {}).items():
        request = said["request"]
        written = ExchangeRequest(
            path=request["path"],
            query=request["query"],
            headers=request["headers"],
            content_type=request["content_type"],
            body=request.get("body"),
            raw=request.get("raw"),
            has_body="body" in request or "raw" in request,
        )
        found[id] = Exchange(
            id=id,
            operation=said["operation"],
            name=id.partition("/")[2],
            service=service.slug,
            summary="",
            description="",
            given=tuple(said["given"]),
            principal=said["as"],
            request=written,
            expect=said["expect"],
            scripted=None,
            recorded=None,
            place=place_of(f"{FOLDER}/{service.slug}.json"),
        )
    return found


def _operation(operation: Operation) -> dict[str, Any]:
    body = json_schema(operation.body)
    return {
        "method": operation.method,
        "path": operation.path,
        "deprecated": operation.deprecated,
        "parameters": {f"{p.location} {p.name}": p.required for p in operation.parameters},
        "scopes": sorted(operation.scopes),
        "request": _fields(body, "readOnly") if body else {},
        "answers": {r.status: _fields(s, "writeOnly") if (s := json_schema(r.media)) else {} for r in operation.successes},
        "errors": sorted(operation.errors),
        "events": sorted(operation.events),
    }


def _fields(schema: Node, skip: str) -> dict[str, Any]:
    return {
        pointer: {
            "type": says(spot.schema, "type"),
            "required": spot.required,
            **({"enum": sorted(map(str, values))} if (values := says(spot.schema, "enum")) else {}),
        }
        for pointer, spot in declared(schema, skip=skip).items()
    }


def write_baseline(root: Path, contract: Contract, slug: str, /) -> Path:
    """Write a service's snapshot as today's contract has it.

    :return: The file.
    """
    path = root / FOLDER / f"{slug}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    options = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    path.write_bytes(orjson.dumps(snapshot(contract.services[slug]), option=options))
    return path


def read_baselines(root: Path, /) -> dict[str, Snapshot]:
    """Return the committed snapshots by slug."""
    return {path.stem: orjson.loads(path.read_bytes()) for path in sorted((root / FOLDER).glob("*.json"))}


def differences(old: Snapshot, new: Snapshot, /) -> Iterator[Difference]:
    """Yield how a service differs from its baseline, operations before events."""
    yield from _members(old["operations"], new["operations"], "operation", _operation_differences)
    yield from _members(old["events"], new["events"], "event", _answer_differences)


def _members(old: Mapping[str, Any], new: Mapping[str, Any], kind: str, compare: Any) -> Iterator[Difference]:
    for name in sorted({*old, *new}):
        if name not in new:
            yield Difference(Change.major, name, f"the {kind} {name} is gone")
        elif name not in old:
            yield Difference(Change.minor, name, f"the {kind} {name} is new")
        else:
            yield from (Difference(c, name, f"{name}: {text}") for c, text in compare(old[name], new[name]))


def _operation_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[Change, str]]:
    for member in ("method", "path", "scopes"):
        if old[member] != new[member]:
            yield Change.major, f"its {member} was {old[member]} and is {new[member]}"
    if new["deprecated"] and not old["deprecated"]:
        yield Change.minor, "it is deprecated"
    for name in sorted({*old["parameters"], *new["parameters"]}):
        yield from _parameter_differences(name, old["parameters"].get(name), new["parameters"].get(name))
    yield from _request_differences(old["request"], new["request"])
    for status in sorted({*old["answers"], *new["answers"]}):
        if status not in new["answers"]:
            yield Change.major, f"it no longer answers {status}"
        elif status not in old["answers"]:
            yield Change.minor, f"it can answer {status}"
        else:
            yield from _answer_differences(old["answers"][status], new["answers"][status])
    for member, text in (("errors", "error code"), ("events", "event")):
        yield from ((Change.minor, f"its {text} {name} is new") for name in sorted(set(new[member]) - set(old[member])))
        yield from ((Change.major, f"its {text} {name} is gone") for name in sorted(set(old[member]) - set(new[member])))


def _parameter_differences(name: str, old: bool | None, new: bool | None) -> Iterator[tuple[Change, str]]:
    if new is None:
        yield Change.major, f"the parameter {name} is gone"
    elif old is None:
        yield (Change.major, f"the required parameter {name} is new") if new else (Change.minor, f"the parameter {name} is new")
    elif new and not old:
        yield Change.major, f"the parameter {name} is required"
    elif old and not new:
        yield Change.minor, f"the parameter {name} is no longer required"


def _request_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[Change, str]]:
    for pointer in sorted({*old, *new}):
        was, now = old.get(pointer), new.get(pointer)
        if now is None:
            yield Change.major, f"{pointer} can't be sent any more"
        elif was is None:
            yield (Change.major if now["required"] else Change.minor), f"{pointer} can be sent" + " and must be" * now["required"]
        elif was["type"] != now["type"] or (now["required"] and not was["required"]):
            yield Change.major, f"{pointer} demands more than it did"
        elif set(was.get("enum", ())) - set(now.get("enum", ())):
            yield Change.major, f"{pointer} takes fewer values"
        elif was != now:
            yield Change.minor, f"{pointer} takes more than it did"


def _answer_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[Change, str]]:
    for pointer in sorted({*old, *new}):
        was, now = old.get(pointer), new.get(pointer)
        if now is None:
            yield Change.major, f"{pointer} no longer comes"
        elif was is None:
            yield Change.minor, f"{pointer} comes"
        elif was["type"] != now["type"] or (was["required"] and not now["required"]):
            yield Change.major, f"{pointer} comes otherwise than it did"
        elif was != now:
            yield Change.minor, f"{pointer} gives more than it did"


def bump(old: str, new: str, /) -> Change:
    """Return which part of a semantic version has grown.

    >>> bump("1.2.3", "1.3.0").name
    'minor'
    """
    before, after = ([int(p) for p in text.split(".")[:3]] for text in (old, new))
    for change, was, now in zip((Change.major, Change.minor, Change.patch), before, after, strict=True):
        if was != now:
            return change
    return Change.none
