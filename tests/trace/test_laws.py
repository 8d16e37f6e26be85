"""Laws decide rules: one that fails, is skipped, is absent or finds too little is said so, for each law."""

from __future__ import annotations

from typing import Any

import pytest

from crm_reference.trace import LawEntry
from crm_reference.trace.rules.laws import LAWS, Law, laws_of
from crm_reference.trace.universal import rule_of

#: Laws about things that harbour doesn't have.
NOT_IN_HARBOUR = {
    "call-seen", "custom-field-changed", "custom-field-query", "custom-field-transfer", "custom-field-values", "duplicate-delivery",
    "hearing-matters", "hostile-file", "hostile-url", "mirror", "reordered-delivery", "secret-hidden",
}  # fmt: skip

_BOUND = [law for law in LAWS.values() if law.subjects is not None and law.name not in NOT_IN_HARBOUR]
_FINDING = [law for law in LAWS.values() if law.subjects is None]


def test_what_harbour_lacks(evidence: Any) -> None:
    bound = [law for law in LAWS.values() if law.subjects is not None]

    assert {law.name for law in bound if not law.subjects_of(evidence.contract)} == NOT_IN_HARBOUR


@pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: law.name)
class TestEachLaw:
    def test_failure_is_a_violation(self, evidence: Any, law: Law) -> None:
        entry = LawEntry(law.name, (law.subjects_of(evidence.contract) or ("some subject",))[0], "failed", "something else came")
        evidence.laws = {**evidence.laws, law.name: (entry, *evidence.laws.get(law.name, ())[1:])}

        assert any(law.name in m and "something else came" in m for m in evidence.messages(rule_of(law)))

    def test_without_results_it_did_not_run(self, evidence: Any, law: Law) -> None:
        evidence.laws = None

        assert law.name in evidence.verdict(rule_of(law)).unrun


@pytest.mark.parametrize("law", _FINDING, ids=lambda law: law.name)
def test_too_few_subjects_found(evidence: Any, law: Law) -> None:
    evidence.laws = {**evidence.laws, law.name: evidence.laws[law.name][1:]}

    assert any(law.name in s for s in evidence.verdict(rule_of(law)).shortages)


@pytest.mark.parametrize("law", _BOUND, ids=lambda law: law.name)
class TestBoundLaws:
    """Laws that must be run on exactly the subjects that the contract has."""

    def test_absent_subject_is_a_violation(self, evidence: Any, law: Law) -> None:
        evidence.laws = {**evidence.laws, law.name: evidence.laws[law.name][1:]}

        assert any(f"the law {law.name} wasn't run on" in m for m in evidence.messages(rule_of(law)))

    def test_skipped_subject_is_a_violation_with_its_reason(self, evidence: Any, law: Law) -> None:
        evidence.law(law.name, outcome="skipped", message="no clock")

        assert any("no clock" in m for m in evidence.messages(rule_of(law)))

    def test_subject_of_another_contract_does_not_count(self, evidence: Any, law: Law) -> None:
        evidence.law(law.name, subject="weighBerths")

        assert evidence.messages(rule_of(law))
        assert "weighBerths" not in evidence.verdict(rule_of(law)).subjects


def test_laws_of_a_facet() -> None:
    assert [law.name for law in laws_of("REQ-7.1-request-minimal")] == ["minimal-body", "required-absent"]


def test_violations_stand_at_their_subject(evidence: Any) -> None:
    evidence.law("rule-removed", outcome="failed")
    evidence.law("metric-moves", outcome="failed")
    places = [str(evidence.verdict(rule).violations[0].place) for rule in ("business_rules", "monitoring")]

    assert evidence.contract.resources["berths"].rules[0].place.line == int(places[0].rpartition(":")[2])
    assert str(evidence.contract.services["berths"].manifest.metrics[0].place) == places[1]
