"""What speaks for a facet: sections that tell it, examples that ran, laws that hold.

Examples and laws are run elsewhere and leave files, which are read here. A file that isn't there, can't be read, or was made from
another contract is no evidence at all: it is never patched up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from crm_reference.contract import Contract

#: Where the doctest builder leaves its results, relative to the project's root.
RESULTS = "_build/doctest/results.json"

#: Where a run of the laws leaves its results, relative to the project's root.
LAWS = "_build/laws/results.json"

_PACKAGE = Path(__file__).resolve().parent.parent

#: Code that decides what laws and exchanges are tried on, and how they are answered.
_DECIDING = (
    "emulator/**/*.py",
    "conformance/**/*.py",
    "exchanges/**/*.py",
    "contract/*.py",
    "trace/subjects.py",
    "trace/baseline.py",
    "trace/rules/laws.py",
)


@dataclass(frozen=True, slots=True)
class Hit:
    """An operation that an example reached.

    :param live: Whether the answer was computed from state, rather than read from a script.
    :param calls: Calls between services on the way: who asked, whom, which operation. Narratives alone have them.
    :param events: Types of the events that were emitted. Narratives alone have them.
    """

    operation: str
    status: int
    live: bool
    calls: tuple[tuple[str, str, str], ...] = ()
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one example.

    :param example: ``operationId/name`` of an exchange, or the name of a narrative or vector.
    :param place: File and line, ``examples/contacts.yaml:12``.
    :param hits: In the order of the calls, those of ``given`` first.
    """

    example: str
    place: str
    outcome: Literal["passed", "failed", "error"]
    kind: Literal["exchange", "narrative", "vector"]
    hits: tuple[Hit, ...]

    @property
    def passed(self) -> bool:
        """Whether it ran and gave what was expected."""
        return self.outcome == "passed"

    def reached(self, operation: str, /, *, live: bool) -> bool:
        """Return whether it hit an operation; with ``live``, whether the answer was computed."""
        return any(h.operation == operation and (h.live or not live) for h in self.hits)


@dataclass(frozen=True, slots=True)
class Section:
    """A section that tells a facet.

    :param docname: Page, without suffix, relative to ``docs``.
    :param line: 1-based line of the directive.
    :param title: The section's heading.
    :param anchor: Its fragment; empty where it isn't known.
    """

    docname: str
    line: int
    title: str = ""
    anchor: str = ""


@dataclass(frozen=True, slots=True)
class LawEntry:
    """What a law said of one subject.

    :param message: What was expected and what came; for ``skipped`` the reason.
    """

    law: str
    subject: str
    outcome: Literal["passed", "failed", "skipped"]
    message: str = ""


#: Facet to the sections that tell it, in the order of pages.
Sections = Mapping[str, tuple[Section, ...]]

#: Example to its result.
Results = Mapping[str, Result]

#: Law to its entries.
Laws = Mapping[str, tuple[LawEntry, ...]]


def read_results(path: Path, /) -> dict[str, Result] | None:
    """Read what the doctest builder wrote; ``None`` where there is no such file or it isn't one."""
    try:
        return {entry["example"]: _result(entry) for entry in orjson.loads(path.read_bytes())}
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None


def _result(entry: Mapping[str, Any]) -> Result:
    return Result(
        example=entry["example"],
        place=entry.get("place", ""),
        outcome=entry["outcome"],
        kind=entry["kind"],
        hits=tuple(map(_hit, entry.get("hits", ()))),
    )


def _hit(entry: Mapping[str, Any]) -> Hit:
    calls = tuple((str(who), str(whom), str(what)) for who, whom, what in entry.get("calls", ()))
    return Hit(entry["operation"], int(entry["status"]), bool(entry["live"]), calls, tuple(entry.get("events", ())))


def read_laws(path: Path, contract: Contract, /) -> dict[str, tuple[LawEntry, ...]] | None:
    """Read what a run of the laws wrote; ``None`` where there is no such file, or it is about another contract or emulator."""
    try:
        data = orjson.loads(path.read_bytes())
        if data["key"] != evidence_key(contract):
            return None
        return group_laws(LawEntry(e["law"], e["subject"], e["outcome"], e.get("message", "")) for e in data["entries"])
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None


def group_laws(entries: Iterable[LawEntry], /) -> dict[str, tuple[LawEntry, ...]]:
    """Sort entries by law."""
    found: dict[str, tuple[LawEntry, ...]] = {}
    for entry in entries:
        found[entry.law] = (*found.get(entry.law, ()), entry)
    return found


def write_laws(path: Path, contract: Contract, entries: Iterable[LawEntry], /) -> None:
    """Write the results of a run of the laws, sorted and without a date, so that equal runs give equal files."""
    rows = sorted(
        ({"law": e.law, "subject": e.subject, "outcome": e.outcome, "message": e.message} for e in entries),
        key=lambda row: (row["law"], row["subject"]),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps({"key": evidence_key(contract), "entries": rows}, option=orjson.OPT_INDENT_2) + b"\n")


def evidence_key(contract: Contract, /) -> str:
    """Return a hash of all that decides how a law comes out: the contract's files, and the code that answers and asks."""
    digest = hashlib.sha256()
    library = contract.library
    for pattern in ("source_specs/**/*.yaml", "examples/**/*.yaml", "examples/**/*.json"):
        for document in library.glob(pattern):
            digest.update(f"{document.name} {document.digest}\n".encode())
    for name, content in deciding_code().items():
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()


def deciding_code() -> dict[str, str]:
    """Return the hash of each file of code that decides how a law comes out, by its name below the package."""
    paths = sorted(path for pattern in _DECIDING for path in _PACKAGE.glob(pattern))
    return {path.relative_to(_PACKAGE).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
