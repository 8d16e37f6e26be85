# ruff: noqa: E501  (the table reads by its rows)
"""The functions of the expression language: what each takes, gives and means.

A blank (``None``) given to a function gives a blank, but for those that are made for it (``is_blank``, ``coalesce``, ``if``, ``case``).
What can't be computed is blank as well: no expression fails once it was checked.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

#: A number beyond this, either way, is blank.
BEYOND = Decimal(10) ** 15
#: A text that an expression makes is cut here.
LONGEST_TEXT = 5000
#: The pattern of ``like`` has at most so many characters; with more, the result is blank.
LONGEST_PATTERN = 255
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Function:
    """A function.

    :param category: ``logic``, ``text``, ``number``, ``date``, ``list`` or ``record``.
    :param takes: Types of its arguments in order; ``any`` takes each, ``a|b`` either.
    :param least: How many of them must be there.
    :param repeats: How many of the last ones may come again and again; 0 for none.
    :param gives: Type of its result; ``same`` for that of its arguments of type ``any``.
    :param blanks: Whether it is called with blanks too.
    :param apply: Takes the values; ``None`` where the evaluation itself does it.
    :param example: An expression with it that needs no fields.
    """

    name: str
    category: str
    takes: tuple[str, ...]
    gives: str
    text: str
    example: str
    apply: Callable[..., Any] | None = None
    least: int = -1
    repeats: int = 0
    blanks: bool = False

    @property
    def needed(self) -> int:
        """How many arguments it must have."""
        return len(self.takes) if self.least < 0 else self.least


def number(value: Decimal, /) -> Decimal | None:
    """Return a number without trailing zeros; blank where it is too large."""
    if not value.is_finite() or abs(value) > BEYOND:
        return None
    return value


def rounded(value: Decimal, digits: int, /) -> Decimal:
    """Return a number rounded half up, away from zero."""
    return value.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)


def text_of(value: Any, /) -> str:
    """Return a value as text: numbers without trailing zeros, dates as ISO 8601, lists joined by commas."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        shown = f"{value:f}"
        return shown.rstrip("0").rstrip(".") if "." in shown else shown
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    return ",".join(value) if isinstance(value, list) else str(value)


def _whole(value: Decimal) -> int:
    return int(value.to_integral_value(rounding=ROUND_FLOOR))


def _round(value: Decimal, digits: Decimal = Decimal(0)) -> Decimal | None:
    wanted = _whole(digits)
    return number(rounded(value, wanted)) if 0 <= wanted <= 10 else None


def _to_number(text: str) -> Decimal | None:
    if not re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", text.strip()):
        return None
    try:
        return number(Decimal(text.strip()))
    except InvalidOperation:  # pragma: no cover  (the pattern leaves nothing that Decimal refuses)
        return None


def _date(year: Decimal, month: Decimal, day: Decimal) -> date | None:
    try:
        return date(_whole(year), _whole(month), _whole(day))
    except (ValueError, OverflowError):
        return None


def _to_date(value: str | date) -> date | None:
    if isinstance(value, datetime):
        return value.date()
    try:
        if isinstance(value, date):
            return value
        return date.fromisoformat(value[:10]) if _DAY.match(value) else None
    except ValueError:
        return None


def _add_days(value: date, days: Decimal) -> date | None:
    try:
        return value + timedelta(days=_whole(days))
    except OverflowError:
        return None


def _add_months(value: date, months: Decimal) -> date | None:
    count = value.year * 12 + value.month - 1 + _whole(months)
    year, month = divmod(count, 12)
    if not 1 <= year <= 9999:
        return None
    return value.replace(year=year, month=month + 1, day=min(value.day, calendar.monthrange(year, month + 1)[1]))


def instant(value: date, /) -> datetime:
    """Return an instant; a date begins at midnight UTC."""
    return value if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)


def _hours(start: date, end: date) -> Decimal:
    seconds = Decimal(int((instant(end) - instant(start)).total_seconds()))
    return seconds / 3600


def _days(start: date, end: date) -> Decimal:
    return Decimal((instant(end).date() - instant(start).date()).days)


def like(text: str, pattern: str, /) -> bool | None:
    """Tell whether a text has a form: ``#`` a digit, ``@`` a letter A to Z in either case, ``?`` any character, ``*`` any number of them.

    >>> like("PC-00042", "PC-#####"), like("NL", "@@#")
    (True, False)
    """
    if len(pattern) > LONGEST_PATTERN:
        return None
    head, *rest = (_piece(part) for part in pattern.split("*"))
    if not rest:
        return head.fullmatch(text) is not None
    found = head.match(text)
    for piece in rest[:-1]:  # the first place after what was found is as good as any: no way back is needed
        found = piece.search(text, found.end()) if found is not None else None
    if found is None:
        return False
    last = re.compile(rf"(?:{rest[-1].pattern})\Z", re.DOTALL)
    return last.search(text, found.end()) is not None


