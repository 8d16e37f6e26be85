"""What can be missing: the kinds of gap, which are the subtypes of Sphinx's ``trace`` warnings, and one gap.

A facet is **covered** where all its evidence is there, a **gap** where some is missing that could be there, and **open** where it
can't be there yet, since a service that it needs has no folder. Once every service exists nothing is open any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

#: File and line as ``file.yaml:12``, or a page's name and line.
Location = str | tuple[str, int]


class State(Enum):
    """Where a facet stands."""

    covered = "covered"
    gap = "gap"
    open = "open"


class Subtype(Enum):
    """A kind of gap. ``suppress_warnings = ["trace.no_chapter"]`` silences one in a build."""

    no_chapter = "no_chapter"
    """No section of a chapter tells the facet: no ``{crm:covers}`` names it."""
    no_operation = "no_operation"
    """No operation serves the facet: none names it in ``x-requirements``."""
    no_capability = "no_capability"
    """The service's charter has no capability for the facet."""
    unnamed_facet = "unnamed_facet"
    """A capability counts on an operation that doesn't name the capability's facet."""
    unknown_id = "unknown_id"
    """A document names a requirement that the catalogue doesn't have, or one that is no facet."""
    unknown_operation = "unknown_operation"
    """A capability names an operation that doesn't exist."""
    unknown_exchange = "unknown_exchange"
    """A capability names an exchange that doesn't exist as its proof."""
    unproved_capability = "unproved_capability"
    """An operation of a capability has no exchange among the capability's proofs that passed."""
    failed_example = "failed_example"
    """An exchange, a narrative or a vector was run and didn't pass."""
    wrong_hit = "wrong_hit"
    """An exchange passed and never reached the operation that it is said to prove."""
    scripted_only = "scripted_only"
    """An operation of a capability was answered from a script only, which proves nothing."""
    too_few_subjects = "too_few_subjects"
    """A universal rule found fewer subjects than its floor, or one of its laws did."""
    violation = "violation"
    """A universal rule doesn't hold of one of its subjects."""
    unknown_rule = "unknown_rule"
    """The catalogue names a universal rule that isn't there."""
    law_not_run = "law_not_run"
    """The laws that decide the facet weren't run on the contract as it is now."""
    no_results = "no_results"
    """The examples weren't run: there is no ``results.json``."""
    awaiting_service = "awaiting_service"
    """A service that the facet needs has no folder. Said only once the contract claims to be complete."""


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing that is missing.

    :param facet: ID of the facet; empty where no one facet is concerned.
    :param message: What is missing and what to do about it, in one line.
    """

    subtype: Subtype
    facet: str
    message: str
    location: Location

    def __str__(self) -> str:
        place = self.location if isinstance(self.location, str) else f"docs/{self.location[0]}.md:{self.location[1]}"
        return f"{place}: {self.message} [trace.{self.subtype.value}]"
