"""Relationships between accounts: the catalogue of types, the rules, and how they look from either side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import WORLD_START, iso
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import computes, derives, enforces, handles, presents, sees
from crm_reference.emulator.services.accounts.reaching import is_reached, name_of
from crm_reference.emulator.store import Record

RELATIONSHIPS = "account-relationships"

#: Type, label, inverse.
_CATALOGUE = (
    ("partner_of", "Partner of", "partner_of"),
    ("competitor_of", "Competitor of", "competitor_of"),
    ("supplier_of", "Supplier of", "customer_of"),
    ("customer_of", "Customer of", "supplier_of"),
    ("reseller_of", "Reseller of", "resold_by"),
    ("resold_by", "Resold by", "reseller_of"),
    ("contractor_of", "Contractor of", "client_of"),
    ("client_of", "Client of", "contractor_of"),
    ("broker_of", "Broker of", "brokered_by"),
    ("brokered_by", "Brokered by", "broker_of"),
    ("investor_in", "Investor in", "funded_by"),
    ("funded_by", "Funded by", "investor_in"),
)
LABELS: Mapping[str, str] = {type_: label for type_, label, _ in _CATALOGUE}
INVERSES: Mapping[str, str] = {type_: inverse for type_, _, inverse in _CATALOGUE}


@derives(RELATIONSHIPS)
def derive(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive the inverse, both accounts, and whether the relationship holds today."""
    today = (context.now if context is not None else iso(WORLD_START))[:10]
    ends = [doc["account_id"], doc["related_account_id"]]
    return {"inverse_type": INVERSES[doc["type"]], "participant_ids": ends, "is_current": holds(doc, today)}


def holds(doc: Mapping[str, Any], today: str, /) -> bool:
    """Tell whether a relationship has begun on a day and not ended before it."""
    return str(doc.get("starts_on", today)) <= today <= str(doc.get("ends_on", today))


@presents(RELATIONSHIPS)
def present(context: Context, relationship: Record) -> Mapping[str, Any]:
    """Compute anew whether the relationship holds: a stored value grows stale at midnight."""
    return {"is_current": holds(relationship.doc, context.now[:10])}


@sees(RELATIONSHIPS)
def see(context: Context, relationship: Record) -> bool:
    """Show a relationship to those who may see both accounts."""
    return all(is_reached(context, id) for id in (relationship.doc["account_id"], relationship.doc["related_account_id"]))


@computes("account_relationship_same")
def same_as(asked: Mapping[str, Any]) -> bool:
    """Tell whether two relationships are one, stored from either end: the same accounts and type, and days in common.

    :param asked: ``one`` and ``other``, each with ``account_id``, ``related_account_id``, ``type`` and the days that it has.
    """
    return is_same(asked["one"], asked["other"])


def is_same(one: Mapping[str, Any], other: Mapping[str, Any], /) -> bool:
    """Tell whether two relationships are one and overlap in time."""
    tie = (other["account_id"], other["type"], other["related_account_id"])
    turned = (other["related_account_id"], INVERSES[other["type"]], other["account_id"])
    if (one["account_id"], one["type"], one["related_account_id"]) not in (tie, turned):
        return False
    first, last = "0000-00-00", "9999-99-99"
    return bool(
        one.get("starts_on", first) <= other.get("ends_on", last) and other.get("starts_on", first) <= one.get("ends_on", last)
    )


@enforces("account_relationship_once")
def account_relationship_once(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Look for the same relationship, stored from either end, on some of the same days."""
    for id in (new["account_id"], new["related_account_id"]):
        for known in context.records.find(RELATIONSHIPS, account_id=id):
            if known.id != new["id"] and is_same(new, known.doc):
                return f"This is on record as {known.id}."
    return ""


@handles("restoreAccountRelationship", deleted=True)
def restore(call: Call) -> Reply:
    """Take a relationship out of the recycle bin, while both accounts are there."""
    if call.found.deleted_at is None:
        raise Problem("account_relationship_not_deleted", f"{call.found.id} is in use.")
    return single.restore(call)


@handles("listAccountRelationshipTypes")
def list_types(call: Call) -> Reply:
    """Return a page of the catalogue."""
    kinds = [
        {"type": type_, "label": label, "inverse_type": inverse, "inverse_label": LABELS[inverse], "is_symmetric": type_ == inverse}
        for type_, label, inverse in _CATALOGUE
    ]
    return listing.paged_items(call, kinds)


@handles("listAccountRelationships")
def list_relationships(call: Call) -> Reply:
    """List relationships, after bringing what is stored of them up to today so that is_current can be filtered by."""
    today = call.now[:10]
    dated = Condition("doc->>'$.starts_on' is not null or doc->>'$.ends_on' is not null")
    for relationship in call.world.store.select(call.tenant, RELATIONSHIPS, dated.sql):
        if relationship.doc["is_current"] != holds(relationship.doc, today):
            call.records.note(relationship, is_current=not relationship.doc["is_current"])
    return listing.list_records(call)


@handles("listRelatedAccounts")
def list_related(call: Call) -> Reply:
    """Return the other ends of an account's relationships by name, with the type as seen from the account."""
    wanted, is_current = call.query.get("type"), call.query.get("is_current")
    found = [_seen_from(call, call.found.id, r) for r in of_account(call, call.found.id)]
    kept = [e for e in found if wanted in (None, e["type"]) and is_current in (None, e["is_current"])]
    return listing.paged_items(call, sorted(kept, key=lambda e: (e["name"].casefold(), e["relationship_id"])))


def of_account(context: Context, id: str, /) -> list[Record]:
    """Return the relationships of an account that the caller may see, by ID."""
    found = [*context.records.find(RELATIONSHIPS, account_id=id), *context.records.find(RELATIONSHIPS, related_account_id=id)]
    return sorted((r for r in found if context.records.visible(r)), key=lambda r: r.id)


def _seen_from(context: Context, id: str, relationship: Record) -> dict[str, Any]:
    doc = relationship.doc
    is_first = doc["account_id"] == id
    other = doc["related_account_id" if is_first else "account_id"]
    type_ = doc["type"] if is_first else doc["inverse_type"]
    entry = {"relationship_id": relationship.id, "account_id": other, "name": name_of(context, other), "type": type_}
    entry |= {"label": LABELS[type_], "is_current": holds(doc, context.now[:10])}
    return entry | {k: doc[k] for k in ("strength", "starts_on", "ends_on") if k in doc}
