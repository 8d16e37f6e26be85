"""Laws: statements that hold of each of their subjects, found from the contract and proved by running the API.

A law is a function that is called once for each subject and raises :class:`Broken` where it doesn't hold. No law names an
operation, a field or a service: subjects come from the contract.
"""

from __future__ import annotations

import importlib
import pkgutil
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from crm_reference.conformance.laws.lab import FINDERS, LAWS, Broken, Lab, Skipped
from crm_reference.contract import Contract
from crm_reference.emulator import Engine
from crm_reference.trace.evidence import LawEntry
from crm_reference.trace.rules.laws import LAWS as DECLARED

Check = Callable[[], None]

#: The law over everything that all others sent: it is tried behind them.
LAST = "declared-status"


@dataclass(frozen=True, slots=True)
class LawReport:
    """What a run of the laws found."""

    entries: tuple[LawEntry, ...]

    @property
    def broken(self) -> tuple[LawEntry, ...]:
        """The entries that did not pass."""
        return tuple(e for e in self.entries if e.outcome == "failed")


def names() -> tuple[str, ...]:
    """Return the names of all laws that can be run, in the order in which they are tried."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return (*(name for name in (*LAWS, *FINDERS) if name != LAST), LAST)


class Trial:
    """Laws and the subjects that each is tried on, over one emulator.

    :param engine: Its world is reset again and again, and its quotas are switched off between laws that ask about them.
    """

    def __init__(self, engine: Engine, contract: Contract) -> None:
        names()
        self.lab = Lab(engine, contract)
        self._checks: dict[str, dict[str, Check]] = {}

    def subjects(self, name: str, /) -> tuple[str, ...]:
        """Return the subjects of a law.

        :raises KeyError: If there is no law of that name.
        """
        return tuple(self._found(name))

    def run(self, name: str, subjects: Collection[str], /) -> list[LawEntry]:
        """Try a law on some of its subjects."""
        checks = self._found(name)
        return [_one(name, subject, checks[subject]) for subject in subjects]

    def _found(self, name: str) -> dict[str, Check]:
        if name not in self._checks:
            self._checks[name] = dict(self._find(name))
        return self._checks[name]

    def _find(self, name: str) -> list[tuple[str, Check]]:
        if name in FINDERS:
            return list(FINDERS[name](self.lab))
        law, find = LAWS[name]
        subjects = DECLARED[name].subjects_of(self.lab.contract) if find is None else find(self.lab.contract)
        return [(subject, lambda s=subject: law(self.lab, s)) for subject in subjects]  # type: ignore[misc]  # a lambda's default


def run_laws(
    engine: Engine,
    contract: Contract,
    /,
    *,
    only: Collection[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LawReport:
    """Run laws on all of their subjects.

    :param engine: As :class:`Trial` takes it.
    :param only: Names of laws; all of them where empty.
    :param progress: Called with the number of laws that are done and that there are.
    :raises KeyError: If there is no law of a name.
    """
    trial, wanted = Trial(engine, contract), list(only) or names()
    entries: list[LawEntry] = []
    for number, name in enumerate(wanted):
        progress(number, len(wanted))
        entries += trial.run(name, trial.subjects(name))
    progress(len(wanted), len(wanted))
    return LawReport(tuple(entries))


def _one(name: str, subject: str, check: Check) -> LawEntry:
    try:
        check()
    except Broken as broken:
        return LawEntry(name, subject, "failed", str(broken))
    except Skipped as skipped:
        return LawEntry(name, subject, "skipped", str(skipped))
    except Exception as error:  # one subject's surprise must not hide what the others say
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        return LawEntry(name, subject, "failed", f"{type(error).__name__}: {error} ({where})")
    return LawEntry(name, subject, "passed")


__all__ = ["LAST", "LawReport", "Trial", "names", "run_laws"]
