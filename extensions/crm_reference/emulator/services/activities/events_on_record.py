"""Appointments on record: who is invited, who came, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.refusals import invalid
from crm_reference.emulator.registry import derives, enforces, enters, handles
from crm_reference.emulator.registry import sees as decides_sight
from crm_reference.emulator.services.activities import links
from crm_reference.emulator.store import Record

EVENTS = "activity-events"
_UPDATED, _CLOSED = "crm.activity_event.updated.v1", "crm.activity_event.closed.v1"


@derives(EVENTS)
def derive(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive state, length and attendance of an appointment."""
    attendees = [{"response": "none", **entry} for entry in doc.get("attendees", [])]
    return {
        "status": doc.get("status", "planned"),
        "attendees": attendees,
        "attended_count": sum(1 for entry in attendees if entry.get("has_attended")),
        "duration_minutes": max(0, seconds_of(doc["ends_at"]) - seconds_of(doc["starts_at"])) // 60,
        "owner_id": doc.get("owner_id") or doc.get("created_by") or (context.identity.user if context is not None else None),
        "is_private": doc.get("is_private", False),
        "source": doc.get("source", "manual"),
    }


@enforces("activity_event_without_record")
def without_record(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse an appointment that concerns no customer."""
    return "" if links.is_about_something(new) else "Name the contact, account, deal or lead that it concerns."


@enforces("activity_event_attendee_unknown")
def attendee_unknown(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse guests who are no records of the tenant; those of before stay."""
    known = {entry.get(name) for entry in (old or {}).get("attendees", ()) for name in ("contact_id", "user_id")}
    for entry in new["attendees"]:
        for name, collection in (("contact_id", "contacts"), ("user_id", "users")):
            id = entry.get(name)
            record = context.records.peek(collection, id) if id and id not in known else None
            if id and id not in known and (record is None or not context.records.visible(record)):
                return f"{id} leads to nobody."
    return ""


@enforces("activity_event_source_unfit")
def source_unfit(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse an appointment that stands for something else than an entry of a calendar."""
    return "" if str(new.get("calendar_event_id", "evt_")).startswith("evt_") else "IDs of entries begin with evt_."


@decides_sight(EVENTS)
def see(context: Context, event: Record) -> bool:
    """Show an appointment to whoever arranged it, and to those who see one of its records unless it is private."""
    return links.sees(context, event.doc, "owner_id")


@enters(EVENTS)
def enter(call: Call) -> None:
    """Let an appointment be changed by whoever arranged it and by those who may change one of its records."""
    links.demand(call, "owner_id")


@handles("updateActivityEvent")
def update(call: Call) -> Reply:
    """Change an appointment that isn't over."""
    if call.found.doc["status"] != "planned":
        raise Problem("activity_event_closed", f"{call.found.id} is {call.found.doc['status'].replace('_', ' ')}.")
    return single.update(call)


@handles("closeActivityEvent")
def close(call: Call) -> Reply:
    """Say what came of an appointment."""
    event, outcome = call.found, call.body["outcome"]
    if outcome != "cancelled":
        _demand_begun(call, event)
    patch = {"status": outcome, "outcome_note": call.body.get("note"), "closed_at": call.now}
    return single.shown(call, call.records.change(event, patch, event=_CLOSED))


@handles("setActivityEventAttendance")
def set_attendance(call: Call) -> Reply:
    """Say who of those invited came."""
    event = call.found
    attendees = [dict(entry) for entry in event.doc["attendees"]]
    for place, entry in enumerate(call.body["entries"]):
        if entry["index"] >= len(attendees):
            detail = f"{len(attendees)} people are invited, counted from 0."
            raise invalid(f"#/entries/{place}/index", "activity_event_attendee_absent", detail)
        attendees[entry["index"]]["has_attended"] = entry["has_attended"]
    _demand_begun(call, event)
    return single.shown(call, call.records.change(event, {"attendees": attendees}, event=_UPDATED))


def _demand_begun(call: Call, event: Record) -> None:
    if event.doc["starts_at"] > call.now:
        raise Problem("activity_event_not_begun", f"{event.id} starts at {event.doc['starts_at']}.")
