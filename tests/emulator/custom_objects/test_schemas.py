"""Schemas of tenants: conversions of values, differences of versions, migrations, dependent choices."""

from __future__ import annotations

import pytest

from crm_reference.emulator.custom_fields.values import allowed, complaint
from crm_reference.emulator.services.custom_objects.comparing import breaks, compare
from crm_reference.emulator.services.custom_objects.conversions import CONVERSIONS, FAILED, converted, verdict
from crm_reference.emulator.services.custom_objects.field_rules import SETTINGS
from crm_reference.emulator.services.custom_objects.rewriting import replaced
from crm_reference.emulator.services.custom_objects.schema_jobs import migrated


class TestConversions:
    def test_every_type_and_target_is_one_that_fields_have(self):
        named = {*CONVERSIONS, *(new for targets in CONVERSIONS.values() for new in targets)}

        assert named <= set(SETTINGS)

    def test_a_lossless_one_leaves_the_stored_value(self):
        pairs = [(old, new) for old, targets in CONVERSIONS.items() for new in targets if verdict(old, new) == "lossless"]

        assert all(converted(old, {"type": new}, "2026-01-05") == "2026-01-05" for old, new in pairs)

    @pytest.mark.parametrize("value", ["NaN", "Infinity", "1e", "", "٣٤ x"])
    def test_what_is_no_number_fails(self, value):
        assert converted("text", {"type": "decimal"}, value) is FAILED

    def test_half_rounds_up_on_decimal_digits(self):
        assert converted("decimal", {"type": "currency", "decimal_places": 2}, 1.005) == "1.01"


class TestDifferences:
    def test_what_becomes_optional_breaks_nothing(self):
        assert breaks({"name": "a", "type": "text", "is_required": True}, {"name": "a", "type": "text"}) == ""

    def test_a_minimum_breaks_when_it_rises(self):
        old = {"name": "a", "type": "integer", "minimum": 1}

        assert breaks(old, {**old, "minimum": 2}) and not breaks(old, {**old, "minimum": 0})

    def test_there_and_back_are_each_others_opposite(self):
        before, after = [{"name": "a", "type": "text", "max_length": 9}], [{"name": "a", "type": "text", "max_length": 5}]
        there, back = compare(before, after)[0], compare(after, before)[0]

        assert (there["is_breaking"], back["is_breaking"]) == (True, False)
        assert there["changes"][0]["new_value"] == back["changes"][0]["old_value"]


class TestMigration:
    def test_a_second_run_changes_nothing(self):
        known = {"berth": {"name": "berth", "type": "text", "is_required": True, "default_value": "Waalhaven 1"}}
        values, counts = migrated(known, {}, [("berth", "missing")], "keep")
        again, none = migrated(known, values, [], "keep")

        assert counts["defaulted"] == 1
        assert (again, sum(none.values())) == (values, 0)


class TestChoices:
    def test_a_value_without_a_row_allows_nothing(self):
        assert allowed({"dependency": [{"controlling_value": "tug", "values": ["escort"]}]}, "ferry") == set()

    def test_merging_two_choices_leaves_one(self):
        assert replaced(["bergen", "rotterdam"], "bergen", "rotterdam") == ["rotterdam"]
        assert replaced(["bergen"], "bergen", None) is None


class TestValues:
    @pytest.mark.parametrize(
        ("said", "value"),
        [
            ({"type": "geolocation"}, "91,4"),
            ({"type": "geolocation"}, "51.9244"),
            ({"type": "time"}, "24:00"),
            ({"type": "currency"}, "12.505"),
            ({"type": "currency"}, "012"),
            ({"type": "decimal", "decimal_places": 1}, 5.25),
            ({"type": "percent"}, True),
            ({"type": "text", "pattern": "IMO[0-9]{7}"}, "IMO12345678"),
            ({"type": "formula"}, 5),
        ],
    )
    def test_what_a_field_refuses(self, said, value):
        assert complaint(None, said, value) is not None

    @pytest.mark.parametrize(
        ("said", "value"),
        [
            ({"type": "geolocation"}, "-33.8568,151.2153"),
            ({"type": "time"}, "23:59"),
            ({"type": "currency", "decimal_places": 0}, "-12"),
            ({"type": "decimal", "decimal_places": 1}, 5.2),
            ({"type": "multi_picklist", "choices": ["a", "b"]}, ["b"]),
        ],
    )
    def test_what_a_field_takes(self, said, value):
        assert complaint(None, said, value) is None
