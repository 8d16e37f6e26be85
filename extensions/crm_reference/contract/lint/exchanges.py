"""Exchanges, vectors and the world: valid by their schemas, and true of the operations that they call."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from crm_reference.contract.documents import Document, Node
from crm_reference.contract.example_model import Exchange
from crm_reference.contract.examples import NOBODY
from crm_reference.contract.lint.documents import document_errors
from crm_reference.contract.lint.events import schema_validator
from crm_reference.contract.lint.registry import Problem, rule
from crm_reference.contract.lint.survey import Survey
from crm_reference.contract.model import Operation
from crm_reference.contract.schema_tree import property_node

#: Headers that every operation takes.
_HEADERS = frozenset({"authorization", "accept", "accept-language", "content-type", "traceparent", "user-agent", "range"})
_EMPTY = frozenset({204, 304})
#: So many values of a body that is equal to another operation's are a copy; fewer may say the same by chance.
_TELLING = 3
#: Members of a world's record that are the store's, not the schema's; so are those that begin with an underscore.
_STORE_MEMBERS = frozenset({"tenant", "deleted_at", "merged_into"})


def holds_placeholder(value: Any) -> bool:
    """Tell whether JSON data has a ``${...}`` in it, so that its final value isn't known here."""
    if isinstance(value, str):
        return "${" in value
    if isinstance(value, dict):
        return any(map(holds_placeholder, value.values()))
    return isinstance(value, list) and any(map(holds_placeholder, value))


def _all(survey: Survey) -> Iterator[tuple[Exchange, Operation]]:
    for exchange in survey.contract.exchanges.values():
        operation = survey.contract.operations.get(exchange.operation)
        if operation is not None:
            yield exchange, operation


def _example_documents(survey: Survey, pattern: str) -> Iterator[Document]:
    yield from survey.contract.library.glob(pattern)


@rule("exchange.schema")
def check_schema(survey: Survey) -> Iterator[Problem]:
    """A file of exchanges is valid by common/examples.yaml."""
    validator = schema_validator(survey, "examples.yaml")
    for service in survey.services:
        for document in survey.example_documents(service):
            yield from document_errors(validator, document, document.data)


@rule("exchange.copied")
def check_copies(survey: Survey) -> Iterator[Problem]:
    """Two operations don't send the same body of three values or more, but for a signed one, which can't be varied."""
    seen: dict[bytes, Exchange] = {}
    for exchange in survey.contract.exchanges.values():
        body = exchange.request.body
        if not isinstance(body, dict) or "signature" in body or _values(body) < _TELLING:
            continue
        first = seen.setdefault(orjson.dumps(body, option=orjson.OPT_SORT_KEYS), exchange)
        if first.operation != exchange.operation:
            yield exchange.place, f"{exchange.id} sends the body of {first.id}; tell of another record, or of another change"


def _values(body: Any) -> int:
    if isinstance(body, dict | list):
        return sum(map(_values, body.values() if isinstance(body, dict) else body))
    return 1


@rule("exchange.names")
def check_names(survey: Survey) -> Iterator[Problem]:
    """An exchange names an operation of its service, a principal of the world, and given exchanges that don't lead back to it."""
    contract = survey.contract
    for exchange in contract.exchanges.values():
        operation = contract.operations.get(exchange.operation)
        if operation is None or operation.service != exchange.service:
            yield exchange.place, f"{exchange.id}: {exchange.service} has no operation {exchange.operation}; correct the name"
        if contract.principals and exchange.principal not in (NOBODY, *contract.principals):
            yield exchange.place, f"{exchange.id} is called by {exchange.principal!r}, whom the world doesn't have; correct it"
        for given in exchange.given:
            if isinstance(given, str) and given not in contract.exchanges:
                yield exchange.place, f"{exchange.id} is given {given}, which doesn't exist; write it, or correct the name"
        if exchange.id in _ancestors(survey, exchange):
            yield exchange.place, f"{exchange.id} is given itself, by way of what it is given; break the circle"


def _ancestors(survey: Survey, exchange: Exchange) -> set[str]:
    found: set[str] = set()
    pending = [g for g in exchange.given if isinstance(g, str)]
    while pending:
        name = pending.pop()
        if name not in found and name in survey.contract.exchanges:
            found.add(name)
            pending += [g for g in survey.contract.exchanges[name].given if isinstance(g, str)]
    return found


