"""IDs of requirements, criteria and facets: their parts, their order, their anchors, and what a misspelt one may have meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

_ID = re.compile(r"REQ-(?P<requirement>[1-9]\d*)(?:\.(?P<criterion>[1-9]\d*)(?:-(?P<facet>[a-z][a-z0-9]*(?:-[a-z0-9]+)*))?)?")


@dataclass(frozen=True, order=True, slots=True)
class RequirementId:
    """A parsed ID. Sorts by number, so that ``REQ-10`` comes after ``REQ-9``.

    :param criterion: Number within the requirement; 0 for a requirement itself.
    :param facet: Name within the criterion; empty above facets.
    """

    requirement: int
    criterion: int = 0
    facet: str = ""

    @property
    def level(self) -> Literal["requirement", "criterion", "facet"]:
        """Which level of the catalogue it belongs to."""
        if self.facet:
            return "facet"
        return "criterion" if self.criterion else "requirement"

    @property
    def parent(self) -> str:
        """The ID of the level above; empty for a requirement."""
        if self.facet:
            return f"REQ-{self.requirement}.{self.criterion}"
        return f"REQ-{self.requirement}" if self.criterion else ""

    def __str__(self) -> str:
        text = f"REQ-{self.requirement}"
        if self.criterion:
            text += f".{self.criterion}"
        return f"{text}-{self.facet}" if self.facet else text


def parse(text: str, /) -> RequirementId:
    """Parse an ID.

    >>> parse("REQ-1.1-import-export")
    RequirementId(requirement=1, criterion=1, facet='import-export')
    >>> parse("REQ-10").level
    'requirement'

    :raises ValueError: If it has another form; the message says which.
    """
    match = _ID.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no requirement ID; one reads REQ-1, REQ-1.1 or REQ-1.1-crud")
    return RequirementId(int(match["requirement"]), int(match["criterion"] or 0), match["facet"] or "")


def anchor(text: str, /) -> str:
    """Return the fragment under which an ID stands on the requirement pages.

    >>> anchor("REQ-1.1-crud")
    'req-1-1-crud'
    """
    return text.lower().replace(".", "-")


def near(text: str, known: Iterable[str], /, *, most: int = 3) -> list[str]:
    """Return the known IDs that a misspelt one may have meant, the likeliest first, at most ``most``.

    >>> near("REQ-1.1-curd", ["REQ-1.1-crud", "REQ-1.1-search", "REQ-2.1-charts"], most=1)
    ['REQ-1.1-crud']
    """
    candidates = list(known)
    close = get_close_matches(text, candidates, n=most, cutoff=0.75)
    siblings = [k for k in candidates if k.startswith(text.rpartition("-")[0] + "-") and k not in close]
    return [*close, *siblings][:most]
