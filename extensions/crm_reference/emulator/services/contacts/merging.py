"""Merging contacts: what moves with a person, and which bans, managers and reasons the survivor has.

The checks, the preview, the merge and its undoing are those of :mod:`crm_reference.emulator.merging`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm_reference.emulator.call import Call, Context
from crm_reference.emulator.merging import Codes, Merging
from crm_reference.emulator.refusals import refused
from crm_reference.emulator.services.contacts.consents import CONSENTS, lapse
from crm_reference.emulator.services.contacts.duplicates import GROUPS
from crm_reference.emulator.services.contacts.people import MAX_MANAGERS, refuse_restricted
from crm_reference.emulator.services.contacts.relationships import RELATIONSHIPS, repeated
from crm_reference.emulator.services.contacts.selecting import CONTACTS, LISTS, is_seen, seen_contact
from crm_reference.emulator.services.contacts.survivorship import SURVIVORSHIP
from crm_reference.emulator.services.contacts.unmerging import bring_back, move_back
from crm_reference.emulator.store import Record

MERGES = "contact-merges"
_CHOICE_INVALID = "survivorship_choice_invalid"


def _check_disqualification(call: Call, contacts: Sequence[Record], decided: dict[str, Any]) -> None:
    """Refuse a choice that takes the reason from a contact which stays disqualified."""
    if decided.get("lifecycle_stage") == "disqualified" and "disqualification_reason" not in decided:
        choices = call.body.get("choices", ())
        index = next((i for i, c in enumerate(choices) if c["field"] == "disqualification_reason"), 0)
        detail = "The contact stays disqualified, and the choice leaves it without a reason."
        raise refused(_CHOICE_INVALID, detail, f"#/choices/{index}")


# -- the survivor --------------------------------------------------------------------------------------------------------------


def _complete(context: Context, contacts: Sequence[Record], doc: dict[str, Any]) -> None:
    """Give the survivor its ban, which no merge lifts, and no manager above whom it stands itself."""
    banned = [c.doc for c in contacts if c.doc["is_do_not_contact"]]
    reasons = [d["do_not_contact_reason"] for d in banned if "do_not_contact_reason" in d]
    doc["is_do_not_contact"] = bool(banned)
    if reasons:
        doc["do_not_contact_reason"] = reasons[0]
    if _runs_in_circle(context, doc.get("reports_to_id"), {c.id for c in contacts}):
        del doc["reports_to_id"]


def _runs_in_circle(context: Context, manager: str | None, merged: set[str]) -> bool:
    for _ in range(MAX_MANAGERS):
        if manager is None or manager in merged:
            return manager is not None
        above = context.records.peek(CONTACTS, manager)
        manager = above.doc.get("reports_to_id") if above is not None else None
    return False


# -- what moves ----------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Moved:
    """What a merge moved or dropped, for the counts and for the undo; all of it JSON data."""

    relationships: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[dict[str, Any]] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    memberships: list[dict[str, Any]] = field(default_factory=list)
    consents: list[dict[str, Any]] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """Return the counts that clients see."""
        return {
            "relationship_count": len(self.relationships),
            "direct_report_count": len(self.reports),
            "list_member_count": sum(1 for m in self.memberships if m["is_new"]),
            "consent_count": len(self.consents),
        }

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {name: getattr(self, name) for name in ("relationships", "dropped", "reports", "memberships", "consents")}


def _move(call: Call, source_ids: Sequence[str], target: str, remove: Callable[[str], None]) -> Moved:
    moved = Moved()
    for source in source_ids:
        _move_relationships(call, source, target, moved)
        _move_reports(call, source, target, moved)
        _move_memberships(call, source, target, moved)
        _move_consents(call, source, target, moved)
        remove(source)
    return moved


def _move_relationships(context: Context, source: str, target: str, moved: Moved) -> None:
    for name in ("contact_id", "related_contact_id"):
        for relationship in context.records.find(RELATIONSHIPS, **{name: source}):
            doc = {**relationship.doc, name: target}
            entry = {"collection": RELATIONSHIPS, "id": relationship.id, "version": relationship.version, "doc": relationship.doc}
            if doc["contact_id"] == doc.get("related_contact_id") or repeated(context, doc):
                context.records.delete(relationship)
                moved.dropped.append(entry)
            else:
                context.records.change(relationship, {name: target})
                moved.relationships.append({"id": relationship.id, "field": name, "from": source})


def _move_reports(context: Context, source: str, target: str, moved: Moved) -> None:
    for report in context.records.find(CONTACTS, reports_to_id=source):
        if report.id == target:
            context.records.change(report, {"reports_to_id": None})
        else:
            context.records.change(report, {"reports_to_id": target})
            moved.reports.append({"id": report.id, "from": source})


def _move_memberships(context: Context, source: str, target: str, moved: Moved) -> None:
    for contact_list in context.world.store.select(context.tenant, LISTS, deleted=None):
        members = dict(contact_list.doc.get("_members", {}))
        if source in members:
            mark = members.pop(source)
            moved.memberships.append({"list": contact_list.id, "from": source, "mark": mark, "is_new": target not in members})
            members.setdefault(target, mark)
            context.records.note(contact_list, _members=members)


def _move_consents(context: Context, source: str, target: str, moved: Moved) -> None:
    """Move consents; of two for the same channel and purpose the later one stays, and a withdrawal wins a tie."""
    for consent in context.records.find(CONSENTS, contact_id=source):
        key = {"channel": consent.doc["channel"], "purpose": consent.doc["purpose"]}
        rival = next(iter(context.records.find(CONSENTS, contact_id=target, **key)), None)
        loser = rival
        if rival is not None and _weight(rival) >= _weight(consent):
            loser = consent
        if loser is not None:
            context.records.delete(loser)
            winner = rival if loser is consent and rival is not None else consent
            entry = {"collection": CONSENTS, "id": loser.id, "version": loser.version, "doc": loser.doc, "winner": winner.id}
            moved.dropped.append(entry)
        if loser is not consent:
            context.records.change(consent, {"contact_id": target})
            moved.consents.append({"id": consent.id, "from": source})


def _weight(consent: Record) -> tuple[str, bool]:
    latest = max(consent.doc.get(name, "") for name in ("granted_at", "withdrawn_at", "created_at"))
    return latest, consent.doc["status"] == "withdrawn"


Merging(
    collection=CONTACTS,
    merges=MERGES,
    survivorship=SURVIVORSHIP,
    groups=GROUPS,
    codes=Codes("merge_self", _CHOICE_INVALID, "merge_already_undone", "undo_expired", "undo_blocked", "email_taken"),
    unique=("email", "address"),
    seen=seen_contact,
    is_seen=is_seen,
    admit=refuse_restricted,
    admits_first=frozenset({"undo"}),
    settle=_check_disqualification,
    move=_move,
    complete=_complete,
    bring_back=bring_back,
    move_back=move_back,
    prepare=lapse,
    written=("is_do_not_contact", "do_not_contact_reason"),
    person="contact",
    undone_by=lambda call: call.identity.actor,
).offer(preview="previewContactMerge", merge="mergeContacts", undo="undoContactMerge")
