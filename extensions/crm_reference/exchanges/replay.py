"""Runs one exchange on a fresh world.

What *given* means, precisely. ``given`` is a list of steps, done in order before the exchange's own request:

- the ID of an exchange: that exchange runs, its own ``given`` first. One that has run already in this world does not run again,
  so two exchanges that build on a third can stand side by side. Its answer must have the status that its author expects.
- ``{advance: PT1H}``: the world's clock moves.
- ``{fault: {dependency, kind, seconds}}``: that service, or ``database``, fails until the world ends: it is ``down``, fails
  unexpectedly (``error``), or is so many seconds ``slow``.
- ``{deliver: {type, data}}``: an event of another service arrives.

A mapping is done each time it is reached. An exchange that comes back to itself through ``given`` is an error.

The recorded answer of an exchange is thus a function of the contract and the emulator alone, whatever ran before in the
process.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from crm_reference.contract import Contract, Exchange, Finding
from crm_reference.emulator import ContractBreach, Engine, Hit, Request, Response
from crm_reference.exchanges.compose import NOBODY, Composer, Sent, parsed, path_of
from crm_reference.exchanges.errors import ExchangeError
from crm_reference.exchanges.pointers import ABSENT, difference, find, in_query, short

_T = TypeVar("_T")

_DURATION = re.compile(r"P(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_SECONDS = (604_800, 86_400, 3_600, 60, 1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an exchange did.

    :param sent: The request as it was sent.
    :param body: The answer's body as it is recorded: JSON data, text, a ``data:`` URL or ``None``.
    :param events: CloudEvents that the exchange's own request emitted, not those of its ``given``.
    :param hits: Operations that were reached since the world began, ``given`` included.
    """

    exchange: Exchange
    sent: Sent
    status: int
    headers: Mapping[str, str]
    body: Any
    events: tuple[Mapping[str, Any], ...]
    hits: tuple[Hit, ...]

    def entry(self) -> dict[str, Any]:
        """Return the exchange as it stands in ``examples/recorded``."""
        request: dict[str, Any] = {
            "method": self.sent.method,
            "url": self.sent.url,
            "headers": self.sent.shown_headers(),
        }
        response: dict[str, Any] = {"status": self.status, "headers": dict(self.headers)}
        if self.sent.body is not None or self.sent.content:
            request["body"] = self.sent.body
        if self.body is not None:
            response["body"] = self.body
        found: dict[str, Any] = {"request": request, "response": response}
        if self.events:
            found["events"] = list(self.events)
        return found


