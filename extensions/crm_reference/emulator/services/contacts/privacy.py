"""Bans, restrictions, access to personal data, and erasure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.behaviours.feeds import version_entry
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.refusals import invalid
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.contacts import jobs
from crm_reference.emulator.services.contacts.consents import CONSENTS, lapse
from crm_reference.emulator.services.contacts.duplicates import GROUPS
from crm_reference.emulator.services.contacts.members import lists_of
from crm_reference.emulator.services.contacts.merging import MERGES
from crm_reference.emulator.services.contacts.relationships import RELATIONSHIPS
from crm_reference.emulator.services.contacts.selecting import CONTACTS, LISTS
from crm_reference.emulator.services.contacts.snapshots import forget_people
from crm_reference.emulator.store import Record

ERASURES = "contact-erasures"
ERASED = "crm.contact.erased.v1"

_MAX_HISTORY = 1000


# -- marks ---------------------------------------------------------------------------------------------------------------------


def _mark(call: Call, mark: str, reason_member: str, event: str) -> Reply:
    """Set or lift a mark with its reason; what holds already changes nothing."""
    is_set, reason = call.body[mark], call.body.get("reason")
    if is_set and reason is None:
        raise invalid("#/reason", "required", f"reason is required where {mark} is true")
    if not is_set and reason is not None:
        raise invalid("#/reason", "invalid_value", f"is left out where {mark} is false")
    contact = call.found
    if contact.doc[mark] == is_set and contact.doc.get(reason_member) == reason:
        return single.shown(call, contact)
    changed = call.records.change(contact, {mark: is_set, reason_member: reason})
    call.emit(event, contact.id, {"record": call.records.public(changed)})
    return single.shown(call, changed)


@handles("setContactDoNotContact")
def set_do_not_contact(call: Call) -> Reply:
    """Ban every channel for a person, or lift the ban. Consents stay as they are."""
    return _mark(call, "is_do_not_contact", "do_not_contact_reason", "crm.contact.do_not_contact_changed.v1")


@handles("setContactProcessingRestriction")
def set_restriction(call: Call) -> Reply:
    """Freeze a person's data, or release them."""
    event = "crm.contact.processing_restriction_changed.v1"
    return _mark(call, "is_processing_restricted", "processing_restriction_reason", event)


# -- access --------------------------------------------------------------------------------------------------------------------


@handles("getContactPersonalData")
def personal_data(call: Call) -> Reply:
    """Put together everything that is held about a person; nothing is masked."""
    contact, records = call.found, call.records
    lapse(call)
    log = call.world.store.changes(call.tenant, CONTACTS, id=contact.id, newest_first=True, limit=_MAX_HISTORY)
    consents = records.find(CONSENTS, contact_id=contact.id)
    relationships = _relationships(call, [contact.id])
    merges = [m for m in records.find(MERGES) if contact.id in m.doc["contact_ids"]]
    body = {
        "exported_at": call.now,
        "contact": records.public(contact),
        "history": [version_entry(change) for change in log],
        "consents": [records.public(c) for c in _by_creation(consents)],
        "relationships": [records.public(r) for r in _by_creation(relationships)],
        "lists": [records.public(r) for r in lists_of(call, contact)],
        "merges": [records.public(m) for m in _by_creation(merges)],
    }
    return Reply(200, body, {"Cache-Control": "no-store"})


def _by_creation(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda r: (r.doc["created_at"], r.id))


def _relationships(context: Context, ids: Iterable[str]) -> list[Record]:
    found = {
        r.id: r
        for id in ids
        for name in ("contact_id", "related_contact_id")
        for r in context.records.find(RELATIONSHIPS, **{name: id})
    }
    return list(found.values())


