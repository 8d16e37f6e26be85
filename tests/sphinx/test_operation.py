"""A rendered operation: its order, its anchors, its exchanges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from docutils import nodes
from sphinx.util.inventory import InventoryFile

from crm_reference.contract import load

PAGE = "services/berths/berths"


def _section(page: BeautifulSoup, name: str) -> Tag:
    found = page.find("section", id=name)
    assert isinstance(found, Tag)
    return found


class TestDoctree:
    def test_section_has_the_operation_id_and_no_name(self, doctree: Callable[[str], nodes.document]) -> None:
        section = next(s for s in doctree(PAGE).findall(nodes.section) if "createBerth" in s["ids"])

        assert section["ids"][:2] == ["createBerth", "post--berths"]
        assert section["names"] == []
        assert section[0].astext() == "Create a berth"

    def test_parts_come_in_the_order_of_the_style(self, doctree: Callable[[str], nodes.document]) -> None:
        section = next(s for s in doctree(PAGE).findall(nodes.section) if "createBerth" in s["ids"])
        parts = [
            node.get("template") or node.astext()
            for node in section.findall(lambda n: "template" in getattr(n, "attributes", {}) or isinstance(n, nodes.rubric))
        ]

        assert parts == [
            "head", "Security considerations", "Parameters", "parameters", "Request body", "body", "Responses", "responses",
            "Errors", "errors", "Behaviour", "facts", "panel",
        ]  # fmt: skip

    def test_each_recorded_exchange_is_one_doctest(self, doctree: Callable[[str], nodes.document], site: Path) -> None:
        tests = [n for n in doctree(PAGE).findall(nodes.literal_block) if n.get("testnodetype") == "doctest"]
        contract = load(site)
        expected = {e.id for e in contract.exchanges.values() if contract.operations[e.operation].tag == "berths"}

        assert {n["groups"][0] for n in tests} == expected
        assert len(tests) == len(expected)
        assert all(n["test"].startswith(n.astext().splitlines()[0]) for n in tests)


class TestPage:
    def test_head_shows_method_path_and_scope(self, html: Callable[[str], BeautifulSoup]) -> None:
        head = _section(html(PAGE), "createBerth").select_one(".op-head")

        assert head is not None
        assert head.select_one(".op-method.m-post") is not None
        badges = [b.get_text(strip=True) for b in head.select(".badge")]
        assert badges[:3] == ["berths.write", "write · 300 a minute", "idempotency key"]
        assert head.select_one(".b-scope a") is not None

    def test_every_field_has_a_deep_link(self, html: Callable[[str], BeautifulSoup]) -> None:
        field = html(PAGE).find(id="createBerth.body.contact_email")

        assert isinstance(field, Tag)
        text = field.get_text(" ", strip=True)
        assert "string, e-mail address" in text
        assert "personal data" in text
        assert "3 to 254 characters" in text

    def test_branches_of_a_filter_are_named_with_their_operators(self, html: Callable[[str], BeautifulSoup]) -> None:
        body = html(PAGE).find(id="searchBerths.body")

        assert isinstance(body, Tag)
        branch = next(b for b in body.select(".f-branch > summary") if "RangeFilter" in b.get_text())
        assert "operator is between" in branch.get_text(" ", strip=True).replace("  ", " ")

    def test_own_errors_link_to_catalogue_and_exchange(self, html: Callable[[str], BeautifulSoup]) -> None:
        row = html(PAGE).find(id="createBerth.error.berth_name_taken")

        assert isinstance(row, Tag)
        assert [a["href"] for a in row.select("a")] == ["../../errors.html#berth_name_taken", "#createBerth.name-taken"]

    def test_shared_schema_is_linked_and_not_repeated(self, html: Callable[[str], BeautifulSoup]) -> None:
        answer = html(PAGE).find(id="createBerth.201")

        assert isinstance(answer, Tag)
        assert answer.select_one('a[href="schemas.html#Berth"]') is not None
        assert answer.select(".f-list") == []

    def test_panel_shows_three_languages_and_the_answer_once(self, html: Callable[[str], BeautifulSoup]) -> None:
        panel = _section(html(PAGE), "createBerth").select_one(".xp")
        example = html(PAGE).find(id="createBerth.every-field")

        assert panel is not None
        assert isinstance(example, Tag)
        assert [label.get_text() for label in panel.select(".xt-tab")] == ["curl", "Python", "JavaScript"]
        assert len(example.select(".xr")) == 1
        assert "South Pier" in example.select_one(".xr").get_text()
        python = example.select_one("pre.l-python")
        assert python is not None and ">>> answer = crm.post(" in python.get_text()

    def test_first_example_alone_is_coloured_by_the_build(self, html: Callable[[str], BeautifulSoup]) -> None:
        panel = _section(html(PAGE), "createBerth").select_one(".xp")

        assert panel is not None
        first, *others = panel.select(".xc")
        assert first.select_one("pre.l-curl span") is not None
        assert others
        assert all(not x.select("pre span") for x in others)

    def test_example_of_another_caller_names_them(self, html: Callable[[str], BeautifulSoup], site: Path) -> None:
        others = {e.id.replace("/", "."): e.principal for e in load(site).exchanges.values() if e.principal != "maya"}
        page = html(PAGE)
        found = {str(x["id"]): x["data-as"] for x in page.select(".xc[data-as]")}

        assert found
        assert found.items() <= others.items()

    def test_nothing_untranslated_is_left(self, html: Callable[[str], BeautifulSoup]) -> None:
        text = html(PAGE).get_text()

        for trace in ("{{", "{%", "Undefined", ".. http:", "None)"):
            assert trace not in text


class TestSearch:
    def test_index_knows_operations_fields_and_codes(self, site: Path) -> None:
        index = (site / "_build/html/searchindex.js").read_text(encoding="utf-8")

        for words in ("createBerth", "berth_name_taken", "length_metr", "idempot"):
            assert words in index, words

    def test_inventory_has_operations_of_both_domains(self, site: Path) -> None:
        inventory = InventoryFile.loads((site / "_build/html/objects.inv").read_bytes(), uri="")

        assert "createBerth" in inventory.data["crm:operation"]
        assert "/berths" in inventory.data["http:get"]
        assert "crm.berth.created.v1" in inventory.data["crm:event"]
        assert inventory.data["crm:error"]["berth_name_taken"].uri.startswith("errors.html#")
