"""Filters, text queries, sorts and cursors to SQL over JSON documents.

Only field names that ``x-query`` lists reach the SQL text; values are always bound. So no request can inject anything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from crm_reference.contract import QueryField, Resource
from crm_reference.contract.schema_tree import property_node
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record

_COMPARISONS = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_CURSOR_KEY = b"cursors of the emulator"
_CURSOR_SECONDS = 86_400
_WORD = re.compile(r"\w+", re.UNICODE)


@dataclass(slots=True)
class Sort:
    """One field of an order."""

    field: str
    descending: bool = False


@dataclass(slots=True)
class Condition:
    """An SQL condition and its bound values; empty text for none."""

    sql: str = ""
    arguments: list[Any] = field(default_factory=list)

    def and_(self, other: Condition) -> Condition:
        """Return the conjunction."""
        if not self.sql or not other.sql:
            return self if self.sql else other
        return Condition(f"({self.sql}) and ({other.sql})", [*self.arguments, *other.arguments])

    def or_(self, other: Condition) -> Condition:
        """Return the disjunction; a condition without text is left out of it."""
        if not self.sql or not other.sql:
            return self if self.sql else other
        return Condition(f"({self.sql}) or ({other.sql})", [*self.arguments, *other.arguments])


class Fields:
    """What can be asked of a resource: its ``x-query`` table and the tenant's custom fields.

    :param masked: Members that the caller may not see and so not ask for.
    """

    def __init__(
        self, resource: Resource, custom: Mapping[str, QueryField] | None = None, masked: frozenset[str] = frozenset()
    ) -> None:
        self.resource = resource
        # A filter on a field that the caller may not see would tell its value, bit by bit.
        self.table = {
            n: f for n, f in {**resource.query, **(custom or {})}.items() if n not in masked and n.split(".")[0] not in masked
        }
        # What is unique in any case of letters is found in any case of letters.
        rules = (r for r in resource.rules if r.kind == "unique" and not r.options.get("case_sensitive"))
        self._folded = {name for rule in rules for name in rule.options["fields"]}

    def expression(self, name: str) -> tuple[str, str]:
        """Return the SQL source of a field's value, and the list to walk for it (empty where it is a single value)."""
        if name in ("id", "version"):
            return name, ""
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            node = property_node(self.resource.node, parts[:length])
            if node is not None and node.get("type") == "array":
                rest = ".".join(parts[length:])
                value = f"item.value->>'$.{rest}'" if rest else "item.value"
                return value, f"json_each(doc, '$.{'.'.join(parts[:length])}') item"
        return member(name), ""

    def condition(self, name: str, operator: str, value: Any) -> Condition:
        """Return the condition of one filter. The operator must be one that the field takes."""
        source, walk = self.expression(name)
        if name.startswith("custom_fields."):  # json_each walks the choices of a field with several; a single value is one row
            source, walk = "item.value", f"json_each(doc, '$.{name}') item"
        negated = operator in ("ne", "not_in", "is_not_set")
        positive = {"ne": "eq", "not_in": "in", "is_not_set": "is_set"}.get(operator, operator)
        if name in self._folded and positive in ("eq", "in"):
            source += " collate nocase"
        inner = _condition(source, positive, value)
        if walk:
            inner = Condition(f"exists (select 1 from {walk} where {inner.sql})", inner.arguments)
        if negated:
            return Condition(f"not coalesce(({inner.sql}), 0)", inner.arguments)
        return inner

    def groups(self, groups: Sequence[Mapping[str, Any]], pointer: str = "#/filter_groups") -> Condition:
        """Return the condition of a search's filter groups.

        :raises Problem: ``validation_failed`` with an entry for each field or operator that doesn't fit.
        """
        errors: list[dict[str, str]] = []
        alternatives = Condition()
        for g, group in enumerate(groups):
            conjunction = Condition()
            for f, filter_ in enumerate(group["filters"]):
                place = f"{pointer}/{g}/filters/{f}"
                known = self.table.get(filter_["field"])
                if known is None or not known.operators:
                    errors.append(
                        {"pointer": f"{place}/field", "code": "unknown_field", "detail": f"{filter_['field']} can't be filtered"}
                    )
                elif filter_["operator"] not in known.operators:
                    detail = f"{filter_['field']} takes " + ", ".join(known.operators)
                    errors.append({"pointer": f"{place}/operator", "code": "invalid_operator", "detail": detail})
                else:
                    value = filter_.get("value", filter_.get("values", (filter_.get("from"), filter_.get("to"))))
                    conjunction = conjunction.and_(self.condition(filter_["field"], filter_["operator"], value))
            alternatives = alternatives.or_(conjunction)
        if errors:
            raise Problem("validation_failed", "The search uses fields or operators that don't fit; see errors.", errors)
        return alternatives

    def text(self, query: str) -> Condition:
        """Return the condition of a text query: each of its words begins a word of the record."""
        found = Condition()
        for word in words_of(query).split():
            found = found.and_(Condition("words like ? escape '\\'", [f"% {_like(word)}%"]))
        return found

    def order(self, sorts: Sequence[Sort]) -> str:
        """Return the ORDER BY of a sort, made total by the ID. Records without a value come last in both directions."""
        parts = []
        for sort in sorts:
            source = self.expression(sort.field)[0]
            parts.append(f"({source}) is null, {source} collate nocase {'desc' if sort.descending else 'asc'}")
        return ", ".join([*parts, "id"])

    def behind(self, sorts: Sequence[Sort], values: Sequence[Any], id: str) -> Condition:
        """Return the condition of what comes behind a record in a sort (keyset paging)."""
        alternatives = Condition()
        equal = Condition()
        for sort, value in zip(sorts, values, strict=True):
            source = self.expression(sort.field)[0]
            if value is None:
                # Nothing but other records without a value comes behind one without.
                equal = equal.and_(Condition(f"({source}) is null"))
                continue
            sign = "<" if sort.descending else ">"
            beyond = Condition(f"({source}) is null or {source} collate nocase {sign} ?", [value])
            alternatives = alternatives.or_(equal.and_(beyond))
            equal = equal.and_(Condition(f"{source} collate nocase = ?", [value]))
        return alternatives.or_(equal.and_(Condition("id > ?", [id])))

    def sort_values(self, sorts: Sequence[Sort], record: Record) -> list[Any]:
        """Return the record's values in a sort's fields."""
        return [value_at(record, sort.field) for sort in sorts]

    def check_sorts(self, sorts: Sequence[Sort], refuse: Callable[[int, str], Problem]) -> None:
        """Raise what ``refuse`` makes of the first field that can't be sorted by."""
        for index, sort in enumerate(sorts):
            known = self.table.get(sort.field)
            if known is None or not known.sort:
                able = ", ".join(sorted(n for n, f in self.table.items() if f.sort))
                raise refuse(index, f"{sort.field} can't be sorted by; these can: {able}")