def _piece(part: str) -> re.Pattern[str]:
    """Return the part of a form between two stars as an expression without any repetition."""
    signs = {"#": "[0-9]", "@": "[A-Za-z]", "?": "."}
    return re.compile("".join(signs.get(sign) or re.escape(sign) for sign in part), re.DOTALL)


def _left(text: str, count: Decimal) -> str:
    return text[: max(_whole(count), 0)]


def _right(text: str, count: Decimal) -> str:
    wanted = max(_whole(count), 0)
    return text[-wanted:] if wanted else ""


def _mid(text: str, start: Decimal, count: Decimal) -> str:
    first = max(_whole(start), 1) - 1
    return text[first : first + max(_whole(count), 0)]


def _pad(text: str, width: Decimal, fill: str = "0") -> str | None:
    return text.rjust(min(max(_whole(width), 0), 255), fill) if len(fill) == 1 else None


def _replace(text: str, old: str, new: str) -> str:
    # After so many replacements the text is longer than what is kept of it.
    enough = -1 if len(new) <= len(old) else LONGEST_TEXT // len(new) + 1
    return text.replace(old, new, enough)[:LONGEST_TEXT] if old else text


def _extreme(choose: Callable[[Sequence[Any]], Any]) -> Callable[..., Any]:
    def of(*values: Any) -> Any:
        known = [v for v in values if v is not None]
        return choose(known) if known else None

    return of


def _coalesce(*values: Any) -> Any:
    return next((v for v in values if v is not None), None)


