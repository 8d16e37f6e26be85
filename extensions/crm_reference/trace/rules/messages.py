"""Requirement 8.4: events are emitted as declared, heard with an effect, and valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crm_reference.contract import Contract, Exchange, Hearing
from crm_reference.contract.schema_tree import undeclared
from crm_reference.contract.validation import Validators
from crm_reference.trace.subjects import hearing_subject
from crm_reference.trace.universal import Context, Findings, Verdict, rule


@rule("events")
def events(context: Context, /) -> Verdict:
    """Decide whether operations emit what they name, and whether what is heard can be read back.

    A subject is ``operationId event`` or ``service <- event``. Events of services that don't exist yet are awaited.
    """
    found, subjects = Findings("events"), []
    contract = context.contract
    emitted = set(_emissions(context, found))
    for operation in contract.operations.values():
        for type in operation.events:
            subjects.append(f"{operation.id} {type}")
            if type not in contract.events:
                found.add(operation.place, f"{operation.id} emits {type}, which no AsyncAPI document describes")
            elif (operation.id, type) not in emitted:
                found.add(operation.place, f"{operation.id} names {type}, and no recorded exchange emitted it")
    awaiting = _heard(context, subjects, found)
    return Verdict(tuple(subjects), tuple(found), tuple(sorted(awaiting)))


def _emissions(context: Context, found: Findings) -> Iterator[tuple[str, str]]:
    """Yield operation and type of each recorded event.

    A job goes on after its start was answered, so that its events are seen by an exchange that has the start in its ``given``. An
    event is thus laid to the operation, and to those before it, that name it; that none does is a finding.
    """
    contract = context.contract
    for operation in contract.operations.values():
        for exchange in context.by_operation[operation.id]:
            for event in exchange.recorded.events if exchange.recorded else ():
                type = str(event.get("type"))
                naming = [o for o in _operations(contract, exchange) if type in contract.operations[o].events]
                yield from ((o, type) for o in naming)
                # Another service's event is its answer to ours, and stands in that service's documents.
                own = type in contract.events and contract.events[type].service == operation.service
                if own and not naming:
                    found.add(exchange.place, f"{exchange.id} emitted {type}, which {operation.id} doesn't name in x-events")


def _operations(contract: Contract, exchange: Exchange) -> list[str]:
    """Return the operations that an exchange and all that was given call, each once."""
    calls: dict[str, None] = {}
    waiting, seen = [exchange], {exchange.id}
    while waiting:
        current = waiting.pop()
        if current.operation in contract.operations:
            calls[current.operation] = None
        for step in current.given:
            if isinstance(step, str) and step in contract.exchanges and step not in seen:
                seen.add(step)
                waiting.append(contract.exchanges[step])
    return list(calls)


def _heard(context: Context, subjects: list[str], found: Findings) -> set[str]:
    contract, awaiting = context.contract, set()
    for service in contract.services.values():
        for hearing in service.manifest.hears:
            if hearing.service not in contract.services:
                awaiting.add(hearing.service)
                continue
            subjects.append(hearing_subject(service, hearing))
            if not reads_back(context, hearing):
                reader = hearing.seen_by or "an operation in seen_by"
                message = f"{service.slug} hears {hearing.event}, and no passing exchange of {reader} has its delivery in given"
                found.add(hearing.place, message)
    return awaiting


def reads_back(context: Context, hearing: Hearing, /) -> bool:
    """Return whether a passing exchange delivers the event, or makes its emitter send it, and then reads the effect."""
    for exchange in context.by_operation.get(hearing.seen_by, ()):
        for step in exchange.given:
            if isinstance(step, Mapping) and step.get("deliver", {}).get("type") == hearing.event:
                return True
            if isinstance(step, str) and _emits(context.contract, step, hearing.event):
                return True
    return False


def _emits(contract: Contract, exchange: str, event: str) -> bool:
    operation = contract.operations.get(exchange.partition("/")[0])
    return operation is not None and event in operation.events


@rule("message_schemas")
def message_schemas(context: Context, /) -> Verdict:
    """Decide whether every recorded event is a valid CloudEvent of its type. A subject is an event type."""
    found = Findings("message_schemas")
    contract = context.contract
    validators = Validators(contract.library)
    seen: set[str] = set()
    for exchange in contract.exchanges.values():
        for event in exchange.recorded.events if exchange.recorded and context.ran(exchange) else ():
            type = str(event.get("type"))
            seen.add(type)
            for problem in _event_problems(contract, validators, event):
                found.add(exchange.place, f"an event of {exchange.id} is not valid: {problem}")
    for type, declared in contract.events.items():
        if type not in seen:
            found.add(declared.place, f"no recorded exchange emitted {type}, so that nothing shows its payload")
    return Verdict(tuple(t for t in contract.events if t in seen), tuple(found))


#: Attributes that CloudEvents 1.0.2 demands, and those that every event here has.
_ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time", "data")


def _event_problems(contract: Contract, validators: Validators, event: Mapping[str, Any]) -> list[str]:
    if missing := [name for name in _ATTRIBUTES if name not in event]:
        return [f"it lacks {', '.join(missing)}"]
    if event["specversion"] != "1.0":
        return [f"its specversion is {event['specversion']!r}"]
    declared = contract.events.get(str(event["type"]))
    if declared is None:
        return [f"no AsyncAPI document describes {event['type']}"]
    untold = [f"{pointer} is declared nowhere" for pointer in undeclared(declared.payload, event)]
    return [*(f"{e.pointer or '/'} {e.detail}" for e in validators.errors(declared.payload, event)), *untold]
