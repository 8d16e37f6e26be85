"""Patterns of text fields: I-Regexp (RFC 9485), matched in time that grows with the text and never explodes.

What a tenant writes is run against what strangers type, so no engine that backtracks may have it. A pattern becomes the automaton
of Glushkov: a position for each character of the unrolled pattern, and sets of positions kept as the bits of integers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

#: A pattern, its repetitions written out, has at most this many characters to match.
MOST_POSITIONS = 1000
#: Groups stand in each other at most this deep.
DEEPEST = 20

_QUANTITY = re.compile(r"\{([0-9]{1,4})(,([0-9]{0,4}))?\}")
_CATEGORY = re.compile(r"\\([pP])\{(L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|Z[lps]?|S[ckmo]?|C[cfno]?)\}")
#: What stands for itself behind a backslash, and what stands for a control character.
_ESCAPED = frozenset("()*+-.?[\\]^{|}$")
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t"}
_SPECIAL = frozenset("()*+.?[\\]{|}")

_Test = Callable[[str], bool]


class PatternError(Exception):
    """A pattern isn't one of RFC 9485, or is too large; the text says why."""


@dataclass(slots=True)
class _Part:
    """A part of the automaton: whether it matches nothing, and the positions that begin and end a match of it."""

    empty: bool
    first: int = 0
    last: int = 0


@dataclass(slots=True)
class _Automaton:
    tests: list[_Test] = field(default_factory=list)
    follow: list[int] = field(default_factory=list)
    whole: _Part = field(default_factory=lambda: _Part(True))
    _taking: dict[str, int] = field(default_factory=dict)
    _after: dict[tuple[int, int], int] = field(default_factory=dict)

    def position(self, test: _Test) -> _Part:
        if len(self.tests) >= MOST_POSITIONS:
            raise PatternError(f"it has more than {MOST_POSITIONS} characters to match, with its repetitions written out")
        self.tests.append(test)
        self.follow.append(0)
        bit = 1 << (len(self.tests) - 1)
        return _Part(False, bit, bit)

    def lead(self, ends: int, begins: int) -> None:
        """Let the ends of one part be followed by the beginnings of another."""
        at = 0
        while ends:
            if ends & 1:
                self.follow[at] |= begins
            ends >>= 1
            at += 1

    def matches(self, text: str) -> bool:
        if not text:
            return self.whole.empty
        reached = self.whole.first & self._takes(text[0])
        for character in text[1:]:
            if not reached:
                return False
            reached = self._next(reached) & self._takes(character)
        return bool(reached & self.whole.last)

    def _takes(self, character: str) -> int:
        """Return the positions that take a character."""
        found = self._taking.get(character)
        if found is None:
            found = sum(1 << at for at, test in enumerate(self.tests) if test(character))
            if len(self._taking) < 1000:
                self._taking[character] = found
        return found

    def _next(self, reached: int) -> int:
        """Return what follows some positions, eight of them at a time."""
        made = at = 0
        while reached:
            if byte := reached & 255:
                made |= self._table(at, byte)
            reached >>= 8
            at += 8
        return made

    def _table(self, at: int, byte: int) -> int:
        found = self._after.get((at, byte))
        if found is None:
            found = 0
            for bit in range(8):
                if byte >> bit & 1:
                    found |= self.follow[at + bit]
            self._after[at, byte] = found
        return found


