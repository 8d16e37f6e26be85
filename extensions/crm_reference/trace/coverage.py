"""Decide what is covered: a pure function from the contract and its evidence to a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from crm_reference.contract import Capability, Contract, Operation, Requirement
from crm_reference.trace.evidence import RESULTS, Result, Results, Section, Sections
from crm_reference.trace.gaps import Gap, Location, State, Subtype
from crm_reference.trace.ids import near
from crm_reference.trace.universal import Verdict


@dataclass(frozen=True, slots=True)
class CapabilityReport:
    """A capability and the exchanges that proved it.

    :param proofs: Exchanges that passed and hit an operation of it live.
    """

    capability: Capability
    proofs: tuple[str, ...]
    proved: bool


@dataclass(frozen=True, slots=True)
class FacetReport:
    """A facet with all its evidence.

    :param operations: IDs of the operations that name it.
    :param exchanges: IDs of the exchanges that proved it, by capability or, for a universal rule, by its operations.
    :param subjects: What a universal rule holds of.
    :param awaiting: Slugs of services that have to come before it can be decided.
    :param pending: Why it is open beside what it awaits.
    """

    requirement: Requirement
    state: State
    gaps: tuple[Gap, ...] = ()
    sections: tuple[Section, ...] = ()
    operations: tuple[str, ...] = ()
    capabilities: tuple[CapabilityReport, ...] = ()
    exchanges: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    awaiting: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Where every facet stands.

    :param gaps: All gaps, each once; those of no one facet first.
    :param complete: Whether nothing may be open.
    """

    facets: Mapping[str, FacetReport]
    gaps: tuple[Gap, ...]
    complete: bool

    def count(self, state: State, /, below: str = "") -> int:
        """Return how many facets are in a state, all of them or those below a requirement or criterion."""
        return sum(
            f.state is state for f in self.facets.values() if not below or f.requirement.id.startswith((below + ".", below + "-"))
        )


def expected_services(contract: Contract, /) -> frozenset[str]:
    """Return the slugs that the catalogue names."""
    return frozenset(r.service for r in contract.requirements.values() if r.service)


def assess(
    contract: Contract,
    sections: Sections,
    results: Results | None,
    verdicts: Mapping[str, Verdict],
    *,
    complete: bool | None = None,
) -> Report:
    """Decide every facet.

    :param sections: By the ID that a page names, whether the catalogue has it or not.
    :param results: By example; ``None`` where the examples weren't run.
    :param verdicts: By rule name, from :func:`crm_reference.trace.universal.decide`.
    :param complete: Whether what is open counts as a gap; ``None`` says yes once every service of the catalogue exists.
    """
    if complete is None:
        complete = expected_services(contract) <= set(contract.services)
    general = (*_unknown_ids(contract, sections), *_run_gaps(contract, results))
    assessor = _Assessor(contract, sections, results, verdicts, complete)
    facets = {facet.id: assessor.facet(facet) for facet in contract.facets()}
    gaps = (*general, *(g for f in facets.values() for g in f.gaps))
    return Report(facets, tuple(dict.fromkeys(gaps)), complete)


def _unknown_ids(contract: Contract, sections: Sections) -> Iterator[Gap]:
    known = {f.id for f in contract.facets()}
    named: list[tuple[str, Location]] = []
    named += [(id, (s.docname, s.line)) for id, found in sections.items() for s in found]
    named += [(id, str(o.place)) for o in contract.operations.values() for id in o.requirements]
    named += [(c.facet, str(c.place)) for c in contract.capabilities]
    for id, location in named:
        if id not in known:
            yield Gap(Subtype.unknown_id, "", unknown_message(contract, id), location)


def unknown_message(contract: Contract, id: str, /) -> str:
    """Say of an ID that is no facet what it is, and which facets are near."""
    if id in contract.requirements:
        below = ", ".join(f.id for f in contract.facets(id)[:4])
        return f"{id} is a {contract.requirements[id].kind}, and evidence attaches to facets; name one of {below} ..."
    likely = near(id, (f.id for f in contract.facets()))
    return f"{id} is no requirement; " + (f"near it are {', '.join(likely)}" if likely else "see source_specs/requirements.yaml")


#: The one gap that stands for every proof while the examples weren't run.
NOT_RUN = Gap(
    Subtype.no_results,
    "",
    "the examples weren't run: there is no results.json; build with the doctest builder first",
    f"{RESULTS}:1",
)


def _run_gaps(contract: Contract, results: Results | None) -> Iterator[Gap]:
    if results is None and contract.exchanges:
        yield NOT_RUN
    for result in (results or {}).values():
        exchange = contract.exchanges.get(result.example)
        if not result.passed and (exchange is not None or result.kind != "exchange"):
            yield Gap(Subtype.failed_example, "", f"{result.example} was run and {result.outcome}", result.place or "examples:1")


