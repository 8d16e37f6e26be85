"""Every example, run: exchanges, narratives and vectors, a result for each.

An exchange's doctest runs on a world in which its ``given`` was done. The blocks of one page run in order on one fresh world. A
result that passed is taken over without running while nothing that it read has changed; a failure is never kept.
"""

from __future__ import annotations

import doctest
import multiprocessing
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from crm_reference.contract import Contract, Exchange
from crm_reference.exchanges.compose import Sent
from crm_reference.exchanges.errors import ExchangeError
from crm_reference.exchanges.pointers import difference, short
from crm_reference.exchanges.record import against_recorded, run_one
from crm_reference.exchanges.replay import Answer, Replayer, compare
from crm_reference.exchanges.samples import doctest_of
from crm_reference.exchanges.stamps import Stamps
from crm_reference.exchanges.vectors import run_file

if TYPE_CHECKING:
    from crm_reference.emulator import Hit
    from crm_reference.exchanges.stage import Stage

#: Output is compared to the letter: no ELLIPSIS unless a block writes it, and True is not 1.
FLAGS = doctest.DONT_ACCEPT_TRUE_FOR_1

Kind = Literal["exchange", "narrative", "vector"]

#: How many units must be due for forking to pay: a process begins with an engine of its own.
_WORTH_FORKING = 200
#: Units that a process takes at a time.
_CHUNK = 25