@rule("exchange.placeholders")
def check_placeholders(survey: Survey) -> Iterator[Problem]:
    """A ${...} takes its value from an exchange that ran before."""
    for exchange in survey.contract.exchanges.values():
        request = exchange.request
        text = repr((request.path, request.query, request.headers, request.body, request.raw))
        before = _ancestors(survey, exchange)
        for name in re.findall(r"\$\{([^}#@]+)[#@][^}]*\}", text):
            if name not in before:
                yield exchange.place, f"{exchange.id} takes a value from {name}, which doesn't run before it; add it to given"


@rule("exchange.status")
def check_status(survey: Survey) -> Iterator[Problem]:
    """An exchange expects a status that its operation lists, and something of the body or headers besides."""
    for exchange, operation in _all(survey):
        listed = {int(s) for s in operation.responses if s.isdigit()}
        if exchange.status not in listed | {405}:
            yield exchange.place, f"{exchange.id} expects {exchange.status}, which {operation.id} doesn't list; add the response"
        response = operation.responses.get(str(exchange.status))
        readable = response is None or any("json" in m for m in response.media)
        if len(exchange.expect) < 2 and exchange.status not in _EMPTY and readable:
            yield exchange.place, f"{exchange.id} expects a status alone; add a pointer with its value, as '#/status': up"


@rule("hostile.schema")
def check_hostile(survey: Survey) -> Iterator[Problem]:
    """A file of hostile requests is valid by common/hostile.yaml, and names operations and codes that exist."""
    contract = survey.contract
    validator = schema_validator(survey, "hostile.yaml")
    for document in _example_documents(survey, "examples/hostile/*.yaml"):
        yield from document_errors(validator, document, document.data)
    for group in contract.hostile:
        for attack in group.attacks:
            operation = contract.operations.get(attack.exchange.operation)
            if operation is None:
                yield attack.place, f"{attack.id} attacks {attack.exchange.operation}, which no document has; correct it"
            elif attack.code and attack.code not in contract.errors:
                yield attack.place, f"{attack.id} expects the code {attack.code}, which no document declares; correct it"


@rule("exchange.request")
def check_request(survey: Survey) -> Iterator[Problem]:
    """An exchange sends parameters that its operation takes, every path parameter, and a body where one is required."""
    for exchange, operation in _all(survey):
        request = exchange.request
        path = {p.name for p in operation.parameters if p.location == "path"}
        for name in sorted(path ^ set(request.path)):
            yield exchange.place, f"{exchange.id}: path and request.path differ in {name}; bring them in line"
        if not exchange.succeeds:
            continue
        query = {p.name for p in operation.parameters if p.location == "query"}
        headers = {p.name.lower() for p in operation.parameters if p.location == "header"} | _HEADERS
        if any(p.location == "cookie" for p in operation.parameters):
            headers |= {"cookie"}
        for name in sorted(set(request.query) - query):
            yield exchange.place, f"{exchange.id} sends {name}, which {operation.id} doesn't take; remove it"
        for name in request.headers:
            if name.lower() not in headers:
                yield exchange.place, f"{exchange.id} sends the header {name}, which {operation.id} doesn't take; remove it"
        if operation.body and operation.body.required and not request.has_body:
            yield exchange.place, f"{exchange.id} sends no body, and {operation.id} requires one; add it"
        if request.has_body and operation.body is None:
            yield exchange.place, f"{exchange.id} sends a body, and {operation.id} takes none; remove it"


#: Where an item of a batch stands.
_ITEM = re.compile(r"/(?:items|ids)/\d+(?:/|$)")