@dataclass(frozen=True, slots=True)
class _Assessor:
    contract: Contract
    sections: Sections
    results: Results | None
    verdicts: Mapping[str, Verdict]
    complete: bool

    def facet(self, facet: Requirement) -> FacetReport:
        return self._ruled(facet) if facet.rule else self._offered(facet)

    def _missing(self, slugs: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(s for s in slugs if s and s not in self.contract.services)

    def _awaiting(self, facet: Requirement, slugs: tuple[str, ...], told: tuple[Section, ...]) -> FacetReport:
        gaps = self._awaiting_gaps(facet, slugs)
        return FacetReport(facet, State.gap if gaps else State.open, gaps, told, awaiting=slugs)

    def _awaiting_gaps(self, facet: Requirement, slugs: tuple[str, ...]) -> tuple[Gap, ...]:
        if not self.complete or not slugs:
            return ()
        message = f"{facet.id} can't be decided without {', '.join(slugs)}; write source_specs/{slugs[0]}"
        return (Gap(Subtype.awaiting_service, facet.id, message, str(facet.place)),)

    def _offered(self, facet: Requirement) -> FacetReport:
        """Assess a facet of requirements 1 to 6, which a service has to offer."""
        told = self.sections.get(facet.id, ())
        if missing := self._missing((facet.service, *facet.needs)):
            return self._awaiting(facet, missing, told)
        operations, gaps = self._told_and_served(facet)
        charter = self.contract.services[facet.service].manifest.charter if facet.service else {}
        capabilities = charter.get(facet.id, ())
        if not capabilities:
            message = f"the charter of {facet.service} has no capability for {facet.id}; write what exhausts it"
            gaps.append(Gap(Subtype.no_capability, facet.id, message, self._manifest(facet)))
        reports = []
        for capability in capabilities:
            report, found = self._capability(capability)
            reports.append(report)
            gaps += found
        exchanges = tuple(dict.fromkeys(p for r in reports for p in r.proofs))
        ids = tuple(o.id for o in operations)
        state = State.gap if gaps else State.covered
        return FacetReport(facet, state, tuple(dict.fromkeys(gaps)), told, ids, tuple(reports), exchanges)

    def _manifest(self, facet: Requirement) -> str:
        service = self.contract.services.get(facet.service)
        return str(service.manifest.node.place if service else facet.place)

    def _told_and_served(self, facet: Requirement) -> tuple[list[Operation], list[Gap]]:
        operations = [o for o in self.contract.operations.values() if facet.id in o.requirements]
        gaps = []
        if not self.sections.get(facet.id):
            message = f"no section tells {facet.id} ({facet.title}); put {{crm:covers}} into the one that does"
            gaps.append(Gap(Subtype.no_chapter, facet.id, message, str(facet.place)))
        if not operations:
            message = f"no operation serves {facet.id} ({facet.title}); name it in x-requirements of those that do"
            gaps.append(Gap(Subtype.no_operation, facet.id, message, str(facet.place)))
        return operations, gaps

    def _capability(self, capability: Capability) -> tuple[CapabilityReport, list[Gap]]:
        gaps = [
            self._gap(capability, Subtype.unknown_exchange, f"names the exchange {id}, and examples/ has none of that name")
            for id in capability.proof
            if id not in self.contract.exchanges
        ]
        proofs: list[str] = []
        for name in capability.operations:
            operation = self.contract.operations.get(name)
            if operation is None:
                gaps.append(self._gap(capability, Subtype.unknown_operation, f"names the operation {name}, which isn't there"))
                continue
            if capability.facet not in operation.requirements:
                text = f"counts on {name}, whose x-requirements don't name {capability.facet}"
                gaps.append(self._gap(capability, Subtype.unnamed_facet, text, str(operation.place)))
            found, missing = self._proof(capability, name)
            proofs += found
            gaps += missing
        gaps += self._strays(capability)
        return CapabilityReport(capability, tuple(dict.fromkeys(proofs)), not gaps), gaps

    def _proof(self, capability: Capability, operation: str) -> tuple[list[str], list[Gap]]:
        """Look among a capability's proofs for those that show one of its operations."""
        if self.results is None:
            return [], [NOT_RUN]
        meant = [id for id in capability.proof if id.partition("/")[0] == operation]
        ran = [r for id in meant if (r := self.results.get(id)) is not None]
        if not ran:
            text = f"has no proof for {operation}: " + (f"{', '.join(meant)} didn't run" if meant else "name an exchange of it")
            return [], [self._gap(capability, Subtype.unproved_capability, text)]
        passed = [r for r in ran if r.passed]
        if not passed:
            text = f"rests on {ran[0].example}, which was run and {ran[0].outcome}"
            return [], [self._gap(capability, Subtype.failed_example, text, ran[0].place)]
        if live := [r.example for r in passed if r.reached(operation, live=True)]:
            return live, []
        if any(r.reached(operation, live=False) for r in passed):
            text = f"rests on {operation}, whose answers are scripted; a capability needs one that is computed"
            return [], [self._gap(capability, Subtype.scripted_only, text)]
        return [], [self._wrong_hit(capability, passed[0], operation)]

    def _strays(self, capability: Capability) -> Iterator[Gap]:
        """Yield the proofs that prove no operation of the capability."""
        for id in capability.proof:
            result, operation = (self.results or {}).get(id), id.partition("/")[0]
            if id not in self.contract.exchanges or operation in capability.operations:
                continue
            if result is None or not any(result.reached(o, live=False) for o in capability.operations):
                text = f"names {id} as its proof, which reaches none of {', '.join(capability.operations)}"
                yield self._gap(capability, Subtype.wrong_hit, text)

    def _wrong_hit(self, capability: Capability, result: Result, operation: str) -> Gap:
        reached = ", ".join(dict.fromkeys(h.operation for h in result.hits)) or "nothing"
        text = f"names {result.example} as proof of {operation}, and it reached {reached}"
        return self._gap(capability, Subtype.wrong_hit, text)

    def _gap(self, capability: Capability, subtype: Subtype, text: str, location: Location = "") -> Gap:
        message = f"the capability {capability.id} of {capability.facet} {text}"
        return Gap(subtype, capability.facet, message, location or str(capability.place))

    def _ruled(self, facet: Requirement) -> FacetReport:
        """Assess a facet of requirements 7 to 10, which a universal rule decides."""
        told = self.sections.get(facet.id, ())
        if missing := self._missing(facet.needs):
            return self._awaiting(facet, missing, told)
        verdict = self.verdicts.get(facet.rule)
        if verdict is None:
            message = f"{facet.id} names the universal rule {facet.rule!r}, which isn't there"
            gap = Gap(Subtype.unknown_rule, facet.id, message, str(facet.place))
            return FacetReport(facet, State.gap, (gap,), told)
        gaps = list(self._verdict_gaps(facet, verdict))
        pending = list(self._shortages(facet, verdict))
        operations = [o for o in self.contract.operations.values() if facet.id in o.requirements]
        proofs = self._live_exchanges(operations) if operations else ()
        if facet.also:
            operations, missing_parts = self._told_and_served(facet)
            gaps += missing_parts
            if operations and self.results is None:
                gaps.append(NOT_RUN)
            elif operations and not proofs:
                message = f"no exchange of {', '.join(o.id for o in operations)} passed live, and {facet.id} needs one"
                gaps.append(Gap(Subtype.unproved_capability, facet.id, message, str(operations[0].place)))
        if self.complete:
            gaps += [Gap(Subtype.too_few_subjects, facet.id, text, str(facet.place)) for text in pending]
            gaps += self._awaiting_gaps(facet, verdict.awaiting)
        state = State.gap if gaps else State.open if pending or verdict.awaiting else State.covered
        return FacetReport(
            facet, state, tuple(gaps), told, tuple(o.id for o in operations), (), proofs,
            verdict.subjects, verdict.awaiting, tuple(pending),
        )  # fmt: skip

    def _verdict_gaps(self, facet: Requirement, verdict: Verdict) -> Iterator[Gap]:
        for finding in verdict.violations:
            yield Gap(Subtype.violation, facet.id, f"{facet.id}: {finding.message}", str(finding.place))
        if verdict.unrun:
            laws = ", ".join(verdict.unrun)
            message = f"{facet.id} rests on the laws {laws}, and there is no result of them for this contract"
            yield Gap(Subtype.law_not_run, facet.id, message, str(facet.place))

    def _shortages(self, facet: Requirement, verdict: Verdict) -> Iterator[str]:
        if len(verdict.subjects) < facet.floor and not verdict.unrun:
            yield f"{facet.id}: the rule {facet.rule} found {len(verdict.subjects)} subjects and needs {facet.floor}"
        yield from (f"{facet.id}: {text}" for text in verdict.shortages)

    def _live_exchanges(self, operations: list[Operation]) -> tuple[str, ...]:
        names = {o.id for o in operations}
        return tuple(
            r.example
            for r in (self.results or {}).values()
            if r.kind == "exchange" and r.passed and any(r.example.startswith(n + "/") and r.reached(n, live=True) for n in names)
        )
