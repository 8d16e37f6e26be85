"""Snapshots: the records of a service as of one moment, and what comes back from them; both are jobs."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.job_collections import JobCollection, maybe_trial, tally
from crm_reference.emulator.jobs import failures
from crm_reference.emulator.registry import Task, handles, sees, task
from crm_reference.emulator.store import Record

#: How long a snapshot is kept.
KEEP_DAYS = 35
#: Most records that a restoration names as failed.
_LISTED = 100

Entry = Mapping[str, Any]
#: Takes the context, an entry (``collection``, ``id``, ``version``, ``doc``, ``deleted_at``) and the record that is there now,
#: deleted or not; returns the document to bring back, or ``None`` where it must stay away.
Admission = Callable[[Context, Entry, "Record | None"], "Mapping[str, Any] | None"]


def admit_all(context: Context, entry: Entry, present: Record | None, /) -> Mapping[str, Any] | None:
    """Bring everything back as it was; what stood in the recycle bin returns there."""
    document: Mapping[str, Any] = entry["doc"]
    return document


@dataclass(frozen=True, slots=True)
class Snapshots:
    """What a service freezes, and how it comes back.

    :param jobs: The service's jobs.
    :param name: Collection of the snapshots: ``contact-snapshots``.
    :param holds: Collections that a snapshot holds, in the order in which they come back: what others refer to first.
    :param restored: Event of a restoration that wasn't a trial.
    :param admit: What of an entry comes back.
    :param is_strict: Whether what comes back must lead to records that are there; a trial never asks, since nothing else is back.
    """

    jobs: JobCollection
    name: str
    holds: Sequence[str]
    restored: str
    admit: Admission = admit_all
    is_strict: bool = False

    def offer(self, start: str, restore: str, /) -> None:
        """Register the two operations, their jobs, and that a snapshot is seen until it expires.

        :param start: operationId of what freezes.
        :param restore: operationId of what brings back.
        """
        handles(start)(self._start)
        handles(restore)(self._start_restoration)
        sees(self.name)(lambda context, snapshot: bool(snapshot.doc["expires_at"] > context.now))
        task(f"{self.jobs.service}.snapshot", Task(lambda context, job, id: id, self._freeze))
        restoration = Task(self._bring_back, self._restored, so_far=_so_far)
        task(f"{self.jobs.service}.snapshot_restore", restoration)

    def rewrite(self, context: Context, change: Callable[[Entry], Entry | None], /) -> None:
        """Change or remove entries in every snapshot of the tenant, as the erasure of a person demands.

        :param change: Takes an entry, and returns what stands in its place; ``None`` where nothing does.
        """
        for snapshot in context.records.find(self.name):
            content = [new for entry in snapshot.doc["_content"] if (new := change(entry)) is not None]
            if content != snapshot.doc["_content"]:
                context.records.replace(snapshot, {**snapshot.doc, **_content(content)})

    def _start(self, call: Call) -> Reply:
        body = call.body or {}
        has_deleted = body.get("has_deleted", True)
        items = [r.id for r in self._records(call, has_deleted=has_deleted)]
        return self.jobs.start(call, "snapshot", items, _has_deleted=has_deleted, _label=body.get("label"))

    def _records(self, context: Context, *, has_deleted: bool) -> list[Record]:
        which = None if has_deleted else False
        return [r for name in self.holds for r in context.world.store.select(context.tenant, name, deleted=which)]

    def _freeze(self, context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
        entries: list[Entry] = [
            {"collection": r.collection, "id": r.id, "version": r.version, "doc": r.doc, "deleted_at": r.deleted_at}
            for r in self._records(context, has_deleted=job["_has_deleted"])
        ]
        said = {"label": job.get("_label"), "has_deleted": job["_has_deleted"], "expires_at": days_later(context.now, KEEP_DAYS)}
        snapshot = context.records.create(self.name, {**said, **_content(entries)})
        return {"matched_count": len(entries), "snapshot_id": snapshot.id, "content_digest": snapshot.doc["content_digest"]}

    def _start_restoration(self, call: Call) -> Reply:
        entries = [{"collection": e["collection"], "id": e["id"]} for e in call.found.doc["_content"]]
        mode = (call.body or {}).get("mode", "missing_only")
        return self.jobs.start(call, "snapshot_restore", entries, _snapshot=call.found.id, _mode=mode)

    def _bring_back(self, context: Context, job: dict[str, Any], item: dict[str, str]) -> str:
        snapshot = context.records.peek(self.name, job["_snapshot"])
        entries = snapshot.doc["_content"] if snapshot is not None else ()
        entry = next((e for e in entries if item.items() <= e.items()), None)
        if entry is None:
            return "skipped"

        def work() -> str:
            with upkeep(context):
                return self._restore(context, job, entry)

        return str(maybe_trial(context, job, work))

    def _restore(self, context: Context, job: Mapping[str, Any], entry: Entry) -> str:
        collection, id, deleted_at = entry["collection"], entry["id"], entry["deleted_at"]
        present = context.world.store.get(context.tenant, collection, id, deleted=True)
        document = self.admit(context, entry, present)
        if document is None or (deleted_at is not None and present is not None):
            return "skipped"
        if deleted_at is not None:
            context.records.note(Record(collection, id, entry["version"], dict(document), deleted_at))
            return "created"
        if present is None or present.deleted_at is not None:
            version = max(entry["version"], present.version if present is not None else 0)
            fresh = self.is_strict and not job["is_validate_only"]
            context.records.revive(collection, dict(document), version + 1, fresh=fresh)
            return "created"
        if job["_mode"] == "missing_only":
            return "skipped"
        changed = context.records.replace(present, dict(document), touched={})
        return "skipped" if changed is present else "updated"

    def _restored(self, context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
        result = _so_far(context, job, outcomes)
        if not job["is_validate_only"]:
            count = result["created_count"] + result["updated_count"]
            data = {"snapshot_id": job["_snapshot"], "job_id": job["id"], "restored_count": count}
            context.emit(self.restored, job["_snapshot"], data)
        return result


def _content(entries: list[Entry]) -> dict[str, Any]:
    """Return the members of a snapshot that follow from its content: number, digest (RFC 9530) and the content itself."""
    digest = hashlib.sha256(orjson.dumps(entries, option=orjson.OPT_SORT_KEYS)).digest()
    shown = f"sha-256=:{base64.b64encode(digest).decode()}:"
    return {"record_count": len(entries), "content_digest": shown, "_content": entries}


def _so_far(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    counts = tally(outcomes, "created", "updated", "skipped")
    failed = failures(outcomes)
    result: dict[str, Any] = {"matched_count": len(job["_items"]), **counts}
    return result | ({"failed_ids": [f["_item"]["id"] for f in failed[:_LISTED]]} if failed else {})
