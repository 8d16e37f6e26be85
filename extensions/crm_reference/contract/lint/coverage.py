"""Coverage by exchanges: every success, every own error, every property of every branch, every parameter."""

from __future__ import annotations

from collections.abc import Iterator

from crm_reference.contract.examples import cookies_in, expected_codes
from crm_reference.contract.lint.registry import Problem, rule
from crm_reference.contract.lint.survey import Survey
from crm_reference.contract.schema_tree import declared, used


@rule("coverage.success")
def check_successes(survey: Survey) -> Iterator[Problem]:
    """Each success status of an operation has an exchange."""
    for operation in survey.operations:
        shown = {e.status for e in survey.exchanges_of(operation)}
        for response in operation.successes:
            if response.status.isdigit() and int(response.status) not in shown:
                where = survey.example_file(operation.service)
                message = f"{operation.id} can answer {response.status} and no exchange shows it; add one to {where}"
                yield operation.place, message


@rule("coverage.errors")
def check_errors(survey: Survey) -> Iterator[Problem]:
    """Each error code of an operation's own has an exchange that expects it."""
    for operation in survey.operations:
        expected = {code for exchange in survey.exchanges_of(operation) for code in expected_codes(exchange)}
        for code in operation.errors:
            if code not in expected:
                where = survey.example_file(operation.service)
                message = f"{operation.id} declares {code} and no exchange answers it; add one to {where}"
                yield operation.place, message


@rule("coverage.properties")
def check_properties(survey: Survey) -> Iterator[Problem]:
    """Exchanges that succeed send every property of every branch of an operation's body."""
    for operation in survey.operations:
        if operation.body is None:
            continue
        sent = [e for e in survey.exchanges_of(operation) if e.succeeds]
        for media, node in operation.body.media.items():
            if "json" not in media or "ndjson" in media:
                continue
            shown = {s.generic for e in sent if e.request.body is not None for s in used(node, e.request.body)}
            missing = [pointer for pointer in declared(node) if pointer not in shown]
            if missing:
                said = ", ".join(missing[:6]) + (f" and {len(missing) - 6} more" if len(missing) > 6 else "")
                where = survey.example_file(operation.service)
                yield operation.place, f"no exchange of {operation.id} sends {said}; add them in {where}"


@rule("coverage.parameters")
def check_parameters(survey: Survey) -> Iterator[Problem]:
    """Exchanges that succeed use every parameter of an operation."""
    for operation in survey.operations:
        used: set[tuple[str, str]] = set()
        for exchange in survey.exchanges_of(operation):
            if exchange.succeeds or operation.parameter("If-Match", "header"):
                used |= {("path", n) for n in exchange.request.path} | {("query", n) for n in exchange.request.query}
                used |= {("header", n.lower()) for n in exchange.request.headers}
                used |= {("cookie", n) for n in cookies_in(exchange.request.headers)}
        for parameter in operation.parameters:
            name = parameter.name.lower() if parameter.location == "header" else parameter.name
            if (parameter.location, name) not in used:
                message = f"no exchange of {operation.id} uses {parameter.name}; add it in {survey.example_file(operation.service)}"
                yield operation.place, message
