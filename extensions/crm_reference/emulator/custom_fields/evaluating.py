"""The value of a checked expression. It never fails: what can't be computed is blank (``None``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation, localcontext
from typing import Any

from crm_reference.emulator.custom_fields import grammar
from crm_reference.emulator.custom_fields.functions import FUNCTIONS, LONGEST_TEXT, instant, number, text_of
from crm_reference.emulator.custom_fields.grammar import Node

#: Arithmetic of IEEE 754 decimal128.
ARITHMETIC = Context(prec=34, rounding=ROUND_HALF_UP)

#: Takes a path and returns its value, as :func:`from_json` makes it.
Lookup = Callable[[str], Any]


class Evaluation:
    """One evaluation over one record.

    :param now: The instant, as RFC 3339.
    :param lookup: Values of the record as it is, or would be.
    :param before: Values of the record before the write; ``None`` for a new one.
    """

    def __init__(self, now: str, lookup: Lookup, before: Lookup | None = None) -> None:
        self._now = now
        self._lookup = lookup
        self._before = before

    def value(self, node: Node, /) -> Any:
        """Return the value of an expression."""
        with localcontext(ARITHMETIC):
            return self._value(node)

    def _value(self, node: Node) -> Any:
        match node:
            case grammar.Literal():
                return number(node.value) if isinstance(node.value, Decimal) else node.value
            case grammar.Field():
                return self._lookup(node.path)
            case grammar.Unary():
                value = self._value(node.operand)
                return None if value is None else (not value if node.sign == "not" else -value)
            case grammar.Binary():
                return self._chain(node)
            case grammar.Membership():
                return self._member(node)
            case grammar.Call():
                return self._call(node)
        raise AssertionError(node)  # pragma: no cover  (the grammar has no other nodes)

    def _chain(self, node: grammar.Binary) -> Any:
        """Return the value of ``a + b + c ...``, from the left: a loop, for a chain may be long."""
        spine, first = grammar.chain(node)
        value = self._value(first)
        for one in spine:
            joined = one.sign in ("and", "or")
            value = self._joined(one, value) if joined else combined(one.sign, value, self._value(one.right))
        return value

    def _joined(self, node: grammar.Binary, left: Any) -> Any:
        """Join by three-valued logic (Kleene): a blank doesn't matter where the other side decides."""
        decides = node.sign == "or"
        if left is decides:
            return decides
        right = self._value(node.right)
        if right is decides:
            return decides
        return None if left is None or right is None else not decides

    def _member(self, node: grammar.Membership) -> bool | None:
        value = self._value(node.value)
        if value is None:
            return None
        items = [item.value for item in node.items]
        found = (text_of(value) if isinstance(value, date) else value) in items
        return found is not node.negated

    def _call(self, node: grammar.Call) -> Any:
        if node.name == "if":
            return self._value(node.arguments[1] if self._value(node.arguments[0]) is True else node.arguments[2])
        if node.name == "case":
            return self._case(node)
        if node.name == "is_new":
            return self._before is None
        if node.name in ("is_changed", "previous"):
            return self._of_write(node)
        if node.name == "today":
            return date.fromisoformat(self._now[:10])
        if node.name == "now":
            return datetime.fromisoformat(self._now).astimezone(UTC).replace(microsecond=0)
        function = FUNCTIONS[node.name]
        values = [self._value(argument) for argument in node.arguments]
        if function.apply is None or (not function.blanks and None in values):
            return None
        made = function.apply(*values)
        if isinstance(made, Decimal):
            return number(made)
        return made[:LONGEST_TEXT] if isinstance(made, str) else made

    def _case(self, node: grammar.Call) -> Any:
        subject, *rest = node.arguments
        value = self._value(subject)
        for when, then in zip(rest[:-1:2], rest[1:-1:2], strict=True):
            if combined("=", value, self._value(when)):
                return self._value(then)
        return self._value(rest[-1])

    def _of_write(self, node: grammar.Call) -> Any:
        field = node.arguments[0]
        assert isinstance(field, grammar.Field)  # the check let nothing else through
        before = None if self._before is None else self._before(field.path)
        if node.name == "previous":
            return before
        return self._before is None or before != self._lookup(field.path)


def combined(sign: str, left: Any, right: Any, /) -> Any:
    """Return what a sign makes of two values.

    >>> combined("+", Decimal("0.1"), Decimal("0.2")), combined("/", Decimal(1), Decimal(0)), combined("=", None, None)
    (Decimal('0.3'), None, True)
    """
    if sign in ("=", "!="):
        if isinstance(left, date) and isinstance(right, date):
            left, right = _alike(left, right)
        return (left == right) is (sign == "=")
    if sign == "&":
        return (text_of(left) + text_of(right))[:LONGEST_TEXT]
    if left is None or right is None:
        return None
    if sign in ("<", "<=", ">", ">="):
        return _ordered(sign, left, right)
    if sign in "/%" and right == 0:
        return None
    made = {"+": left + right, "-": left - right, "*": left * right}[sign] if sign in "+-*" else _divided(sign, left, right)
    return number(made)


def _divided(sign: str, left: Decimal, right: Decimal) -> Decimal:
    """Return a quotient, or the remainder that has the divisor's sign: -7 % 3 is 2; no number where it can't be told."""
    if sign == "/":
        return left / right
    try:
        rest = left % right
    except InvalidOperation:  # the quotient has more digits than numbers have
        return Decimal("NaN")
    return rest + right if rest and (rest < 0) != (right < 0) else rest


def _ordered(sign: str, left: Any, right: Any) -> bool:
    if isinstance(left, date):
        left, right = _alike(left, right)
    less, equal = bool(left < right), bool(left == right)
    return {"<": less, "<=": less or equal, ">": not less and not equal, ">=": not less}[sign]


def _alike(left: date, right: date) -> tuple[date, date]:
    """Return two times of one type: a date among instants is its midnight in UTC."""
    if isinstance(left, datetime) or isinstance(right, datetime):
        return instant(left), instant(right)
    return left, right


def from_json(kind: str, value: Any, /) -> Any:
    """Return a stored value as expressions know it; one that doesn't have its type any more is blank."""
    try:
        match kind:
            case "number":
                return None if value is None or isinstance(value, bool) else number(Decimal(str(value)))
            case "date":
                return None if value is None else date.fromisoformat(value)
            case "date_time":
                return None if value is None else datetime.fromisoformat(value).astimezone(UTC)
            case "list":
                return value if isinstance(value, list) else None
            case "boolean":
                return value if isinstance(value, bool) else None
    except (ValueError, TypeError, ArithmeticError):
        return None
    return value if isinstance(value, str) and value else None


def to_json(value: Any, /, scale: int | None = None) -> Any:
    """Return a value as JSON has it: numbers rounded half up to some decimals, times as ISO 8601.

    >>> to_json(Decimal("2.345"), 2), to_json(Decimal("12.00")), to_json(date(2026, 1, 5))
    (2.35, 12, '2026-01-05')
    """
    if isinstance(value, Decimal):
        kept = value if scale is None else value.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_HALF_UP, context=ARITHMETIC)
        return int(kept) if kept == kept.to_integral_value() else float(kept)
    return text_of(value) if isinstance(value, date) else value


def sample_lookup(kinds: Mapping[str, str], values: Mapping[str, Any], /) -> Lookup:
    """Return a look-up over plain JSON values, by path.

    :param kinds: Type of each path.
    """
    return lambda path: from_json(kinds.get(path, "text"), values.get(path))
