"""How alike two companies are: normalised names and numbers, and the duplicate score with its signals.

Pure functions; nothing here reads a store. The vectors in ``examples/vectors/accounts`` fix every figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator import likeness
from crm_reference.emulator.registry import computes

#: Points of each signal at its full strength.
DOMAIN, REGISTRATION, NAME, PHONE, PLACE = 55, 60, 48, 25, 14
#: Names less alike than this say nothing.
LEAST_SIMILARITY = 0.88
#: The score from which a check or a scan that names no score of its own reports two accounts.
DEFAULT_MINIMUM = 60
CERTAIN = 85
_FORMS = """
ab ag aps as asa bv co corp gmbh inc kft kg limited llc lp ltd nv oy oyj plc sa sarl sas se sl spa srl sro ug
"""
#: Legal forms that a name loses at its end before it is compared.
LEGAL_FORMS = frozenset(_FORMS.split())
_ORDER = ("registration", "domain", "name", "phone", "place")


@dataclass(frozen=True, slots=True)
class Company:
    """What is compared of a company, normalised."""

    name: str
    domains: frozenset[str]
    numbers: frozenset[str]
    phone: str
    place: str

    @property
    def fingerprint(self) -> list[Any]:
        """What a dismissal remembers: the pair is looked at again once one of these changes."""
        return [self.name, sorted(self.domains), sorted(self.numbers)]


@computes("normalise_company_name")
def normalise_company_name(name: str) -> str:
    """Return a name as it is compared: lower case, without accents and signs, and without legal forms at its end.

    >>> normalise_company_name("Kestrel Shipping A.S."), normalise_company_name("Lindqvist & Söner AB")
    ('kestrel shipping', 'lindqvist soner')
    """
    # The points of a legal form join its letters: b.v. is bv.
    bare = re.sub(r"(?<=\w)\.(?=\w)|(?<=\b\w)\.", "", likeness.plain(name))
    words = likeness.words(bare)
    while len(words) > 1 and words[-1] in LEGAL_FORMS:
        words.pop()
    return " ".join(words)


@computes("normalise_register_number")
def normalise_register_number(number: str) -> str:
    """Return a number as it is compared: capital letters and digits alone.

    >>> normalise_register_number("937 418 221"), normalise_register_number("NL8123.45.678.B01")
    ('937418221', 'NL812345678B01')
    """
    return "".join(c for c in number.upper() if c.isalnum())


def company_of(doc: Mapping[str, Any], /) -> Company:
    """Return what is compared of an account's document."""
    address = doc.get("billing_address", {})
    return _company(doc, [doc.get("domain"), *doc.get("other_domains", ())], address)


def candidate_of(candidate: Mapping[str, Any], /) -> Company:
    """Return what is compared of a candidate of the duplicate check."""
    return _company(candidate, candidate.get("domains", ()), candidate)


def _company(doc: Mapping[str, Any], domains: Iterable[str | None], place: Mapping[str, Any]) -> Company:
    numbers = {normalise_register_number(doc[name]) for name in ("registration_number", "vat_number") if doc.get(name)}
    city, country = place.get("city"), place.get("country")
    where = f"{normalise_company_name(city)}/{country}" if city and country else ""
    known = frozenset(d.lower() for d in domains if d)
    return Company(normalise_company_name(doc.get("name", "")), known, frozenset(numbers), doc.get("phone", ""), where)


def similarity(one: Company, other: Company, /) -> float:
    """Return the Jaro-Winkler similarity of two names, rounded half up to four decimals."""
    return likeness.similarity(one.name, [other.name])


def score(one: Company, other: Company, /) -> tuple[int, list[dict[str, Any]]]:
    """Return the score of two companies, from 0 to 100, and the signals that make it up, most points first.

    A shared place says nothing alone: it counts beside another signal.
    """
    signals: list[dict[str, Any]] = []
    if one.numbers & other.numbers:
        signals.append({"signal": "registration", "points": REGISTRATION})
    if one.domains & other.domains:
        signals.append({"signal": "domain", "points": DOMAIN})
    signals += likeness.name_signal(similarity(one, other), NAME, LEAST_SIMILARITY)
    if one.phone and one.phone == other.phone:
        signals.append({"signal": "phone", "points": PHONE})
    if signals and one.place and one.place == other.place:
        signals.append({"signal": "place", "points": PLACE})
    return likeness.summed(signals, _ORDER)


@computes("account_duplicate_band")
def band(points: int) -> str:
    """Return the band of a score.

    >>> [band(points) for points in (85, 84, 60, 59)]
    ['certain', 'likely', 'likely', 'possible']
    """
    return "certain" if points >= CERTAIN else "likely" if points >= DEFAULT_MINIMUM else "possible"


@computes("account_duplicate_score")
def account_duplicate_score(companies: Mapping[str, Any]) -> dict[str, Any]:
    """Compare two companies.

    :param companies: ``one`` and ``other``, each with name, domains, phone, registration_number, vat_number, city and country
        as far as known.
    :return: ``score``, ``band`` and ``signals``.
    """
    points, signals = score(candidate_of(companies["one"]), candidate_of(companies["other"]))
    return {"score": points, "band": band(points), "signals": signals}
