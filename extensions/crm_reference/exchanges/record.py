"""Recorded answers: written by :func:`record`, proved by :func:`check`.

``examples/recorded/{slug}.json`` holds, by exchange ID in sorted order, the request as it was sent, the answer, and the events
that it emitted. Nothing in it depends on the day, the machine, or which other exchanges ran. An exchange that can't be run, or
whose answer isn't what its author expects, keeps the recording that it had: a wrong answer is never recorded as right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from crm_reference.contract import Contract, Exchange, Finding, Service
from crm_reference.contract.documents import place_of
from crm_reference.contract.schema_tree import undeclared
from crm_reference.emulator import Engine
from crm_reference.exchanges.errors import ExchangeError
from crm_reference.exchanges.files import write_if_changed
from crm_reference.exchanges.pointers import contrast, difference
from crm_reference.exchanges.replay import Answer, Replayer, compare

#: Called with the exchange that was run, how many are done, and how many there are.
Progress = Callable[[Exchange, int, int], None]


@dataclass(frozen=True, slots=True)
class Recording:
    """What :func:`record` did.

    :param written: Files that changed, relative to the root.
    :param count: How many exchanges ran.
    :param findings: What was not recorded, and why.
    """

    written: tuple[str, ...]
    count: int
    findings: tuple[Finding, ...]


def recorded_name(slug: str, /) -> str:
    """Return the name of a service's recorded file, relative to the root."""
    return f"examples/recorded/{slug}.json"


def record(contract: Contract, engine: Engine, *, only: Collection[str] = (), progress: Progress | None = None) -> Recording:
    """Run exchanges and write what they answered.

    :param only: Slugs, operationIds or exchange IDs to run; empty for all. Recordings of the others stay, unless their exchange is
        gone.
    :param progress: Told of each exchange after it ran.
    :raises ContractError: If an entry of ``only`` names nothing.
    """
    selected = select(contract, only)
    replayer = Replayer(contract, engine)
    findings: list[Finding] = []
    written: list[str] = []
    count = 0
    for service in contract.services.values():
        chosen = [x for x in service.exchanges.values() if x.id in selected]
        entries = _present(contract, service)
        kept = {name: entry for name, entry in entries.items() if name in service.exchanges}
        for exchange in chosen:
            answer, wrong = run_one(replayer, exchange)
            findings += wrong
            if answer is not None and not wrong:
                kept[exchange.id] = answer.entry()
            count += 1
            if progress:
                progress(exchange, count, len(selected))
        if (chosen or not only) and _write(contract.library.root / recorded_name(service.slug), kept):
            written.append(recorded_name(service.slug))
    return Recording(tuple(written), count, _once(findings))


def check(contract: Contract, engine: Engine, *, only: Collection[str] = (), progress: Progress | None = None) -> list[Finding]:
    """Run exchanges and compare them with what their authors expect and with what is recorded, to the letter.

    :param only: As :func:`record` takes it.
    :return: A finding for each exchange that differs, and for each recording whose exchange is gone.
    :raises ContractError: If an entry of ``only`` names nothing.
    """
    selected = select(contract, only)
    replayer = Replayer(contract, engine)
    findings: list[Finding] = []
    for count, exchange in enumerate(selected.values(), 1):
        answer, wrong = run_one(replayer, exchange)
        findings += wrong
        if answer is not None and not wrong:
            findings += against_recorded(contract, answer)
        if progress:
            progress(exchange, count, len(selected))
    if not only:
        findings += _orphans(contract)
    return list(_once(findings))


def run_one(replayer: Replayer, exchange: Exchange, /) -> tuple[Answer | None, list[Finding]]:
    """Run one exchange and compare it with what its author expects.

    :return: The answer (``None`` where it couldn't be run) and what is wrong.
    """
    try:
        answer = replayer.run(exchange)
        return answer, [*compare(answer, replayer.expected(exchange)), *_untold(replayer.contract, answer)]
    except ExchangeError as error:
        return None, [error.finding]


def _untold(contract: Contract, answer: Answer) -> Iterator[Finding]:
    exchange = answer.exchange
    declared = contract.operations[exchange.operation].responses.get(str(answer.status))
    schema = declared.media.get(answer.headers.get("Content-Type", "")) if declared else None
    members = list(undeclared(schema, answer.body)) if schema is not None else []
    if declared and members:
        message = f"{exchange.id} is answered with {', '.join(members[:5])}, which the schema at {declared.place} doesn't declare"
        yield Finding(exchange.place, "exchange.undeclared", message)


def against_recorded(contract: Contract, answer: Answer, /) -> list[Finding]:
    """Compare an answer with its recording; the finding names the first difference by pointer."""
    exchange = answer.exchange
    service = contract.services[exchange.service]
    entry = _present(contract, service).get(exchange.id)
    again = f"run `crm-reference record --only {exchange.id}` and review the difference"
    if entry is None:
        return [Finding(exchange.place, "exchange.unrecorded", f"{exchange.id} has no recorded answer; {again}")]
    unlike = difference(entry, orjson.loads(orjson.dumps(answer.entry())))
    if unlike is None:
        return []
    pointer = unlike[0]
    wanted, found = contrast(*unlike[1:])
    message = (
        f"{exchange.id} differs from {recorded_name(exchange.service)} at {pointer}: "
        f"recorded {wanted}, answered {found}; mend what changed, or {again}"
    )
    return [Finding(exchange.place, "exchange.recorded", message)]


def select(contract: Contract, only: Collection[str], /) -> dict[str, Exchange]:
    """Return exchanges by slug, operationId or exchange ID; all where nothing is named.

    :raises ContractError: If an entry names nothing.
    """
    if not only:
        return dict(contract.exchanges)
    chosen = {}
    for name in only:
        matching = {i: x for i, x in contract.exchanges.items() if name in (x.service, x.operation, i)}
        if not matching and name not in contract.services:
            message = f"{name} is no service, operation or exchange; write contacts, createContact or createContact/every-field"
            raise ExchangeError(place_of("examples"), "exchange.unknown", message)
        chosen.update(matching)
    return chosen


def _once(findings: list[Finding]) -> tuple[Finding, ...]:
    """Return findings without repetition: what breaks one exchange breaks all that build on it."""
    return tuple({str(finding): finding for finding in findings}.values())


def _present(contract: Contract, service: Service) -> Mapping[str, Any]:
    document = contract.library.open(recorded_name(service.slug))
    if not document.path.is_file():
        return {}
    data: Mapping[str, Any] = document.data
    return data


def _orphans(contract: Contract) -> Iterator[Finding]:
    for service in contract.services.values():
        for name in _present(contract, service):
            if name not in service.exchanges:
                message = f"{name} is recorded and examples/{service.slug}.yaml has no such exchange; run `crm-reference record`"
                yield Finding(place_of(recorded_name(service.slug)), "exchange.orphan", message)


def _write(path: Path, entries: Mapping[str, Any]) -> bool:
    if not entries and not path.is_file():
        return False
    ordered = {name: entries[name] for name in sorted(entries)}
    return write_if_changed(path, orjson.dumps(ordered, option=orjson.OPT_INDENT_2) + b"\n")


__all__ = [
    "Progress",
    "Recording",
    "against_recorded",
    "check",
    "record",
    "recorded_name",
    "run_one",
    "select",
]
