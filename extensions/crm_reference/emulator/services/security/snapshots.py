"""Snapshots: all that a tenant has set up in security as of one moment, and what comes back from it."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import Counter
from contextlib import suppress
from typing import Any

import orjson

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.jobs import POLL_SECONDS, failures
from crm_reference.emulator.registry import Task, handles, sees, task
from crm_reference.emulator.services.security import fields
from crm_reference.emulator.services.security.field_encryption import FINISHED, JOBS
from crm_reference.emulator.store import Record

SNAPSHOTS = "security-snapshots"
RESTORED = "crm.security_snapshot.restored.v1"

#: What a snapshot holds, in the order in which it comes back: what others refer to first. Keys, emergency accesses, reviews and
#: decisions are evidence, or can't come back, and stand in none.
_COLLECTIONS = (
    "roles",
    "permission-sets",
    "sharing-rules",
    "field-security",
    "policies",
    "policy-revisions",
    "ip-rules",
    "password-policies",
    "session-policies",
)
_KEEP_DAYS = 35
_FIELD_MEMBERS = ("object_type", "field", "default_access", "grants")


@sees(SNAPSHOTS)
def see(context: Context, snapshot: Record) -> bool:
    """Show a snapshot until it expires."""
    return bool(snapshot.doc["expires_at"] > context.now)


def _start(call: Call, kind: str, items: list[Any], **members: Any) -> Reply:
    job = call.jobs.start(JOBS, f"security.{kind}", items, event=FINISHED, failed_event=FINISHED, kind=kind, **members)
    return single.shown(call, job, 202, **{"Location": f"/v1/security-jobs/{job.id}", "Retry-After": str(POLL_SECONDS)})


@handles("startSecuritySnapshot")
def start_snapshot(call: Call) -> Reply:
    """Start to freeze what the tenant has set up."""
    return _start(call, "snapshot", [r.id for r in _records(call)], _label=(call.body or {}).get("label"))


def _records(context: Context) -> list[Record]:
    return [r for name in _COLLECTIONS for r in context.world.store.select(context.tenant, name)]


def _look(context: Context, job: dict[str, Any], id: str) -> str:
    return id


def _freeze(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    content = [{"collection": r.collection, "id": r.id, "version": r.version, "doc": r.doc} for r in _records(context)]
    canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    digest = f"sha-256=:{b64encode(hashlib.sha256(canonical).digest()).decode()}:"
    body = {
        "label": job.get("_label"),
        "record_count": len(content),
        "content_digest": digest,
        "expires_at": days_later(context.now, _KEEP_DAYS),
        "_content": content,
    }
    snapshot = context.records.create(SNAPSHOTS, body)
    return {"matched_count": len(content), "snapshot_id": snapshot.id, "content_digest": digest}


@handles("restoreSecuritySnapshot")
def start_restoration(call: Call) -> Reply:
    """Start to bring back what was set up."""
    body = call.body or {}
    trial = body.get("validate_only", False)
    entries = [[e["collection"], e["id"]] for e in call.found.doc["_content"]]
    members = {"_snapshot": call.found.id, "_mode": body.get("mode", "missing_only")}
    return _start(call, "snapshot_restore", entries, is_validate_only=trial, **members)


class _TakeBack(Exception):  # it carries no error: it ends a trial
    pass


def _bring_back(context: Context, job: dict[str, Any], item: list[str]) -> str:
    snapshot = context.records.peek(SNAPSHOTS, job["_snapshot"])
    content = snapshot.doc["_content"] if snapshot is not None else []
    entry = next((e for e in content if [e["collection"], e["id"]] == item), None)
    outcome = "skipped"
    with suppress(_TakeBack), context.world.store.transaction(), upkeep(context):
        if entry is not None:
            outcome = _restore(context, job["_mode"], entry)
        if job["is_validate_only"]:
            raise _TakeBack
    return outcome


def _restore(context: Context, mode: str, entry: dict[str, Any]) -> str:
    """Bring one record back; what was archived since stays out of force."""
    collection, doc = entry["collection"], dict(entry["doc"])
    present = context.records.peek(collection, entry["id"])
    if present is not None and (mode == "missing_only" or present.doc.get("status") == "archived"):
        return "skipped"
    if collection == "field-security":  # services hear of each role's rights
        wanted = {name: doc[name] for name in _FIELD_MEMBERS if name in doc}
        if present is not None and all(present.doc.get(n) == v for n, v in wanted.items()):
            return "skipped"
        fields.write(context, wanted)
        return "created" if present is None else "updated"
    if present is None:
        context.records.revive(collection, doc, entry["version"] + 1, fresh=False)
        return "created"
    return "skipped" if context.records.replace(present, doc, touched={}) is present else "updated"


def _counted(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    counts = Counter(o for o in outcomes if isinstance(o, str))
    names = ("created", "updated", "skipped")
    result = {"matched_count": len(job["_items"]), **{f"{n}_count": counts[n] for n in names}}
    return {**result, "failed_count": len(failures(outcomes))}


def _restored(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    result = _counted(context, job, outcomes)
    if not job["is_validate_only"]:
        count = result["created_count"] + result["updated_count"]
        data = {"snapshot_id": job["_snapshot"], "job_id": job["id"], "restored_count": count}
        context.emit(RESTORED, job["_snapshot"], data)
    return result


task("security.snapshot", Task(_look, _freeze))
task("security.snapshot_restore", Task(_bring_back, _restored, so_far=_counted))
