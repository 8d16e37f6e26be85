"""The registry of lint rules: each has a stable id, one home, and one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crm_reference.contract.documents import Place
from crm_reference.contract.findings import Finding

if TYPE_CHECKING:
    from crm_reference.contract.lint.survey import Survey

#: What a rule yields: where something is wrong, and what it is and how to mend it, in one line.
Problem = tuple[Place, str]
Check = Callable[["Survey"], Iterable[Problem]]


@dataclass(frozen=True, slots=True)
class LintRule:
    """A rule of the house style.

    :param id: Stable name, ``subject.rule``; it stands in brackets behind each message.
    :param says: The rule in one sentence, for the list of rules.
    :param home: Module that checks it.
    """

    id: str
    says: str
    home: str
    check: Check

    def findings(self, survey: Survey) -> Iterator[Finding]:
        """Yield what breaks the rule."""
        for place, message in self.check(survey):
            yield Finding(place, self.id, message)


#: All rules by id, filled as their modules are imported.
RULES: dict[str, LintRule] = {}


def rule(id: str, /) -> Callable[[Check], Check]:
    """Register a check under its id; the first line of its docstring is the rule's sentence.

    :raises ValueError: If the id is taken: a rule has one home.
    """

    def register(check: Check) -> Check:
        if id in RULES:
            raise ValueError(f"two rules are called {id!r}")
        says = (check.__doc__ or "").strip().partition("\n")[0]
        RULES[id] = LintRule(id, says, check.__module__.rpartition(".")[2], check)
        return check

    return register
