"""Converting leads, one or many, and taking a conversion back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.behaviours.batch import run_items
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, sees
from crm_reference.emulator.services.leads.conversion_plans import KEPT_BY, LEADS, Part, Plan, check_choices, plan, refusal, shown
from crm_reference.emulator.store import Record

CONVERSIONS = "lead-conversions"
#: How long a conversion can be undone.
UNDO_DAYS = 30
#: What a lead was before it was converted, where nothing else is on file.
_QUALIFIED = {"status": "qualified"} | dict.fromkeys(("converted_at", "conversion_id", "contact_id", "account_id", "deal_id"))


@sees(CONVERSIONS)
def see(context: Context, conversion: Record) -> bool:
    """Show a conversion to those who may see the lead."""
    lead = context.world.store.get(context.tenant, LEADS, conversion.doc["lead_id"], deleted=True)
    return lead is not None and context.records.visible(lead)


def demand_open(lead: Record, /) -> None:
    """Refuse a lead that is converted.

    :raises Problem: ``lead_converted``.
    """
    if lead.doc["status"] == "converted":
        raise Problem("lead_converted", f"{lead.id} was converted at {lead.doc['converted_at']}.")


@handles("previewLeadConversion")
def preview(call: Call) -> Reply:
    """Show what a conversion would make."""
    demand_open(call.found)
    check_choices(call.body)
    return Reply(200, shown(call.found, plan(call, call.found, call.body)))


@handles("convertLead")
def convert(call: Call) -> Reply:
    """Convert the lead that the path names."""
    record = _convert(call, call.found, call.body)
    return single.shown(call, record, 201, Location=f"/v1/{CONVERSIONS}/{record.id}")


@handles("batchConvertLeads")
def convert_batch(call: Call) -> Reply:
    """Convert several leads in the order of the request."""

    def one(item: Mapping[str, Any]) -> tuple[int, Record]:
        lead = call.records.get(LEADS, item["lead_id"])
        return 201, _convert(call, lead, {k: v for k, v in item.items() if k != "lead_id"})

    # Without these no lead can be matched, which is no fault of a single one.
    call.ask("contacts", "searchContacts")
    call.ask("accounts", "searchAccounts")
    return run_items(call, call.body["items"], one)


def _convert(call: Call, lead: Record, body: Mapping[str, Any]) -> Record:
    """Make the records of a conversion, and write it down with the lead and the event."""
    access.demand(call, lead, "write")
    demand_open(lead)
    check_choices(body)
    made = plan(call, lead, body)
    if made.problems:
        raise made.problems[0]
    owner = body.get("owner_id") or lead.doc["owner_id"]
    filled = _make(call, made, body, owner)
    parts = made.parts
    doc: dict[str, Any] = {
        "lead_id": lead.id,
        "status": "converted",
        "source": lead.doc.get("source"),
        "days_to_convert": _days(lead.doc["created_at"], call.now),
        "filled_fields": sorted(filled),
        "undo_expires_at": days_later(call.now, UNDO_DAYS),
    }
    doc |= {f"{kind}_outcome": part.outcome for kind, part in parts.items()}
    doc |= {f"{kind}_id": part.id for kind, part in parts.items() if part.id}
    with upkeep(call):
        conversion = call.records.create(CONVERSIONS, doc)
        changes = {f"{kind}_id": part.id or None for kind, part in parts.items()}
        changes |= {"status": "converted", "converted_at": call.now, "conversion_id": conversion.id}
        if lead.doc["status"] != "qualified":
            changes["qualified_at"] = call.now
        changed = call.records.change(lead, changes, action="converted")
    data = {"lead_id": lead.id, "conversion_id": conversion.id, "record": call.records.public(changed)}
    call.emit("crm.lead.converted.v1", lead.id, data | {f"{k}_id": p.id for k, p in parts.items() if p.id})
    versions = {kind: _read(call, kind, part.id).get("version") for kind, part in parts.items() if part.id}
    before = {name: lead.doc.get(name) for name in (*changes, "status")}
    return call.records.note(conversion, _before=before, _versions=versions, _filled=filled)


def _make(call: Call, made: Plan, body: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Make account, contact and deal, and return the fields of a contact that was there and that were filled."""
    account, contact, deal = (made.parts[kind] for kind in ("account", "contact", "deal"))
    if account.outcome == "created":
        _create(call, account, {**account.fields, "owner_id": owner})
    elif account.id:
        _read(call, "account", account.id)
    filled: dict[str, Any] = {}
    if contact.outcome == "created":
        _create(call, contact, {**contact.fields, "owner_id": owner, "source": "lead_conversion", **_at(account)})
    else:
        known = _read(call, "contact", contact.id)
        if body.get("fills_matched", True):
            filled = {k: v for k, v in {**contact.fields, **_at(account)}.items() if known.get(k) in (None, [], {})}
        if filled:
            _ask(call, "contact", "updateContact", filled, contact.id)
    if deal.outcome == "created":
        people = {"primary_contact_id": contact.id, **_at(account)}
        _create(call, deal, {**deal.fields, "owner_id": owner, "source": "lead", **people})
    return filled


def _at(account: Part) -> dict[str, str]:
    return {"account_id": account.id} if account.id else {}


