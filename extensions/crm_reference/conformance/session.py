"""A run of the laws that keeps what still holds.

Each service's results stand until something changes that can decide them: its own documents and handlers, those of the services
next to it, what all share, or the code. What must be run is spread over two processes where there is enough of it.

Not followed is an event that reaches a service over two others: after such a change, ``--force`` runs everything again.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import orjson

from crm_reference.conformance.laws import LAST, Trial, names
from crm_reference.contract import Contract, Exchange, load
from crm_reference.emulator import Engine
from crm_reference.trace.evidence import LAWS, LawEntry, deciding_code, read_laws, write_laws

#: Where the key of each service is kept with which its results were found, relative to the project's root.
KEYS = "_build/laws/services.json"

#: Fewest subjects for which a second process is worth its start.
MANY = 1_000

#: Called with a law, and the number of subjects that are done and that there are.
Progress = Callable[[str, int, int], None]

#: Some subjects of one law.
_Task = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Session:
    """What a run found.

    :param entries: All results, those that were kept included.
    :param ran: How many subjects were tried; the rest were kept from an earlier run.
    """

    entries: tuple[LawEntry, ...]
    ran: int

    def those(self, outcome: str, /) -> tuple[LawEntry, ...]:
        """Return the entries with an outcome, sorted by law and subject."""
        return tuple(sorted((e for e in self.entries if e.outcome == outcome), key=lambda e: (e.law, e.subject)))


def try_laws(
    contract: Contract,
    /,
    *,
    only: Collection[str] = (),
    force: bool = False,
    processes: int = 0,
    progress: Progress | None = None,
) -> Session:
    """Run the laws whose results no longer stand; where all laws are meant, write ``_build/laws/results.json``.

    :param only: Names of laws; all of them where empty. Results of some laws are not written.
    :param force: Whether to run them all the same.
    :param processes: How many processes to use; 0 for two where there is much to do, and else one.
    :raises KeyError: If there is no law of a name.
    """
    root, progress = contract.library.root, progress or (lambda law, done, total: None)
    present = None if force or only else read_laws(root / LAWS, contract)
    if present is not None:
        return Session(tuple(e for entries in present.values() for e in entries), 0)
    keys = service_keys(contract)
    kept = {} if force or only else _kept(contract, keys)
    trial = Trial(Engine(contract), contract)
    tasks = list(_tasks(trial, only, kept))
    count = sum(len(subjects) for _, subjects in tasks)
    processes = processes or (min(2, os.cpu_count() or 1) if count >= MANY else 1)
    ran = _in_processes(contract, trial, tasks, processes, progress) if processes > 1 else _here(trial, tasks, progress)
    session = Session((*kept.values(), *ran), len(ran))
    if not only:
        write_laws(root / LAWS, contract, session.entries)
        (root / KEYS).write_bytes(orjson.dumps(keys, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2))
    return session


# -- what must be run ----------------------------------------------------------------------------------------------------


def _tasks(trial: Trial, only: Collection[str], kept: Mapping[tuple[str, str], LawEntry]) -> Iterator[_Task]:
    """Yield what must be run, in portions of one law and one service, the law over all others last."""
    for name in only or names():
        portions: dict[str, list[str]] = {}
        for subject in trial.subjects(name):
            if (name, subject) not in kept:
                portions.setdefault(service_of(trial.lab.contract, subject), []).append(subject)
        for subjects in portions.values():
            yield name, tuple(subjects)


def _kept(contract: Contract, keys: Mapping[str, str]) -> dict[tuple[str, str], LawEntry]:
    """Return the results of an earlier run that still stand: those that passed, of services whose key is the same."""
    root = contract.library.root
    try:
        before = orjson.loads((root / KEYS).read_bytes())
        rows = orjson.loads((root / LAWS).read_bytes())["entries"]
        entries = [LawEntry(r["law"], r["subject"], r["outcome"], r["message"]) for r in rows if r["outcome"] == "passed"]
        fresh = {slug for slug, key in keys.items() if before.get(slug) == key}
    except (OSError, orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return {}
    return {(e.law, e.subject): e for e in entries if service_of(contract, e.subject) in fresh and e.law in names()}


def service_of(contract: Contract, subject: str, /) -> str:
    """Return the service that a subject belongs to; empty where it is about none, as a policy class is."""
    name = subject.partition(" ")[0]
    for table in (contract.operations, contract.exchanges, contract.resources, contract.events):
        if name in table:
            return table[name].service
    return name if name in contract.services else ""


# -- what decides a service's results ------------------------------------------------------------------------------------


def service_keys(contract: Contract, /) -> dict[str, str]:
    """Return a hash of all that decides a service's results, by service."""
    files = [(d.name, d.digest) for p in ("source_specs/**/*.yaml", "examples/**/*.*") for d in contract.library.glob(p)]
    files += deciding_code().items()
    owners = {name: _owner(contract, name) for name, _ in files}
    found = {}
    for slug in contract.services:
        near = {"", slug, *_neighbours(contract, slug)}
        digest = hashlib.sha256()
        for name, content in files:
            if owners[name] in near:
                digest.update(f"{name} {content}\n".encode())
        found[slug] = digest.hexdigest()
    return found


