"""The requirement catalogue is whole."""

from __future__ import annotations

from collections import Counter

from crm_reference.contract import Contract
from crm_reference.trace.ids import anchor, parse
from crm_reference.trace.rules.laws import LAWS
from crm_reference.trace.universal import rule_of


def test_counts(catalogue: Contract) -> None:
    facets = catalogue.facets()

    assert Counter(r.kind for r in catalogue.requirements.values()) == {"requirement": 10, "criterion": 53, "facet": 170}
    assert sum(not f.rule for f in facets) == 129
    assert sum(bool(f.rule) for f in facets) == 41


def test_first_six_are_about_services_and_the_rest_about_everything(catalogue: Contract) -> None:
    for facet in catalogue.facets():
        offered = parse(facet.id).requirement <= 6

        assert offered == bool(facet.service), facet.id
        assert offered != bool(facet.rule), facet.id


def test_each_service_has_one_criterion(catalogue: Contract) -> None:
    slugs = [r.service for r in catalogue.requirements.values() if r.kind == "criterion" and r.service]

    assert 33 == len(slugs) == len(set(slugs))


def test_ids_fit_their_place_and_anchors(catalogue: Contract) -> None:
    for requirement in catalogue.requirements.values():
        assert requirement.kind == parse(requirement.id).level
        assert requirement.parent == parse(requirement.id).parent
        assert requirement.anchor == anchor(requirement.id)


def test_titles_and_texts_are_there_once(catalogue: Contract) -> None:
    texts = Counter(r.text for r in catalogue.requirements.values())

    assert [t for t, n in texts.items() if n > 1] == []
    assert all(r.title and r.text.endswith(".") for r in catalogue.requirements.values())


def test_rules_are_those_that_exist(catalogue: Contract, rules: frozenset[str]) -> None:
    named = Counter(f.rule for f in catalogue.facets() if f.rule)

    assert rules == set(named)
    assert {1} == set(named.values())


def test_starred_facets_need_all_that_the_first_six_need(catalogue: Contract) -> None:
    starred = {f.id for f in catalogue.facets() if f.also}

    assert {"REQ-8.4-events", "REQ-8.5-health", "REQ-8.5-monitoring"} == {i for i in starred if i.startswith("REQ-8")}
    assert {f.id for f in catalogue.facets("REQ-10")} == {i for i in starred if i.startswith("REQ-10")}
    assert len(starred) == 13


def test_needed_services_are_on_the_map(catalogue: Contract) -> None:
    slugs = {r.service for r in catalogue.requirements.values() if r.service}

    assert {n for f in catalogue.facets() for n in f.needs} <= slugs


def test_laws_decide_facets_of_the_catalogue(catalogue: Contract) -> None:
    for law in LAWS.values():
        facet = catalogue.requirements[law.facet]

        assert facet.rule == rule_of(law)
        assert law.text.endswith(".")