#: What forked processes run; units are closures, which can be inherited and not sent.
_forked: tuple[Suite, Sequence[_Unit]] | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """A doctest block of a page.

    :param line: 1-based line of its first example in the file.
    :param options: Option flags that the block sets, by their number.
    """

    text: str
    line: int
    options: Mapping[int, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Page:
    """The narrative of a page.

    :param name: Document name, as in ``services/contacts/people``.
    :param file: Path for messages, relative to the root.
    """

    name: str
    file: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an example.

    :param example: Exchange ID, ``page#number`` or ``slug/file/case``.
    :param hash: Of everything that the result depends on.
    :param message: Why it failed, for people; not part of the file.
    """

    example: str
    place: str
    outcome: Literal["passed", "failed"]
    kind: Kind
    hits: tuple[Mapping[str, Any], ...]
    hash: str
    message: str = ""

    def entry(self) -> dict[str, Any]:
        """Return it as it stands in ``results.json``."""
        names = ("example", "place", "outcome", "kind", "hits", "hash")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class _Unit:
    """What runs on one world, or is taken over, as a whole."""

    kind: Kind
    place: str
    examples: tuple[str, ...]
    stamp: Callable[[Iterable[str]], str]
    run: Callable[[], Iterator[Result]]


class Suite:
    """All examples of a project.

    :param contract: Where exchanges and vectors stand.
    :param pages: Narratives.
    :param previous: Entries of the last ``results.json``.
    :param stage: Makes the surroundings; called once a process, and not at all where nothing has to run.
    :param workers: Processes to run in, where there is enough to run.
    """

    def __init__(
        self,
        contract: Contract,
        pages: Sequence[Page],
        previous: Sequence[Mapping[str, Any]],
        stage: Callable[[], Stage],
        *,
        workers: int = 1,
    ) -> None:
        self.contract = contract
        self._pages = pages
        self._previous = {str(entry["example"]): entry for entry in previous}
        self._make_stage = stage
        self._workers = workers
        self._stage: Stage | None = None
        self._replayer: Replayer | None = None
        self._stamps = Stamps(contract)

    def run(self, progress: Callable[[int, int], None] | None = None) -> tuple[list[Result], int]:
        """Run what has changed.

        :param progress: Told how many units of those to run are done, and how many there are.
        :return: Results of all examples, sorted by kind and name, and how many of them really ran.
        """
        results: list[Result] = []
        due: list[_Unit] = []
        for unit in self._units():
            kept = self._kept(unit)
            if kept is None:
                due.append(unit)
            else:
                results += kept
        if due:
            ran = self._run_due(due, progress)
            results += ran
        else:
            ran = []
        return sorted(results, key=lambda r: (r.kind, r.example)), len(ran)

    def _run_due(self, due: Sequence[_Unit], progress: Callable[[int, int], None] | None) -> list[Result]:
        tell = progress or (lambda done, total: None)
        if self._workers > 1 and len(due) >= _WORTH_FORKING and "fork" in multiprocessing.get_all_start_methods():
            return self._run_forked(due, tell)
        results: list[Result] = []
        with self._make_stage() as stage:
            self._enter(stage)
            for count, unit in enumerate(due, 1):
                results += self._safely(unit)
                tell(count, len(due))
        return results

    def _run_forked(self, due: Sequence[_Unit], tell: Callable[[int, int], None]) -> list[Result]:
        """Run units in processes that are forked from this one, each with a stage of its own."""
        global _forked
        _forked = (self, due)
        results: list[Result] = []
        done = 0
        chunks = [range(first, min(first + _CHUNK, len(due))) for first in range(0, len(due), _CHUNK)]
        try:
            # Unlike multiprocessing's own pool, an executor notices a process that dies, where the pool would wait for ever.
            with ProcessPoolExecutor(self._workers, multiprocessing.get_context("fork")) as pool:
                for future in as_completed([pool.submit(_run_chunk, chunk) for chunk in chunks]):
                    count, found = future.result()
                    results += found
                    done += count
                    tell(done, len(due))
        finally:
            _forked = None
        return results

    def _enter(self, stage: Stage) -> None:
        self._stage = stage
        self._replayer = Replayer(self.contract, stage.engine)

    def run_units(self, units: Iterable[_Unit]) -> list[Result]:
        """Run units in a forked process, on a stage that ends with it."""
        if self._stage is None:
            self._enter(self._make_stage().__enter__())
        return [result for unit in units for result in self._safely(unit)]

    def _safely(self, unit: _Unit) -> list[Result]:
        """Run a unit; an error of the emulator or of this code fails its examples and no others."""
        try:
            return list(unit.run())
        except Exception as error:  # whatever it is, the other examples still have to run
            frame = traceback.extract_tb(error.__traceback__)[-1]
            message = f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})"
            return [self._result(unit.kind, name, unit.place, (), message, unit.stamp) for name in unit.examples]

    def _kept(self, unit: _Unit) -> list[Result] | None:
        """Return the results of the last run, or ``None`` where the unit must run."""
        entries = [self._previous.get(example) for example in unit.examples]
        found = [e for e in entries if e is not None and e["outcome"] == "passed" and e["kind"] == unit.kind]
        if len(found) != len(entries):
            return None
        stamp = unit.stamp({hit["operation"] for entry in found for hit in entry["hits"]})
        if any(entry["hash"] != stamp for entry in found):
            return None
        return [Result(e["example"], e["place"], "passed", unit.kind, tuple(e["hits"]), e["hash"]) for e in found]

    def _units(self) -> Iterator[_Unit]:
        for exchange in self.contract.exchanges.values():
            yield self._exchange_unit(exchange)
        for page in self._pages:
            yield self._page_unit(page)
        for service in self.contract.services.values():
            for vectors in service.vectors:
                stamp = self._stamps.vectors(vectors)
                names = tuple(f"{service.slug}/{vectors.name}/{case.get('name', '')}" for case in vectors.cases)
                run = self._vectors_runner(vectors, stamp)
                yield _Unit("vector", str(vectors.node.place), names, lambda _, stamp=stamp: stamp, run)  # type: ignore[misc]  # a default

    def _exchange_unit(self, exchange: Exchange) -> _Unit:
        def stamp(hit: Iterable[str]) -> str:
            return self._stamps.exchange(exchange, hit)

        def run() -> Iterator[Result]:
            message, hits = self._run_exchange(exchange)
            yield self._result("exchange", exchange.id, str(exchange.place), hits, message, stamp)

        return _Unit("exchange", str(exchange.place), (exchange.id,), stamp, run)

    def _run_exchange(self, exchange: Exchange) -> tuple[str, Sequence[Hit]]:
        stage, replayer = self._on_stage()
        operation = self.contract.operations.get(exchange.operation)
        try:
            replayer.prepare(exchange)
            if operation is None:
                replayer.compose(exchange)
                raise AssertionError("an exchange without an operation can't be composed")
            text = doctest_of(exchange, operation).tested
        except ExchangeError as error:
            return error.finding.message, ()
        before = replayer.told
        message = run_text(text, stage.namespace(exchange.principal), exchange.id, str(exchange.place))
        events, hits = stage.engine.emitted[before:], list(stage.engine.hits)
        if message:
            return self._diagnosis(exchange, replayer) or message, hits
        return self._expectations(exchange, replayer, events), hits

    def _diagnosis(self, exchange: Exchange, replayer: Replayer) -> str:
        """Say in one line how an exchange whose doctest failed differs; nothing where only its sample is wrong."""
        answer, wrong = run_one(replayer, exchange)
        findings = wrong or (against_recorded(self.contract, answer) if answer else [])
        return "\n".join(finding.message for finding in findings)

    def _expectations(self, exchange: Exchange, replayer: Replayer, events: Sequence[Mapping[str, Any]]) -> str:
        """Return what the author expects and the recorded answer, now proved, doesn't hold."""
        recorded = exchange.recorded
        assert recorded is not None, "doctest_of refuses an exchange without a recorded answer"
        unlike = difference(list(recorded.events), orjson.loads(orjson.dumps(list(events))), "#/events")
        if unlike:
            return f"{exchange.id}: recorded {short(unlike[1])} at {unlike[0]}, emitted {short(unlike[2])}"
        sent = Sent(recorded.method, recorded.url, recorded.request_headers)
        answer = Answer(exchange, sent, recorded.status, recorded.headers, recorded.body, tuple(events), ())
        replayer.note(answer)
        return "\n".join(finding.message for finding in compare(answer, replayer.expected(exchange)))

    def _page_unit(self, page: Page) -> _Unit:
        def stamp(hit: Iterable[str]) -> str:
            return self._stamps.page(page.name, [(b.text, sorted(b.options.items())) for b in page.blocks], hit)

        def run() -> Iterator[Result]:
            stage, replayer = self._on_stage()
            engine = stage.engine
            replayer.begin()
            names = stage.namespace()
            found = []
            for number, block in enumerate(page.blocks, 1):
                before = len(engine.hits)
                place = f"{page.file}:{block.line}"
                example = f"{page.name}#{number}"
                message = run_text(block.text, names, example, page.file, block.line, block.options)
                hits = list(engine.hits)
                # a narrative may reset the world through the control API, and the hits with it
                found.append((example, place, hits[before:] if len(hits) >= before else hits, message))
            every = {hit.operation for _, _, hits, _ in found for hit in hits}
            for example, place, hits, message in found:
                yield self._result("narrative", example, place, hits, message, lambda _: stamp(every))

        return _Unit(
            "narrative",
            f"{page.file}:{page.blocks[0].line}",
            tuple(f"{page.name}#{n}" for n in range(1, len(page.blocks) + 1)),
            stamp,
            run,
        )

    def _vectors_runner(self, vectors: Any, stamp: str) -> Callable[[], Iterator[Result]]:
        def run() -> Iterator[Result]:
            stage, _ = self._on_stage()
            for found in run_file(stage.engine, vectors):
                message = found.finding.message if found.finding else ""
                yield self._result("vector", found.id, str(found.place), (), message, lambda _: stamp)

        return run

    def _result(
        self,
        kind: Kind,
        example: str,
        place: str,
        hits: Sequence[Hit],
        message: str,
        stamp: Callable[[Iterable[str]], str],
    ) -> Result:
        # What happened behind a call is drawn for narratives alone; exchanges record their events.
        entries = tuple(_hit(h, is_told=kind == "narrative") for h in hits)
        outcome: Literal["passed", "failed"] = "failed" if message else "passed"
        return Result(example, place, outcome, kind, entries, stamp({h.operation for h in hits}), message)

    def _on_stage(self) -> tuple[Stage, Replayer]:
        assert self._stage is not None and self._replayer is not None, "units run within Suite.run"
        return self._stage, self._replayer


def _hit(hit: Hit, *, is_told: bool) -> Mapping[str, Any]:
    entry: dict[str, Any] = {"operation": hit.operation, "status": hit.status, "live": hit.live}
    if is_told and hit.calls:
        entry["calls"] = [list(call) for call in hit.calls]
    if is_told and hit.events:
        entry["events"] = list(hit.events)
    return entry


def _run_chunk(chunk: range) -> tuple[int, list[Result]]:
    """Run some units of the suite that this process was forked with."""
    assert _forked is not None, "Suite._run_forked sets it before it forks"
    suite, due = _forked
    return len(chunk), suite.run_units(due[index] for index in chunk)


def run_text(
    text: str,
    names: dict[str, Any],
    name: str,
    file: str,
    line: int = 1,
    options: Mapping[int, bool] | None = None,
) -> str:
    """Run the examples of a text.

    :param names: The namespace; what the examples define stays in it.
    :param line: 1-based line of the text in its file, for messages.
    :param options: Option flags for every example, below those that an example writes itself.
    :return: What doctest says of the failures; empty where all passed.
    """
    try:
        examples = doctest.DocTestParser().get_examples(text, name)
    except ValueError as error:
        return f"isn't a doctest: {error}"
    for example in examples:
        example.options = {**(options or {}), **example.options}
    said: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
    test = doctest.DocTest(examples, {}, name, file, line - 1, text)
    test.globs = names  # the constructor copies the namespace, and later blocks go on with it
    failed, _ = runner.run(test, out=said.append, clear_globs=False)
    return "".join(said).strip() if failed else ""
