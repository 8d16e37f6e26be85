"""Timelines: everything that happened with a record, put together from what activities keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later, seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import computes, derives, enforces, handles
from crm_reference.emulator.registry import sees as decides_sight
from crm_reference.emulator.services.activities import links
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record

ENTRIES = "timeline-entries"
ADDED, REMOVED = "crm.timeline_entry.added.v1", "crm.timeline_entry.removed.v1"
#: How many of the latest items a timeline has at most.
SIZE = 5000
#: How much of a text an item shows.
_BEGINNING = 280
_AHEAD = 300
#: What a timeline puts together: collection, member with the time, with the title, with the text, who acted.
_SOURCES = (
    ("notes", "created_at", "title", "body", "created_by"),
    ("activity-communications", "happened_at", "subject", "summary", "owner_id"),
    ("tasks", "completed_at", "title", "description", "completed_by"),
    ("activity-events", "starts_at", "title", "outcome_note", "owner_id"),
    (ENTRIES, "happened_at", "title", "text", "actor_id"),
)


@derives(ENTRIES)
def derive(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive what an application doesn't say of its entry."""
    return {"kind": doc.get("kind", "custom"), "source_service": doc.get("source_service", "activities")}


@enforces("timeline_entry_without_record")
def without_record(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse an entry without a timeline."""
    return "" if links.is_about_something(new) else "Name a record that has a timeline."


@enforces("timeline_entry_in_future")
def in_future(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse what has not happened."""
    ahead = seconds_of(new["happened_at"]) - seconds_of(context.now)
    return f"It lies {ahead} seconds ahead." if ahead > _AHEAD else ""


@decides_sight(ENTRIES)
def see(context: Context, entry: Record) -> bool:
    """Show an entry to whoever added it and to those who see one of its records."""
    return links.sees(context, entry.doc, "created_by")


@handles("createTimelineEntry")
def create(call: Call) -> Reply:
    """Add what happened outside."""
    record = call.records.create(ENTRIES, call.body, event=ADDED)
    return single.shown(call, record, 201, Location=single.location(call, record))


@handles("deleteTimelineEntry")
def delete(call: Call) -> Reply:
    """Take an application's entry away."""
    if call.found.doc["kind"] != "custom":
        raise Problem("timeline_entry_not_own", f"{call.found.id} tells what {call.found.doc['source_service']} did.")
    call.records.delete(call.found, event=REMOVED)
    return Reply(204)


@handles("listTimeline")
def list_timeline(call: Call) -> Reply:
    """Return a page of a record's timeline, the latest first."""
    kinds = call.query["kind"].split(",") if call.query.get("kind") else ()
    since, until = call.query.get("happened_at_gte", ""), call.query.get("happened_at_lt", "9999")
    actor = call.query.get("actor_id")
    found = [
        item
        for item in items_of(call)
        if (not kinds or item["kind"] in kinds)
        and since <= item["happened_at"] < until
        and (not actor or item.get("actor_id") == actor)
    ]
    return listing.paged_items(call, found)


@handles("getTimelineSummary")
def summarize(call: Call) -> Reply:
    """Count what a timeline holds."""
    items = items_of(call)
    body: dict[str, Any] = {"object_type": call.path["object_type"], "record_id": call.path["record_id"]}
    return Reply(200, body | summary({"items": items, "now": call.now}))


@computes("timeline_summary")
def summary(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Count items by kind, and the days of silence.

    :param asked: ``items``, each with ``kind`` and ``happened_at``, in any order, and ``now``.
    """
    times: dict[str, list[str]] = {}
    for item in asked["items"]:
        times.setdefault(item["kind"], []).append(item["happened_at"])
    ranked = sorted(times.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    every = sorted(at for found in times.values() for at in found)
    month_ago = days_later(asked["now"], -30)
    body: dict[str, Any] = {
        "total_count": len(every),
        "kinds": [{"kind": kind, "count": len(found), "last_at": max(found)} for kind, found in ranked],
        "last_30_days_count": sum(1 for at in every if at >= month_ago),
    }
    if every:
        silent = max(0, seconds_of(asked["now"]) - seconds_of(every[-1])) // 86_400
        body |= {"first_at": every[0], "last_at": every[-1], "silent_days": silent}
    return body


# -- put together ----------------------------------------------------------------------------------------------------------


def items_of(call: Call, /) -> list[dict[str, Any]]:
    """Return the items of the timeline that the path names, as far as the caller may see them, the latest first.

    :raises Problem: ``not_found`` where the caller sees no such record.
    """
    field = f"{call.path['object_type']}_id"
    record = call.records.peek(links.LINKS[field], call.path["record_id"])
    if record is None or not call.records.visible(record):
        raise Problem("not_found", f"No {call.path['object_type']} has the ID {call.path['record_id']}.")
    condition = Condition(f"{member(field)} = ?", [record.id])
    if call.query.get("is_including_related", True):
        for name, ids in _related(call, record).items():
            for id in ids:
                condition = condition.or_(Condition(f"{member(name)} = ?", [id]))
    items = [item for source in _SOURCES for item in _from(call, source, condition)]
    return sorted(items, key=lambda item: (item["happened_at"], item["record_id"]), reverse=True)[:SIZE]


def _related(context: Context, record: Record) -> dict[str, list[str]]:
    """Return the records below one, by the member that names them: people and deals of a company, deals of a person."""
    if record.collection == "accounts":
        people, deals = (context.records.find(name, account_id=record.id) for name in ("contacts", "deals"))
        return {"contact_id": [p.id for p in people], "deal_id": [d.id for d in deals]}
    if record.collection == "contacts":
        return {"deal_id": [d.id for d in context.records.find("deals", primary_contact_id=record.id)]}
    return {}


def _from(context: Context, source: Sequence[str], condition: Condition) -> Iterator[dict[str, Any]]:
    """Yield the items that one collection gives."""
    collection, time, title, body, actor = source
    if not context.world.store.has(collection):
        return
    for record in context.world.store.select(context.tenant, collection, condition.sql, condition.arguments):
        doc = record.doc
        if doc.get(time) and doc[time] <= context.now and _counts(doc) and context.records.visible(record):
            said = {"title": _line(doc.get(title) or doc.get(body, "")), "text": str(doc.get(body) or "")[:_BEGINNING]}
            item = {"object": "timeline_item", "kind": _kind(collection, doc), **said, "happened_at": doc[time]}
            item |= {"source_service": doc.get("source_service", "activities"), "record_id": record.id}
            item |= {"actor_id": doc.get(actor), **{name: doc.get(name) for name in links.LINKS}}
            yield {k: v for k, v in item.items() if v}


def _counts(doc: Mapping[str, Any]) -> bool:
    """Tell whether something happened: an appointment that was cancelled did not."""
    return bool(doc["object"] != "activity_event" or doc["status"] == "held")


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def _kind(collection: str, doc: Mapping[str, Any]) -> str:
    """Return what an item tells."""
    fixed = {"notes": "note", "tasks": "task", "activity-events": "appointment"}
    return fixed.get(collection) or str(doc["kind"])