def _owner(contract: Contract, name: str) -> str:
    """Return the service that a file belongs to; empty where all services share it."""
    parts = Path(name).parts
    if parts[:2] == ("examples", "world"):
        return ""
    for part in parts[1:]:
        slug = part.partition(".")[0].replace("_", "-")
        if slug in contract.services:
            return slug
    return ""


def _neighbours(contract: Contract, slug: str) -> set[str]:
    """Return the services whose documents can decide how another one's laws come out."""
    found = {other for one, other in _edges(contract) if one == slug} | {one for one, other in _edges(contract) if other == slug}
    return found | {e.service for x in contract.services[slug].exchanges.values() for e in _before(contract, x)}


def _edges(contract: Contract) -> Iterator[tuple[str, str]]:
    for service in contract.services.values():
        yield from ((service.slug, call.service) for call in service.manifest.calls)
        yield from ((service.slug, hearing.service) for hearing in service.manifest.hears)
        for resource in service.resources.values():
            for rule in resource.rules:
                target = contract.resources.get(rule.options.get("target", ""))
                if target is not None:
                    yield service.slug, target.service


def _before(contract: Contract, exchange: Exchange, seen: frozenset[str] = frozenset()) -> Iterator[Exchange]:
    for step in exchange.given:
        if isinstance(step, str) and step in contract.exchanges and step not in seen:
            before = contract.exchanges[step]
            yield before
            yield from _before(contract, before, seen | {step})


# -- running -------------------------------------------------------------------------------------------------------------


def _here(trial: Trial, tasks: Sequence[_Task], progress: Progress) -> list[LawEntry]:
    total, entries = sum(len(subjects) for _, subjects in tasks), list[LawEntry]()
    for name, subjects in tasks:
        progress(name, len(entries), total)
        entries += trial.run(name, subjects)
    progress("", total, total)
    return entries


def _in_processes(contract: Contract, trial: Trial, tasks: Sequence[_Task], processes: int, progress: Progress) -> list[LawEntry]:
    """Run all but the law over everything elsewhere, then that one here, with what the others saw."""
    total, entries = sum(len(subjects) for _, subjects in tasks), list[LawEntry]()
    root, others = str(contract.library.root), multiprocessing.active_children()
    pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _begin, (root,))
    try:
        # The largest portions first, so that both processes end at about the same time.
        elsewhere = sorted((t for t in tasks if t[0] != LAST), key=lambda task: -len(task[1]))
        for done in as_completed([pool.submit(_portion, task) for task in elsewhere]):
            found, reached, breaches = done.result()
            entries += found
            trial.lab.reached |= reached
            trial.lab.breaches |= breaches
            progress(found[0].law, len(entries), total)
    except BaseException:
        _stop(pool, others)
        raise
    pool.shutdown()
    for name, subjects in tasks:
        if name == LAST:
            entries += trial.run(name, subjects)
    progress("", total, total)
    return entries


def _stop(pool: ProcessPoolExecutor, others: Collection[BaseProcess]) -> None:
    """End the pool's processes at once: what they still do is of no use."""
    pool.shutdown(wait=False, cancel_futures=True)
    for child in multiprocessing.active_children():
        if child not in others:
            child.terminate()


_trial: list[Trial] = []


def _begin(root: str) -> None:
    """Make a process ready: its own contract and its own emulator."""
    # Ctrl-C reaches every process of the terminal; the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    contract = load(root)
    _trial.append(Trial(Engine(contract), contract))


def _portion(task: _Task) -> tuple[list[LawEntry], set[str], dict[str, str]]:
    name, subjects = task
    trial = _trial[0]
    return trial.run(name, subjects), trial.lab.reached, trial.lab.breaches
