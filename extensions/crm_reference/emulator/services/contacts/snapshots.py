"""Snapshots: all contact data of a tenant as of one moment, and what comes back from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.registry import Task, handles, sees, task
from crm_reference.emulator.services.contacts.exports import digest
from crm_reference.emulator.services.contacts.jobs import maybe_trial, start, tally
from crm_reference.emulator.services.contacts.selecting import CONTACTS
from crm_reference.emulator.store import Record

SNAPSHOTS = "contact-snapshots"
#: What a snapshot holds, in the order in which it comes back: what others refer to first.
_COLLECTIONS = (CONTACTS, "contact-relationships", "contact-lists", "contact-consents", "contact-merges")
_KEEP_DAYS = 35


@sees(SNAPSHOTS)
def see(context: Context, snapshot: Record) -> bool:
    """Show a snapshot until it expires."""
    return bool(snapshot.doc["expires_at"] > context.now)


@handles("startContactSnapshot")
def start_snapshot(call: Call) -> Reply:
    """Start to freeze all records of the tenant."""
    body = call.body or {}
    has_deleted = body.get("has_deleted", True)
    records = _records(call, has_deleted=has_deleted)
    return start(call, "snapshot", [r.id for r in records], _has_deleted=has_deleted, _label=body.get("label"))


def _records(context: Context, *, has_deleted: bool) -> list[Record]:
    which = None if has_deleted else False
    return [r for name in _COLLECTIONS for r in context.world.store.select(context.tenant, name, deleted=which)]


def _look(context: Context, job: dict[str, Any], id: str) -> str:
    return id


def _freeze(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    content = [
        {"collection": r.collection, "id": r.id, "version": r.version, "doc": r.doc, "deleted_at": r.deleted_at}
        for r in _records(context, has_deleted=job["_has_deleted"])
    ]
    canonical = digest(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
    body = {
        "label": job.get("_label"),
        "has_deleted": job["_has_deleted"],
        "record_count": len(content),
        "content_digest": canonical,
        "expires_at": days_later(context.now, _KEEP_DAYS),
        "_content": content,
    }
    snapshot = context.records.create(SNAPSHOTS, body)
    return {"matched_count": len(content), "snapshot_id": snapshot.id, "content_digest": canonical}


@handles("restoreContactSnapshot")
def start_restoration(call: Call) -> Reply:
    """Start to bring records back."""
    mode = (call.body or {}).get("mode", "missing_only")
    entries = [{"collection": e["collection"], "id": e["id"]} for e in call.found.doc["_content"]]
    return start(call, "snapshot_restore", entries, _snapshot=call.found.id, _mode=mode)


def _bring_back(context: Context, job: dict[str, Any], item: dict[str, str]) -> str:
    snapshot = context.records.peek(SNAPSHOTS, job["_snapshot"])
    wanted = {"collection": item["collection"], "id": item["id"]}
    entry = next((e for e in snapshot.doc["_content"] if wanted.items() <= e.items()), None) if snapshot is not None else None
    if entry is None:
        return "skipped"

    def work() -> str:
        with upkeep(context):
            # In a trial the others of the snapshot aren't back, so that references to them can't be followed.
            return _restore(context, job["_mode"], entry, fresh=not job["is_validate_only"])

    return str(maybe_trial(context, job, work))


def _restore(context: Context, mode: str, entry: dict[str, Any], *, fresh: bool) -> str:
    """Bring one record back; what was removed for legal reasons stays away."""
    collection, id, doc = entry["collection"], entry["id"], dict(entry["doc"])
    erased = {gone for receipt in context.records.find("contact-erasures") for gone in receipt.doc["_ids"]}
    people = {id, doc.get("contact_id"), doc.get("related_contact_id"), *doc.get("contact_ids", ())}
    present = context.world.store.get(context.tenant, collection, id, deleted=True)
    if not erased.isdisjoint(people) or (present is not None and present.doc.get("_merged_into")):
        return "skipped"
    if collection == "contact-consents" and present is not None and present.doc["status"] == "withdrawn":
        return "skipped"
    if collection == CONTACTS and present is not None:
        if present.doc.get("is_processing_restricted"):
            return "skipped"
        if present.doc.get("is_do_not_contact"):
            doc |= {k: present.doc[k] for k in ("is_do_not_contact", "do_not_contact_reason") if k in present.doc}
    doc = _without(doc, erased)
    if entry["deleted_at"] is not None:
        if present is not None:
            return "skipped"
        context.records.note(Record(collection, id, entry["version"], doc, entry["deleted_at"]))
        return "created"
    if present is None or present.deleted_at is not None:
        version = max(entry["version"], present.version if present is not None else 0)
        context.records.revive(collection, doc, version + 1, fresh=fresh)
        return "created"
    if mode == "missing_only":
        return "skipped"
    changed = context.records.replace(present, doc, touched={})
    return "skipped" if changed is present else "updated"


def _restored(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    result = {"matched_count": len(job["_items"]), **tally(outcomes, "created", "updated", "skipped")}
    if not job["is_validate_only"]:
        count = result["created_count"] + result["updated_count"]
        data = {"snapshot_id": job["_snapshot"], "job_id": job["id"], "restored_count": count}
        context.emit("crm.contact_snapshot.restored.v1", job["_snapshot"], data)
    return result


def _so_far(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(job["_items"]), **tally(outcomes, "created", "updated", "skipped")}


def forget_people(context: Context, ids: Iterable[str], /) -> None:
    """Remove people and what hangs on them from every snapshot that is kept; number and digest tell of the new content."""
    gone = set(ids)
    for snapshot in context.records.find(SNAPSHOTS):
        content = []
        for entry in snapshot.doc["_content"]:
            doc = entry["doc"]
            people = {entry["id"], doc.get("contact_id"), doc.get("related_contact_id"), *doc.get("contact_ids", ())}
            if gone.isdisjoint(people):
                content.append({**entry, "doc": _without(doc, gone)})
        if content != snapshot.doc["_content"]:
            canonical = digest(orjson.dumps(content, option=orjson.OPT_SORT_KEYS))
            patch = {"record_count": len(content), "content_digest": canonical, "_content": content}
            context.records.replace(snapshot, {**snapshot.doc, **patch})


def _without(doc: Mapping[str, Any], gone: set[str]) -> dict[str, Any]:
    """Return a document that no longer names people who are gone: as its members or as its manager."""
    kept = {k: v for k, v in doc.items() if k != "reports_to_id" or v not in gone}
    if "_members" in doc:
        kept["_members"] = {id: mark for id, mark in doc["_members"].items() if id not in gone}
    return kept


task("contacts.snapshot", Task(_look, _freeze))
task("contacts.snapshot_restore", Task(_bring_back, _restored, so_far=_so_far))
