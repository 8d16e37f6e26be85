"""Requirements 7.4 and 9.4: who may call, what to guard against, and what must not be shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import orjson

from crm_reference.contract import Operation
from crm_reference.contract.schema_tree import declared, json_schema, says, used
from crm_reference.trace import subjects as about
from crm_reference.trace.universal import Context, Findings, Verdict, rule

#: Threat by what a sentence about it has to speak of. Object access and mass assignment need a sentence, in any words.
_SPEAKS_OF: Mapping[str, re.Pattern[str]] = {
    "URL": re.compile(r"\b(URLs?|addresses|address|hosts?|fetch|SSRF|redirects?)\b", re.IGNORECASE),
    "file": re.compile(r"\b(files?|malware|scan\w*|media type|content|archives?)\b", re.IGNORECASE),
}

#: A value shorter than this can stand somewhere by chance.
_SECRET_LENGTH = 8


@rule("authentication")
def authentication(context: Context, /) -> Verdict:
    """Decide whether each operation has known scopes, or a reason why it takes no token. A subject is an operation."""
    found = Findings("authentication")
    contract = context.contract
    for operation in contract.operations.values():
        if operation.scopes and operation.public:
            found.add(operation.place, f"{operation.id} has both scopes and x-public; keep the one that is true")
        if not operation.scopes and not operation.public and not operation.profile:
            message = f"{operation.id} takes no token and doesn't say why; give it scopes, or x-public with the reason"
            found.add(operation.place, message)
        for scope in operation.scopes:
            if scope not in contract.scopes:
                found.add(operation.place, f"{operation.id} demands the scope {scope}, which no manifest declares")
    return Verdict(tuple(contract.operations), tuple(found))


@rule("security_considerations")
def security_considerations(context: Context, /) -> Verdict:
    """Decide whether each operation says what to guard against, and names the threats that its shape brings.

    A subject is an operation. A URL in the body and a file need a sentence that speaks of them.
    """
    found = Findings("security_considerations")
    contract = context.contract
    shaped = {
        "URL": {s.split(" ")[0] for s in about.url_fields(contract)},
        "file": set(about.uploads(contract)),
    }
    for operation in contract.operations.values():
        note = operation.security_note
        if not note:
            found.add(operation.place, f"{operation.id} has no x-security; say what its implementer must guard against")
        for threat, names in shaped.items():
            if note and operation.id in names and not _SPEAKS_OF[threat].search(note):
                found.add(operation.place, f"{operation.id} takes a {threat}, and its x-security doesn't speak of it")
    return Verdict(tuple(contract.operations), tuple(found))


@rule("security_validation")
def security_validation(context: Context, /) -> Verdict:
    """Decide whether secrets stay out of what is read. A subject is an operation that answers with JSON.

    A secret may come back once, in the answer to the POST that makes it.
    """
    found, subjects = Findings("security_validation"), []
    contract = context.contract
    secrets = {value: place for operation in contract.operations.values() for value, place in _sent_secrets(context, operation)}
    for operation in contract.operations.values():
        schemas = [s for r in operation.successes if (s := json_schema(r.media))]
        if schemas:
            subjects.append(operation.id)
        for spot in (x for s in schemas for x in declared(s, skip="writeOnly").values()):
            if says(spot.schema, "x-sensitive") == "secret" and operation.method != "POST":
                message = f"{operation.id} can answer with the secret {spot.generic}; make it writeOnly, or give it out on creation"
                found.add(spot.schema.place, message)
        for exchange in context.by_operation[operation.id]:
            if exchange.recorded is None:
                continue
            answer = exchange.recorded.body if operation.method != "POST" else None
            shown = orjson.dumps([answer, list(exchange.recorded.events)]).decode()
            for value, origin in secrets.items():
                if value in shown:
                    found.add(exchange.place, f"the answer or an event of {exchange.id} shows the secret that {origin} sent")
    return Verdict(tuple(subjects), tuple(found))


def _sent_secrets(context: Context, operation: Operation) -> Iterator[tuple[str, str]]:
    schema = json_schema(operation.body)
    for exchange in context.by_operation[operation.id] if schema else ():
        body = exchange.recorded.request_body if exchange.recorded else exchange.request.body
        assert schema is not None
        for spot in used(schema, body):
            if says(spot.schema, "x-sensitive") == "secret" and isinstance(spot.value, str) and len(spot.value) >= _SECRET_LENGTH:
                yield spot.value, exchange.id
