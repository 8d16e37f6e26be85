"""Requirements 7.1 and 7.2: what is sent and what comes back is shown, all of it."""

from __future__ import annotations

from collections.abc import Iterator

from crm_reference.contract import Exchange, Operation
from crm_reference.contract.examples import codes_of as answered_codes
from crm_reference.contract.examples import cookies_in, expected_codes
from crm_reference.contract.schema_tree import Spot, declared, json_schema, used
from crm_reference.trace.subjects import is_paged
from crm_reference.trace.universal import Context, Findings, Verdict, rule


@rule("request_all_fields")
def request_all_fields(context: Context, /) -> Verdict:
    """Decide whether each writable field, union branch and parameter is used in an exchange that succeeds.

    A subject is an operation that takes a parameter or a JSON body.
    """
    found, subjects = Findings("request_all_fields"), []
    for operation in context.contract.operations.values():
        wanted = _sendable(operation)
        if not wanted:
            continue
        subjects.append(operation.id)
        sent: set[str] = set()
        for exchange in context.by_operation[operation.id]:
            if exchange.succeeds:
                sent |= set(_sent(operation, exchange))
        if missing := [name for name in wanted if name not in sent]:
            names = ", ".join(missing)
            message = f"no successful exchange of {operation.id} sends {names}; extend one in examples/{operation.service}.yaml"
            found.add(operation.place, message)
    return Verdict(tuple(subjects), tuple(found))


def _sendable(operation: Operation) -> list[str]:
    schema = json_schema(operation.body)
    fields = list(declared(schema)) if schema else []
    return [*(f"{p.location} {p.name}" for p in operation.parameters), *fields]


def _sent(operation: Operation, exchange: Exchange) -> Iterator[str]:
    request = exchange.request
    yield from (f"path {name}" for name in request.path)
    yield from (f"query {name}" for name in request.query)
    headers = {name.lower() for name in request.headers}
    yield from (f"header {p.name}" for p in operation.parameters if p.location == "header" and p.name.lower() in headers)
    yield from (f"cookie {name}" for name in cookies_in(request.headers))
    if (schema := json_schema(operation.body)) is not None and request.body is not None:
        yield from (spot.generic for spot in used(schema, request.body))


@rule("success_examples")
def success_examples(context: Context, /) -> Verdict:
    """Decide whether each success status has a live exchange, each readable field a value, and each list a last page.

    A subject is ``operationId status``.
    """
    found, subjects = Findings("success_examples"), []
    for operation in context.contract.operations.values():
        exchanges = context.by_operation[operation.id]
        for response in operation.successes:
            subjects.append(f"{operation.id} {response.status}")
            if not any(str(e.status) == response.status and context.live(e) for e in exchanges):
                found.add(response.place, f"no live exchange of {operation.id} answers {response.status}; add one that does")
        if is_paged(operation):
            for problem in _page_problems(exchanges):
                found.add(operation.place, f"{operation.id}: {problem}")
    _unfilled(context, found)
    return Verdict(tuple(subjects), tuple(found))


def _page_problems(exchanges: tuple[Exchange, ...]) -> Iterator[str]:
    pages = [e.recorded.body for e in exchanges if e.recorded and isinstance(e.recorded.body, dict) and "data" in e.recorded.body]
    if not any(len(p["data"]) >= 2 for p in pages):
        yield "no exchange shows a page with two items or more"
    if not any(p.get("has_more") is False for p in pages):
        yield "no exchange shows the last page"


def _unfilled(context: Context, found: Findings) -> None:
    """Find readable fields that are set in no recorded answer, wherever their schema is used."""
    filled: set[str] = set()
    wanted: dict[str, tuple[Spot, str]] = {}
    for operation in context.contract.operations.values():
        schemas = {r.status: s for r in operation.successes if (s := json_schema(r.media))}
        for schema in schemas.values():
            for spot in declared(schema, skip="writeOnly").values():
                wanted.setdefault(spot.schema.uri, (spot, operation.id))
        # A schema that success and failure share, as problems in jobs and health reports do, is shown by either.
        shown = {r.status: n for r in operation.responses.values() for t, n in r.media.items() if t.endswith("json")}
        for exchange in context.by_operation[operation.id]:
            answer = exchange.recorded
            if answer is None or str(answer.status) not in shown:
                continue
            seen = used(shown[str(answer.status)], answer.body, skip="writeOnly")
            filled |= {spot.schema.uri for spot in seen if spot.value is not None}
    for uri, (spot, source) in wanted.items():
        if uri not in filled:
            message = f"{spot.generic} is set in no recorded answer (it can come from {source}); show it in one"
            found.add(spot.schema.place, message)


@rule("error_examples")
def error_examples(context: Context, /) -> Verdict:
    """Decide whether each own error code of an operation is raised on it. A subject is ``operationId code``."""
    found, subjects = Findings("error_examples"), []
    for operation in context.contract.operations.values():
        raised = {code for e in context.by_operation[operation.id] for code in codes_of(e)}
        for code in operation.errors:
            subjects.append(f"{operation.id} {code}")
            if code not in raised:
                message = f"{operation.id} declares {code} and no exchange answers it; add one to examples/{operation.service}.yaml"
                found.add(operation.place, message)
    return Verdict(tuple(subjects), tuple(found))


def codes_of(exchange: Exchange, /) -> frozenset[str]:
    """Return the error codes in an exchange's recorded answer, or where there is none, those that its author expects."""
    if exchange.recorded is not None:
        return frozenset(answered_codes(exchange.recorded))
    return frozenset(expected_codes(exchange))
