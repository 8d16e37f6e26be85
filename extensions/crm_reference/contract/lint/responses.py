"""Responses: the least set that each operation lists, shared ones by reference, own ones complete."""

from __future__ import annotations

from collections.abc import Iterator

from crm_reference.contract.lint.registry import Problem, rule
from crm_reference.contract.lint.survey import COMMON, Survey
from crm_reference.contract.model import Operation

#: Names of the shared error responses by status.
SHARED = {
    "400": "BadRequest",
    "401": "Unauthorized",
    "403": "Forbidden",
    "404": "NotFound",
    "409": "Conflict",
    "410": "Gone",
    "412": "PreconditionFailed",
    "413": "ContentTooLarge",
    "415": "UnsupportedMediaType",
    "422": "Unprocessable",
    "428": "PreconditionRequired",
    "429": "TooManyRequests",
    "500": "ServerError",
    "503": "Unavailable",
}
#: The headers that the bundle adds to every answer.
STANDARD_HEADERS = frozenset({"X-Request-Id", "RateLimit-Policy", "RateLimit"})
_PROBES = frozenset({"liveness", "readiness"})


def required_statuses(operation: Operation, codes: dict[str, int]) -> dict[str, str]:
    """Return the error statuses that an operation must list, each with the reason.

    :param codes: Status of each error code.
    """
    if operation.behaviour in _PROBES:
        return {"503": "it is a probe"}
    found = dict.fromkeys(("400", "429", "500", "503"), "every operation does")
    if operation.scopes:
        found |= dict.fromkeys(("401", "403"), "it demands a scope")
    if any(p.location == "path" and p.name.endswith("_id") for p in operation.parameters):
        found["404"] = "its path has an ID"
    if operation.body:
        found |= dict.fromkeys(("413", "415", "422"), "it takes a body")
    if operation.parameter("If-Match", "header"):
        found["412"] = "it takes If-Match"
    if operation.parameter("Idempotency-Key", "header"):
        found |= dict.fromkeys(("409", "422"), "it takes an Idempotency-Key")
    for code in operation.errors:
        if code in codes:
            found.setdefault(str(codes[code]), f"it answers {code}")
    return found


@rule("responses.minimum")
def check_minimum(survey: Survey) -> Iterator[Problem]:
    """An operation lists each answer that its shape makes possible."""
    codes = {name: error.status for name, error in survey.contract.errors.items()}
    for operation in survey.operations:
        if operation.is_protocol:
            continue
        for status, reason in sorted(required_statuses(operation, codes).items()):
            if status not in operation.responses:
                message = f"{operation.id} lacks {status}, since {reason}; refer to {SHARED.get(status, status)}"
                yield operation.place, message
        if operation.body or operation.policy == "auth":
            continue
        for status in ("413", "415"):
            if status in operation.responses:
                yield operation.place, f"{operation.id} lists {status} and takes no body; remove it"


@rule("responses.surplus")
def check_surplus(survey: Survey) -> Iterator[Problem]:
    """An operation lists no 401, 403 or 412 that can't happen."""
    for operation in survey.operations:
        if operation.is_protocol:
            continue
        own = {str(survey.contract.errors[c].status) for c in operation.errors if c in survey.contract.errors}
        if not operation.scopes:
            for status in {"401", "403"} - own:
                if status in operation.responses and operation.policy != "auth":
                    yield operation.place, f"{operation.id} is open and lists {status}; remove it"
        if "412" in operation.responses and not operation.parameter("If-Match", "header") and "412" not in own:
            yield operation.place, f"{operation.id} lists 412 and takes no If-Match; remove it, or take the header"


@rule("responses.shared")
def check_shared(survey: Survey) -> Iterator[Problem]:
    """Error responses are those of common/responses.yaml, each under its own status."""
    for operation in survey.operations:
        if operation.is_protocol:
            continue
        for status, response in operation.responses.items():
            if status < "400":
                continue
            wanted = "NotReady" if operation.behaviour == "readiness" and status == "503" else SHARED.get(status)
            if response.common != wanted:
                place = operation.node.child("responses").child(status).place
                said = response.common or "an answer of its own"
                yield place, f"{operation.id}: {status} is {said}; refer to common's {wanted or 'nothing: this status is not ours'}"


@rule("responses.success")
def check_success(survey: Survey) -> Iterator[Problem]:
    """An operation succeeds in at least one way, described, with a schema unless the status has no body."""
    for operation in survey.operations:
        successes = operation.successes
        if not successes:
            yield operation.place, f"{operation.id} never succeeds; list a status below 400"
        for response in successes:
            if len(response.description) < 10:
                yield response.place, f"{operation.id}: {response.status} has no description; say what comes back"
            empty = response.status in ("204", "304") or response.status in ("301", "302", "303", "307", "308")
            if bool(response.media) == empty and not (empty and not response.media):
                said = "has a body" if empty else "has no body"
                yield response.place, f"{operation.id}: {response.status} {said}; correct its content"


@rule("responses.headers")
def check_headers(survey: Survey) -> Iterator[Problem]:
    """Responses leave the three headers of every answer to the bundle, and refer to the common ones."""
    for operation in survey.operations:
        for _, response in operation.node.items("responses"):
            if response.resolved().document.name.startswith(COMMON):
                continue
            known = survey.common("headers.yaml").data
            for name, header in response.resolved().items("headers"):
                if name in STANDARD_HEADERS:
                    yield header.place, f"{operation.id} repeats {name}, which the bundle adds; remove it"
                elif name in known and "$ref" not in header and not operation.is_protocol:
                    yield header.place, f"{operation.id} describes {name} anew; refer to common/headers.yaml#/{name}"


@rule("responses.idempotency")
def check_replayed(survey: Survey) -> Iterator[Problem]:
    """Where an Idempotency-Key is taken, successes can say that they were replayed."""
    for operation in survey.operations:
        if operation.parameter("Idempotency-Key", "header"):
            for response in operation.successes:
                if "Idempotency-Replayed" not in response.headers:
                    yield response.place, f"{operation.id}: {response.status} has no Idempotency-Replayed; add the common header"
