"""How alike two people are: normalisation, and the duplicate score with its signals.

Pure functions; nothing here reads a store. The vectors in ``examples/vectors/contacts`` fix every figure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator import likeness
from crm_reference.emulator.registry import computes
from crm_reference.emulator.tables import bare_phone

#: Points of each signal at its full strength.
EMAIL, PHONE, NAME, ACCOUNT = 65, 40, 55, 20
#: Names less alike than this say nothing.
LEAST_SIMILARITY = 0.85
#: The score from which a check or a scan that names no score of its own reports two contacts.
DEFAULT_MINIMUM = 70

_ORDER = ("email", "phone", "name", "account")


@dataclass(frozen=True, slots=True)
class Person:
    """What is compared of a person, normalised.

    :param names: First and last name as one text, and the same with the last name in front; empty where there is no name.
    """

    emails: frozenset[str]
    phones: frozenset[str]
    names: tuple[str, ...]
    account: str

    @property
    def fingerprint(self) -> list[Any]:
        """What a dismissal remembers: the pair is looked at again once one of these changes."""
        return [self.names[0] if self.names else "", sorted(self.emails), sorted(self.phones)]


@computes("normalise_email")
def normalise_email(address: str) -> str:
    """Return an address as it is compared: lower case, without blanks around it and without what follows a plus sign.

    >>> normalise_email(" Noor.Haddad+fair@Tidewater.example ")
    'noor.haddad@tidewater.example'
    """
    local, at, domain = address.strip().lower().rpartition("@")
    # A local part that begins with the sign would leave nothing, and then all such addresses of a domain would be one.
    return (local.partition("+")[0] or local) + at + domain


@computes("normalise_name")
def normalise_name(name: str) -> str:
    """Return a name as it is compared: lower case letters and digits without accents, words apart by one blank.

    >>> normalise_name("  Lucía  FERRER-Mas ")
    'lucia ferrer mas'
    """
    return " ".join(likeness.words(likeness.plain(name)))


def person_of(doc: Mapping[str, Any], /) -> Person:
    """Return what is compared of a contact's document."""
    emails = [doc.get("email"), *(e["address"] for e in doc.get("other_emails", ()))]
    phones = [doc.get("phone"), *(p["number"] for p in doc.get("other_phones", ()))]
    return _person(doc.get("first_name", ""), doc.get("last_name", ""), emails, phones, doc.get("account_id", ""))


def candidate_of(candidate: Mapping[str, Any], /) -> Person:
    """Return what is compared of a candidate of the duplicate check, who has lists of addresses and numbers."""
    return _person(
        candidate.get("first_name", ""),
        candidate.get("last_name", ""),
        candidate.get("emails", ()),
        candidate.get("phones", ()),
        candidate.get("account_id", ""),
    )


def _person(first: str, last: str, emails: Any, phones: Any, account: str) -> Person:
    names = (normalise_name(f"{first} {last}"), normalise_name(f"{last} {first}"))
    return Person(
        frozenset(normalise_email(e) for e in emails if e), frozenset(p for p in phones if p), names if names[0] else (), account
    )


def similarity(one: Person, other: Person, /) -> float:
    """Return the Jaro-Winkler similarity of two names, the better of both orders of words, rounded half up to four decimals."""
    return likeness.similarity(one.names[0], other.names) if one.names else 0.0


def score(one: Person, other: Person, /) -> tuple[int, list[dict[str, Any]]]:
    """Return the score of two people, from 0 to 100, and the signals that make it up, most points first."""
    signals: list[dict[str, Any]] = []
    if one.emails & other.emails:
        signals.append({"signal": "email", "points": EMAIL})
    if one.phones & other.phones:
        signals.append({"signal": "phone", "points": PHONE})
    signals += likeness.name_signal(similarity(one, other), NAME, LEAST_SIMILARITY)
    if one.account and one.account == other.account:
        signals.append({"signal": "account", "points": ACCOUNT})
    return likeness.summed(signals, _ORDER)


@computes("duplicate_band")
def band(points: int) -> str:
    """Return the band of a score.

    >>> [band(points) for points in (90, 89, 70, 69)]
    ['certain', 'likely', 'likely', 'possible']
    """
    return "certain" if points >= 90 else "likely" if points >= 70 else "possible"


@computes("duplicate_score")
def duplicate_score(people: Mapping[str, Any]) -> dict[str, Any]:
    """Compare two people.

    :param people: ``one`` and ``other``, each with ``first_name``, ``last_name``, ``emails``, ``phones`` and ``account_id`` as
        far as known.
    :return: ``score``, ``band`` and ``signals``.
    """
    points, signals = score(candidate_of(people["one"]), candidate_of(people["other"]))
    return {"score": points, "band": band(points), "signals": signals}


@computes("normalise_phone")
def normalise_phone(number: str) -> str:
    """Return a number as an import stores it; see :func:`crm_reference.emulator.tables.bare_phone`."""
    return bare_phone(number)
