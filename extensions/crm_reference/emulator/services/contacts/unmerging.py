"""Undoing a merge: the contacts come apart, and what moved goes back where nobody has touched it since."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.contacts.consents import CONSENTS, lapse
from crm_reference.emulator.services.contacts.people import refuse_restricted
from crm_reference.emulator.services.contacts.relationships import RELATIONSHIPS
from crm_reference.emulator.services.contacts.selecting import CONTACTS, LISTS
from crm_reference.emulator.services.contacts.survivorship import FIELDS
from crm_reference.emulator.store import Record, folded

_DECIDED = (*FIELDS, "is_do_not_contact", "do_not_contact_reason")


@handles("undoContactMerge")
def undo(call: Call) -> Reply:
    """Take the contacts of a merge apart again."""
    merge = call.found
    target = _check(call, merge)
    before, source_ids = merge.doc["_before"], merge.doc["source_ids"]
    lapse(call)
    with upkeep(call):
        # The target goes first, so that addresses which it took over are free when their owners come back.
        doc = _former(target.doc, before[target.id]["doc"], merge.doc["_after"])
        doc.pop("_merged_from", None)
        restored_target = call.records.replace(target, doc, action="unmerged", touched={})
        banned = _banned_since(target.doc, merge.doc["_after"])
        sources = [_bring_back(call, id, before[id], banned) for id in source_ids]
        _move_back(call, merge.doc["_moved"], target.id, merge.doc["created_at"])
    restored_target = call.records.peek(CONTACTS, target.id) or restored_target
    sources = [call.records.peek(CONTACTS, s.id) or s for s in sources]
    undone = call.records.change(merge, {"status": "undone", "undone_at": call.now, "undone_by": call.identity.actor})
    data = {
        "merge_id": merge.id,
        "target_id": target.id,
        "source_ids": source_ids,
        "record": call.records.public(restored_target),
        "restored_records": [call.records.public(s) for s in sources],
    }
    call.emit("crm.contact.unmerged.v1", target.id, data)
    call.records.tell(restored_target, target.doc, "crm.contact.updated.v1")
    return single.shown(call, undone)


def _check(call: Call, merge: Record) -> Record:
    """Return the survivor.

    :raises Problem: Where the merge can't be undone.
    """
    target = call.records.peek(CONTACTS, merge.doc["target_id"])
    if target is not None:
        refuse_restricted(call, target)
    if merge.doc["status"] == "undone":
        raise Problem("merge_already_undone", f"The merge was undone at {merge.doc['undone_at']}.")
    if call.now > merge.doc["undo_expires_at"]:
        raise Problem("undo_expired", f"The merge could be undone until {merge.doc['undo_expires_at']}.")
    if target is None:
        raise Problem("undo_blocked", f"{merge.doc['target_id']} was merged into another contact, deleted or erased since.")
    for id in merge.doc["source_ids"]:
        email = merge.doc["_before"][id]["doc"].get("email")
        if email is None:
            continue
        takers = call.world.store.select(call.tenant, CONTACTS, f"{folded('email')} = ?", [email], order="", limit=1)
        if any(taker.id != target.id for taker in takers):
            raise Problem("email_taken", f"The address of {id} belongs to another contact by now.")
    return target


def _former(present: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document in which each field that is still as the merge made it has its former value."""
    doc = dict(present)
    for name in _DECIDED:
        if doc.get(name) == after.get(name):
            doc.pop(name, None)
            doc |= {name: before[name]} if name in before else {}
    now, then, made = (d.get("custom_fields", {}) for d in (present, before, after))
    customs = {**now}
    for name in dict.fromkeys((*now, *then)):
        if now.get(name) == made.get(name):
            customs.pop(name, None)
            customs |= {name: then[name]} if name in then else {}
    doc.pop("custom_fields", None)
    return doc | ({"custom_fields": customs} if customs else {})


def _banned_since(present: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ban that was set on the survivor since the merge: whoever asked for it may be any of those who come back."""
    if not present["is_do_not_contact"] or after["is_do_not_contact"]:
        return {}
    return {k: present[k] for k in ("is_do_not_contact", "do_not_contact_reason") if k in present}


def _bring_back(call: Call, id: str, before: Mapping[str, Any], banned: Mapping[str, Any]) -> Record:
    gone = call.world.store.get(call.tenant, CONTACTS, id, deleted=True)
    version = gone.version if gone is not None else before["version"]
    doc = {k: v for k, v in before["doc"].items() if k != "_merged_into"}
    if not doc["is_do_not_contact"]:
        doc |= banned
    return call.records.revive(CONTACTS, doc, version + 1, action="unmerged", fresh=False)


def _move_back(context: Context, moved: Mapping[str, Any], target: str, merged_at: str) -> None:
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
