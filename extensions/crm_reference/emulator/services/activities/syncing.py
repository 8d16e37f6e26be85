"""Calendar synchronization: which entries count, which side wins, and what becomes of entries that are heard of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later, seconds_of
from crm_reference.emulator.job_collections import maybe_trial, tally
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import Task, computes, derives, handles, hears, task
from crm_reference.emulator.registry import sees as decides_sight
from crm_reference.emulator.services.activities.common import JOBS
from crm_reference.emulator.services.activities.events_on_record import EVENTS
from crm_reference.emulator.store import Record

Event = Mapping[str, Any]

SETTINGS = "activity-sync-settings"
_CREATED, _UPDATED = "crm.activity_event.created.v1", "crm.activity_event.updated.v1"
_DELETED, _CLOSED = "crm.activity_event.deleted.v1", "crm.activity_event.closed.v1"
_FILTER = {"is_skipping_private": True, "is_customers_only": True, "excluded_domains": [], "excluded_words": [], "min_minutes": 0}


@derives(SETTINGS)
def derive(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive what was left out of a synchronization."""
    return {
        "calendar_names": doc.get("calendar_names", []),
        "filter": {**_FILTER, **doc.get("filter", {})},
        "conflict_policy": doc.get("conflict_policy", "newest_wins"),
        "days_back": doc.get("days_back", 30),
        "days_ahead": doc.get("days_ahead", 180),
        "default_kind": doc.get("default_kind", "meeting"),
        "is_active": doc.get("is_active", True),
    }


@decides_sight(SETTINGS)
def see(context: Context, settings: Record) -> bool:
    """Show a synchronization to its user and to administrators."""
    if context.is_upkeep or settings.doc.get("owner_id") == context.identity.user:
        return True
    subject = access.caller(context)
    return subject is not None and "administrator" in subject.role_keys


# -- what counts -----------------------------------------------------------------------------------------------------------


@computes("activity_sync_verdict")
def verdict(asked: Mapping[str, Any]) -> str:
    """Return the first check that an entry doesn't pass, empty where it passes all.

    :param asked: ``settings``, ``entry``, ``now``, and ``has_contact``: whether a guest is a contact.
    """
    settings, entry, now = asked["settings"], asked["entry"], asked["now"]
    rules = {**_FILTER, **settings.get("filter", {})}
    begins, minutes = entry["starts_at"], (seconds_of(entry["ends_at"]) - seconds_of(entry["starts_at"])) // 60
    words = set(re.findall(r"\w+", entry["title"].casefold()))
    domains = {address.rpartition("@")[2].lower() for address in entry.get("addresses", ())}
    names = settings.get("calendar_names", ())
    checks = {
        "active": settings.get("is_active", True),
        "direction": settings["direction"] != "to_calendar",
        "calendar": not names or entry.get("calendar_name") in names,
        "period": days_later(now, -settings.get("days_back", 30)) <= begins <= days_later(now, settings.get("days_ahead", 180)),
        "private": not (rules["is_skipping_private"] and entry.get("is_private")),
        "length": minutes >= rules["min_minutes"],
        "words": words.isdisjoint(word.casefold() for word in rules["excluded_words"]),
        "domains": domains.isdisjoint(rules["excluded_domains"]),
        "customers": asked["has_contact"] or not rules["is_customers_only"],
    }
    return next((name for name, passes in checks.items() if not passes), "")


@computes("activity_sync_winner")
def winner(asked: Mapping[str, Any]) -> str:
    """Return which side counts where both have changed.

    :param asked: ``policy``, ``calendar_changed_at`` and ``crm_changed_at``.
    """
    if asked["policy"] == "newest_wins":
        return "crm" if asked["crm_changed_at"] > asked["calendar_changed_at"] else "calendar"
    return str(asked["policy"].removesuffix("_wins"))


def _guest(context: Context, entry: Mapping[str, Any]) -> Record | None:
    """Return the first guest who is a contact that the caller sees."""
    for address in entry.get("addresses", ()):
        for person in context.records.find("contacts", email=address.lower()):
            if context.records.visible(person):
                return person
    return None


@handles("testActivitySyncSettings")
def try_entry(call: Call) -> Reply:
    """Say what would become of an entry."""
    person = _guest(call, call.body)
    failed = verdict({"settings": call.found.doc, "entry": call.body, "now": call.now, "has_contact": person is not None})
    failed = failed or ("" if person is not None else "customers")  # nothing is recorded that is about nobody
    body: dict[str, Any] = {"is_recorded": not failed} | ({"failed_check": failed} if failed else {})
    return Reply(200, body | _about(person))


def _about(person: Record | None) -> dict[str, Any]:
    if person is None:
        return {}
    return {"contact_id": person.id} | ({"account_id": person.doc["account_id"]} if "account_id" in person.doc else {})


@handles("getActivitySyncStatus")
def status(call: Call) -> Reply:
    """Return the numbers of a synchronization."""
    doc = call.found.doc
    known = doc.get("_entries", {})
    recorded = {r.doc["calendar_event_id"] for r in call.records.find(EVENTS, source="calendar") if "calendar_event_id" in r.doc}
    count = sum(1 for id in known if id in recorded)
    state = "resting" if not doc["is_active"] else "running" if known else "waiting"
    body = {"state": state, "heard_count": len(known), "recorded_count": count, "skipped_count": len(known) - count}
    body |= {"last_heard_at": doc.get("_heard_at"), "conflict_count": doc.get("_conflicts", 0)}
    body["last_conflict_winner"] = doc.get("_winner")
    return Reply(200, {k: v for k, v in body.items() if v is not None})


