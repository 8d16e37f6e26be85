"""YAML to JSON data and lines."""

from __future__ import annotations

import pytest

from crm_reference.contract.yaml_source import YamlError, escape, parse


class TestValues:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            ("NO", "NO"),
            ("yes", "yes"),
            ("on", "on"),
            ("true", True),
            ("false", False),
            ("True", "True"),
            ("null", None),
            ("~", None),
            ("12", 12),
            ("-3", -3),
            ("0", 0),
            ("012", "012"),
            ("0x1f", "0x1f"),
            ("1_000", "1_000"),
            ("1.5", 1.5),
            ("1e3", 1000.0),
            ("12:30", "12:30"),
            ("2026-01-05", "2026-01-05"),
            ("2026-01-05T09:00:00Z", "2026-01-05T09:00:00Z"),
            (".inf", ".inf"),
            ("=", "="),
            ("'12'", "12"),
        ],
    )
    def test_are_those_of_json(self, text: str, value: object) -> None:
        found = parse(f"key: {text}\n")[0]["key"]

        assert value == found
        assert type(value) is type(found)

    def test_keys_are_texts(self) -> None:
        assert parse("200: ok\ntrue: 1\n")[0] == {"200": "ok", "true": 1}

    def test_aliases_are_written_out(self) -> None:
        assert parse("a: &x [1]\nb: *x\n")[0] == {"a": [1], "b": [1]}


class TestLines:
    def test_each_pointer_has_the_line_of_its_key(self) -> None:
        text = "info:\n  title: Berths\npaths:\n  /berths/{id}:\n    get:\n      tags:\n        - berths\n        - more\n"
        _, lines = parse(text)

        assert lines["/info/title"] == 2
        assert lines["/paths/~1berths~1{id}"] == 4
        assert lines["/paths/~1berths~1{id}/get/tags/0"] == 7
        assert lines["/paths/~1berths~1{id}/get/tags/1"] == 8

    def test_folded_text_begins_at_its_key(self) -> None:
        assert parse("a: 1\nb: >-\n  some\n  text\n")[1]["/b"] == 2


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "line", "says"),
        [
            ("a: 1\nb: 2\na: 3\n", 3, "'a' twice"),
            ("a: {b: 1, b: 2}\n", 1, "'b' twice"),
            ("a: [1\nb: 2\n", 2, "is not YAML"),
            ("", 1, "is empty"),
            ("# a comment\n", 1, "is empty"),
            ("? [1, 2]\n: value\n", 1, "not a string"),
            (b"a: \xff\n", 1, "is not"),
        ],
    )
    def test_names_the_line(self, text: bytes | str, line: int, says: str) -> None:
        with pytest.raises(YamlError, match=says) as caught:
            parse(text)

        assert line == caught.value.line


def test_pointers_are_escaped() -> None:
    assert escape("/contacts/{id}~") == "~1contacts~1{id}~0"