# -- erasure -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Traces:
    """Everything that is held about a person and those who were merged into it."""

    ids: list[str]
    consents: list[Record]
    relationships: list[Record]
    merges: list[Record]
    memberships: list[tuple[Record, str]]
    reports: list[Record]
    history_count: int

    def counts(self) -> dict[str, int]:
        """Return the counts that preview and receipt show."""
        return {
            "contact_count": len(self.ids),
            "history_count": self.history_count,
            "consent_count": len(self.consents),
            "relationship_count": len(self.relationships),
            "list_member_count": len(self.memberships),
            "merge_count": len(self.merges),
        }


def _traces(context: Context, contact: Record) -> Traces:
    merges = context.records.find(MERGES)
    ids = [contact.id]
    for id in ids:  # the list grows while it is walked: what was merged into a merged contact counts too
        ids += [
            s
            for m in merges
            if m.doc["status"] == "merged" and m.doc["target_id"] == id
            for s in m.doc["source_ids"]
            if s not in ids
        ]
    lists = context.world.store.select(context.tenant, LISTS, deleted=None)
    return Traces(
        ids=ids,
        consents=[c for id in ids for c in context.records.find(CONSENTS, contact_id=id)],
        relationships=_relationships(context, ids),
        merges=[m for m in merges if not set(ids).isdisjoint(m.doc["contact_ids"])],
        memberships=[(r, id) for r in lists for id in ids if id in r.doc.get("_members", {})],
        reports=[r for id in ids for r in context.records.find(CONTACTS, reports_to_id=id) if r.id not in ids],
        history_count=sum(len(context.world.store.changes(context.tenant, CONTACTS, id=id)) for id in ids),
    )


def _marks(context: Context, ids: Iterable[str]) -> Iterator[str]:
    """Return the addresses and numbers of people, by which rows of an import are known."""
    for id in ids:
        stored = context.world.store.get(context.tenant, CONTACTS, id, deleted=True)
        doc = stored.doc if stored is not None else {}
        yield from (doc[name] for name in ("email", "phone") if name in doc)
        yield from (e["address"] for e in doc.get("other_emails", ()))
        yield from (e["number"] for e in doc.get("other_phones", ()))


@handles("previewContactErasure", deleted=True)
def preview(call: Call) -> Reply:
    """Count what an erasure would remove."""
    traces = _traces(call, call.found)
    services = call.world.contract.events[ERASED].node.get("x-consumers", ())
    body = {
        "contact_id": call.found.id,
        "counts": traces.counts(),
        "direct_report_count": len(traces.reports),
        "notified_services": list(services),
    }
    return Reply(200, body)


@handles("eraseContact", deleted=True)
def erase(call: Call) -> Reply:
    """Remove a person for good, and keep a receipt that says nothing about the person."""
    contact, records = call.found, call.records
    traces = _traces(call, contact)
    with upkeep(call):
        for report in traces.reports:
            records.change(report, {"reports_to_id": None})
        for record in (*traces.consents, *traces.relationships, *traces.merges):
            records.erase(record)
        for contact_list in {r.id: r for r, _ in traces.memberships}.values():
            members = {id: mark for id, mark in contact_list.doc["_members"].items() if id not in traces.ids}
            records.note(contact_list, _members=members)
        GROUPS.leave(call, traces.ids, erase=True)
        forget_people(call, traces.ids)
        jobs.forget_people(call, traces.ids, _marks(call, traces.ids))
        for id in traces.ids:
            stored = call.world.store.get(call.tenant, CONTACTS, id, deleted=True)
            if stored is not None:
                records.erase(stored)
    request = {k: call.body[k] for k in ("reason", "data_subject_request_id") if k in call.body}
    body = {"contact_id": contact.id, **request, "counts": traces.counts(), "erased_at": call.now, "_ids": traces.ids}
    receipt = records.create(ERASURES, body)
    data: dict[str, Any] = {"contact_id": contact.id, "merged_contact_ids": traces.ids[1:], "erasure_id": receipt.id}
    if "data_subject_request_id" in request:
        data["data_subject_request_id"] = request["data_subject_request_id"]
    call.emit(ERASED, contact.id, data)
    return Reply(200, records.shown(receipt))
