"""Columns of tables: which field each goes to, and what cells make of a body."""

from __future__ import annotations

import pytest

from crm_reference.emulator.columns import Columns

SHIPS = Columns(
    {"name": "ship vessel", "port_city": "city", "tags": "labels", "external_id": "imo", "captain": "master"},
    required=("name", "captain"),
    readings={"port_city": str.title},
    parts={"port_city": ("port", "city")},
    spread={"captain": lambda cell: dict(zip(("first", "last"), cell.split(), strict=True))},
    reported={"captain": "last"},
)


def _suggested(*columns: str) -> list[str]:
    asked = {"columns": columns, "custom_fields": [{"name": "draught", "label": "Vessel"}]}
    return [s.get("field") or s.get("custom_field") or s["confidence"] for s in SHIPS.suggest(asked)["suggestions"]]


def test_a_field_goes_to_the_first_column_that_fits():
    assert _suggested("Ship", "Name", "Draught", "Colour") == ["name", "none", "draught", "none"]


def test_a_custom_field_comes_before_a_synonym():
    assert _suggested("VESSEL") == ["draught"]


@pytest.mark.parametrize(("columns", "missing"), [(["ship"], []), (["master"], []), (["city"], ["name"])])
def test_one_required_field_is_enough(columns, missing):
    assert SHIPS.suggest({"columns": columns})["missing_fields"] == missing


def test_cells_make_a_body():
    cells = {"A": "Waal", "B": "rotterdam", "C": "fast; new;fast", "D": "9074729", "E": "jo berg", "F": "7", "G": " "}
    names = {"A": "name", "B": "port_city", "C": "tags", "D": "external_id", "E": "captain", "G": "name"}
    mapping = {column: {"field": name} for column, name in names.items()} | {"F": {"custom_field": "draught"}}
    row = {"cells": cells, "mapping": mapping, "external_system": "", "custom_field_types": {"draught": "integer"}}

    assert SHIPS.body_of(row) == {
        "name": "Waal",
        "port": {"city": "Rotterdam"},
        "tags": ["fast", "new"],
        "external_ids": {"import": "9074729"},
        "first": "jo",
        "last": "berg",
        "custom_fields": {"draught": 7},
    }


def test_errors_speak_of_members():
    mapped = [{"field": "name"}, {"field": "port_city"}, {"field": "captain"}, {"custom_field": "draught"}]

    assert [SHIPS.name_of(m) for m in mapped] == ["name", "port.city", "last", "custom_fields.draught"]
