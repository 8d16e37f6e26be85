"""What happened: the history of a record, and the change feed of a collection."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from crm_reference.emulator.behaviours.listing import next_link
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.store import Change

#: Actions as a change feed names them; every other action is an update.
_FEED_TYPES = ("created", "deleted", "restored", "merged")
#: How long a client may stay away before it must begin its copy anew: 90 days.
_FEED_SECONDS = 90 * 86_400


def history(call: Call) -> Reply:
    """GET {id}/history: who changed what and when, newest first."""
    limit, scope = call.query.get("limit") or 25, [call.operation.id, call.tenant, call.path]
    after = 0
    if call.query.get("cursor"):
        after = call.world.cursors.read(call.query["cursor"], scope, call.world.clock.time())[0][0]
    found = call.world.store.changes(
        call.tenant, call.target.collection, after=after, id=call.found.id, newest_first=True, limit=limit + 1
    )
    masked = call.records.masked(call.target.collection)
    body: dict[str, Any] = {"data": [version_entry(c, masked) for c in found[:limit]], "has_more": len(found) > limit}
    headers = {}
    if len(found) > limit:
        cursor = call.world.cursors.make([found[limit - 1].sequence], "", scope, call.world.clock.time())
        body["next_cursor"] = cursor
        headers["Link"] = next_link(call, cursor)
    return Reply(200, body, headers)


def version_entry(change: Change, /, masked: Collection[str] = ()) -> dict[str, Any]:
    """Return an entry of a record's history, without the changes of masked fields."""
    who = {"changed_by": change.actor} if change.actor.startswith("usr_") else {}
    return {
        "version": change.version,
        "action": change.action,
        "changed_at": change.at,
        **who,
        "changes": [c for c in change.detail.get("changes", []) if not _is_masked(c["field"], masked)],
    }


def _is_masked(field: str, masked: Collection[str]) -> bool:
    """Tell whether a changed field, or what it is a part of, is hidden."""
    parts = field.split(".")
    return any(".".join(parts[:count]) in masked for count in range(1, len(parts) + 1))


def changes(call: Call) -> Reply:
    """GET changes: everything that happened in the collection since a cursor, oldest first.

    The feed has no end: ``next_cursor`` is always there, and a client comes back with it. A record appears with its present
    content; one that is gone appears without.
    """
    limit, scope = call.query.get("limit") or 25, [call.operation.id, call.tenant]
    after = 0
    if call.query.get("cursor"):
        after = call.world.cursors.read(call.query["cursor"], scope, call.world.clock.time(), _FEED_SECONDS)[0][0]
    found = call.world.store.changes(call.tenant, call.target.collection, after=after, limit=limit + 1)
    entries, last = [], after
    for change in found[:limit]:
        last = change.sequence
        entry = _feed_entry(call, change)
        if entry is not None:
            entries.append(entry)
    cursor = call.world.cursors.make([last], "", scope, call.world.clock.time())
    body = {"data": entries, "has_more": len(found) > limit, "next_cursor": cursor}
    headers = {"Link": next_link(call, cursor)} if len(found) > limit else {}
    return Reply(200, body, headers)


def _feed_entry(call: Call, change: Change) -> dict[str, Any] | None:
    record = call.world.store.get(call.tenant, call.target.collection, change.id, deleted=True)
    lost = record is not None and not call.records.visible(record)
    if lost and not _left_view(call, change):
        return None
    merged_away = record is not None and record.doc.get("_merged_into") is not None
    known = change.action in _FEED_TYPES and (change.action != "merged" or merged_away)
    # What was merged away and comes back does so with its former content: its entry names no changes.
    back = change.action == "unmerged" and not change.detail.get("changes")
    entry: dict[str, Any] = {
        "sequence": change.sequence,
        "type": "deleted" if lost else "restored" if back else change.action if known else "updated",
        "id": change.id,
        "version": change.version,
        "changed_at": change.at,
    }
    if record is not None and not lost:
        if entry["type"] == "merged":
            entry["merged_into"] = record.doc["_merged_into"]
        elif record.deleted_at is None and change.action != "deleted":
            entry["record"] = call.records.shown(record)
    return entry


def _left_view(call: Call, change: Change) -> bool:
    """Tell whether a change took the record from the caller, whose copy would keep it otherwise."""
    taken = {"field": call.target.owner, "old_value": call.identity.user}
    return any(taken.items() <= c.items() for c in change.detail.get("changes", []))