@dataclass(slots=True)
class Replayer:
    """Runs exchanges, each on a world of its own.

    :param contract: Where exchanges and operations are found.
    :param engine: The emulator; every run resets it.
    """

    contract: Contract
    engine: Engine
    _answers: dict[str, Answer] = field(default_factory=dict)
    _running: list[str] = field(default_factory=list)
    _tokens: dict[str, str] = field(default_factory=dict)
    _scripts: dict[str, Mapping[str, Any]] | None = None
    #: How many events belong to answers that came before.
    told: int = 0

    def run(self, exchange: Exchange, /) -> Answer:
        """Run one exchange on a fresh world.

        :raises ExchangeError: If it can't be run as it is written, or something in ``given`` doesn't go as its author expects.
        """
        self.prepare(exchange)
        return self._send(exchange)

    def begin(self) -> None:
        """Make a fresh world, in which every scripted operation answers as its first success says."""
        if self._scripts is None:
            self._scripts = {}
            for exchange in self.contract.exchanges.values():
                if exchange.scripted is not None and exchange.succeeds:
                    self._scripts.setdefault(exchange.operation, exchange.scripted)
        self.engine.reset()
        self.engine.scripts.clear()
        self.engine.scripts.update(self._scripts)

    def prepare(self, exchange: Exchange, /) -> None:
        """Make a fresh world and do what stands in ``given``, without the exchange's own request.

        :raises ExchangeError: As :meth:`run` does.
        """
        self.begin()
        if not self._tokens:
            # A world's tokens are the same each time it begins, and a signature costs more than a call. They are made at its start:
            # one that was made after an advance would not be valid yet in the next world.
            self._tokens = {name: self.engine.token(name) for name in self.contract.principals}
        self._answers.clear()
        self._running.clear()
        self.told = 0
        self._do_given(exchange)
        self._script(exchange)

    def compose(self, exchange: Exchange, /) -> Sent:
        """Return the request that would be sent now.

        :raises ExchangeError: If it can't be made as it is written.
        """
        operation = self.contract.operations.get(exchange.operation)
        if operation is None:
            message = f"{exchange.id} names an operation that no document has; correct {exchange.operation}"
            raise ExchangeError(exchange.place, "exchange.operation", message)
        if exchange.principal not in (NOBODY, *self._tokens):
            known = ", ".join([*self._tokens, NOBODY])
            message = f"{exchange.id} is called as {exchange.principal}, and the world has only {known}"
            raise ExchangeError(exchange.place, "exchange.principal", message)
        return Composer(self._token, self._lookup).compose(exchange, operation)

    def note(self, answer: Answer, /) -> None:
        """Take an answer that came some other way for that of its exchange, so that what the author expects may refer to it."""
        self._answers[answer.exchange.id] = answer

    def expected(self, exchange: Exchange, /) -> dict[str, Any]:
        """Return what the author expects, references replaced.

        :raises ExchangeError: If a reference finds nothing.
        """
        filled = Composer(self._token, self._lookup).fill(exchange, dict(exchange.expect))
        return dict(filled)

    def _do_given(self, exchange: Exchange) -> None:
        self._running.append(exchange.id)
        for step in exchange.given:
            if isinstance(step, str):
                self._run_before(exchange, step)
            else:
                self._do(exchange, step)
        self._running.pop()

    def _run_before(self, exchange: Exchange, name: str) -> None:
        if name in self._answers:
            return
        before = self.contract.exchanges.get(name)
        if before is None:
            message = f"{exchange.id} names {name} in its given, and there is no such exchange"
            raise ExchangeError(exchange.place, "exchange.given", message)
        if name in self._running:
            message = f"{exchange.id} comes back to {name} through given: {' → '.join([*self._running, name])}"
            raise ExchangeError(exchange.place, "exchange.given", message)
        self._do_given(before)
        answer = self._send(before)
        if answer.status != before.status:
            message = f"{exchange.id} builds on {name} ({before.place}), which answered {answer.status} and not {before.status}"
            raise ExchangeError(exchange.place, "exchange.given", message)

    def _do(self, exchange: Exchange, step: Mapping[str, Any]) -> None:
        if "advance" in step:
            duration = seconds(str(step["advance"]), exchange)
            self._on_engine(exchange, lambda: self.engine.advance(duration))
        elif "fault" in step:
            self._fault(exchange, step["fault"])
        elif "deliver" in step:
            event = Composer(self._token, self._lookup).fill(exchange, dict(step["deliver"]))
            self._on_engine(exchange, lambda: self.engine.deliver(event))
            # What services did about it is no answer to any request.
            self.told = len(self.engine.emitted)
        else:
            message = f"{exchange.id} has a step in its given that is none of advance, fault and deliver: {short(dict(step))}"
            raise ExchangeError(exchange.place, "exchange.given", message)

    def _fault(self, exchange: Exchange, said: Mapping[str, Any]) -> None:
        try:
            self.engine.fault(str(said["dependency"]), str(said.get("kind", "down")), int(said.get("seconds", 0)))
        except KeyError as error:
            message = f"{exchange.id} has a fault without a dependency; write {{fault: {{dependency: name, kind: down}}}}"
            raise ExchangeError(exchange.place, "exchange.given", message) from error
        except ValueError as error:
            raise ExchangeError(exchange.place, "exchange.given", f"{exchange.id} has a fault that can't be: {error}") from error

    def _script(self, exchange: Exchange) -> None:
        """Lay out the answer that its author wrote, where nothing computes one."""
        if exchange.scripted is not None and exchange.operation in self.contract.operations:
            script = Composer(self._token, self._lookup).fill(exchange, dict(exchange.scripted))
            self.engine.scripts[exchange.operation] = script

    def _send(self, exchange: Exchange) -> Answer:
        sent = self.compose(exchange)
        self._script(exchange)
        response = self._on_engine(exchange, lambda: self.engine.handle(request_of(sent)))
        emitted = self.engine.emitted
        # What a step before the request set free, a job that ended while the clock advanced, belongs to this answer too.
        events, self.told = tuple(emitted[self.told :]), len(emitted)
        answer = Answer(
            exchange=exchange,
            sent=sent,
            status=response.status,
            headers=dict(response.headers),
            body=parsed(response.body, response.headers.get("Content-Type", "")),
            events=events,
            hits=tuple(self.engine.hits),
        )
        self.note(answer)
        return answer

    def _on_engine(self, exchange: Exchange, call: Callable[[], _T]) -> _T:
        """Do something on the engine; a bug in it must not end the run, as its author needs the exchange that shows it."""
        try:
            return call()
        except ContractBreach as breach:
            raise ExchangeError(exchange.place, "exchange.breach", f"{exchange.id}: {breach}") from breach
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            message = f"{exchange.id}: the emulator fails with {type(error).__name__}: {error} ({where})"
            raise ExchangeError(exchange.place, "exchange.crash", message) from error

    def _lookup(self, name: str) -> tuple[Any, Mapping[str, str]]:
        answer = self._answers[name]
        return answer.body, answer.headers

    def _token(self, principal: str) -> str:
        return self._tokens[principal]


