"""Time and identifiers of a world."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

#: When the world begins: 2026-01-05T09:00:00Z.
WORLD_START = 1_767_603_600

#: The last instant that a clock may show, in the year 9892: records keep dates that lie ahead, and RFC 3339 ends with 9999.
_LAST = 250_000_000_000

#: Crockford's base 32, as ULIDs use it.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: Crockford's digits to those that :func:`int` reads.
_TO_PYTHON = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
#: Time part of every ID that a world clock gives.
_FROZEN = "01KDVDNA00"
#: Every pair of digits, in the order of its value.
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]
#: Records of the world have lower numbers.
_FIRST_NUMBER = int("0101", 32)
#: The first number of a series aside.
_ASIDE = int("100000101", 32)


def iso(seconds: float, /) -> str:
    """Return an instant as RFC 3339 in UTC with whole seconds.

    >>> iso(WORLD_START)
    '2026-01-05T09:00:00Z'
    """
    return datetime.fromtimestamp(int(seconds), UTC).replace(tzinfo=None).isoformat() + "Z"


def seconds_of(instant: str, /) -> int:
    """Return an RFC 3339 instant as seconds since 1970.

    >>> seconds_of("2026-01-05T09:00:00Z") == WORLD_START
    True
    """
    return int(datetime.fromisoformat(instant).timestamp())


def days_later(instant: str, days: int, /) -> str:
    """Return an instant so many days after another."""
    return iso(seconds_of(instant) + timedelta(days=days).total_seconds())


class Clock:
    """A world's clock and the source of its IDs.

    :param kind: ``world`` starts at a fixed instant and moves a second a request; ``real`` follows the machine.
    """

    def __init__(self, kind: Literal["world", "real"] = "world") -> None:
        self.kind = kind
        #: While true, requests take no time.
        self.paused = False
        self.offset = 0
        self.seconds = WORLD_START
        self.numbers: dict[str, int] = {}
        self._last = (0, 0)
        self._said = (-1, "")

    def tick(self) -> None:
        """Let one request's time pass."""
        if self.kind == "world" and not self.paused:
            self.seconds += 1

    def advance(self, seconds: int) -> None:
        """Move the clock forward.

        :raises ValueError: If ``seconds`` is negative, as time never runs backward, or leads beyond the year 9892.
        """
        if seconds < 0:
            raise ValueError("the clock can't be turned back")
        if self.time() + seconds > _LAST:
            raise ValueError("the clock can't go beyond the year 9892")
        if self.kind == "world":
            self.seconds += seconds
        else:
            self.offset += seconds

    def time(self) -> float:
        """Return the present as seconds since 1970."""
        return self.seconds if self.kind == "world" else time.time() + self.offset

    def now(self) -> str:
        """Return the present as RFC 3339."""
        seconds = int(self.time())
        if seconds != self._said[0]:
            self._said = (seconds, iso(seconds))
        return self._said[1]

    def seen(self, id: str) -> None:
        """Number new IDs of a prefix behind one that exists; IDs of other shapes are passed over."""
        prefix, _, body = id.partition("_")
        if self.kind == "world" and body.startswith(_FROZEN):
            number = int(body[len(_FROZEN) :].translate(_TO_PYTHON), 32)
            series, first = (f"{prefix}+", _ASIDE) if number >= _ASIDE else (prefix, _FIRST_NUMBER)
            self.numbers[series] = max(self.numbers.get(series, first), number + 1)

    def new_id(self, prefix: str, /, *, aside: bool = False) -> str:
        """Return a new prefixed ULID; a world's are numbered for each prefix from ``...0101``.

        :param aside: Whether it is numbered in a series of its own, so that those of the other keep their numbers whether it is
            drawn or not.

        >>> Clock().new_id("con")
        'con_01KDVDNA000000000000000101'
        """
        if self.kind == "world":
            series, first = (f"{prefix}+", _ASIDE) if aside else (prefix, _FIRST_NUMBER)
            number = self.numbers.get(series, first)
            self.numbers[series] = number + 1
            return f"{prefix}_{_FROZEN}{_base32(number, 16)}"
        milliseconds = int(time.time() * 1000)
        last, random = self._last
        # Within one millisecond IDs count up (ULID spec, monotonicity), so that their order is the order of creation.
        random = random + 1 if milliseconds <= last else secrets.randbits(79)
        self._last = (max(milliseconds, last), random)
        return f"{prefix}_{_base32(self._last[0], 10)}{_base32(random, 16)}"


def _base32(number: int, width: int) -> str:
    # Numbers that follow each other differ in their last digits: the others are the same for a thousand of them.
    return _leading(number >> 10, width - 2) + _PAIRS[number & 1023]


@lru_cache(maxsize=256)
def _leading(number: int, width: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(width)))