_ALL = (
    Function("if", "logic", ("boolean", "any", "any"), "same", "The second where the first is true, else the third; blank counts as false.", 'if(3 > 2, "more", "less")', blanks=True),
    Function("case", "logic", ("any", "any", "any", "any"), "same", "The value behind the first that equals the first argument, else the last.", 'case("nl", "nl", 31, "no", 47, 0)', blanks=True, repeats=2),
    Function("coalesce", "logic", ("any", "any"), "same", "The first that isn't blank.", 'coalesce(null, "Rotterdam")', _coalesce, repeats=1, blanks=True),
    Function("is_blank", "logic", ("any",), "boolean", "Whether a value is missing, an empty text or an empty list.", 'is_blank("")', lambda v: v in (None, "", []), blanks=True),
    Function("len", "text", ("text",), "number", "The number of characters (Unicode code points).", 'len("Malmö")', lambda t: Decimal(len(t))),
    Function("upper", "text", ("text",), "text", "The text in capitals.", 'upper("imo")', lambda t: t.upper()),
    Function("lower", "text", ("text",), "text", "The text in small letters.", 'lower("IMO")', lambda t: t.lower()),
    Function("trim", "text", ("text",), "text", "The text without blanks at its ends, and one where several stood between words.", 'trim("  Pier   7 ")', lambda t: " ".join(t.split())),
    Function("left", "text", ("text", "number"), "text", "The first characters.", 'left("9321483", 2)', _left),
    Function("right", "text", ("text", "number"), "text", "The last characters.", 'right("9321483", 1)', _right),
    Function("mid", "text", ("text", "number", "number"), "text", "As many characters as the third says, from the place that the second says; the first place is 1.", 'mid("9321483", 2, 3)', _mid),
    Function("contains", "text", ("text", "text"), "boolean", "Whether the first text has the second in it; capitals count.", 'contains("Tidewater Inland", "Inland")', lambda t, p: p in t),
    Function("starts_with", "text", ("text", "text"), "boolean", "Whether the first text begins with the second.", 'starts_with("PC-00042", "PC-")', lambda t, p: t.startswith(p)),
    Function("ends_with", "text", ("text", "text"), "boolean", "Whether the first text ends with the second.", 'ends_with("noor@tidewater.example", ".example")', lambda t, p: t.endswith(p)),
    Function("like", "text", ("text", "text"), "boolean", "Whether a text has a form: # stands for a digit, @ for a letter A to Z, ? for any character, * for any number of them. A form has at most 255 characters.", 'like("9321483", "#######")', like),
    Function("replace", "text", ("text", "text", "text"), "text", "The first text with the third wherever the second stood.", 'replace("07-12", "-", "/")', _replace),
    Function("pad_left", "text", ("text", "number", "text"), "text", "The text filled up at its left to a width, with 0 or a character of your choice.", 'pad_left("42", 5)', _pad, least=2),
    Function("to_text", "text", ("any",), "text", "A value as text: numbers without needless zeros, dates as ISO 8601, lists with commas.", "to_text(12.50)", text_of),
    Function("abs", "number", ("number",), "number", "The number without its sign.", "abs(-4.5)", lambda n: abs(n)),
    Function("round", "number", ("number", "number"), "number", "The number rounded half up, away from zero, to as many decimals as the second says: 0 to 10.", "round(2.345, 2)", _round, least=1),
    Function("floor", "number", ("number",), "number", "The greatest whole number that isn't greater.", "floor(-2.5)", lambda n: n.to_integral_value(rounding=ROUND_FLOOR)),
    Function("ceil", "number", ("number",), "number", "The least whole number that isn't less.", "ceil(2.1)", lambda n: n.to_integral_value(rounding=ROUND_CEILING)),
    Function("min", "number", ("number", "number"), "number", "The least of the numbers; blanks don't count.", "min(4, 2, 9)", _extreme(min), least=1, repeats=1, blanks=True),
    Function("max", "number", ("number", "number"), "number", "The greatest of the numbers; blanks don't count.", "max(4, 2, 9)", _extreme(max), least=1, repeats=1, blanks=True),
    Function("to_number", "number", ("text",), "number", "A text as a number; blank where it isn't one.", 'to_number("18.5")', _to_number),
    Function("today", "date", (), "date", "The day in UTC.", "today()"),
    Function("now", "date", (), "date_time", "The instant, to the second.", "now()"),
    Function("date", "date", ("number", "number", "number"), "date", "A date from year, month and day; blank where there is no such day.", "date(2026, 2, 28)", _date),
    Function("to_date", "date", ("text|date|date_time",), "date", "The day of an instant in UTC, or of a text that begins as 2026-01-05.", 'to_date("2026-01-05")', _to_date),
    Function("year", "date", ("date|date_time",), "number", "The year.", "year(date(2026, 1, 5))", lambda d: Decimal(d.year)),
    Function("month", "date", ("date|date_time",), "number", "The month, 1 to 12.", "month(date(2026, 1, 5))", lambda d: Decimal(d.month)),
    Function("day", "date", ("date|date_time",), "number", "The day of the month.", "day(date(2026, 1, 5))", lambda d: Decimal(d.day)),
    Function("weekday", "date", ("date|date_time",), "number", "The day of the week: Monday is 1, Sunday 7.", "weekday(date(2026, 1, 5))", lambda d: Decimal(d.isoweekday())),
    Function("add_days", "date", ("date|date_time", "number"), "same", "A date or an instant some days later, or earlier.", "add_days(date(2026, 2, 27), 2)", _add_days),
    Function("add_months", "date", ("date|date_time", "number"), "same", "The same day some months later; the month's last day where it is too short.", "add_months(date(2026, 1, 31), 1)", _add_months),
    Function("days_between", "date", ("date|date_time", "date|date_time"), "number", "Days from the first day to the second, in UTC; negative where the second is earlier.", "days_between(date(2026, 1, 5), date(2026, 1, 12))", _days),
    Function("hours_between", "date", ("date|date_time", "date|date_time"), "number", "Hours from the first instant to the second, with decimals.", "hours_between(date(2026, 1, 5), date(2026, 1, 6))", _hours),
    Function("includes", "list", ("list", "text"), "boolean", "Whether a list has a value.", 'includes(ports, "bergen")', lambda v, x: x in v),
    Function("count", "list", ("list",), "number", "How many values a list has.", "count(ports)", lambda v: Decimal(len(v))),
    Function("is_new", "record", (), "boolean", "Whether the record is being created. In rules only.", "is_new()"),
    Function("is_changed", "record", ("field",), "boolean", "Whether the write changes a field; true for each value of a new record. In rules only.", "is_changed(flag)", blanks=True),
    Function("previous", "record", ("field",), "same", "A field's value before the write; blank for a new record. In rules only.", "previous(gross_tonnage)", blanks=True),
)  # fmt: skip

#: Every function by name.
FUNCTIONS: Mapping[str, Function] = {f.name: f for f in _ALL}
#: Those that need to know what the record was before: rules have it, formulas don't.
OF_WRITES = frozenset({"is_new", "is_changed", "previous"})