# -- entries that are heard of ---------------------------------------------------------------------------------------------


@hears("crm.calendar_event.created.v1")
def entry_created(context: Context, event: Event) -> None:
    """Record an entry that counts."""
    _hear(context, event)


@hears("crm.calendar_event.updated.v1")
def entry_updated(context: Context, event: Event) -> None:
    """Bring the record of an entry up to date."""
    _hear(context, event)


@hears("crm.calendar_event.deleted.v1")
def entry_deleted(context: Context, event: Event) -> None:
    """Call the appointment off, and forget the entry."""
    id = event["data"]["record"]["id"]
    for settings in context.records.find(SETTINGS):
        kept = {k: v for k, v in settings.doc.get("_entries", {}).items() if k != id}
        if len(kept) != len(settings.doc.get("_entries", {})):
            context.records.note(settings, _entries=kept, _heard_at=event["time"])
    for record in context.records.find(EVENTS, calendar_event_id=id):
        if record.doc["status"] == "planned":
            context.records.change(record, {"status": "cancelled", "closed_at": event["time"]}, event=_CLOSED)


def _hear(context: Context, event: Event) -> None:
    told = event["data"]["record"]
    entry = {name: told[name] for name in ("title", "starts_at", "ends_at", "calendar_name", "is_private") if name in told}
    entry |= {"addresses": [guest["email"] for guest in told.get("attendees", ()) if "email" in guest]}
    entry["changed_at"] = told.get("updated_at", event["time"])
    for settings in context.records.find(SETTINGS, calendar_connection_id=told.get("calendar_connection_id", "")):
        known = {**settings.doc.get("_entries", {}), told["id"]: entry}
        settings = context.records.note(settings, _entries=known, _heard_at=event["time"])
        apply(context, settings, told["id"])


def apply(context: Context, settings: Record, id: str, /) -> str:
    """Apply a synchronization to an entry that it knows, and tell what was done."""
    entry = settings.doc["_entries"][id]
    person = _guest(context, entry)
    asked = {"settings": settings.doc, "entry": entry, "now": context.now, "has_contact": person is not None}
    record = next(iter(context.records.find(EVENTS, calendar_event_id=id)), None)
    counts = not verdict(asked) and (person is not None or record is not None)
    if record is not None and record.doc["status"] != "planned":
        return "skipped"
    if not counts:
        if record is None or record.doc["source"] != "calendar":
            return "skipped"
        context.records.delete(record, event=_DELETED)
        return "deleted"
    wanted = {name: entry[name] for name in ("title", "starts_at", "ends_at")}
    if record is None:
        body = {**wanted, **_about(person), "kind": settings.doc["default_kind"], "owner_id": settings.doc["owner_id"]}
        body |= {"attendees": [_invited(context, address) for address in entry["addresses"]], "source": "calendar"}
        body |= {"calendar_event_id": id, "_synced_version": 1}
        context.records.create(EVENTS, body, event=_CREATED)
        return "created"
    return _bring_up_to_date(context, settings, record, wanted, entry["changed_at"])


def _bring_up_to_date(context: Context, settings: Record, record: Record, wanted: Mapping[str, Any], changed_at: str) -> str:
    """Change a record as its entry says, unless the record was changed as well and its side wins."""
    if all(record.doc.get(name) == value for name, value in wanted.items()):
        return "skipped"
    if record.version != record.doc.get("_synced_version", record.version):
        sides = {"calendar_changed_at": changed_at, "crm_changed_at": record.doc["updated_at"]}
        side = winner({"policy": settings.doc["conflict_policy"], **sides})
        context.records.note(settings, _conflicts=settings.doc.get("_conflicts", 0) + 1, _winner=side)
        if side == "crm":
            return "skipped"
    changed = context.records.change(record, wanted, event=_UPDATED)
    context.records.note(changed, _synced_version=changed.version)
    return "updated"


def _invited(context: Context, address: str) -> dict[str, Any]:
    person = _guest(context, {"addresses": [address]})
    return {"email": address} | ({"contact_id": person.id} if person is not None else {})


# -- once more -------------------------------------------------------------------------------------------------------------


@handles("startActivityResync")
def resync(call: Call) -> Reply:
    """Start the job that applies a synchronization to every entry that it knows."""
    if not call.found.doc["is_active"]:
        raise Problem("activity_sync_inactive", f"{call.found.id} is switched off.")
    return JOBS.start(call, "sync_resync", sorted(call.found.doc.get("_entries", {})), _settings=call.found.id)


def _step(context: Context, job: dict[str, Any], id: str) -> str:
    settings = context.records.get(SETTINGS, job["_settings"])
    if id not in settings.doc.get("_entries", {}):
        return "skipped"
    return str(maybe_trial(context, job, lambda: apply(context, settings, id)))


def _finish(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(outcomes), **tally(outcomes, "created", "updated", "skipped", "deleted")}


task("activities.sync_resync", Task(_step, _finish, so_far=_finish))
