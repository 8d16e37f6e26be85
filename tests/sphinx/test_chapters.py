"""What the directives of a chapter print from the manifest and the documents."""

from __future__ import annotations

from collections.abc import Callable

from bs4 import BeautifulSoup, Tag


def _rows(page: BeautifulSoup, title: str) -> list[list[str]]:
    region = page.find(attrs={"aria-label": title})
    assert isinstance(region, Tag), title
    return [[c.get_text(" ", strip=True) for c in r.find_all(["td", "th"])] for r in region.select("tbody tr")]


def test_charter_names_operations_and_proofs(html: Callable[[str], BeautifulSoup]) -> None:
    rows = _rows(html("services/berths/index"), "Charter of Berths")

    assert ["I undo a delete within 30 days.", "deleteBerth , restoreBerth", "one , deleted"] in rows


def test_operations_stand_under_their_facets(html: Callable[[str], BeautifulSoup]) -> None:
    rows = _rows(html("services/berths/index"), "Operations of Berths")

    assert rows[0] == ["Berths · REQ-1.1-crud"]
    assert rows[1] == ["POST", "Create a berth", "/berths", "berths.write"]


def test_roles_follow_from_scopes(html: Callable[[str], BeautifulSoup]) -> None:
    rows = {r[0]: r[1:] for r in _rows(html("services/berths/build"), "Operations of Berths by roles")}

    assert rows["Delete a berth"] == ["✓ yes", "✓ yes", "", "", "", "", "", ""]
    assert set(rows["Check that the process runs"]) == {"✓ yes"}


def test_fields_say_who_sets_them_and_what_filters_take(html: Callable[[str], BeautifulSoup]) -> None:
    rows = {r[0]: r[1:] for r in _rows(html("services/berths/build"), "Fields of Berth")}

    assert rows["version"][1] == "platform"
    assert rows["status"][1:4] == ["client", "eq , ne , in , not_in", "status"]


def test_rules_link_the_exchange_that_breaks_each(html: Callable[[str], BeautifulSoup]) -> None:
    page = html("services/berths/rules")
    rule = page.find(id="rule-name-unique")

    assert isinstance(rule, Tag)
    assert rule.find("a", href="berths.html#createBerth.name-taken") is not None
    states = _rows(page, "States of Berth.status")
    assert ["reserved", "", "occupied , free"] in states


def test_sizes_follow_from_measured_records(html: Callable[[str], BeautifulSoup]) -> None:
    row = _rows(html("services/berths/build"), "Data of Berths")[0]

    assert row[0] == "berths"
    assert row[3].endswith(" B")
    assert row[4].count("/") == 2


def test_event_has_payload_example_and_emitters(html: Callable[[str], BeautifulSoup]) -> None:
    section = html("services/berths/events").find(id="crm.berth.created.v1")

    assert isinstance(section, Tag)
    assert section.find(id="crm.berth.created.v1.data.record") is not None
    assert section.find("a", href="berths.html#createBerth") is not None
    assert section.select_one(".event-example pre") is not None


def test_error_catalogue_is_anchored_by_code(html: Callable[[str], BeautifulSoup]) -> None:
    page = html("errors")

    for code in ("validation_failed", "berth_name_taken", "invalid_reference"):
        assert page.find(id=code) is not None


def test_diagrams_have_a_text_alternative(html: Callable[[str], BeautifulSoup]) -> None:
    drawing = html("services/berths/index").select_one("figure.diagram svg")

    assert drawing is not None
    assert drawing["role"] == "img"
    assert drawing.select_one("desc").get_text().startswith("Berth (ber_)")
