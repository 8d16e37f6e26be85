"""Merging: the checks, the preview, and the merge with everything that moves. :mod:`.unmerging` takes it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from crm_reference.emulator import custom_fields
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.refusals import refused
from crm_reference.emulator.registry import handles, presents, sees
from crm_reference.emulator.services.contacts.consents import CONSENTS, lapse
from crm_reference.emulator.services.contacts.duplicates import leave_groups
from crm_reference.emulator.services.contacts.people import MAX_MANAGERS, refuse_restricted
from crm_reference.emulator.services.contacts.relationships import RELATIONSHIPS, repeated
from crm_reference.emulator.services.contacts.selecting import CONTACTS, LISTS, is_seen, seen_contact
from crm_reference.emulator.services.contacts.survivorship import FIELDS, UNITED, decide
from crm_reference.emulator.store import Record

MERGES = "contact-merges"
#: How long a merge can be undone.
UNDO_DAYS = 30


@sees(MERGES)
def see(context: Context, merge: Record) -> bool:
    """Show a merge to those who may see the survivor."""
    return is_seen(context, merge.doc["target_id"])


@presents(MERGES)
def present(context: Context, merge: Record) -> Mapping[str, Any]:
    """Leave out outcomes of fields that the caller may not see."""
    masked = context.records.masked(CONTACTS)
    return {"outcomes": [o for o in merge.doc["outcomes"] if o["field"].split(".")[0] not in masked]}


# -- checks --------------------------------------------------------------------------------------------------------------------


def _contacts(call: Call) -> list[Record]:
    """Return the target and the sources.

    :raises Problem: What the request breaks, in the order of precedence.
    """
    target_id, source_ids = call.body["target_id"], call.body["source_ids"]
    found, errors = [], []
    for pointer, id in [("#/target_id", target_id), *((f"#/source_ids/{i}", s) for i, s in enumerate(source_ids))]:
        contact = seen_contact(call, id)
        if contact is None:
            errors.append({"pointer": pointer, "code": "invalid_reference", "detail": "There is no contact with this ID."})
        else:
            found.append(contact)
    if errors:
        raise Problem("validation_failed", f"{counted(len(errors), 'contact')} can't be merged; see errors.", errors)
    if target_id in source_ids:
        raise refused("merge_self", "A contact can't be merged into itself.", f"#/source_ids/{source_ids.index(target_id)}")
    _check_choices(call)
    for contact in found:
        refuse_restricted(call, contact)
    return found


def _check_choices(call: Call) -> None:
    involved = {call.body["target_id"], *call.body["source_ids"]}
    kinds = {name: said["type"] for name, said in custom_fields.definitions(call, "contact").items()}
    masked = call.records.masked(CONTACTS)
    seen: set[str] = set()
    for index, choice in enumerate(call.body.get("choices", ())):
        name, strategy = choice["field"], choice["strategy"]
        head, _, rest = name.partition(".")
        custom = kinds.get(rest) if head == "custom_fields" else None
        detail = ""
        if name in seen:
            detail = f"{name} is chosen twice."
        elif (name not in FIELDS and custom is None) or head in masked:
            detail = f"{name} is not decided by a merge."
        elif strategy == "contact" and choice.get("contact_id") not in involved:
            detail = "contact_id must name one of the contacts that are merged."
        elif strategy != "contact" and "contact_id" in choice:
            detail = "contact_id goes with the strategy contact only."
        elif strategy == "union" and name not in UNITED and custom != "multi_picklist":
            detail = f"{name} is not a list, so there is nothing to unite."
        if detail:
            raise refused("survivorship_choice_invalid", detail, f"#/choices/{index}")
        seen.add(name)


def _check_disqualification(decided: Mapping[str, Any], choices: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a choice that takes the reason from a contact which stays disqualified."""
    if decided.get("lifecycle_stage") == "disqualified" and "disqualification_reason" not in decided:
        index = next((i for i, c in enumerate(choices) if c["field"] == "disqualification_reason"), 0)
        detail = "The contact stays disqualified, and the choice leaves it without a reason."
        raise refused("survivorship_choice_invalid", detail, f"#/choices/{index}")


# -- the merge -----------------------------------------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """A merge as it was done."""

    target: Record
    outcomes: list[dict[str, Any]]
    moved: Moved
    before: dict[str, Any]


