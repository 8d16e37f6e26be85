"""Undoing a merge of contacts: with which ban people come back, and what moves back where nobody has touched it since."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.services.contacts.consents import CONSENTS
from crm_reference.emulator.services.contacts.relationships import RELATIONSHIPS
from crm_reference.emulator.services.contacts.selecting import CONTACTS, LISTS
from crm_reference.emulator.store import Record

Doc = Mapping[str, Any]


def bring_back(context: Context, back: Doc, present: Doc, after: Doc, /) -> dict[str, Any]:
    """Return the document of a person who comes back, with a ban that was set on the survivor since the merge.

    Whoever asked for it may be any of those who come back.

    :param present: The survivor as it is; ``after`` as the merge made it.
    """
    if back["is_do_not_contact"] or not present["is_do_not_contact"] or after["is_do_not_contact"]:
        return dict(back)
    return {**back, **{k: present[k] for k in ("is_do_not_contact", "do_not_contact_reason") if k in present}}


def move_back(context: Context, merge: Record, target: str, /) -> None:
    """Move back what a merge moved, where it is still with the survivor, and restore what it dropped."""
    moved, merged_at = merge.doc["_moved"], merge.doc["created_at"]
    for entry in moved["relationships"]:
        relationship = context.records.peek(RELATIONSHIPS, entry["id"])
        if relationship is not None and relationship.doc.get(entry["field"]) == target:
            context.records.change(relationship, {entry["field"]: entry["from"]})
    for entry in moved["reports"]:
        report = context.records.peek(CONTACTS, entry["id"])
        if report is not None and report.doc.get("reports_to_id") == target:
            context.records.change(report, {"reports_to_id": entry["from"]})
    for entry in moved["memberships"]:
        _rejoin(context, entry, target)
    for entry in moved["consents"]:
        consent = context.records.peek(CONSENTS, entry["id"])
        if consent is not None and consent.doc["contact_id"] == target:
            context.records.change(consent, {"contact_id": entry["from"]})
    for entry in moved["dropped"]:
        with suppress(Problem), context.world.store.transaction():
            context.records.revive(entry["collection"], _still_withdrawn(context, entry, merged_at), entry["version"] + 2)


def _still_withdrawn(context: Context, entry: Mapping[str, Any], merged_at: str) -> dict[str, Any]:
    """Return a dropped document; a consent whose rival was withdrawn since the merge comes back withdrawn."""
    doc = dict(entry["doc"])
    winner = context.records.peek(CONSENTS, entry["winner"]) if "winner" in entry else None
    if winner is not None and winner.doc["status"] == "withdrawn" and winner.doc["withdrawn_at"] >= merged_at:
        doc |= {k: winner.doc[k] for k in ("status", "withdrawn_at", "withdrawal_source") if k in winner.doc}
        doc.pop("confirmation_expires_at", None)
    return doc


def _rejoin(context: Context, entry: Mapping[str, Any], target: str) -> None:
    contact_list = context.world.store.get(context.tenant, LISTS, entry["list"], deleted=True)
    if contact_list is None or target not in contact_list.doc.get("_members", {}):
        return
    members = dict(contact_list.doc["_members"])
    if entry["is_new"]:
        del members[target]
    context.records.note(contact_list, _members={**members, entry["from"]: entry["mark"]})