def _condition(source: str, operator: str, value: Any) -> Condition:
    match operator:
        case "contains":
            return Condition(f"{source} like ? escape '\\'", [f"%{_like(value)}%"])
        case "starts_with":
            return Condition(f"{source} like ? escape '\\'", [f"{_like(value)}%"])
        case "in":
            return Condition(f"{source} in ({', '.join('?' * len(value))})", [_bound(v) for v in value])
        case "between":
            return Condition(f"{source} between ? and ?", [_bound(v) for v in value])
        case "is_set":
            return Condition(f"({source}) is not null")
    return Condition(f"{source} {_COMPARISONS[operator]} ?", [_bound(value)])


def _bound(value: Any) -> Any:
    """Return a value as SQLite sees it in JSON: booleans are integers there."""
    return int(value) if isinstance(value, bool) else value


def _like(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


def value_at(record: Record, name: str) -> Any:
    """Return a record's value by field name; ``None`` where it is not set."""
    if name == "version":
        return record.version
    value: Any = record.doc
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return _bound(value)


def words_of(*values: Any) -> str:
    """Return the words of all strings in the values, in lower case, each with a blank before it.

    >>> words_of("Noor Haddad", ["noor.haddad@tidewater.example"])
    ' noor haddad noor haddad tidewater example'
    """
    texts: list[str] = []
    stack: list[Any] = [*reversed(values)]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, dict):
            stack.extend(reversed(value.values()))
        elif isinstance(value, list | tuple):
            stack.extend(reversed(value))
    words = _WORD.findall(" ".join(texts).lower())
    return " " + " ".join(words) if words else ""


class Cursors:
    """Places in lists that clients carry: signed, bound to list, filters and sort, and good for a day."""

    def make(self, values: Sequence[Any], id: str, scope: Any, now: float) -> str:
        """Return a cursor behind a record.

        :param values: The record's values in the sort's fields.
        :param scope: Whatever must stay the same for the cursor to fit: operation, tenant, filters, sort.
        """
        body = orjson.dumps([int(now), _scope(scope), id, list(values)])
        return base64.urlsafe_b64encode(_sign(body) + body).decode().rstrip("=")

    def read(self, cursor: str, scope: Any, now: float, /, lifetime: int = _CURSOR_SECONDS) -> tuple[list[Any], str]:
        """Return the values and the ID of a cursor.

        :param lifetime: How many seconds it is good for.
        :raises Problem: ``invalid_cursor`` (400).
        """
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            body = raw[8:]
            if not hmac.compare_digest(raw[:8], _sign(body)):
                raise ValueError("signature")
            issued, fits, id, values = orjson.loads(body)
        except ValueError:
            raise _refused_cursor("It was not given by this list, or it was changed.") from None
        if fits != _scope(scope):
            raise _refused_cursor("It belongs to another list, filter or sort.")
        if now - issued > lifetime:
            raise _refused_cursor(f"It is older than {lifetime // 3600} hours.")
        return values, id


def _sign(body: bytes) -> bytes:
    return hmac.digest(_CURSOR_KEY, body, "sha256")[:8]


def _scope(scope: Any) -> str:
    return hashlib.sha256(orjson.dumps(scope, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


def _refused_cursor(detail: str) -> Problem:
    error = {"parameter": "cursor", "in": "query", "code": "invalid_cursor", "detail": detail}
    return Problem("invalid_cursor", f"The cursor can't be used. {detail}", [error])


def parse_sort(text: str) -> list[Sort]:
    """Parse a ``sort`` parameter.

    >>> parse_sort("-created_at,name")
    [Sort(field='created_at', descending=True), Sort(field='name', descending=False)]
    """
    return [Sort(part.removeprefix("-"), part.startswith("-")) for part in text.split(",")]


def is_instant(text: Any) -> bool:
    """Tell whether a value is an RFC 3339 instant."""
    try:
        seconds_of(text)
    except (TypeError, ValueError):
        return False
    return True