def _create(call: Call, part: Part, body: Mapping[str, Any]) -> None:
    answer = _ask(call, part.kind, f"create{part.kind.capitalize()}", body)
    part.id = str(answer["id"])


def _read(call: Call, kind: str, id: str) -> dict[str, Any]:
    return _ask(call, kind, f"get{kind.capitalize()}", None, id)


def _ask(call: Call, kind: str, operation: str, body: Mapping[str, Any] | None, id: str = "") -> dict[str, Any]:
    """Call the service of a part.

    :raises Problem: ``lead_conversion_refused`` with the reason that the service gives, where it refuses.
    """
    try:
        return call.call(KEPT_BY[kind], operation, body, path={f"{kind}_id": id} if id else None) or {}
    except Problem as problem:
        if problem.code == "unavailable":
            raise
        reason = problem.errors[0]["detail"] if problem.errors else problem.detail
        raise refusal("lead_conversion_refused", f"{KEPT_BY[kind].capitalize()} refused the {kind}: {reason}") from problem


def _days(start: str, end: str) -> int:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).days


# -- undoing ---------------------------------------------------------------------------------------------------------------


@handles("undoLeadConversion")
def undo(call: Call) -> Reply:
    """Take back what a conversion made, and make the lead what it was."""
    conversion = call.found
    lead = _undoable(call, conversion)
    kept = set(call.body.get("keep", ()))
    kinds = [kind for kind in ("deal", "contact", "account") if f"{kind}_id" in conversion.doc]
    # All are looked at before any is removed: what goes changes the figures of the others.
    states = {kind: _judged(call, conversion, kind, kept) for kind in kinds}
    removed = [{"object_type": kind, "state": _take_back(call, conversion, kind, states[kind])} for kind in kinds]
    with upkeep(call):
        again = call.records.change(lead, conversion.doc.get("_before", _QUALIFIED), action="conversion_undone")
        undone = call.records.change(
            conversion,
            {
                "status": "undone",
                "undone_at": call.now,
                "undone_by": call.identity.user or None,
                "undo_reason": call.body["reason"],
                "removed": removed,
            },
        )
    data = {"lead_id": lead.id, "conversion_id": conversion.id, "contact_id": conversion.doc["contact_id"], "removed": removed}
    call.emit("crm.lead.conversion_undone.v1", lead.id, {**data, "record": call.records.public(again)})
    return single.shown(call, undone)


def _undoable(call: Call, conversion: Record) -> Record:
    """Return the lead of a conversion that can be undone.

    :raises Problem: Where it can't.
    """
    if conversion.doc["status"] == "undone":
        raise Problem("lead_conversion_undone", f"The conversion was undone at {conversion.doc['undone_at']}.")
    if call.now > conversion.doc["undo_expires_at"]:
        raise Problem("lead_conversion_undo_expired", f"The conversion could be undone until {conversion.doc['undo_expires_at']}.")
    lead = call.records.get(LEADS, conversion.doc["lead_id"])
    access.demand(call, lead, "write")
    return lead


def _judged(call: Call, conversion: Record, kind: str, kept: set[str]) -> str:
    """Return what is to be done with one record of a conversion: ``kept``, ``removed``, ``cleared`` or ``untouched``.

    :raises Problem: ``lead_conversion_undo_blocked`` where the record has gone on.
    """
    id, is_created = conversion.doc[f"{kind}_id"], conversion.doc[f"{kind}_outcome"] == "created"
    try:
        present = call.call(KEPT_BY[kind], f"get{kind.capitalize()}", None, path={f"{kind}_id": id}) or {}
    except Problem as problem:
        if problem.code == "unavailable":
            raise
        return "gone" if is_created else "untouched"
    if not is_created:
        return "cleared" if _filled_still(conversion, kind, present) else "untouched"
    if kind in kept:
        return "kept"
    if present.get("version") != conversion.doc.get("_versions", {}).get(kind):
        raise Problem("lead_conversion_undo_blocked", f"{id} was changed since. Keep it by naming {kind} in keep.")
    return "removed"


def _filled_still(conversion: Record, kind: str, present: Mapping[str, Any]) -> dict[str, None]:
    """Return a patch that empties the fields which the conversion filled and which still have its values."""
    filled = conversion.doc.get("_filled", {}) if kind == "contact" else {}
    return {name: None for name, value in filled.items() if present.get(name) == value}


def _take_back(call: Call, conversion: Record, kind: str, state: str) -> str:
    """Undo what a conversion did with one record, and return what became of it.

    :raises Problem: ``lead_conversion_undo_blocked`` where its service holds on to it.
    """
    id, service = conversion.doc[f"{kind}_id"], KEPT_BY[kind]
    path = {f"{kind}_id": id}
    try:
        if state == "removed":
            call.call(service, f"delete{kind.capitalize()}", None, path=path)
        elif state == "cleared":
            present = call.call(service, "getContact", None, path=path) or {}
            call.call(service, "updateContact", _filled_still(conversion, kind, present), path=path)
    except Problem as problem:
        if problem.code == "unavailable":
            raise
        detail = f"{service.capitalize()} holds on to {id}: {problem.detail}"
        raise Problem("lead_conversion_undo_blocked", detail) from problem
    return "removed" if state == "gone" else state
