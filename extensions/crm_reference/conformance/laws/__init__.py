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


@dataclass(frozen=True, slots=True)
class LawReport:
    """What a run of the laws found."""

    entries: tuple[LawEntry, ...]

    @property
    def broken(self) -> tuple[LawEntry, ...]:
        """The entries that did not pass."""
        return tuple(e for e in self.entries if e.outcome == "failed")


def run_laws(
    engine: Engine,
    contract: Contract,
    /,
    *,
    only: Collection[str] = (),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> LawReport:
    """Run laws on all of their subjects.

    :param engine: Its world is reset again and again, and its quotas are switched off between laws that ask about them.
    :param only: Names of laws; all of them where empty.
    :param progress: Called with the number of laws that are done and that there are.
    :raises KeyError: If there is no law of a name.
    """
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    names = list(only) or [*LAWS, *FINDERS]
    lab = Lab(engine, contract)
    entries: list[LawEntry] = []
    for number, name in enumerate(names):
        progress(number, len(names))
        entries += _run(lab, name)
    progress(len(names), len(names))
    return LawReport(tuple(entries))


def _run(lab: Lab, name: str) -> list[LawEntry]:
    if name in FINDERS:
        return [_one(name, subject, check) for subject, check in FINDERS[name](lab)]
    law, find = LAWS[name]
    subjects = DECLARED[name].subjects_of(lab.contract) if find is None else find(lab.contract)
    return [_one(name, subject, lambda s=subject: law(lab, s)) for subject in dict.fromkeys(subjects)]  # type: ignore[misc]  # mypy can't type a lambda's default


def _one(name: str, subject: str, check: Callable[[], None]) -> LawEntry:
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


__all__ = ["LawReport", "run_laws"]
