"""Patterns of text fields: what a backtracking engine answers too, and in time where that one would not end."""

from __future__ import annotations

import random
import re
import time

import pytest

from crm_reference.emulator.custom_fields.patterns import fault, fits


def _made(draw: random.Random, depth: int = 0) -> str:
    kind = draw.random()
    if depth > 3 or kind < 0.4:
        return draw.choice(["a", "b", "[ab]", "[^a]", ".", "[a-c]", "\\."])
    if kind < 0.6:
        return _made(draw, depth + 1) + _made(draw, depth + 1)
    if kind < 0.75:
        return f"({_made(draw, depth + 1)}|{_made(draw, depth + 1)})"
    count = draw.choice(["*", "+", "?", "{2}", "{1,3}", "{0,2}", "{2,}", "{0}"])
    return f"({_made(draw, depth + 1)}){count}"


def test_it_agrees_with_an_engine_that_backtracks() -> None:
    draw = random.Random(20260105)
    for _ in range(1500):
        pattern = _made(draw)
        text = "".join(draw.choice("abc.") for _ in range(draw.randrange(7)))

        assert fits(pattern, text) is bool(re.fullmatch(pattern, text)), (pattern, text)


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a*)*b", "((a?){20}){20}b", "(.*a){30}b", "([a-z]*|.*)*[0-9]"])
def test_no_pattern_takes_long(pattern: str) -> None:
    began = time.perf_counter()

    assert not fault(pattern)
    assert not fits(pattern, "a" * 5000 + "!")
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "[",
        "[]",
        "a{2,1}",
        "a**",
        "*a",
        "\\d",
        "\\",
        "(?=a)",
        "(?i)a",
        "^a",
        "a$",
        "[z-a]",
        "a{1001}",
        "((){9999}){9999}",
        "\\1",
    ],
)
def test_what_is_no_pattern_is_told(pattern: str) -> None:
    assert fault(pattern)
    assert fits(pattern, "whatever stands there already")


def test_groups_are_bounded() -> None:
    assert fault("(" * 21 + "a" + ")" * 21)
    assert not fault("(" * 20 + "a" + ")" * 20)
