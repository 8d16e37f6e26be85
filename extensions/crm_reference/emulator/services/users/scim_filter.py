"""SCIM's filters (RFC 7644, section 3.4.2.2): parsed by recursive descent, and held against resources.

``not`` binds closer than ``and``, ``and`` closer than ``or``. Names and operators may be written in any case.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.users import scim_schemas

#: Deepest nesting of parentheses; deeper ones cost stack and serve nobody.
_MAX_DEPTH = 10
_TOKEN = re.compile(r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<mark>[()\[\]])|(?P<word>[^\s()\[\]"]+))')
_PATH = re.compile(r"(?:(?P<urn>urn:[A-Za-z0-9:._-]+):)?(?P<name>[$A-Za-z][\w$-]*)(?:\.(?P<sub>[$A-Za-z][\w$-]*))?")
_WORDS = frozenset({"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"})
_TEXT_ONLY = frozenset({"co", "sw", "ew"})
_ORDERED = frozenset({"gt", "ge", "lt", "le"})

Tree = Mapping[str, Any]


class FilterError(ValueError):
    """A filter or a path that can't be read; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Path:
    """An attribute's name as a filter or a PATCH operation writes it.

    :param urn: URN of the schema; the core one where empty.
    :param sub: Sub-attribute; empty where the whole attribute is meant.
    """

    urn: str
    name: str
    sub: str

    def __str__(self) -> str:
        return f"{self.urn}:{self.name}" * bool(self.urn) + self.name * (not self.urn) + f".{self.sub}" * bool(self.sub)


def parse_path(text: str, /) -> Path:
    """Return an attribute path.

    :raises FilterError: If it isn't one.

    >>> parse_path("name.familyName")
    Path(urn='', name='name', sub='familyName')
    """
    found = _PATH.fullmatch(text)
    if found is None:
        raise FilterError(f"{text!r} is no attribute's name")
    return Path(found["urn"] or "", found["name"], found["sub"] or "")


class _Parser:
    """One pass over the tokens of a filter."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = 0

    def whole(self) -> dict[str, Any]:
        tree = self._either()
        if self._peek() is not None:
            raise FilterError(f"the filter goes on with {self._peek()!r} where it should end")
        return tree

    def _peek(self) -> str | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _take(self, wanted: str = "") -> str:
        token = self._peek()
        if token is None or (wanted and token.lower() != wanted):
            raise FilterError(f"the filter ends, or has {token!r}, where {wanted or 'a value'!r} should stand")
        self._at += 1
        return token

    def _either(self) -> dict[str, Any]:
        return self._joined("or", lambda: self._joined("and", self._one))

    def _joined(self, word: str, inner: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        found = [inner()]
        while (self._peek() or "").lower() == word:
            self._at += 1
            found.append(inner())
        return found[0] if len(found) == 1 else {"operator": word, "filters": found}

    def _one(self) -> dict[str, Any]:
        token = self._take()
        if token.lower() == "not" and self._peek() == "(":
            self._at += 1
            return {"operator": "not", "filter": self._inside(")")}
        if token == "(":
            return self._inside(")")
        path = parse_path(token)
        if self._peek() == "[":
            self._at += 1
            return {"operator": "has", "path": str(path), "filter": self._inside("]")}
        operator = self._take().lower()
        if operator == "pr":
            return {"operator": "pr", "path": str(path)}
        if operator not in _WORDS:
            raise FilterError(f"{operator!r} is no operator")
        return {"operator": operator, "path": str(path), "value": _value(self._take())}

    def _inside(self, close: str) -> dict[str, Any]:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise FilterError(f"the filter is nested deeper than {_MAX_DEPTH} levels")
        tree = self._either()
        self._take(close)
        self._depth -= 1
        return tree


def _tokens(text: str) -> Iterator[str]:
    at, end = 0, len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            raise FilterError(f"the filter can't be read from place {at} on")
        yield found[0].strip() if found["string"] is None else found["string"]
        at = found.end()


def _value(token: str) -> Any:
    try:
        value = json.loads(token)
    except ValueError:
        raise FilterError(f"{token!r} is no value; texts stand in double quotes") from None
    if isinstance(value, dict | list):
        raise FilterError(f"{token!r} is no single value")
    return value


def parse(text: str, /) -> dict[str, Any]:
    """Return a filter as a tree of ``{operator, path, value}``, ``{operator, filters}`` and ``{operator, filter}``.

    :raises FilterError: If it doesn't follow the grammar.
    """
    if not text.strip():
        raise FilterError("the filter is empty")
    return _Parser(text).whole()


@computes("scim_filter")
def scim_filter(given: Mapping[str, str]) -> dict[str, Any]:
    """Parse ``{filter}``; an error in place of a tree where it can't be."""
    try:
        return {"tree": parse(given["filter"])}
    except FilterError as error:
        return {"error": str(error)}


