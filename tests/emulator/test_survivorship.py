"""Survivorship: which value a merge keeps, what unites, where losers live on, and which choices don't fit."""

from __future__ import annotations

import pytest

from crm_reference.emulator.survivorship import Decided, Further, Survivorship

RULES = Survivorship(
    "ship",
    ("name", "berth", "berths", "speed", "status", "reason", "description", "tags"),
    united={"berths": 2, "tags": 3},
    further={"berth": Further("berths")},
    follows={"reason": lambda ships, decided: None if decided["status"].value == "laid_up" else Decided("target")},
    numeric=frozenset({"speed"}),
    texts=frozenset({"name"}),
)
OLD = {"id": "1", "created_at": "2020", "updated_at": "2025", "name": "Waal", "berth": "A", "speed": 9, "tags": ["x"]}
NEW = {"id": "2", "created_at": "2024", "updated_at": "2024", "name": "De Waal", "berth": "B", "speed": 12, "tags": ["y", "x"]}


@pytest.mark.parametrize(
    ("strategy", "name"),
    [("target", "Waal"), ("source", "De Waal"), ("newest", "Waal"), ("oldest", "Waal"), ("longest", "De Waal")],
)
def test_strategies(strategy, name):
    record, outcomes = RULES.decide([OLD, NEW], [{"field": "name", "strategy": strategy}])

    assert record["name"] == name
    assert outcomes[0]["strategy"] == strategy and outcomes[0]["is_conflict"]


def test_the_highest_and_a_named_record():
    choices = [{"field": "speed", "strategy": "highest"}, {"field": "name", "strategy": "ship", "ship_id": "2"}]
    record, outcomes = RULES.decide([OLD, NEW], choices)

    assert (record["speed"], record["name"]) == (12, "De Waal")
    assert [o["ship_ids"] for o in outcomes if o["field"] in ("speed", "name")] == [["2"], ["2"]]


def test_lists_unite_and_losers_live_on():
    record, _ = RULES.decide([OLD, {**NEW, "berths": ["A", "C"]}], [])

    assert (record["berth"], record["berths"], record["tags"]) == ("A", ["C", "B"], ["x", "y"])


def test_united_lists_end_at_their_limit():
    record, outcomes = RULES.decide([{**OLD, "tags": ["a", "b", "c"]}, NEW], [])

    assert record["tags"] == ["a", "b", "c"]
    assert outcomes[-1]["ship_ids"] == ["1"]


def test_a_field_follows_unless_a_choice_names_it():
    ships = [OLD | {"status": "sailing"}, NEW | {"reason": "no cargo"}]

    assert "reason" not in RULES.decide(ships, [])[0]
    assert RULES.decide(ships, [{"field": "reason", "strategy": "source"}])[0]["reason"] == "no cargo"


@pytest.mark.parametrize(
    ("choice", "fault"),
    [
        ({"field": "flag", "strategy": "target"}, "flag is not decided by a merge."),
        ({"field": "speed", "strategy": "target"}, "speed is not decided by a merge."),
        ({"field": "name", "strategy": "ship", "ship_id": "3"}, "ship_id must name one of the ships that are merged."),
        ({"field": "name", "strategy": "target", "ship_id": "1"}, "ship_id goes with the strategy ship only."),
        ({"field": "name", "strategy": "union"}, "name is not a list, so there is nothing to unite."),
        ({"field": "name", "strategy": "highest"}, "name is not a number, so none is the highest."),
        ({"field": "berth", "strategy": "longest"}, "berth is not a text, so none is the longest."),
        ({"field": "custom_fields.cranes", "strategy": "highest"}, ""),
    ],
)
def test_choices_that_do_not_fit(choice, fault):
    assert RULES.fault(choice, {"1", "2"}, {"cranes": "integer"}, frozenset({"speed"})) == fault
