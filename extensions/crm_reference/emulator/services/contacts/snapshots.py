"""Snapshots: all contact data of a tenant as of one moment, and what comes back from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.services.contacts.jobs import STARTER
from crm_reference.emulator.services.contacts.selecting import CONTACTS
from crm_reference.emulator.snapshots import Entry, Snapshots
from crm_reference.emulator.store import Record

#: What a snapshot holds, in the order in which it comes back: what others refer to first.
_COLLECTIONS = (CONTACTS, "contact-relationships", "contact-lists", "contact-consents", "contact-merges")


def _admit(context: Context, entry: Entry, present: Record | None) -> Mapping[str, Any] | None:
    """Bring one record back; what was removed for legal reasons stays away."""
    collection, doc = entry["collection"], dict(entry["doc"])
    erased = {gone for receipt in context.records.find("contact-erasures") for gone in receipt.doc["_ids"]}
    if not erased.isdisjoint(_people(entry)) or (present is not None and present.doc.get("_merged_into")):
        return None
    if collection == "contact-consents" and present is not None and present.doc["status"] == "withdrawn":
        return None
    if collection == CONTACTS and present is not None:
        if present.doc.get("is_processing_restricted"):
            return None
        if present.doc.get("is_do_not_contact"):
            doc |= {k: present.doc[k] for k in ("is_do_not_contact", "do_not_contact_reason") if k in present.doc}
    return _without(doc, erased)


SNAPSHOTS = Snapshots(STARTER, "contact-snapshots", _COLLECTIONS, "crm.contact_snapshot.restored.v1", _admit, is_strict=True)
SNAPSHOTS.offer("startContactSnapshot", "restoreContactSnapshot")


def forget_people(context: Context, ids: Iterable[str], /) -> None:
    """Remove people and what hangs on them from every snapshot that is kept; number and digest tell of the new content."""
    gone = set(ids)
    SNAPSHOTS.rewrite(context, lambda e: {**e, "doc": _without(e["doc"], gone)} if gone.isdisjoint(_people(e)) else None)


def _people(entry: Entry) -> set[str | None]:
    """Return whom a record is about."""
    doc = entry["doc"]
    return {entry["id"], doc.get("contact_id"), doc.get("related_contact_id"), *doc.get("contact_ids", ())}


def _without(doc: Mapping[str, Any], gone: set[str]) -> dict[str, Any]:
    """Return a document that no longer names people who are gone: as its members or as its manager."""
    kept = {k: v for k, v in doc.items() if k != "reports_to_id" or v not in gone}
    if "_members" in doc:
        kept["_members"] = {id: mark for id, mark in doc["_members"].items() if id not in gone}
    return kept