# -- holding a tree against a resource -------------------------------------------------------------------------------


def check(tree: Tree, kinds: tuple[str, ...], /, within: Path | None = None) -> None:
    """Refuse attributes that no kind of resource has, and operators that don't fit their type.

    :param within: The multi-valued attribute in whose brackets the tree stands.
    :raises FilterError: With the attribute's name.
    """
    for inner in tree.get("filters", ()):
        check(inner, kinds, within)
    operator = tree["operator"]
    if operator == "not":
        check(tree["filter"], kinds, within)
    if "path" not in tree:
        return
    path = parse_path(tree["path"])
    found = [a for kind in kinds if (a := _attribute(kind, path, within)) is not None]
    if not found:
        raise FilterError(f"{path} is no attribute of {' or '.join(kinds)}")
    if operator == "has":
        check(tree["filter"], kinds, path)
    elif operator in _TEXT_ONLY | _ORDERED and all(a["type"] == "boolean" for a in found):
        raise FilterError(f"{path} is true or false, and takes eq, ne and pr alone")
    elif operator in _TEXT_ONLY and not isinstance(tree["value"], str):
        raise FilterError(f"{operator} compares texts; put the value in double quotes")


def _attribute(kind: str, path: Path, within: Path | None) -> scim_schemas.Attribute | None:
    if within is not None:
        outer = scim_schemas.find(kind, within.urn, within.name)
        return scim_schemas.sub(outer, path.name) if outer is not None and not path.sub else None
    found = scim_schemas.find(kind, path.urn, path.name)
    return scim_schemas.sub(found, path.sub) if found is not None and path.sub else found


def member(data: Any, name: str, /) -> Any:
    """Return a member by its name, whatever the case of its letters."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if key.lower() == name.lower():
                return value
    return None


def values(data: Any, path: Path, /) -> list[Any]:
    """Return the values that a path leads to; a multi-valued complex attribute without a sub-attribute gives its ``value``."""
    at = member(data, path.urn) if path.urn and not path.urn.lower().startswith(scim_schemas.CORE.lower()) else data
    found = member(at, path.name)
    listed = found if isinstance(found, list) else [found]
    if path.sub:
        listed = [member(entry, path.sub) for entry in listed]
    elif isinstance(found, list):
        listed = [entry.get("value") if isinstance(entry, Mapping) else entry for entry in listed]
    return [value for value in listed if value is not None]


#: Attributes whose case counts (RFC 7643, section 3.1 and 4); all others are compared without regard to it.
_EXACT = frozenset({"id", "externalid", "$ref", "location", "version"})


def matches(tree: Tree, resource: Mapping[str, Any], /) -> bool:
    """Tell whether a resource fits a tree; an attribute that it lacks fits ``ne`` and nothing else."""
    operator = tree["operator"]
    if operator in ("and", "or"):
        return (all if operator == "and" else any)(matches(inner, resource) for inner in tree["filters"])
    if operator == "not":
        return not matches(tree["filter"], resource)
    path = parse_path(tree["path"])
    if operator == "has":
        found = member(resource, path.name)
        return any(matches(tree["filter"], entry) for entry in (found if isinstance(found, list) else [found]) if entry)
    present = values(resource, path)
    if operator == "pr":
        return any(value not in ("", [], {}) for value in present)
    if tree["value"] is None:
        return bool(present) if operator == "ne" else not present
    exact = (path.sub or path.name).lower() in _EXACT
    if operator == "ne":
        return not any(_compare("eq", value, tree["value"], exact) for value in present)
    return any(_compare(operator, value, tree["value"], exact) for value in present)


_COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: bool(a == b),
    "co": lambda a, b: b in a,
    "sw": lambda a, b: bool(a.startswith(b)),
    "ew": lambda a, b: bool(a.endswith(b)),
    "gt": lambda a, b: bool(a > b),
    "ge": lambda a, b: bool(a >= b),
    "lt": lambda a, b: bool(a < b),
    "le": lambda a, b: bool(a <= b),
}


def _compare(operator: str, value: Any, wanted: Any, exact: bool) -> bool:
    if isinstance(value, bool) != isinstance(wanted, bool) or isinstance(value, str) != isinstance(wanted, str):
        return False
    if isinstance(value, str) and not exact:
        value, wanted = value.casefold(), wanted.casefold()
    return _COMPARISONS[operator](value, wanted)


@computes("scim_match")
def scim_match(given: Mapping[str, Any]) -> bool:
    """Tell whether ``{resource}`` fits ``{filter}``."""
    return matches(parse(given["filter"]), given["resource"])
