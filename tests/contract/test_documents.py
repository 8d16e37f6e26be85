"""Documents, their cache, places, nodes and references."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crm_reference.contract import ContractError, Library, Node
from crm_reference.contract.documents import Cache, Place


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a.yaml").write_text("one:\n  two: {$ref: 'b.yaml#/parts/x~1y'}\n  list: [3, 4]\n", encoding="utf-8")
    circle = "  loop: {$ref: '#/parts/pool'}\n  pool: {$ref: '#/parts/loop'}\n"
    (tmp_path / "b.yaml").write_text("parts:\n  x/y: {type: string}\n" + circle, encoding="utf-8")
    return tmp_path


class TestCache:
    def test_keeps_what_was_parsed(self, root: Path) -> None:
        folder = root / "cache"
        first = Library(root, folder).open("a.yaml")
        data, lines = first.data, first.lines

        again = Library(root, folder).open("a.yaml")

        assert len(list(folder.glob("*.json"))) == 2
        assert (data, lines) == (again.data, again.lines)

    @pytest.mark.parametrize("rubbish", [b"", b"{", b"\xff\xfe", b"not json"])
    def test_ignores_rubbish(self, root: Path, rubbish: bytes) -> None:
        folder = root / "cache"
        expected = Library(root, folder).open("a.yaml").data
        for file in folder.iterdir():
            file.write_bytes(rubbish)

        document = Library(root, folder).open("a.yaml")

        assert expected == document.data
        assert document.lines["/one/two"] == 2

    def test_lines_of_the_wrong_shape_are_parsed_anew(self, root: Path) -> None:
        folder = root / "cache"
        document = Library(root, folder).open("a.yaml")
        (folder / f"{document.digest}.lines.json").parent.mkdir(parents=True)
        (folder / f"{document.digest}.lines.json").write_bytes(b"[1, 2]")

        assert document.lines["/one/two"] == 2

    def test_changes_with_the_text(self, root: Path) -> None:
        folder = root / "cache"
        assert "one" in Library(root, folder).open("a.yaml").data
        (root / "a.yaml").write_text("other: 1\n", encoding="utf-8")

        assert Library(root, folder).open("a.yaml").data == {"other": 1}

    def test_read_only_folder_is_no_error(self, root: Path, read_only: Callable[[Path], None]) -> None:
        folder = root / "cache"
        folder.mkdir()
        read_only(folder)

        assert "one" in Library(root, folder).open("a.yaml").data

    def test_folder_that_is_a_file_is_no_error(self, root: Path) -> None:
        (root / "cache").write_text("in the way", encoding="utf-8")

        assert "one" in Library(root, root / "cache").open("a.yaml").data

    def test_none_keeps_nothing(self, root: Path) -> None:
        Cache(None).write("x.json", {"a": 1})

        assert Cache(None).read("x.json") is None


class TestPlace:
    def test_prints_file_and_line(self, root: Path) -> None:
        assert str(Library(root).open("a.yaml").root.child("one").child("list").place) == "a.yaml:3"

    def test_takes_the_nearest_parents_line(self, root: Path) -> None:
        assert Place(Library(root).open("a.yaml"), "/one/list/7/deep").line == 3

    def test_begins_at_the_top(self, root: Path) -> None:
        assert Place(Library(root).open("a.yaml"), "/nowhere").line == 1


class TestReferences:
    def test_lead_into_other_files(self, root: Path) -> None:
        node = Library(root).open("a.yaml").root.child("one").child("two").resolved()

        assert (node.document.name, node.pointer, node.value) == ("b.yaml", "/parts/x~1y", {"type": "string"})
        assert node.name == "x/y"

    @pytest.mark.parametrize(
        ("reference", "says"),
        [
            ("c.yaml#/x", "no such file"),
            ("../../etc/passwd", "no such file"),
            ("b.yaml#/parts/z", "has no 'z'"),
            ("a.yaml#/one/list/9", "has no '9'"),
            ("a.yaml#/one/list/first", "has no 'first'"),
        ],
    )
    def test_that_dangle_name_their_place(self, root: Path, reference: str, says: str) -> None:
        (root / "c.yml").write_text(f"first: 1\nx: {{$ref: '{reference}'}}\n", encoding="utf-8")

        with pytest.raises(ContractError, match=says) as caught:
            Library(root).open("c.yml").root.child("x").resolved()

        assert str(caught.value.findings[0].place) == "c.yml:2"

    def test_that_turn_in_a_circle_are_found(self, root: Path) -> None:
        with pytest.raises(ContractError, match="back to itself"):
            Library(root).open("b.yaml").root.child("parts").child("loop").resolved()


class TestNode:
    def test_walks_members_and_entries(self, root: Path) -> None:
        one = Library(root).open("a.yaml").root.child("one")

        assert [name for name, _ in one.items()] == ["two", "list"]
        assert [entry.value for entry in one.entries("list")] == [3, 4]
        assert [*one.entries("absent"), *one.items("absent")] == []

    def test_absent_members_have_a_default(self, root: Path) -> None:
        one = Library(root).open("a.yaml").root.child("one")

        assert one.get("nothing", "missing") == "missing"
        assert "nothing" not in one
        assert one.child("list").child(0).get("x") is None

    def test_uri_is_percent_encoded(self, root: Path) -> None:
        node = Node(Library(root).open("a.yaml"), "/paths/~1berths~1{id}", {})

        assert node.uri == "https://specs.crm.example/a.yaml#/paths/~1berths~1%7Bid%7D"


class TestFiles:
    def test_that_are_missing_are_named(self, root: Path) -> None:
        with pytest.raises(ContractError, match=r"nothing\.yaml:1: can't be read"):
            _ = Library(root).open("nothing.yaml").data

    def test_that_are_broken_have_a_line(self, root: Path) -> None:
        (root / "broken.yaml").write_text("a: 1\nb: [\n", encoding="utf-8")

        with pytest.raises(ContractError, match=r"broken\.yaml:3: is not YAML"):
            _ = Library(root).open("broken.yaml").data

    def test_json_is_read_without_lines(self, root: Path) -> None:
        (root / "c.json").write_text('{"a": 1}', encoding="utf-8")
        document = Library(root).open("c.json")

        assert (document.data, document.lines) == ({"a": 1}, {})

    def test_broken_json_has_a_line(self, root: Path) -> None:
        (root / "c.json").write_text('{"a": 1,\n"b"}', encoding="utf-8")

        with pytest.raises(ContractError, match=r"c\.json:2: is not JSON"):
            _ = Library(root).open("c.json").data

    def test_glob_is_sorted(self, root: Path) -> None:
        assert [d.name for d in Library(root).glob("*.yaml")] == ["a.yaml", "b.yaml"]
