"""Schemas as trees and words, without a build."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from crm_reference.contract import load
from crm_reference.contract.documents import Library, Node
from crm_reference.sphinx import diagrams, exchanges, words
from crm_reference.sphinx.markup import to_html, to_nodes, to_tex
from crm_reference.sphinx.trees import build_tree


@pytest.mark.parametrize("module", [words, diagrams, exchanges], ids=lambda m: m.__name__)
def test_examples_in_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0


def _schema(tmp_path: Path, text: str) -> Node:
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    return Library(tmp_path).open("s.yaml").root.child("components").child("schemas").child("A")


def test_cyclic_schema_is_finite(tmp_path: Path) -> None:
    node = _schema(
        tmp_path,
        "components: {schemas: {A: {type: object, properties: {child: {$ref: '#/components/schemas/A'}, "
        "children: {type: array, items: {$ref: '#/components/schemas/A'}}}}}}",
    )
    tree = build_tree(node)

    assert [f.name for f in tree.fields] == ["child", "children"]
    assert tree.fields[0].marks == ("recursive",)
    assert tree.fields[0].fields == ()


def test_value_that_holds_itself_is_finite(tmp_path: Path) -> None:
    node = _schema(
        tmp_path,
        "components: {schemas: {A: {type: [string, array], items: {$ref: '#/components/schemas/A'}, "
        "additionalProperties: {$ref: '#/components/schemas/A'}}}}",
    )

    assert build_tree(node).type == "string or array"


def test_what_stands_beside_a_reference_wins(harbour: Path) -> None:
    tree = build_tree(load(harbour).schemas["Berth"].node)
    name = next(f for f in tree.fields if f.name == "name")

    assert name.description == "Name on the harbour's map."
    assert name.marks == ("always there",)
    assert "1 to 120 characters" in name.constraints


def test_union_with_null_is_one_type(harbour: Path) -> None:
    tree = build_tree(load(harbour).schemas["BerthUpdate"].node)
    address = next(f for f in tree.fields if f.name == "contact_email")

    assert (address.type, address.branches) == ("string or null, e-mail address", ())
    assert "3 to 254 characters" in address.constraints


def test_later_part_of_all_of_refines_the_earlier(harbour: Path) -> None:
    tree = build_tree(load(harbour).events["crm.berth.created.v1"].payload)

    assert [f.name for f in tree.fields].count("type") == 1
    assert next(f for f in tree.fields if f.name == "type").constraints == ("always `crm.berth.created.v1`",)


def test_linked_schema_is_named_and_not_expanded(harbour: Path) -> None:
    tree = build_tree(load(harbour).schemas["BerthPage"].node, linked=["Berth"])
    data = next(f for f in tree.fields if f.name == "data")

    assert (data.type, data.schema, data.linked, data.fields) == ("array of objects", "Berth", True, ())


def test_every_shared_schema_has_a_tree(harbour: Path) -> None:
    for schema in load(harbour).common_schemas.values():
        assert build_tree(schema.node).type


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"minimum": 1, "maximum": 200}, "1 to 200"),
        ({"exclusiveMinimum": 0}, "more than 0"),
        ({"minItems": 0, "maxItems": 5, "uniqueItems": True}, "at most 5 entries; no entry twice"),
        ({"multipleOf": 5}, "a multiple of 5"),
        ({"pattern": "^a`b$"}, "matches `` ^a`b$ ``"),
        ({"const": True}, "always `true`"),
        ({"additionalProperties": False}, "no other members"),
        ({"dependentRequired": {"a": ["b"]}}, "`a` demands `b`"),
        ({"propertyNames": {"maxLength": 3}}, "names: at most 3 characters"),
        ({"default": ""}, "default an empty text"),
    ],
)
def test_constraints_in_words(schema: dict[str, object], expected: str) -> None:
    assert "; ".join(words.constraints(schema)) == expected


def _name(text: str) -> tuple[str, str] | None:
    return ("operation", text) if text == "createBerth" else None


def test_prose_keeps_markup_in_each_format() -> None:
    text = "Use `createBerth` & *never* `<b>`.\n\n- one\n- two"

    assert to_html(text, _name, lambda _k, name, shown: f'<a href="#{name}">{shown}</a>') == (
        '<p>Use <a href="#createBerth"><code>createBerth</code></a> &amp; <em>never</em> <code>&lt;b&gt;</code>.</p>'
        "<ul><li>one</li><li>two</li></ul>"
    )
    assert r"\&" in to_tex(text, _name, lambda _k, _n, shown: shown)
    paragraph, items = to_nodes(text, _name)
    assert paragraph.astext() == "Use createBerth & never <b>."
    assert len(items) == 2