class _Reader:
    """Recursive descent over a pattern; a part that is repeated is read as often as it may occur."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._read = 0
        self.automaton = _Automaton()

    def whole(self) -> _Automaton:
        self.automaton.whole = self._choice()
        if self._at < len(self._text):
            raise PatternError(f"{self._text[self._at]!r} at place {self._at + 1} closes nothing")
        return self.automaton

    def _choice(self) -> _Part:
        found = self._sequence()
        while self._taken("|"):
            other = self._sequence()
            found = _Part(found.empty or other.empty, found.first | other.first, found.last | other.last)
        return found

    def _sequence(self) -> _Part:
        found = _Part(True)
        while self._at < len(self._text) and self._text[self._at] not in "|)":
            found = self._joined(found, self._piece())
        return found

    def _joined(self, left: _Part, right: _Part) -> _Part:
        self.automaton.lead(left.last, right.first)
        first = left.first | right.first if left.empty else left.first
        last = left.last | right.last if right.empty else right.last
        return _Part(left.empty and right.empty, first, last)

    def _piece(self) -> _Part:
        begin = self._at
        one = self._atom()
        end = self._at
        least, most = self._quantity()
        if most == 0:
            return _Part(True)
        copies = [one]
        for _ in range((most or max(least, 1)) - 1):  # each occurrence has positions of its own
            self._at, after = begin, self._at
            copies.append(self._atom())
            self._at = after
        self._at = max(self._at, end)
        if most is None:
            self.automaton.lead(copies[-1].last, copies[-1].first)
        found = _Part(True)
        for at, copy in enumerate(copies):
            found = self._joined(found, _Part(copy.empty or at >= least, copy.first, copy.last))
        return found

    def _quantity(self) -> tuple[int, int | None]:
        """Return how often the last part occurs: at least, and at most or ``None``."""
        for sign, span in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._taken(sign):
                return self._single(span)
        if match := _QUANTITY.match(self._text, self._at):
            self._at = match.end()
            least = int(match[1])
            most = least if match[2] is None else int(match[3]) if match[3] else None
            if most is not None and most < least:
                raise PatternError(f"{match[0]} asks for more than it admits")
            return self._single((least, most))
        return 1, 1

    def _single(self, span: tuple[int, int | None]) -> tuple[int, int | None]:
        if self._at < len(self._text) and self._text[self._at] in "*+?{":
            raise PatternError(f"two repetitions stand side by side at place {self._at + 1}")
        return span

    def _atom(self) -> _Part:
        sign = self._text[self._at]
        self._read += 1
        if self._read > 2 * MOST_POSITIONS:  # groups that match nothing make no positions
            raise PatternError("its repetitions are too many")
        if self._taken("("):
            if self._taken("?"):
                raise PatternError(f"(? at place {self._at - 1} looks around or sets an option, which RFC 9485 has none of")
            self._depth += 1
            if self._depth > DEEPEST:
                raise PatternError(f"groups stand more than {DEEPEST} deep")
            found = self._choice()
            self._demand(")")
            self._depth -= 1
            return found
        if sign == "[":
            return self.automaton.position(self._class())
        if self._taken("."):
            return self.automaton.position(lambda c: c not in "\n\r")
        if sign == "\\":
            return self.automaton.position(self._escape())
        if sign in "^$":
            raise PatternError(f"{sign!r} isn't needed, for a pattern matches the whole text; write \\{sign} for the character")
        if sign in _SPECIAL:
            raise PatternError(f"{sign!r} at place {self._at + 1} repeats or closes nothing; write \\{sign} for the character")
        self._at += 1
        return self.automaton.position(sign.__eq__)

    def _escape(self) -> _Test:
        if match := _CATEGORY.match(self._text, self._at):
            self._at = match.end()
            kind, wanted = match[2], match[1] == "p"
            return lambda c: unicodedata.category(c).startswith(kind) is wanted
        return self._escaped().__eq__

    def _escaped(self) -> str:
        sign = self._text[self._at + 1 : self._at + 2]
        if sign not in _ESCAPED and sign not in _CONTROLS:
            hint = {"d": "; write [0-9]", "w": "; write [A-Za-z0-9_]", "s": "; write a blank"}.get(sign, "")
            raise PatternError(f"\\{sign} at place {self._at + 1} is no escape of RFC 9485{hint}")
        self._at += 2
        return _CONTROLS.get(sign, sign)

    def _class(self) -> _Test:
        self._demand("[")
        negated = self._taken("^")
        tests: list[_Test] = []
        while not self._taken("]") or not tests:
            if self._at >= len(self._text):
                raise PatternError("'[' is never closed")
            tests.append(self._member())
        return lambda c: any(test(c) for test in tests) is not negated

    def _member(self) -> _Test:
        if _CATEGORY.match(self._text, self._at):
            return self._escape()
        low = self._character()
        follows = self._text[self._at : self._at + 2]
        if follows[:1] != "-" or follows in ("-", "-]"):
            return low.__eq__
        self._at += 1
        high = self._character()
        if high < low:
            raise PatternError(f"{low}-{high} runs backwards")
        return lambda c: low <= c <= high

    def _character(self) -> str:
        sign = self._text[self._at : self._at + 1]
        if sign == "\\":
            return self._escaped()
        if not sign or sign in "[]":
            raise PatternError(f"a character is expected at place {self._at + 1}")
        self._at += 1
        return sign

    def _taken(self, sign: str) -> bool:
        if self._text[self._at : self._at + 1] == sign:
            self._at += 1
            return True
        return False

    def _demand(self, sign: str) -> None:
        if not self._taken(sign):
            raise PatternError(f"{sign!r} is missing at place {self._at + 1}")


@lru_cache(maxsize=256)
def _automaton(pattern: str) -> _Automaton:
    return _Reader(pattern).whole()


def fault(pattern: str, /) -> str:
    """Return what is wrong with a pattern; empty where it can be used.

    >>> fault("IMO[0-9]{7}"), fault("[0-9")
    ('', "'[' is never closed")
    """
    try:
        _automaton(pattern)
    except PatternError as problem:
        return str(problem)
    return ""


def fits(pattern: str, text: str, /) -> bool:
    """Tell whether a pattern matches a whole text; one that can't be used matches everything.

    >>> fits("IMO[0-9]{7}", "IMO9321483"), fits("(a+)+", "a" * 5000 + "b")
    (True, False)
    """
    try:
        return _automaton(pattern).matches(text)
    except PatternError:  # a definition that came by another way than its check
        return True
