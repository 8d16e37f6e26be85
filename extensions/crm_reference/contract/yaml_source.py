"""YAML text to JSON data and a line for each pointer.

The dialect is YAML's core schema as JSON needs it: only ``true`` and ``false`` are booleans (Norway's ``NO`` stays a string), dates
and times stay strings, and a key that stands twice in one mapping is an error rather than a silent loss.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

#: JSON Pointer to the 1-based line on which the value's key (or list entry) begins.
Lines = dict[str, int]


class YamlError(ValueError):
    """The text is not a YAML document of JSON data; ``line`` is 1-based."""

    def __init__(self, message: str, line: int) -> None:
        self.line = line
        super().__init__(message)


class _Loader(yaml.CSafeLoader):
    """libyaml with the implicit resolvers of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  (PyYAML's own name)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|)$"), ["~", "n", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9]\d*)$"), list("-0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^-?\d+(?:\.\d+(?:[eE][-+]?\d+)?|[eE][-+]?\d+)$"), list("-0123456789")
)


def parse(text: bytes | str) -> tuple[Any, Lines]:
    """Parse one document.

    >>> parse("country: NO\\non: 2026-01-05\\n")
    ({'country': 'NO', 'on': '2026-01-05'}, {'': 1, '/country': 1, '/on': 2})

    :param text: YAML in UTF-8.
    :return: The data (dict, list, str, int, float, bool, None) and the line of each pointer.
    :raises YamlError: If the text is not YAML, has a duplicate key, or is empty.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except UnicodeDecodeError as error:
        raise YamlError("is not UTF-8 text", 1) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(filter(None, (error.context, error.problem)))
        raise YamlError(f"is not YAML: {problem}", mark.line + 1 if mark else 1) from error
    except yaml.reader.ReaderError as error:
        said = "is not UTF-8 text" if "UTF-8" in str(error.reason) else f"is not YAML: {error.reason}"
        before = text[: error.position].encode() if isinstance(text, str) else text[: error.position]
        raise YamlError(said, before.count(b"\n") + 1) from error
    if node is None:
        raise YamlError("is empty", 1)
    lines: Lines = {"": node.start_mark.line + 1}
    return _build(loader, node, "", lines), lines


def _build(loader: _Loader, node: yaml.Node, pointer: str, lines: Lines) -> Any:
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key, str):
                raise YamlError("has a key that is not a string", line)
            if key in result:
                raise YamlError(f"has the key {key!r} twice in one mapping", line)
            child = f"{pointer}/{escape(key)}"
            lines[child] = line
            result[key] = _build(loader, value_node, child, lines)
        return result
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            child = f"{pointer}/{index}"
            lines[child] = item.start_mark.line + 1
            items.append(_build(loader, item, child, lines))
        return items
    return loader.construct_object(node)


def escape(key: str) -> str:
    """Escape one key for a JSON Pointer (RFC 6901, section 3)."""
    return key if "/" not in key and "~" not in key else key.replace("~", "~0").replace("/", "~1")