def request_of(sent: Sent, /) -> Request:
    """Return a sent request as the engine takes it."""
    path, query = path_of(sent.url)
    return Request(sent.method, path, query, {n.lower(): v for n, v in sent.headers.items()}, sent.content)


def seconds(duration: str, exchange: Exchange, /) -> int:
    """Return an ISO 8601 duration of weeks, days, hours, minutes and seconds as seconds.

    :raises ExchangeError: If it isn't one; months and years have no fixed length.
    """
    match = _DURATION.fullmatch(duration)
    if match is None or not any(match.groups()):
        message = f"{exchange.id} advances by {duration!r}; write an ISO 8601 duration of weeks, days or time, as in PT1H"
        raise ExchangeError(exchange.place, "exchange.duration", message)
    return sum(int(part or 0) * unit for part, unit in zip(match.groups(), _SECONDS, strict=True))


def compare(answer: Answer, expect: Mapping[str, Any], /) -> list[Finding]:
    """Compare an answer with what its author expects.

    ``null`` expects that the member or header is absent: what is not set is left out of every answer.

    A key may end in ``?name`` where the value is a URL: what counts is then that parameter of its query.

    :param expect: As :meth:`Replayer.expected` returns it.
    :return: A finding for each difference; empty where there is none.
    """
    exchange = answer.exchange
    found: list[Finding] = []
    if answer.status != expect["status"]:
        why = f": {problem_of(answer.body)}" if answer.status >= 400 else ""
        message = f"{exchange.id} answers {answer.status} and not {expect['status']}{why}"
        return [Finding(exchange.place, "exchange.expect", message)]
    for key, wanted in expect.items():
        place, question, parameter = key.partition("?")
        if key.startswith("#"):
            value = find(answer.body, place)
        elif key.startswith("header:"):
            name = place.removeprefix("header:").lower()
            value = next((v for n, v in answer.headers.items() if n.lower() == name), ABSENT)
        elif key == "events":
            value = [str(event.get("type")) for event in answer.events]
        else:
            continue
        if question:
            value = in_query(value, parameter)
        if wanted is None and value in (None, ABSENT):
            continue
        unlike = difference(wanted, value, key)
        if unlike:
            message = f"{exchange.id} expects {unlike[0]} to be {short(unlike[1])}, and it is {short(unlike[2])}"
            found.append(Finding(exchange.place, "exchange.expect", message))
    return found


def problem_of(body: Any, /) -> str:
    """Return what a problem says, in one line, for messages."""
    if not isinstance(body, Mapping):
        return short(body)
    entries: Sequence[Any] = body.get("errors") or ()
    places = [f"{e.get('pointer') or e.get('parameter')} {e.get('detail', '')}" for e in entries if isinstance(e, Mapping)]
    text = f"{body.get('code', body.get('error', ''))}, {body.get('detail', body.get('error_description', ''))}"
    return " · ".join([text, *places])


__all__ = ["Answer", "Replayer", "Request", "Response", "compare", "problem_of", "request_of", "seconds"]
