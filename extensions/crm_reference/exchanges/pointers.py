"""JSON Pointers into answers, and the first difference between two values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from crm_reference.contract.yaml_source import escape


class _Absent:
    """What a pointer that leads nowhere finds; differs from every JSON value, ``null`` included."""

    def __repr__(self) -> str:
        return "nothing"


#: The one value of its kind: compare with ``is``.
ABSENT: Any = _Absent()


def find(document: Any, pointer: str, /) -> Any:
    """Return what a pointer leads to, or :data:`ABSENT`.

    >>> find({"items": [{"id": 7}]}, "#/items/0/id")
    7
    >>> find({"items": []}, "#/items/0")
    nothing

    :param pointer: RFC 6901, with or without the leading ``#``; the empty pointer is the whole document.
    """
    value = document
    for part in pointer.removeprefix("#").split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return ABSENT
    return value


def in_query(url: Any, parameter: str, /) -> Any:
    """Return a parameter of a URL's query, or :data:`ABSENT`: the code of a redirect, for instance.

    >>> in_query("https://tideplanner.example/callback?code=x7&state=s", "code")
    'x7'
    """
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True) if isinstance(url, str) else []
    return next((value for name, value in pairs if name == parameter), ABSENT)


def difference(expected: Any, found: Any, /, pointer: str = "#") -> tuple[str, Any, Any] | None:
    """Return the first place where two JSON values differ, to the letter, or ``None``.

    ``1`` and ``true`` differ, as do ``1`` and ``1.0``: a client of a typed language would see it. The order of members doesn't
    count, as JSON gives it no meaning.

    >>> difference({"a": [1, 2]}, {"a": [1, 3]})
    ('#/a/1', 2, 3)
    >>> difference({"a": 1}, {"a": 1, "b": 2})
    ('#/b', nothing, 2)

    :return: Pointer, what was expected there, and what was found.
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in (*expected, *(k for k in found if k not in expected)):
            below = difference(expected.get(key, ABSENT), found.get(key, ABSENT), f"{pointer}/{escape(str(key))}")
            if below:
                return below
        return None
    if _is_list(expected) and _is_list(found):
        for index in range(max(len(expected), len(found))):
            left = expected[index] if index < len(expected) else ABSENT
            right = found[index] if index < len(found) else ABSENT
            below = difference(left, right, f"{pointer}/{index}")
            if below:
                return below
        return None
    same = type(expected) is type(found) and expected == found
    return None if same else (pointer, expected, found)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def short(value: Any, /, limit: int = 120) -> str:
    """Return a value for a message: JSON-like, cut where it is long."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def contrast(wanted: Any, found: Any, /, limit: int = 120) -> tuple[str, str]:
    """Return two values for a message; of long texts the part where they begin to differ.

    >>> contrast("a" * 200 + "b", "a" * 200 + "c")
    ("…'aaaaaaaaaaaaaaaaaaaab'", "…'aaaaaaaaaaaaaaaaaaaac'")
    """
    if isinstance(wanted, str) and isinstance(found, str) and max(len(wanted), len(found)) > limit:
        pairs = zip(wanted, found, strict=False)
        start = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(wanted), len(found))) - 20
        if start > 0:
            return f"…{short(wanted[start:], limit)}", f"…{short(found[start:], limit)}"
    return short(wanted, limit), short(found, limit)
