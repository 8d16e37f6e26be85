"""Requirement 7.3: statuses are those declared, and problems lead to the catalogue."""

from __future__ import annotations

from collections.abc import Mapping

from crm_reference.trace.universal import Context, Findings, Verdict, rule

#: Address of the error catalogue; a problem's type is this and its code as a fragment.
CATALOGUE = "https://docs.crm.example/errors#"

#: What can come on any path, before an operation is known.
_ANYWHERE = frozenset({404, 405})


@rule("status_codes")
def status_codes(context: Context, /) -> Verdict:
    """Decide whether each status that came is declared. A subject is an operation that was reached."""
    found, subjects = Findings("status_codes"), []
    reached: dict[str, set[tuple[int, str]]] = {}
    for ran in (context.results or {}).values():
        for hit in ran.hits:
            reached.setdefault(hit.operation, set()).add((hit.status, ran.example))
    for name, operation in context.contract.operations.items():
        seen = {(e.recorded.status, e.id) for e in context.by_operation[name] if e.recorded}
        seen |= reached.get(name, set())
        if seen:
            subjects.append(name)
        for status, example in sorted(seen):
            if str(status) not in operation.responses and status not in _ANYWHERE:
                found.add(operation.place, f"{name} answered {status} to {example}, and declares no such response")
    return Verdict(tuple(subjects), tuple(found))


@rule("error_handling")
def error_handling(context: Context, /) -> Verdict:
    """Decide whether each problem's type leads to its code in the catalogue. A subject is an error code."""
    found = Findings("error_handling")
    codes = context.contract.errors
    for exchange in context.contract.exchanges.values():
        body = exchange.recorded.body if exchange.recorded and exchange.recorded.status >= 400 else None
        if isinstance(body, Mapping) and "code" in body:
            if body["code"] not in codes:
                found.add(exchange.place, f"{exchange.id} was answered with the code {body['code']}, which no manifest declares")
            elif body.get("type") != CATALOGUE + str(body["code"]):
                message = f"the type of {exchange.id}'s problem is {body.get('type')!r} and should be {CATALOGUE}{body['code']}"
                found.add(exchange.place, message)
    if context.catalogue is not None:
        for code, error in codes.items():
            if code not in context.catalogue:
                found.add(error.place, f"the catalogue has no entry for {code}, to which problems lead")
    return Verdict(tuple(codes), tuple(found))
