"""One piece of evidence is taken away at each level; the gate must name that level."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crm_reference.trace import Hit, Section, State, Subtype
from crm_reference.trace.report import exit_code, summary


def test_full_evidence_covers_everything(evidence: Any) -> None:
    report = evidence.report()

    assert report.gaps == ()
    assert {State.covered} == {f.state for f in report.facets.values()}
    assert exit_code(report) == 0


class TestOffered:
    """Facets of requirements 1 to 6."""

    def test_no_section(self, evidence: Any) -> None:
        del evidence.sections["REQ-1.1-crud"]

        (gap,) = evidence.report().gaps

        assert (Subtype.no_chapter, "REQ-1.1-crud") == (gap.subtype, gap.facet)
        assert str(gap.location).startswith("source_specs/requirements.yaml:")

    def test_no_operation(self, evidence: Any) -> None:
        for name in ("searchBerths", "countBerths"):
            evidence.operation(name, requirements=("REQ-1.1-crud",))

        assert {"no_operation", "unnamed_facet"} == evidence.subtypes()

    def test_no_capability(self, evidence: Any) -> None:
        charter = dict(evidence.contract.services["berths"].manifest.charter)
        del charter["REQ-1.1-search"]
        evidence.manifest(charter=charter)

        (gap,) = evidence.report().gaps

        assert Subtype.no_capability is gap.subtype
        assert str(gap.location).startswith("source_specs/berths/service.yaml:")

    def test_capability_counts_on_an_operation_that_does_not_name_the_facet(self, evidence: Any) -> None:
        evidence.operation("countBerths", requirements=("REQ-1.1-crud",))

        assert {"unnamed_facet"} == evidence.subtypes()

    def test_capability_names_an_unknown_operation(self, evidence: Any) -> None:
        self._capability(evidence, operations=("searchBerths", "countBerths", "weighBerths"))

        assert {"unknown_operation"} == evidence.subtypes()

    def test_capability_names_an_unknown_exchange(self, evidence: Any) -> None:
        self._capability(evidence, proof=("searchBerths/free-and-long", "countBerths/free", "countBerths/none"))

        assert {"unknown_exchange"} == evidence.subtypes()

    def test_proof_did_not_run(self, evidence: Any) -> None:
        del evidence.results["countBerths/free"]

        (gap,) = evidence.report().gaps

        assert Subtype.unproved_capability is gap.subtype
        assert "countBerths/free didn't run" in gap.message

    def test_operation_has_no_proof(self, evidence: Any) -> None:
        self._capability(evidence, proof=("searchBerths/free-and-long",))

        assert {"unproved_capability"} == evidence.subtypes()

    def test_proof_failed(self, evidence: Any) -> None:
        evidence.result("countBerths/free", outcome="failed")

        assert {"failed_example"} == evidence.subtypes()

    def test_proof_hit_another_operation(self, evidence: Any) -> None:
        evidence.result("countBerths/free", hits=(Hit("searchBerths", 200, True),))

        (gap,) = evidence.report().gaps

        assert Subtype.wrong_hit is gap.subtype
        assert "reached searchBerths" in gap.message

    def test_proof_of_another_operation(self, evidence: Any) -> None:
        self._capability(evidence, proof=("searchBerths/free-and-long", "countBerths/free", "getBerth/one"))

        assert {"wrong_hit"} == evidence.subtypes()

    def test_proof_was_answered_by_a_script(self, evidence: Any) -> None:
        evidence.result("reserveBerth/free-one", hits=(Hit("reserveBerth", 200, False),))

        assert {"scripted_only"} == evidence.subtypes()

    def test_examples_did_not_run(self, evidence: Any) -> None:
        evidence.results = None

        report = evidence.report()

        assert [Subtype.no_results] == [g.subtype for g in report.gaps]
        assert report.count(State.gap) == 5

    def test_service_is_missing(self, evidence: Any) -> None:
        evidence.facet("REQ-1.1-search", service="ships")
        report = evidence.report()

        assert not report.complete
        assert State.open is report.facets["REQ-1.1-search"].state
        assert report.facets["REQ-1.1-search"].awaiting == ("ships",)
        assert report.gaps == ()
        assert [Subtype.awaiting_service] == [g.subtype for g in evidence.report(complete=True).gaps]

    def _capability(self, evidence: Any, **changes: Any) -> None:
        charter = dict(evidence.contract.services["berths"].manifest.charter)
        (capability,) = charter["REQ-1.1-search"]
        evidence.manifest(charter={**charter, "REQ-1.1-search": (replace(capability, **changes),)})


class TestUnknownIds:
    def test_in_a_section(self, evidence: Any) -> None:
        evidence.sections["REQ-1.1-serch"] = (Section("berths", 9, "Find", "find"),)

        (gap,) = evidence.report().gaps

        assert (Subtype.unknown_id, ("berths", 9)) == (gap.subtype, gap.location)
        assert "near it are REQ-1.1-search" in gap.message

    def test_a_criterion_is_no_facet(self, evidence: Any) -> None:
        evidence.sections["REQ-1.1"] = (Section("berths", 9),)

        (gap,) = evidence.report().gaps

        assert "REQ-1.1 is a criterion, and evidence attaches to facets" in gap.message

    def test_in_an_operation(self, evidence: Any) -> None:
        evidence.operation("getBerth", requirements=("REQ-1.1-crud", "REQ-9.9-nothing"))

        (gap,) = evidence.report().gaps

        assert Subtype.unknown_id is gap.subtype
        assert str(gap.location).startswith("source_specs/berths/openapi.yaml:")

    def test_in_a_charter(self, evidence: Any) -> None:
        charter = dict(evidence.contract.services["berths"].manifest.charter)
        charter["REQ-1.1-weighing"] = tuple(replace(c, facet="REQ-1.1-weighing") for c in charter["REQ-1.1-search"])
        evidence.manifest(charter=charter)

        assert {"unknown_id"} == evidence.subtypes()


class TestRuled:
    """Facets of requirements 7 to 10."""

    def test_violation(self, evidence: Any) -> None:
        evidence.law("readiness-turns", outcome="failed", message="readiness stayed 200")

        (gap,) = evidence.report().gaps

        assert (Subtype.violation, "REQ-8.5-health") == (gap.subtype, gap.facet)
        assert "readiness stayed 200" in gap.message
        assert str(gap.location).startswith("source_specs/berths/service.yaml:")

    def test_too_few_subjects_once_every_service_exists(self, evidence: Any) -> None:
        evidence.facet("REQ-8.1-grouping", floor=99)

        (gap,) = evidence.report().gaps

        assert Subtype.too_few_subjects is gap.subtype
        assert "found 13 subjects and needs 99" in gap.message

    def test_too_few_subjects_are_open_before(self, evidence: Any) -> None:
        evidence.facet("REQ-8.1-grouping", floor=99)
        evidence.facet("REQ-1.1", service="ships")
        report = evidence.report()

        assert State.open is report.facets["REQ-8.1-grouping"].state
        assert report.facets["REQ-8.1-grouping"].pending

    def test_nothing_holds_of_an_empty_set(self, evidence: Any) -> None:
        evidence.service(operations=())
        evidence.facet("REQ-8.1-grouping", floor=1)

        assert State.covered is not evidence.report(complete=False).facets["REQ-8.1-grouping"].state

    def test_unknown_rule(self, evidence: Any) -> None:
        evidence.facet("REQ-8.1-grouping", rule="groping")

        assert {"unknown_rule"} == evidence.subtypes()

    def test_laws_did_not_run(self, evidence: Any) -> None:
        evidence.laws = None

        assert {"law_not_run"} == evidence.subtypes()

    def test_starred_without_section(self, evidence: Any) -> None:
        del evidence.sections["REQ-8.5-health"]

        assert {"no_chapter"} == evidence.subtypes()

    def test_starred_without_operation(self, evidence: Any) -> None:
        evidence.operation("getBerthsMetrics", requirements=("REQ-8.5-health",))

        assert {"no_operation"} == evidence.subtypes()

    def test_starred_without_live_exchange(self, evidence: Any) -> None:
        evidence.result("getBerthsMetrics/scrape", hits=(Hit("getBerthsMetrics", 200, False),))

        assert {"unproved_capability"} == evidence.subtypes()

    def test_needs_a_service_that_is_missing(self, evidence: Any) -> None:
        evidence.facet("REQ-8.1-grouping", needs=("ships",))

        assert State.open is evidence.report(complete=False).facets["REQ-8.1-grouping"].state
        assert {"awaiting_service"} == evidence.subtypes()

    def test_waits_for_a_service_that_a_subject_needs(self, evidence: Any, berths: Any) -> None:
        from crm_reference.contract import Call

        call = Call(
            "ships",
            "getShip",
            "why",
            "degradable",
            100,
            0,
            "The name is left out.",
            (),
            berths.services["berths"].manifest.node.place,
        )
        evidence.manifest(calls=(call,))
        evidence.facet("REQ-8.1-grouping", rule="communication", floor=1)

        assert State.open is evidence.report(complete=False).facets["REQ-8.1-grouping"].state
        assert "ships" in evidence.report(complete=False).facets["REQ-8.1-grouping"].awaiting


def test_failed_narrative(evidence: Any) -> None:
    from crm_reference.trace import Result

    evidence.results["berths:keep"] = Result("berths:keep", "docs/berths.md:9", "error", "narrative", ())

    (gap,) = evidence.report().gaps

    assert (Subtype.failed_example, "docs/berths.md:9") == (gap.subtype, gap.location)


def test_summary_lists_gaps_then_counts(evidence: Any) -> None:
    del evidence.sections["REQ-1.1-crud"]
    report = evidence.report()
    lines = list(summary(report))

    assert lines[0].endswith("[trace.no_chapter]")
    assert lines[1] == "gaps: 1 no_chapter"
    assert lines[2] == "REQ-1: 2 covered, 1 with gaps, 0 open"
    assert lines[-1] == "all: 5 covered, 1 with gaps, 0 open"
    assert exit_code(report) == 1


@pytest.mark.parametrize("subtype", list(Subtype))
def test_subtypes_are_named_as_their_values(subtype: Subtype) -> None:
    assert subtype.name == subtype.value
