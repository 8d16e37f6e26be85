"""JSON data as literals of the samples' languages, on one line where it fits and else a member a line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

#: A width that every line fits in.
_ENDLESS = 10**9
#: By how much compact JSON may be longer than a literal, for its escapes and for letters of two bytes and more.
_SLACK = 100

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")


class Source(str):
    """A string that is source text already and is written as it stands."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _Language:
    """How a language writes values.

    :param pad: What stands inside the braces of an object on one line.
    :param last: What stands behind the last member where each has its own line.
    """

    indent: int
    pad: str
    last: str
    scalar: Callable[[Any], str]
    key: Callable[[str], str]


def python_literal(value: Any, width: int, /) -> str:
    """Return a Python literal, strings in double quotes.

    >>> print(python_literal({"is_covered": True, "tags": ["tugs"]}, 88))
    {"is_covered": True, "tags": ["tugs"]}
    >>> print(python_literal({"is_covered": True, "tags": ["tugs"]}, 24))
    {
        "is_covered": True,
        "tags": ["tugs"],
    }

    :param width: What a line may hold, in characters.
    """
    return _literal(value, width, 0, _PYTHON)


def script_literal(value: Any, width: int, /) -> str:
    """Return a JavaScript literal; keys that are names stand without quotes.

    >>> print(script_literal({"is_covered": True, "If-Match": None}, 88))
    { is_covered: true, "If-Match": null }
    """
    return _literal(value, width, 0, _SCRIPT)


def json_literal(value: Any, width: int, /) -> str:
    """Return JSON text.

    >>> print(json_literal({"tags": ["tugs"]}, 12))
    {
      "tags": [
        "tugs"
      ]
    }
    """
    return _literal(value, width, 0, _DATA)


def shell_word(text: str, /) -> str:
    """Return a word for bash: in double quotes where nothing in it is special there, else in single ones.

    >>> print(shell_word('If-Match: "2"'))
    'If-Match: "2"'
    >>> print(shell_word("Content-Type: application/json"))
    "Content-Type: application/json"
    """
    if "\n" not in text and not re.search(r'["$`\\!]', text):
        return f'"{text}"'
    return "'" + text.replace("'", "'\\''") + "'"


def _literal(value: Any, width: int, depth: int, language: _Language) -> str:
    if isinstance(value, Mapping):
        opening, closing, pad = "{", "}", language.pad
        parts = [(language.key(str(k)) + ": ", v) for k, v in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        opening, closing, pad = "[", "]", ""
        parts = [("", v) for v in value]
    else:
        return str(value) if isinstance(value, Source) else language.scalar(value)
    if not parts:
        return opening + closing
    room = width - depth * language.indent
    # What is far too long as compact JSON needn't be tried: trying costs as much as all that lies below.
    if len(orjson.dumps(value)) <= room + _SLACK:
        flat = [prefix + _literal(v, _ENDLESS, 0, language) for prefix, v in parts]
        line = f"{opening}{pad}{', '.join(flat)}{pad}{closing}"
        if len(line) <= room:
            return line
    inner = " " * (language.indent * (depth + 1))
    broken = [f"{inner}{p}{_literal(v, width - len(p) - 1, depth + 1, language)}" for p, v in parts]
    end = f"{language.last}\n{' ' * (language.indent * depth)}{closing}"
    return f"{opening}\n" + ",\n".join(broken) + end


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _quoted(value: Any) -> str:
    """Return a scalar as JavaScript writes it, and Python a string.

    Single quotes are taken where they spare backslashes.
    """
    if isinstance(value, str) and '"' in value and "'" not in value and "\\" not in value and value.isprintable():
        return f"'{value}'"
    return _json(value)


def _python_scalar(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else repr(value)


def _script_key(name: str) -> str:
    return name if _NAME.fullmatch(name) else _quoted(name)


_PYTHON = _Language(indent=4, pad="", last=",", scalar=_python_scalar, key=_quoted)
_SCRIPT = _Language(indent=2, pad=" ", last=",", scalar=_quoted, key=_script_key)
_DATA = _Language(indent=2, pad="", last="", scalar=_json, key=_json)
