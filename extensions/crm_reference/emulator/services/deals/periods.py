"""Periods: the months and quarters of the calendar year."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from crm_reference.emulator.registry import computes

#: The calendar of the API ends with this year.
_LAST_YEAR = 9999


@dataclass(frozen=True, slots=True)
class Period:
    """A month or a quarter.

    :param key: As the API writes it: ``2026-03`` or ``2026-q1``.
    """

    key: str
    kind: str
    starts_on: str
    ends_on: str

    def holds(self, day: str | None, /) -> bool:
        """Tell whether a day lies in it."""
        return day is not None and self.starts_on <= day <= self.ends_on

    @property
    def months(self) -> list[str]:
        """The months of a quarter; a month alone."""
        if self.kind == "month":
            return [self.key]
        year, first = self.starts_on[:4], int(self.starts_on[5:7])
        return [f"{year}-{month:02d}" for month in range(first, first + 3)]

    @property
    def quarter(self) -> str:
        """The quarter that it lies in, or is."""
        return f"{self.starts_on[:4]}-q{(int(self.starts_on[5:7]) + 2) // 3}"

    @property
    def days(self) -> int:
        """How many days it has."""
        return (date.fromisoformat(self.ends_on) - date.fromisoformat(self.starts_on)).days + 1

    def elapsed(self, today: str, /) -> int:
        """Return how many of its days have passed at the end of a day."""
        passed = (date.fromisoformat(today) - date.fromisoformat(self.starts_on)).days + 1
        return max(0, min(self.days, passed))

    def as_dict(self, today: str, /) -> dict[str, Any]:
        """Return it as the API shows it."""
        around = {"quarter": self.quarter} if self.kind == "month" else {"months": self.months}
        elapsed = self.elapsed(today)
        remaining = self.days - elapsed + (1 if self.holds(today) else 0)
        return {
            "period": self.key,
            "kind": self.kind,
            "starts_on": self.starts_on,
            "ends_on": self.ends_on,
            **around,
            "is_current": self.holds(today),
            "is_over": self.ends_on < today,
            "remaining_days": remaining,
        }


def period_of(key: str, /) -> Period:
    """Return a period by its key.

    >>> period_of("2026-q1").ends_on, period_of("2028-02").ends_on
    ('2026-03-31', '2028-02-29')
    """
    year, rest = key.split("-")
    if rest.startswith("q"):
        first = 3 * int(rest[1]) - 2
        return Period(key, "quarter", f"{year}-{first:02d}-01", f"{year}-{first + 2:02d}-{monthrange(int(year), first + 2)[1]}")
    return Period(key, "month", f"{key}-01", f"{key}-{monthrange(int(year), int(rest))[1]}")


def period_around(day: str, kind: str, /) -> Period:
    """Return the month or quarter in which a day lies."""
    month = period_of(day[:7])
    return month if kind == "month" else period_of(month.quarter)


def periods_between(start: str, end: str, kind: str, /) -> Iterator[Period]:
    """Yield the months, or the quarters, from the one that holds the first day to the one that holds the last."""
    year, month = int(start[:4]), int(start[5:7])
    if kind == "quarter":
        month = 3 * ((month - 1) // 3) + 1
    while year <= _LAST_YEAR and f"{year:04d}-{month:02d}-01" <= end:
        yield period_around(f"{year:04d}-{month:02d}-01", kind)
        month += 1 if kind == "month" else 3
        if month > 12:
            year, month = year + 1, month - 12


@computes("forecast_period")
def forecast_period(asked: Mapping[str, Any], /) -> dict[str, Any]:
    """Return what a period is on a day, for vectors: ``period`` and ``today``."""
    return period_of(asked["period"]).as_dict(asked["today"])
