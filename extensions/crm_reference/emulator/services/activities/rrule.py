"""The days of a rule: a subset of RFC 5545 for whole days, and the moment at which a task of a day is due."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from crm_reference.emulator.registry import computes

_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
#: No rule is followed for longer.
_YEARS = 100


class RuleError(ValueError):
    """A rule that can't be read; its text names the part."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as its parts say it.

    :param days: Weekdays with the number within the month, 0 for each: ``((0, 0),)`` is every Monday.
    :param month_days: Days of the month, negative ones from its end.
    """

    frequency: str
    interval: int = 1
    days: tuple[tuple[int, int], ...] = ()
    month_days: tuple[int, ...] = ()
    count: int | None = None
    until: date | None = None


def _number(name: str, text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[+-]?\d{1,4}", text) or not low <= int(text) <= high or int(text) == 0:
        raise RuleError(f"{name} must be a whole number from {low} to {high}, 0 excluded.")
    return int(text)


def _weekday(text: str, frequency: str) -> tuple[int, int]:
    match = re.fullmatch(r"([+-]?[1-5])?(MO|TU|WE|TH|FR|SA|SU)", text)
    if match is None:
        raise RuleError(f"BYDAY has no weekday {text}.")
    if match[1] and frequency != "MONTHLY":
        raise RuleError("BYDAY takes a number before the weekday with FREQ=MONTHLY alone.")
    return _DAYS.index(match[2]), int(match[1] or 0)


def _until(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise RuleError("UNTIL must be a day, as 20261231.") from None


def parse(text: str, /) -> Rule:
    """Read a rule.

    :raises RuleError: Where a part is unknown, repeated, out of its bounds, or doesn't go with another one.
    """
    given: dict[str, str] = {}
    for part in text.split(";"):
        name, sign, value = part.partition("=")
        if not sign or not value or name in given or name not in ("FREQ", "INTERVAL", "BYDAY", "BYMONTHDAY", "COUNT", "UNTIL"):
            raise RuleError(f"{name or part} is not supported here, repeated, or has no value.")
        given[name] = value
    frequency = given.get("FREQ", "")
    if frequency not in _FREQUENCIES:
        raise RuleError(f"FREQ must be one of {', '.join(_FREQUENCIES)}.")
    if "COUNT" in given and "UNTIL" in given:
        raise RuleError("COUNT and UNTIL exclude each other.")
    if "BYMONTHDAY" in given and frequency != "MONTHLY":
        raise RuleError("BYMONTHDAY goes with FREQ=MONTHLY alone.")
    if "BYDAY" in given and frequency == "YEARLY":
        raise RuleError("BYDAY doesn't go with FREQ=YEARLY.")
    return Rule(
        frequency,
        _number("INTERVAL", given.get("INTERVAL", "1"), 1, 999),
        tuple(_weekday(d, frequency) for d in given["BYDAY"].split(",")) if "BYDAY" in given else (),
        tuple(_number("BYMONTHDAY", d, -31, 31) for d in given["BYMONTHDAY"].split(",")) if "BYMONTHDAY" in given else (),
        _number("COUNT", given["COUNT"], 1, 9999) if "COUNT" in given else None,
        _until(given["UNTIL"]) if "UNTIL" in given else None,
    )


def _month(rule: Rule, year: int, month: int, start: date) -> list[date]:
    length = monthrange(year, month)[1]
    found = [date(year, month, n) for n in range(1, length + 1)]
    if not rule.month_days and not rule.days:
        return [d for d in found if d.day == start.day]
    if rule.month_days:
        found = [d for d in found if d.day in rule.month_days or d.day - length - 1 in rule.month_days]
    if rule.days:
        found = [d for d in found if _is_named(rule, d, length)]
    return found


def _is_named(rule: Rule, day: date, length: int) -> bool:
    first, last = (day.day - 1) // 7 + 1, -((length - day.day) // 7 + 1)
    return any(day.weekday() == weekday and number in (0, first, last) for weekday, number in rule.days)


def _candidates(rule: Rule, start: date) -> Iterator[date]:
    """Return the days of a rule from a day on, without regard to COUNT and UNTIL."""
    monday = start - timedelta(days=start.weekday())
    for step in range(0, _YEARS * 366, rule.interval):
        if rule.frequency == "DAILY":
            day = start + timedelta(days=step)
            found = [day] if not rule.days or day.weekday() in {w for w, _ in rule.days} else []
        elif rule.frequency == "WEEKLY":
            wanted = {w for w, _ in rule.days} or {start.weekday()}
            found = [d for n in range(7) if (d := monday + timedelta(days=7 * step + n)).weekday() in wanted]
        elif rule.frequency == "MONTHLY":
            months = start.year * 12 + start.month - 1 + step
            found = _month(rule, months // 12, months % 12 + 1, start)
        else:
            leap = (start.month, start.day) == (2, 29) and monthrange(start.year + step, 2)[1] == 28
            found = [] if leap else [start.replace(year=start.year + step)]
        yield from (d for d in found if d >= start)
        reached = {"DAILY": step / 366, "WEEKLY": step / 52, "MONTHLY": step / 12, "YEARLY": step}[rule.frequency]
        if reached >= _YEARS:
            return


def days(rule: Rule, start: date, /) -> Iterator[date]:
    """Return the days of a rule from a day on."""
    for index, day in enumerate(_candidates(rule, start)):
        if (rule.count is not None and index >= rule.count) or (rule.until is not None and day > rule.until):
            return
        yield day


def _or_reason(text: str) -> Rule | str:
    try:
        return parse(text)
    except RuleError as error:
        return str(error)


@computes("expand_rule")
def expand_rule(given: Mapping[str, Any]) -> Any:
    """Return the first days of a rule, or what is wrong with it as ``{"error": ...}``."""
    rule = _or_reason(given["rule"])
    if isinstance(rule, str):
        return {"error": rule}
    return [d.isoformat() for d in islice(days(rule, date.fromisoformat(given["starts_on"])), given.get("limit", 10))]


@computes("occurrence_due_at")
def occurrence_due_at(given: Mapping[str, Any]) -> str:
    """Return the moment at which a task of a day is due: its local time of that day, in UTC."""
    hour, minute = given["time_of_day"].split(":")
    day = date.fromisoformat(given["falls_on"])
    local = datetime(day.year, day.month, day.day, int(hour), int(minute), tzinfo=ZoneInfo(given["time_zone"]))
    return local.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@computes("next_occurrence")
def next_occurrence(given: Mapping[str, Any]) -> str | None:
    """Return the day after an occurrence that was closed; ``None`` where the series is over."""
    rule = parse(given["rule"])
    if given["mode"] == "fixed":
        start, last = date.fromisoformat(given["starts_on"]), date.fromisoformat(given["last_on"])
        return next((d.isoformat() for d in days(rule, start) if d > last), None)
    if rule.count is not None and given["occurrence_count"] >= rule.count:
        return None
    closed = date.fromisoformat(given["closed_on"])
    day = next((d for d in _candidates(rule, closed) if d > closed), None)
    return None if day is None or (rule.until is not None and day > rule.until) else day.isoformat()
