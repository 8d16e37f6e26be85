"""Values just inside and just outside of what a schema admits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

from crm_reference.contract import Node
from crm_reference.contract.schema_tree import says

_SETTINGS = settings(
    database=None,
    derandomize=True,
    max_examples=200,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    deadline=None,
)
_GENERATED: dict[tuple[str, int, int], str | None] = {}


def inside(node: Node, value: Any, /) -> Iterator[Any]:
    """Yield values on and just inside each bound.

    :param value: A valid value, on which variations are built.
    """
    yield from says(node, "enum") or ()
    low, high = says(node, "minimum"), says(node, "maximum")
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield from [v for v in (low, high) if v is not None]
    if isinstance(value, str) and says(node, "enum") is None and says(node, "format") is None:
        for length in {says(node, "minLength"), says(node, "maxLength")} - {None}:
            text = _text(says(node, "pattern"), length)
            if text is not None:
                yield text


def outside(node: Node, value: Any, /) -> Iterator[tuple[Any, set[str]]]:
    """Yield values just outside each bound, each with the codes that may answer it."""
    if says(node, "enum") is not None or says(node, "const") is not None:
        if isinstance(value, str):
            yield "no_such_choice", {"invalid_choice"}
        return
    if isinstance(value, str):
        yield from _strings(node)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if (low := says(node, "minimum")) is not None:
            yield low - 1, {"out_of_range"}
        if (high := says(node, "maximum")) is not None:
            yield high + 1, {"out_of_range"}
    elif isinstance(value, list):
        yield from _lists(node, value)


def _strings(node: Node) -> Iterator[tuple[Any, set[str]]]:
    shape = {"invalid_format"} if says(node, "pattern") or says(node, "format") else set()
    if (low := says(node, "minLength")) and low > 0:
        yield "a" * (low - 1), {"too_short", *shape}
    if (high := says(node, "maxLength")) is not None:
        yield "a" * (high + 1), {"too_long", *shape}
    if shape:
        pattern = says(node, "pattern")
        wrong = next((t for t in ("\u0007", "no such form", "!", "") if pattern is None or not re.search(pattern, t)), None)
        if wrong is not None:
            yield wrong, {"invalid_format", "too_short", "too_long"}


def _lists(node: Node, value: list[Any]) -> Iterator[tuple[Any, set[str]]]:
    if (low := says(node, "minItems")) and low > 0:
        yield value[: low - 1], {"too_short"}
    if (high := says(node, "maxItems")) is not None and value and high <= 200:
        yield [value[0]] * (high + 1), {"too_long"}
    if says(node, "uniqueItems") and value:
        yield [value[0], value[0]], {"not_unique"}


def _text(pattern: str | None, length: int) -> str | None:
    """Return a text of a length that matches a pattern, or ``None`` where none is found."""
    if pattern is None:
        return "a" * length
    for filler in ("a", "A", "1", "a1"):
        text = (filler * length)[:length]
        if re.search(pattern, text):
            return text
    key = (pattern, length, length)
    if key not in _GENERATED:
        _GENERATED[key] = _generate(pattern, length)
    return _GENERATED[key]


def _generate(pattern: str, length: int) -> str | None:
    if length > 64:
        return None  # Generating long texts by search costs seconds and proves what a short one does.
    try:
        return find(
            st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True), lambda text: len(text) == length, settings=_SETTINGS
        )
    except HypothesisException:
        return None