@rule("exchange.body")
def check_bodies(survey: Survey) -> Iterator[Problem]:
    """The body of an exchange that succeeds is valid, and so is the scripted or recorded answer of any."""
    for exchange, operation in _all(survey):
        request = exchange.request
        node = _media(operation, request.content_type)
        if exchange.succeeds and node is not None and request.body is not None and not holds_placeholder(request.body):
            errors = survey.errors(node, request.body)
            if operation.behaviour.startswith("batch_"):  # an item may be wrong, and its result says so
                errors = [e for e in errors if not _ITEM.match(e.pointer)]
            for error in errors[:3]:
                yield exchange.place, f"{exchange.id}: the body is not valid: {error.pointer or '#'} {error.detail}; correct it"
        for kind, status, body in _answers(exchange):
            response = operation.responses.get(str(status))
            schema = next((n for m, n in response.media.items() if "json" in m), None) if response else None
            if schema is not None and body is not None and not holds_placeholder(body):
                for error in survey.errors(schema, body)[:3]:
                    yield exchange.place, f"{exchange.id}: the {kind} answer is not valid: {error.pointer} {error.detail}"


def _media(operation: Operation, content_type: str) -> Node | None:
    if operation.body is None:
        return None
    json = {m: n for m, n in operation.body.media.items() if "json" in m and "ndjson" not in m}
    return json.get(content_type) if content_type else next(iter(json.values()), None)


def _answers(exchange: Exchange) -> Iterator[tuple[str, int, Any]]:
    if exchange.scripted is not None:
        yield "scripted", int(exchange.scripted.get("status", exchange.status)), exchange.scripted.get("body")
    if exchange.recorded is not None:
        yield "recorded", exchange.recorded.status, exchange.recorded.body


@rule("vectors.shape")
def check_vectors(survey: Survey) -> Iterator[Problem]:
    """A file of vectors has title, computation, why, and cases with name, input, output and why, each name once."""
    for service in survey.services:
        for vectors in service.vectors:
            for key in ("title", "computation", "why", "cases"):
                if not vectors.node.get(key):
                    yield vectors.node.place, f"the vectors {vectors.name} have no {key}; add it"
            operation = vectors.node.get("operation")
            if operation and operation not in survey.contract.operations:
                yield vectors.node.place, f"the vectors {vectors.name} name {operation}, which doesn't exist; correct it"
            seen: set[str] = set()
            for case in vectors.node.entries("cases"):
                for key in ("name", "input", "output", "why"):
                    if key not in case:
                        yield case.place, f"a case of {vectors.name} has no {key}; add it"
                name = str(case.get("name"))
                if name in seen:
                    yield case.place, f"{vectors.name} has the case {name} twice; rename one"
                seen.add(name)


@rule("world.schema")
def check_world(survey: Survey) -> Iterator[Problem]:
    """A file of the world is valid by common/world.yaml."""
    validator = schema_validator(survey, "world.yaml")
    for document in _example_documents(survey, "examples/world/*.yaml"):
        yield from document_errors(validator, document, document.data)


@rule("world.records")
def check_records(survey: Survey) -> Iterator[Problem]:
    """A record of the world has its resource's prefix and valid properties, and no other has its ID."""
    seen: set[str] = set()
    for document in _example_documents(survey, "examples/world/*.yaml"):
        for collection, node in document.root.items("records"):
            resource = survey.contract.resources.get(collection)
            for record in node.entries():
                identity = str(record.get("id"))
                if identity in seen:
                    yield record.place, f"the world has {identity} twice; number one anew"
                seen.add(identity)
                if resource is None:
                    continue
                if not identity.startswith(resource.prefix + "_"):
                    yield record.place, f"{identity} in {collection} doesn't begin with {resource.prefix}_; correct it"
                for name, value in record.items():
                    schema = property_node(resource.node, [name])
                    if schema is None and name not in _STORE_MEMBERS and not name.startswith("_"):
                        yield value.place, f"{identity} has {name}, which {resource.schema} doesn't have; correct it"
                    elif schema is not None:
                        for error in survey.errors(schema, value.value)[:1]:
                            yield value.place, f"{identity}: {name}{error.pointer} {error.detail}; correct it"


@rule("world.principals")
def check_principals(survey: Survey) -> Iterator[Problem]:
    """A principal's scopes are scopes of some service."""
    for document in _example_documents(survey, "examples/world/*.yaml"):
        for name, node in document.root.items("principals"):
            for scope in node.get("scopes", ()):
                owner = scope.split(".")[0]
                if scope not in ("*", "by-role") and scope not in survey.scopes and owner in survey.contract.services:
                    yield node.place, f"{name} has the scope {scope}, which {owner} doesn't have; correct it"
