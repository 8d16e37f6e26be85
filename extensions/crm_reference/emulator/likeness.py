"""How alike two texts are, and what signals of likeness sum up to: what every duplicate score is made of. Pure functions."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from rapidfuzz.distance import JaroWinkler


def plain(text: str, /) -> str:
    """Return a text in lower case and without accents.

    >>> plain("Lucía FERRER")
    'lucia ferrer'
    """
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).lower()


def words(text: str, /) -> list[str]:
    """Return the words of a text, runs of letters and digits; every other sign parts them.

    >>> words("ferrer-mas, l.")
    ['ferrer', 'mas', 'l']
    """
    return "".join(c if c.isalnum() else " " for c in text).split()


def similarity(one: str, others: Iterable[str], /) -> float:
    """Return the Jaro-Winkler similarity of a text and the likest of others, rounded half up to four decimals.

    >>> similarity("kestrel shipping", ["kestral shipping"]), similarity("", ["kestrel"])
    (0.975, 0.0)
    """
    best = max((JaroWinkler.similarity(one, other, prefix_weight=0.1) for other in others if one and other), default=0.0)
    return math.floor(best * 10_000 + 0.5) / 10_000


def name_signal(alike: float, points: int, least: float, /) -> list[dict[str, Any]]:
    """Return the signal of two names, none where they are less alike than ``least``.

    :param points: Of names that are equal.

    >>> name_signal(0.9, 50, 0.85)
    [{'signal': 'name', 'points': 45, 'similarity': 0.9}]
    """
    return [{"signal": "name", "points": math.floor(points * alike + 0.5), "similarity": alike}] if alike >= least else []


def summed(signals: Iterable[dict[str, Any]], order: Sequence[str], /) -> tuple[int, list[dict[str, Any]]]:
    """Return the points of signals, 100 at most, and the signals, most points first.

    :param order: Names of signals, as those of equal points stand.
    """
    ranked = sorted(signals, key=lambda signal: (-signal["points"], order.index(signal["signal"])))
    return min(100, sum(signal["points"] for signal in ranked)), ranked