def _merge(call: Call) -> Outcome:
    """Write a merge: what hangs on the sources, the sources, then the target, whose new address they had until now."""
    target, *sources = _contacts(call)
    lapse(call)
    choices = call.body.get("choices", ())
    decided, outcomes = decide([c.doc for c in (target, *sources)], choices)
    _check_disqualification(decided, choices)
    before = {c.id: {"doc": c.doc, "version": c.version} for c in (target, *sources)}
    moved = Moved()
    with upkeep(call):
        for source in sources:
            _move_relationships(call, source.id, target.id, moved)
            _move_reports(call, source.id, target.id, moved)
            _move_memberships(call, source.id, target.id, moved)
            _move_consents(call, source.id, target.id, moved)
            call.records.delete(source, action="merged")
            gone = call.world.store.get(call.tenant, CONTACTS, source.id, deleted=True)
            if gone is not None:
                call.records.note(gone, _merged_into=target.id)
        leave_groups(call, [s.id for s in sources])
        present = call.records.peek(CONTACTS, target.id) or target
        doc = {k: v for k, v in present.doc.items() if k not in (*FIELDS, "custom_fields")} | decided
        doc |= _ban([target, *sources])
        doc["_merged_from"] = [*present.doc.get("_merged_from", ()), *(s.id for s in sources)]
        if _runs_in_circle(call, doc.get("reports_to_id"), {c.id for c in (target, *sources)}):
            del doc["reports_to_id"]
        merged = call.records.replace(present, doc, action="merged", touched={})
    return Outcome(merged, outcomes, moved, before)


def _ban(contacts: list[Record]) -> dict[str, Any]:
    """Return the ban of the survivor: no merge lifts one."""
    banned = [c.doc for c in contacts if c.doc["is_do_not_contact"]]
    reasons = [d["do_not_contact_reason"] for d in banned if "do_not_contact_reason" in d]
    return {"is_do_not_contact": bool(banned)} | ({"do_not_contact_reason": reasons[0]} if reasons else {})


def _runs_in_circle(context: Context, manager: str | None, merged: set[str]) -> bool:
    for _ in range(MAX_MANAGERS):
        if manager is None or manager in merged:
            return manager is not None
        above = context.records.peek(CONTACTS, manager)
        manager = above.doc.get("reports_to_id") if above is not None else None
    return False


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


# -- operations ----------------------------------------------------------------------------------------------------------------


class _TakeBack(Exception):  # it carries no error: it ends the preview
    pass


@handles("previewContactMerge")
def preview(call: Call) -> Reply:
    """Merge, look at what came of it, and take it back."""
    body: dict[str, Any] = {}
    masked = call.records.masked(CONTACTS)
    with suppress(_TakeBack), call.world.store.transaction():
        done = _merge(call)
        outcomes = [o for o in done.outcomes if o["field"].split(".")[0] not in masked]
        present = done.before[done.target.id]
        # The record is as it would be; what writing it would do to version and times is no part of the decision.
        platform = {k: present["doc"][k] for k in ("updated_at", "updated_by") if k in present["doc"]}
        doc = {k: v for k, v in done.target.doc.items() if k != "updated_by"} | platform
        record = Record(CONTACTS, done.target.id, present["version"], doc)
        body = {"record": call.records.shown(record), "outcomes": outcomes, "moved": done.moved.counts()}
        raise _TakeBack
    return Reply(200, body)


@handles("mergeContacts")
def merge(call: Call) -> Reply:
    """Make several contacts one, and keep what an undo needs."""
    done = _merge(call)
    source_ids = list(call.body["source_ids"])
    body = {
        "status": "merged",
        "target_id": done.target.id,
        "source_ids": source_ids,
        "contact_ids": [done.target.id, *source_ids],
        "outcomes": done.outcomes,
        "moved": done.moved.counts(),
        "undo_expires_at": days_later(call.now, UNDO_DAYS),
        "_before": done.before,
        "_after": done.target.doc,
        "_moved": done.moved.as_dict(),
    }
    record = call.records.create(MERGES, body)
    data = {
        "merge_id": record.id,
        "target_id": done.target.id,
        "source_ids": source_ids,
        "record": call.records.public(done.target),
    }
    call.emit("crm.contact.merged.v1", done.target.id, data)
    call.records.tell(done.target, done.before[done.target.id]["doc"], "crm.contact.updated.v1")
    return single.shown(call, record, 201, Location=f"/v1/contact-merges/{record.id}")
