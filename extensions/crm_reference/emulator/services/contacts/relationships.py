"""Relationships: the catalogue of types, what follows from a type, the rules, and who is current today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator.behaviours import listing
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import WORLD_START, iso
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import computes, derives, enforces, handles, presents, sees
from crm_reference.emulator.services.contacts.selecting import is_seen
from crm_reference.emulator.store import Record

RELATIONSHIPS = "contact-relationships"


@dataclass(frozen=True, slots=True)
class Kind:
    """A built-in type of relationship.

    :param inverse: The type as seen from the other person; empty where the other end is an account.
    """

    type: str
    label: str
    inverse: str
    inverse_label: str

    @property
    def target(self) -> str:
        """What the other end is."""
        return "contact" if self.inverse else "account"

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""
        inverse = {"inverse_type": self.inverse} if self.inverse else {}
        return {
            "type": self.type,
            "label": self.label,
            "target": self.target,
            **inverse,
            "inverse_label": self.inverse_label,
            "is_symmetric": self.inverse == self.type,
        }


_CATALOGUE = (
    Kind("spouse_of", "Spouse of", "spouse_of", "Spouse of"),
    Kind("relative_of", "Relative of", "relative_of", "Relative of"),
    Kind("friend_of", "Friend of", "friend_of", "Friend of"),
    Kind("colleague_of", "Colleague of", "colleague_of", "Colleague of"),
    Kind("assistant_of", "Assistant of", "assisted_by", "Assisted by"),
    Kind("assisted_by", "Assisted by", "assistant_of", "Assistant of"),
    Kind("mentor_of", "Mentor of", "mentee_of", "Mentee of"),
    Kind("mentee_of", "Mentee of", "mentor_of", "Mentor of"),
    Kind("referrer_of", "Referrer of", "referred_by", "Referred by"),
    Kind("referred_by", "Referred by", "referrer_of", "Referrer of"),
    Kind("employee_of", "Employee of", "", "Employs"),
    Kind("former_employee_of", "Former employee of", "", "Employed"),
    Kind("decision_maker_at", "Decision maker at", "", "Decision maker"),
    Kind("champion_at", "Champion at", "", "Champion"),
    Kind("billing_contact_of", "Billing contact of", "", "Billing contact"),
    Kind("technical_contact_of", "Technical contact of", "", "Technical contact"),
    Kind("board_member_of", "Board member of", "", "Board member"),
    Kind("consultant_to", "Consultant to", "", "Consultant"),
)
KINDS: Mapping[str, Kind] = {kind.type: kind for kind in _CATALOGUE}


@derives(RELATIONSHIPS)
def follow(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive the inverse type, both participants, and whether the relationship holds today."""
    other = doc.get("related_contact_id") or doc.get("account_id")
    today = (context.now if context is not None else iso(WORLD_START))[:10]
    return {
        "inverse_type": KINDS[doc["type"]].inverse or None,
        "participant_ids": [doc["contact_id"], other],
        "is_current": is_current(doc, today),
    }


@computes("relationship_is_current")
def current_on(asked: Mapping[str, Any]) -> bool:
    """Tell whether a relationship holds on a day: ``starts_on`` and ``ends_on`` as far as they are set, and ``today``."""
    return is_current({k: v for k, v in asked.items() if v is not None}, asked["today"])


def is_current(doc: Mapping[str, Any], today: str, /) -> bool:
    """Tell whether a relationship has begun and not ended."""
    return str(doc.get("starts_on", today)) <= today <= str(doc.get("ends_on", today))


@presents(RELATIONSHIPS)
def present(context: Context, relationship: Record) -> Mapping[str, Any]:
    """Compute anew whether the relationship holds: a stored value grows stale at midnight."""
    return {"is_current": is_current(relationship.doc, context.now[:10])}


@sees(RELATIONSHIPS)
def see(context: Context, relationship: Record) -> bool:
    """Show a relationship to those who may see the people at both ends."""
    ends = (relationship.doc["contact_id"], relationship.doc.get("related_contact_id"))
    return all(is_seen(context, end) for end in ends if end)


@enforces("relationship_target_fits")
def relationship_target_fits(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Compare the ends with what the type leads to."""
    right, wrong = "related_contact_id", "account_id"
    if KINDS[new["type"]].target == "account":
        right, wrong = wrong, right
    if new.get(wrong):
        return f"{new['type']} leads to {right.removesuffix('_id').replace('_', ' ')}, not to this.", wrong
    if not new.get(right):
        return f"{new['type']} needs {right}.", right
    return ""


@enforces("relationship_is_new")
def relationship_is_new(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Look for the same tie, in either direction, that has not ended."""
    today = context.now[:10]
    if old is not None and old.get("ends_on", today) >= today:
        return ""
    known = repeated(context, new)
    return f"This is on record as {known} and has not ended." if known else ""


def repeated(context: Context, new: Mapping[str, Any], /) -> str:
    """Return the ID of a relationship that is the same tie as another that has not ended; empty where there is none."""
    today = context.now[:10]
    if new.get("ends_on", today) < today:
        return ""
    ties = {(new["contact_id"], new["type"], new.get("related_contact_id") or new.get("account_id"))}
    if new.get("related_contact_id"):
        ties.add((new["related_contact_id"], KINDS[new["type"]].inverse, new["contact_id"]))
    for person, type_, other in ties:
        for known in context.records.find(RELATIONSHIPS, contact_id=person, type=type_):
            ends = (known.doc.get("related_contact_id") or known.doc.get("account_id"), known.id)
            if ends[0] == other and ends[1] != new["id"] and known.doc.get("ends_on", today) >= today:
                return known.id
    return ""


@handles("listContactRelationshipTypes")
def list_types(call: Call) -> Reply:
    """Return a page of the catalogue."""
    target = call.query.get("target")
    return listing.paged_items(call, [kind.as_dict() for kind in _CATALOGUE if target in (None, kind.target)])


@handles("listContactRelationships")
def list_relationships(call: Call) -> Reply:
    """List relationships, after bringing what is stored of them up to today so that is_current can be filtered by."""
    today = call.now[:10]
    dated = Condition("doc->>'$.starts_on' is not null or doc->>'$.ends_on' is not null")
    for relationship in call.world.store.select(call.tenant, RELATIONSHIPS, dated.sql):
        if relationship.doc["is_current"] != is_current(relationship.doc, today):
            call.records.note(relationship, is_current=not relationship.doc["is_current"])
    return listing.list_records(call)
