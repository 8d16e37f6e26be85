from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crm_reference.contract import Library, Node
from crm_reference.contract.schema_tree import declared, undeclared, used

SCHEMAS = """
Order:
  type: object
  required: [lines]
  properties:
    id: {type: string, readOnly: true}
    lines: {type: array, items: {$ref: '#/Line'}}
    payer: {$ref: '#/Payer'}
    note: {anyOf: [{$ref: '#/Note'}, {type: 'null'}]}
Line: {type: object, properties: {count: {type: integer}, parts: {type: array, items: {$ref: '#/Line'}}}}
Note: {type: object, properties: {text: {type: string}}}
Payer:
  oneOf: [{$ref: '#/Person'}, {$ref: '#/Company'}]
  discriminator: {propertyName: kind, mapping: {person: '#/Person', company: '#/Company'}}
Person: {type: object, properties: {kind: {const: person}, name: {type: string}}}
Company: {type: object, properties: {kind: {const: company}, number: {type: string}}}
Free: {type: object, properties: {name: {type: string}}, additionalProperties: {$ref: '#/Note'}}
Joined: {allOf: [{$ref: '#/Note'}, {type: object, properties: {tag: {type: string}}}]}
Empty: {type: object}
Loose: {oneOf: [{$ref: '#/Note'}, {$ref: '#/Line'}, {type: string}]}
"""


@pytest.fixture
def schemas(tmp_path: Path) -> Node:
    (tmp_path / "s.yaml").write_text(SCHEMAS, encoding="utf-8")
    return Library(tmp_path).open("s.yaml").root


class TestDeclared:
    def test_names_every_place_once(self, schemas: Node) -> None:
        expected = [
            "#/lines", "#/lines/*/count", "#/lines/*/parts", "#/note", "#/note/text", "#/payer", "#/payer<Company>",
            "#/payer<Company>/kind", "#/payer<Company>/number", "#/payer<Person>", "#/payer<Person>/kind", "#/payer<Person>/name",
        ]  # fmt: skip

        assert expected == sorted(declared(schemas.child("Order")))

    def test_says_what_is_required(self, schemas: Node) -> None:
        found = declared(schemas.child("Order"))

        assert (found["#/lines"].required, found["#/note"].required) == (True, False)


class TestUsed:
    def test_names_places_as_declared_does(self, schemas: Node) -> None:
        value = {
            "id": "x",
            "lines": [{"count": 1, "parts": [{"count": 2}]}],
            "payer": {"kind": "company", "number": "7"},
            "note": {"text": "soon"},
            "other": 1,
        }
        found = {s.generic for s in used(schemas.child("Order"), value)}

        assert found <= set(declared(schemas.child("Order")))
        assert {"#/lines/*/parts", "#/payer<Company>/number", "#/note/text"} <= found
        assert not any("Person" in name for name in found)

    def test_gives_pointers_into_the_value(self, schemas: Node) -> None:
        spots = {s.pointer: s.value for s in used(schemas.child("Order"), {"lines": [{}, {"count": 5}]})}

        assert spots["#/lines/1/count"] == 5

    @pytest.mark.parametrize(
        ("value", "branch"), [({"text": "a"}, "<Note>"), ({"count": 1}, "<Line>"), ("word", "<2>"), (7, None), ({"kind": 1}, None)]
    )
    def test_chooses_a_branch_without_a_discriminator(self, schemas: Node, value: Any, branch: str | None) -> None:
        found = [s.generic for s in used(schemas.child("Loose"), value) if s.generic.endswith(">")]

        assert ([f"#{branch}"] if branch else []) == found

    def test_unknown_discriminator_takes_no_branch(self, schemas: Node) -> None:
        found = [s.generic for s in used(schemas.child("Order"), {"payer": {"kind": "state"}})]

        assert found == ["#/payer"]


class TestUndeclared:
    @pytest.mark.parametrize(
        ("schema", "value", "expected"),
        [
            ("Order", {"lines": [{"count": 1}, {"hue": 1, "parts": [{"x": 1}]}]}, ["#/lines/1/hue", "#/lines/1/parts/0/x"]),
            ("Order", {"payer": {"kind": "person", "number": "7"}}, ["#/payer/number"]),
            ("Order", {"note": {"text": "a", "by": "b"}}, ["#/note/by"]),
            ("Order", {"id": "a", "note": None}, []),
            ("Free", {"name": "a", "x": {"text": "b"}, "y": {"more": 1}}, ["#/y/more"]),
            ("Joined", {"text": "a", "tag": "b", "c": 1}, ["#/c"]),
            ("Empty", {"anything": {"goes": 1}}, []),
        ],
    )  # fmt: skip
    def test_names_members_that_no_schema_has(self, schemas: Node, schema: str, value: Any, expected: list[str]) -> None:
        assert list(undeclared(schemas.child(schema), value)) == expected
