from __future__ import annotations

import pytest

from crm_reference.trace.ids import RequirementId, anchor, near, parse


class TestParse:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("REQ-1", RequirementId(1)),
            ("REQ-10.5", RequirementId(10, 5)),
            ("REQ-1.1-crud", RequirementId(1, 1, "crud")),
            ("REQ-4.5-batch-processing", RequirementId(4, 5, "batch-processing")),
        ],
    )
    def test_reads_and_prints_alike(self, text: str, expected: RequirementId) -> None:
        assert expected == parse(text)
        assert text == str(parse(text))

    @pytest.mark.parametrize(
        "text", ["", "REQ", "REQ-0", "REQ-1.", "REQ-1-crud", "REQ-1.1-", "REQ-1.1-Crud", "req-1", "REQ-1.1-a--b"]
    )
    def test_refuses_other_forms(self, text: str) -> None:
        with pytest.raises(ValueError, match="no requirement ID"):
            parse(text)

    def test_levels_and_parents(self) -> None:
        assert [parse(t).level for t in ("REQ-1", "REQ-1.1", "REQ-1.1-crud")] == ["requirement", "criterion", "facet"]
        assert [parse(t).parent for t in ("REQ-1", "REQ-1.1", "REQ-1.1-crud")] == ["", "REQ-1", "REQ-1.1"]

    def test_orders_by_number(self) -> None:
        texts = ["REQ-10.1-a", "REQ-9.2-b", "REQ-9.10-a", "REQ-9"]

        assert sorted(texts, key=parse) == ["REQ-9", "REQ-9.2-b", "REQ-9.10-a", "REQ-10.1-a"]


def test_anchor_is_a_fragment() -> None:
    assert anchor("REQ-1.1-import-export") == "req-1-1-import-export"


class TestNear:
    known = ("REQ-1.1-crud", "REQ-1.1-search", "REQ-2.1-charts")

    def test_misspelling_comes_first(self) -> None:
        assert near("REQ-1.1-serch", self.known)[0] == "REQ-1.1-search"

    def test_siblings_fill_up(self) -> None:
        assert sorted(near("REQ-1.1-zzzzzzzz", self.known)) == ["REQ-1.1-crud", "REQ-1.1-search"]

    def test_nothing_near(self) -> None:
        assert near("elephant", self.known) == []
