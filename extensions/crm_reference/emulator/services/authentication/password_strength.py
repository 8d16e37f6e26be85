"""What a password is worth: how many guesses it takes, and whether it was stolen. Pure computations that the vectors fix.

The estimate follows the idea of zxcvbn: a guesser tries words, rows of the keyboard and repetitions before single characters, so
each such piece costs the guesser little, however long it is.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from crm_reference.emulator.registry import computes

#: Words that guessers try first.
COMMON_WORDS = frozenset({
    "admin", "anchor", "apple", "autumn", "baseball", "battery", "bright", "captain", "company", "correct", "crm",
    "dragon", "football", "harbour", "hello", "horse", "iloveyou", "lantern", "letmein", "login", "marine", "master",
    "monkey", "mustang", "ocean", "office", "password", "princess", "qwerty", "rotterdam", "sailing", "salt",
    "secret", "shadow", "ship", "staple", "summer", "sunshine", "superman", "test", "trustno", "vessel", "water",
    "welcome", "winter"
})  # fmt: skip
#: Stolen passwords and how often each was seen: a list of the size of a test; a service has the whole one.
BREACHED: Mapping[str, int] = {
    "123456789012": 201_580,
    "1234567890123": 64_802,
    "administrator": 158_116,
    "correcthorsebatterystaple": 384,
    "iloveyou1234": 31_467,
    "letmein12345": 8_214,
    "password": 37_359_195,
    "password1234": 229_513,
    "passwordpassword": 44_126,
    "qwertyuiop12": 18_903,
    "qwertyuiopas": 7_351,
    "welcome12345": 12_067,
}
#: Guesses, as a power of ten, from which the scores 1 to 4 begin.
THRESHOLDS = (6, 8, 10, 12)

_ROWS = ("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm")
_SEQUENCES = tuple(row[::step] for row in _ROWS for step in (1, -1))
#: What a piece costs a guesser, as a power of ten.
_COSTS = {"personal": 1.0, "common_word": 3.0, "sequence": 1.5, "repetition": 1.5}
_LEAST = {"sequence": 4, "repetition": 3}


def normalised(password: str, /) -> str:
    """Return a password in the one form in which it is hashed and judged (NFKC)."""
    return unicodedata.normalize("NFKC", password)


@computes("password_strength")
def strength(asked: Mapping[str, Any], /) -> dict[str, Any]:
    """Estimate how many guesses a password takes.

    :param asked: ``password``, and ``words`` of the person: names, parts of the address.
    :return: ``guesses_log10`` with one decimal, ``score`` from 0 to 4, and ``findings``: kinds of pieces that were found.
    """
    password = normalised(asked["password"])
    lower, personal = password.lower(), sorted({w.lower() for w in asked.get("words", ()) if len(w) >= 3})
    place, cost, findings = 0, 0.0, []
    while place < len(password):
        length, kind = _longest(lower[place:], personal)
        if kind:
            piece = password[place : place + length]
            cost += _COSTS[kind] + (math.log10(2) if piece != piece.lower() else 0)
            findings.append(kind)
        else:
            cost += math.log10(_alphabet(password[place]))
        place += length
    guesses = math.floor(cost * 10 + 0.5) / 10
    return {
        "guesses_log10": guesses,
        "score": sum(guesses >= threshold for threshold in THRESHOLDS),
        "findings": sorted(set(findings)),
    }


def _longest(rest: str, personal: Iterable[str]) -> tuple[int, str]:
    """Return length and kind of the longest piece that a text begins with; one character without a kind where there is none."""
    found = [(len(w), "personal") for w in personal if rest.startswith(w)]
    found += [(len(w), "common_word") for w in COMMON_WORDS if rest.startswith(w)]
    found.append((_sequence(rest), "sequence"))
    found.append((len(rest) - len(rest.lstrip(rest[0])), "repetition"))
    fitting = [(length, kind) for length, kind in found if length >= _LEAST.get(kind, 1)]
    # Of two that are equally long the one that costs less is tried first.
    return max(fitting, key=lambda piece: (piece[0], -_COSTS[piece[1]]), default=(1, ""))


def _sequence(rest: str) -> int:
    """Return how many characters at the beginning follow each other in the alphabet, among the digits or on the keyboard."""
    longest = 0
    for sequence in _SEQUENCES:
        length = 0
        while length < len(rest) and rest[: length + 1] in sequence:
            length += 1
        longest = max(longest, length)
    return longest


def _alphabet(character: str) -> int:
    """Return how many characters there are of a kind."""
    if character.isdigit():
        return 10
    return 26 if character.isalpha() else 33


def sha1(password: str, /) -> str:
    """Return a password's SHA-1 in capitals, by which breach lists are kept. It protects nothing."""
    return hashlib.sha1(normalised(password).encode(), usedforsecurity=False).hexdigest().upper()


def breach_count(password: str, /) -> int:
    """Return how often a password was seen in the breach list."""
    return BREACHED.get(normalised(password), 0)


@computes("breached_password_range")
def breached_range(prefix: str, /) -> list[dict[str, Any]]:
    """Return the breached passwords whose SHA-1 begins with five digits: the other 35, and how often each was seen."""
    found = ((sha1(password), count) for password, count in BREACHED.items())
    return [{"suffix": digest[5:], "count": count} for digest, count in sorted(found) if digest.startswith(prefix)]
