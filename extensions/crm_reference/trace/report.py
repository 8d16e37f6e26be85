"""The gate, and what is made of its report: text for a terminal, rows for pages, ``needs.json`` for other tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from crm_reference.contract import Contract, load
from crm_reference.contract.figures import Figure, share
from crm_reference.trace.baseline import read_baselines
from crm_reference.trace.coverage import FacetReport, Report, assess
from crm_reference.trace.evidence import LAWS, RESULTS, Sections, read_laws, read_results
from crm_reference.trace.gaps import State
from crm_reference.trace.sections import scan
from crm_reference.trace.universal import Context, decide, load_rules

#: Exit codes of ``crm-reference check``; 2 is click's for wrong usage.
EXIT_COVERED, EXIT_GAPS, EXIT_USAGE = 0, 1, 2

#: Least share of operations whose answers are computed from state; the rest are answered from a script.
LEAST_LIVE = 0.95

#: Type and link fields of needs.json, as sphinx-needs knows them.
_NEED_TYPES = {"requirement": "req", "criterion": "criterion", "facet": "facet"}


def gate(
    root: Path,
    contract: Contract | None = None,
    *,
    sections: Sections | None = None,
    results: Path | None = None,
    laws: Path | None = None,
    catalogue: frozenset[str] | None = None,
    complete: bool | None = None,
) -> Report:
    """Decide every facet of a project from what lies on disk.

    :param root: The project's root.
    :param contract: Where it is loaded already.
    :param sections: Where a build has read the pages; else ``docs/`` is scanned.
    :param results: Where the doctest builder's results lie; default ``_build/doctest/results.json``.
    :param laws: Where the laws' results lie; default ``_build/laws/results.json``.
    :param catalogue: Error codes that have an entry in the built catalogue.
    :param complete: See :func:`~crm_reference.trace.coverage.assess`.
    :raises ContractError: If the contract can't be loaded.
    """
    load_rules()
    contract = contract or load(root)
    ran = read_results(results or root / RESULTS)
    context = Context(
        contract=contract,
        results=ran,
        laws=read_laws(laws or root / LAWS, contract),
        baselines=read_baselines(root),
        catalogue=catalogue,
    )
    verdicts = decide(context, (f.rule for f in contract.facets() if f.rule))
    return assess(contract, scan(root / "docs") if sections is None else sections, ran, verdicts, complete=complete)


def exit_code(report: Report, /) -> int:
    """Return the exit code that a report deserves."""
    return EXIT_GAPS if report.gaps else EXIT_COVERED


def summary(report: Report, /) -> Iterator[str]:
    """Yield the report's text line by line: gaps by place, then the count by requirement."""
    yield from map(str, report.gaps)
    if report.gaps:
        counted = Counter(g.subtype.value for g in report.gaps)
        yield "gaps: " + ", ".join(f"{n} {name}" for name, n in sorted(counted.items()))
    for requirement in dict.fromkeys(f.requirement.id.split(".")[0] for f in report.facets.values()):
        yield f"{requirement}: {_counts(report, requirement)}"
    yield f"all: {_counts(report, '')}"


def _counts(report: Report, below: str) -> str:
    return ", ".join(f"{report.count(state, below=below)} {word}" for state, word in _STATE_WORDS)


_STATE_WORDS = ((State.covered, "covered"), (State.gap, "with gaps"), (State.open, "open"))


def proof_figures(root: Path, contract: Contract, /) -> tuple[Figure, Figure]:
    """Return the share of operations that an example reached live, and of capabilities that are proved.

    :param root: The project's root, whose ``_build`` holds the results of the examples; without these nothing counts.
    """
    results = read_results(root / RESULTS) or {}
    live = {hit.operation for result in results.values() if result.passed for hit in result.hits if hit.live}
    capabilities = [c for facet in gate(root, contract).facets.values() for c in facet.capabilities]
    return (
        share("operations that examples reached live", {o: "" if o in live else "none" for o in contract.operations}, LEAST_LIVE),
        share("capabilities that are proved", {c.capability.id: "" if c.proved else "no proof" for c in capabilities}),
    )


def by_service(contract: Contract, report: Report, /) -> dict[str, list[FacetReport]]:
    """Return for each service the facets that its operations name or that it is to offer, in the catalogue's order."""
    slugs = dict.fromkeys((*contract.services, *(r.service for r in contract.requirements.values() if r.service)))
    found: dict[str, list[FacetReport]] = {slug: [] for slug in slugs}
    for facet in report.facets.values():
        serving = {contract.operations[name].service for name in facet.operations}
        for slug in found:
            if slug == facet.requirement.service or slug in serving:
                found[slug].append(facet)
    return found


def need_id(id: str, /) -> str:
    """Return the ID that a requirement has in needs.json, where a dot would name a part of a need and break every link.

    >>> need_id("REQ-1.1-crud")
    'REQ-1_1-crud'
    """
    return id.replace(".", "_")


def needs(contract: Contract, report: Report, /, *, project: str, version: str) -> dict[str, Any]:
    """Return the catalogue with its evidence in sphinx-needs' exchange format.

    :return: Data of a ``needs.json``; the same report gives the same data, without a date. A need's ID is :func:`need_id`'s, and
        the requirement's own stands in its field ``requirement``.
    """
    entries = {}
    for requirement in contract.requirements.values():
        facet = report.facets.get(requirement.id)
        name = need_id(requirement.id)
        entries[name] = {
            "id": name,
            "requirement": requirement.id,
            "type": _NEED_TYPES[requirement.kind],
            "title": requirement.title,
            "content": requirement.text,
            "status": facet.state.value if facet else _state_of(report, requirement.id),
            "links": [need_id(requirement.parent)] if requirement.parent else [],
            "tags": [requirement.service] if requirement.service else [],
            "sections_told": [f"{s.docname}#{s.anchor}" for s in facet.sections] if facet else [],
            "operations": list(facet.operations) if facet else [],
            "exchanges": list(facet.exchanges) if facet else [],
            "capabilities": [f"{c.capability.id}: {_PROVED[c.proved]}" for c in facet.capabilities] if facet else [],
            "subject_count": len(facet.subjects) if facet else 0,
            "awaits": [*facet.awaiting, *facet.pending] if facet else [],
            "gaps": [f"{g.subtype.value}: {g.message}" for g in facet.gaps] if facet else [],
        }
    shelf = {"needs_amount": len(entries), "needs": entries}
    return {"project": project, "current_version": version, "versions": {version: shelf}}


_PROVED = {True: "proved", False: "unproved"}


def _state_of(report: Report, below: str) -> str:
    for state in (State.gap, State.open):
        if report.count(state, below=below):
            return state.name
    return State.covered.name


def dump_needs(data: dict[str, Any], /) -> bytes:
    """Return ``needs.json`` as bytes, sorted and indented."""
    return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
