"""Universal rules: what must hold of everything in the contract (requirements 7 to 10).

A rule has the name that a facet's ``rule`` carries. It is decided by a function here, by laws that were run on the API
(:mod:`crm_reference.trace.rules.laws`), or by both. A rule without subjects decides nothing: see :class:`Verdict`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from crm_reference.contract import Contract, Exchange, Finding, Place
from crm_reference.trace.baseline import Snapshot, snapshot
from crm_reference.trace.evidence import LawEntry, Laws, Result, Results
from crm_reference.trace.rules.laws import LAWS, Law
from crm_reference.trace.subjects import exchanges_of, place_of_subject


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule found.

    :param subjects: What it looked at, each once. Compared with the facet's floor.
    :param violations: Where it doesn't hold.
    :param awaiting: Slugs of services without which some subjects can't be looked at.
    :param shortages: Why a law of the rule had too few subjects, one line each.
    :param unrun: Names of laws of which there is no result.
    """

    subjects: tuple[str, ...]
    violations: tuple[Finding, ...] = ()
    awaiting: tuple[str, ...] = ()
    shortages: tuple[str, ...] = ()
    unrun: tuple[str, ...] = ()


@dataclass(frozen=True)
class Context:
    """What rules may look at.

    :param results: ``None`` where the examples weren't run; then recorded answers stand in for them.
    :param laws: ``None`` where the laws weren't run.
    :param baselines: Slug to the snapshot with which the service is compared.
    :param catalogue: Error codes that have an entry in the built catalogue; ``None`` where no pages were built.
    """

    contract: Contract
    results: Results | None = None
    laws: Laws | None = None
    baselines: Mapping[str, Snapshot] = field(default_factory=dict)
    catalogue: frozenset[str] | None = None

    def ran(self, exchange: Exchange, /) -> bool:
        """Return whether an exchange was run and passed."""
        if self.results is None:
            return exchange.recorded is not None
        result = self.results.get(exchange.id)
        return result is not None and result.passed

    def live(self, exchange: Exchange, /) -> bool:
        """Return whether an exchange passed with an answer that was computed."""
        if self.results is None:
            return exchange.recorded is not None and exchange.scripted is None
        result = self.results.get(exchange.id)
        return result is not None and result.passed and result.reached(exchange.operation, live=True)

    @cached_property
    def by_operation(self) -> Mapping[str, tuple[Exchange, ...]]:
        """The exchanges of each operation that were run and passed."""
        return {name: tuple(e for e in exchanges_of(self.contract, name) if self.ran(e)) for name in self.contract.operations}

    @cached_property
    def offered(self) -> Mapping[str, Snapshot]:
        """What clients of each service can depend on today, as baselines keep it."""
        return {slug: snapshot(service) for slug, service in self.contract.services.items()}

    @property
    def narratives(self) -> Iterable[Result]:
        """Results of the chapters' narratives."""
        return (r for r in (self.results or {}).values() if r.kind == "narrative")


#: A rule's own part.
Decide = Callable[[Context], Verdict]

#: The functions by rule name. Rules that laws alone decide have none.
RULES: dict[str, Decide] = {}


def rule(name: str, /) -> Callable[[Decide], Decide]:
    """Register a function under the name that facets carry."""

    def register(decide: Decide) -> Decide:
        assert name not in RULES, f"the universal rule {name!r} is there twice"
        RULES[name] = decide
        return decide

    return register


class Findings:
    """Collects violations of one rule."""

    def __init__(self, rule: str) -> None:
        self._rule = rule
        self._found: dict[Finding, None] = {}

    def add(self, place: Place, message: str, /) -> None:
        """Add one, at its place; the same twice counts once."""
        self._found[Finding(place, f"trace.{self._rule}", message)] = None

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found)


def known_rules() -> frozenset[str]:
    """Return the names of all rules."""
    return frozenset(RULES) | {rule_of(law) for law in LAWS.values()}


def rule_of(law: Law, /) -> str:
    """Return the rule that a law belongs to: ``REQ-7.4-authentication`` is decided by ``authentication``."""
    return law.facet.split("-", 2)[2].replace("-", "_")


def decide(context: Context, names: Iterable[str], /) -> dict[str, Verdict]:
    """Decide rules.

    :param names: Rules that facets name; an unknown one is left out of the answer.
    """
    return {name: _decide(context, name) for name in dict.fromkeys(names) if name in known_rules()}


def _decide(context: Context, name: str) -> Verdict:
    own = RULES[name](context) if name in RULES else None
    parts = [_law_verdict(context, law) for law in LAWS.values() if rule_of(law) == name]
    counted = own.subjects if own else tuple(s for part in parts for s in part.subjects)
    everything = (*((own,) if own else ()), *parts)
    return Verdict(
        subjects=tuple(dict.fromkeys(counted)),
        violations=tuple(dict.fromkeys(v for part in everything for v in part.violations)),
        awaiting=tuple(sorted({a for part in everything for a in part.awaiting})),
        shortages=tuple(s for part in everything for s in part.shortages),
        unrun=tuple(u for part in everything for u in part.unrun),
    )


def _law_verdict(context: Context, law: Law) -> Verdict:
    if context.laws is None:
        return Verdict((), unrun=(law.name,))
    entries = {e.subject: e for e in context.laws.get(law.name, ())}
    expected = law.subjects_of(context.contract)
    found = Findings(law.name)
    for subject in expected or tuple(entries):
        entry = entries.get(subject, LawEntry(law.name, subject, "skipped", "there is no result"))
        if entry.outcome != "passed":
            verb = "wasn't run on" if entry.outcome == "skipped" else "doesn't hold of"
            found.add(place_of_subject(context.contract, subject), f"the law {law.name} {verb} {subject}: {entry.message}")
    counted = set(expected) or entries.keys()
    held = tuple(s for s, e in entries.items() if e.outcome == "passed" and s in counted)
    short = f"the law {law.name} holds of {len(held)} subjects and needs {law.floor}"
    few = len(held) < law.floor and not tuple(found)
    return Verdict(held, tuple(found), shortages=(short,) if few else ())


def load_rules() -> None:
    """Register every rule: importing their modules does it."""
    from crm_reference.trace import rules

    rules.load()
