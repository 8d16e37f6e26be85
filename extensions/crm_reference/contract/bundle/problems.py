"""Examples of the platform's standard problems, made particular to an operation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crm_reference.contract.manifest_model import ErrorCode
from crm_reference.contract.model import Contract, Operation, Parameter
from crm_reference.contract.protocols import CATALOGUE, PROBLEM_JSON, protocol_error
from crm_reference.contract.schema_tree import declared

REQUEST_ID = "req_01KDVDNA000000000000000101"
_MERGED_INTO = "_01KDVDNA000000000000000002"
_BRANCH = re.compile(r"<[^>]*>")


def example_path(operation: Operation) -> str:
    """Return an operation's path from the host on, with example values for its parameters."""
    path = operation.url_path
    for parameter in operation.parameters:
        if parameter.location == "path":
            path = path.replace("{" + parameter.name + "}", str(_first_example(parameter) or parameter.name))
    return path


def _first_example(parameter: Parameter) -> Any:
    schema = parameter.schema
    for node in (schema, schema.resolved()):
        if node.get("examples"):
            return node.get("examples")[0]
    values = schema.resolved().get("enum") or [None]
    return values[0]


@dataclass(frozen=True, slots=True)
class ProblemExample:
    """An example of a problem: its name under ``examples``, its status and its body."""

    name: str
    status: str
    summary: str
    value: Mapping[str, Any]


def problem_body(error: ErrorCode, operation: Operation, detail: str, /, **more: Any) -> dict[str, Any]:
    """Return the body of a problem as the platform writes it."""
    body = {
        "type": CATALOGUE + error.code,
        "title": error.title,
        "status": error.status,
        "detail": detail,
        "instance": example_path(operation),
        "code": error.code,
        "request_id": REQUEST_ID,
    }
    return body | {k: v for k, v in more.items() if v}


def standard_problems(contract: Contract, operation: Operation) -> Iterator[ProblemExample]:
    """Yield an example for each standard code that the operation can answer, by its responses and its shape."""
    for code, detail, more in _candidates(contract, operation):
        error = contract.standard_errors.get(code)
        if error is not None:
            yield from _answered(operation, error, detail, **more)


def _answered(operation: Operation, error: ErrorCode, detail: str, name: str = "", /, **more: Any) -> Iterator[ProblemExample]:
    """Yield the example of a code as the operation answers it, unless it declares no such answer."""
    if operation.is_protocol:
        status, media, body = protocol_error(operation.profile, error.code, error.status, detail)
    else:
        status, media, body = error.status, PROBLEM_JSON, problem_body(error, operation, detail, **more)
    answer = operation.responses.get(str(status))
    if answer is not None and media in answer.media:
        yield ProblemExample(name or error.code, str(status), error.title, body)


def own_problems(contract: Contract, operation: Operation) -> Iterator[ProblemExample]:
    """Yield an example for each of the operation's own codes, from what the manifest says of it."""
    for code in operation.errors:
        error = contract.errors.get(code)
        if error is None:
            continue
        if error.field:
            whole = contract.standard_errors["validation_failed"]
            entry = {"pointer": _first_pointer(operation), "code": code, "detail": f"{error.title}."}
            yield from _answered(operation, whole, "1 field is not valid; see errors.", code, errors=[entry])
        else:
            yield from _answered(operation, error, f"{error.cause} {error.fix}"[:1000])


def _candidates(contract: Contract, operation: Operation) -> Iterator[tuple[str, str, dict[str, Any]]]:
    call = f"{operation.method} {example_path(operation)}"
    policy = contract.policies.get(operation.policy)
    yield from _unreadable(operation, call)
    yield "missing_token", f"{call} needs an access token; send it as Authorization: Bearer.", {}
    yield "invalid_token", "The token expired at 2026-01-05T08:00:00Z; get a new one.", {}
    yield (
        "insufficient_scope",
        f"{operation.id} needs {' and '.join(operation.scopes) or 'a scope'}; ask for it when you get the token.",
        {"required_scopes": list(operation.scopes)},
    )
    identity = next((p for p in operation.parameters if p.location == "path"), None)
    if identity is not None:
        found = _first_example(identity)
        yield "not_found", f"No record that you may see has the {identity.name} {found}; check the ID.", {}
    if operation.parameter("Idempotency-Key", "header"):
        yield "idempotency_in_progress", "The first request with this key still runs; send it again in a second.", {}
        yield "idempotency_key_reused", "This key came with another body at 2026-01-05T08:59:00Z; use a new key.", {}
    if operation.resource:
        prefix = contract.resources[operation.resource].prefix
        yield "merged", "The record was merged away; go on with merged_into.", {"merged_into": prefix + _MERGED_INTO}
    yield "version_mismatch", 'The record is at "4" and If-Match says "3"; read it again and repeat your change.', {}
    yield "precondition_required", f"{operation.id} demands If-Match; read the record and send its ETag.", {}
    if operation.body and policy:
        limit = policy.payload_limit_bytes
        yield "content_too_large", f"The body has {limit + 1} bytes and {operation.policy} takes {limit}; split it.", {}
        takes = " or ".join(operation.body.media)
        yield "unsupported_media_type", f"The Content-Type is text/plain; send {takes}.", {}
        yield "validation_failed", "1 field is not valid; see errors.", {"errors": [_field_problem(operation)]}
    if policy:
        quota = f"{policy.requests} requests in {policy.window_seconds} seconds"
        yield "rate_limited", f"The quota {operation.policy} of {quota} is used up; wait 12 seconds.", {}
        yield "timeout", f"There was no answer within {policy.timeout_seconds} seconds; try again later.", {}
    yield "internal_error", f"{operation.id} failed, and nothing was changed; try again.", {}
    yield "unavailable", f"{operation.service} can't answer now; wait 30 seconds.", {}


def _unreadable(operation: Operation, call: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    if operation.body and any("json" in media for media in operation.body.media):
        yield "malformed_json", f"The body of {call} ends within a string; serialize it with a JSON library.", {}
    if any(p.location == "query" for p in operation.parameters) or not operation.body:
        entry = {"parameter": "verbose", "in": "query", "code": "unknown_parameter", "detail": f"{operation.id} doesn't take it"}
        yield "unknown_parameter", "verbose is no parameter here; remove it.", {"errors": [entry]}
    limit = operation.parameter("limit", "query")
    if limit is not None:
        most = limit.schema.resolved().get("maximum", 200)
        entry = {"parameter": "limit", "in": "query", "code": "out_of_range", "detail": f"must be at most {most}"}
        yield "malformed_parameter", "limit is 1000; see errors.", {"errors": [entry]}
    takes_cursor = operation.parameter("cursor", "query") or (operation.body and _first_pointer(operation, "cursor"))
    if takes_cursor:
        yield "invalid_cursor", "The cursor belongs to another sort; start again without it.", {}


def _first_pointer(operation: Operation, name: str = "") -> str:
    """Return the pointer of a member of the body, the named one or else the first that is required."""
    for node in operation.body.media.values() if operation.body else ():
        for spot in declared(node).values():
            pointer = _BRANCH.sub("", spot.generic)
            if pointer.count("/") == 1 and (pointer == f"#/{name}" if name else spot.required):
                return pointer
    return "" if name else "#"


def _field_problem(operation: Operation) -> dict[str, str]:
    pointer = _first_pointer(operation)
    if pointer != "#":
        return {"pointer": pointer, "code": "required", "detail": f"{pointer.removeprefix('#/')} is required"}
    return {"pointer": "#/colour", "code": "unknown_field", "detail": "colour is not a member that can be sent here"}
