"""One service calls another: the same checks as over the wire, but for the token's, since a service token may do all this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from crm_reference.emulator import access
from crm_reference.emulator.addressing import load_records
from crm_reference.emulator.behaviours import BEHAVIOURS
from crm_reference.emulator.call import Call, Context
from crm_reference.emulator.messages import Request
from crm_reference.emulator.parsing import validate_body
from crm_reference.emulator.registry import HANDLERS


def call(
    context: Context,
    service: str,
    operation: str,
    body: Mapping[str, Any] | None = None,
    /,
    *,
    path: Mapping[str, str] | None = None,
    query: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Call an operation of a neighbour on behalf of the context, and return the body of its answer.

    :param path: Values of the path's parameters.
    :param query: Values of query parameters, typed as a handler gets them.
    :return: ``None`` where the neighbour is down and the manifest says what is done without it, and where the contract has no such
        operation, as while only a part of the platform is loaded.
    :raises Problem: ``unavailable`` where the neighbour is down and required, else what the neighbour refuses.
    """
    answers = context.ask(service, operation)
    found = context.world.contract.operations.get(operation)
    behaviour = found and (HANDLERS.get(operation) or BEHAVIOURS.get(found.behaviour))
    if not answers or found is None or not behaviour:
        return None
    media = next(iter(found.body.media), "") if found.body is not None else ""
    sent = b"" if body is None else orjson.dumps(body)
    named = dict(path or {})
    request = Request(found.method, "/v1" + found.path.format(**named), (), {"content-type": media}, sent)
    inner = Call(context.world, context.identity, found, request, named)
    inner.is_upkeep = context.is_upkeep
    inner.query = dict(query or {})
    load_records(inner)
    access.demand_of_call(inner)
    inner.invalid = validate_body(context.world.validators, found, request, body)
    inner.body = None if body is None else dict(body)
    answer: dict[str, Any] | None = behaviour(inner).body
    return answer
