"""Snapshots: all records of a tenant in this service as of one moment, and what comes back from them."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.jobs import POLL_SECONDS, failures
from crm_reference.emulator.registry import Task, handles, sees, task
from crm_reference.emulator.services.users import rights
from crm_reference.emulator.services.users.absences import ABSENCES, DELEGATIONS
from crm_reference.emulator.services.users.invitations import INVITATIONS
from crm_reference.emulator.services.users.people import USERS
from crm_reference.emulator.store import Record

SNAPSHOTS, JOBS = "user-snapshots", "user-jobs"
FINISHED, RESTORED = "crm.user_job.finished.v1", "crm.user_snapshot.restored.v1"

#: What a snapshot holds, in the order in which it comes back: what others refer to first.
_COLLECTIONS = (USERS, rights.GROUPS, rights.TEAMS, rights.ASSIGNMENTS, INVITATIONS, ABSENCES, DELEGATIONS)
_KEEP_DAYS = 35
_LISTED = 100
#: Members of a user that a restoration leaves as they are today: whoever lost access doesn't get it back by it.
_OF_TODAY = ("is_active", "deactivated_at", "deactivation_reason")
#: Who is in a group or a team stays as it is today, since membership carries roles and access to records.
_WITH_MEMBERS, _MEMBERSHIP = (rights.GROUPS, rights.TEAMS), ("_members", "lead_id")


@sees(SNAPSHOTS)
def see(context: Context, snapshot: Record) -> bool:
    """Show a snapshot until it expires."""
    return bool(snapshot.doc["expires_at"] > context.now)


@sees(JOBS)
def see_job(context: Context, job: Record) -> bool:
    """Show a job for 30 days after its end."""
    return bool(job.doc.get("expires_at", context.now) >= context.now)


def _start(call: Call, kind: str, items: Sequence[Any], **hidden: Any) -> Reply:
    trial = bool(call.body.get("validate_only"))
    job = call.jobs.start(
        JOBS, f"users.{kind}", items, event=FINISHED, failed_event=FINISHED, kind=kind, is_validate_only=trial, **hidden
    )
    headers = {"ETag": job.etag, "Location": f"/v1/user-jobs/{job.id}", "Retry-After": str(POLL_SECONDS)}
    return Reply(202, call.records.shown(job), headers)


handles("getUserJob")(single.read_job)


@handles("cancelUserJob")
def cancel_job(call: Call) -> Reply:
    """Stop a job; what it did until now stays and is counted."""
    return single.shown(call, call.jobs.cancel(call.found, "user_job_finished", event=FINISHED))


@handles("startUserSnapshot")
def start_snapshot(call: Call) -> Reply:
    """Start to freeze all records of the tenant."""
    has_deleted = call.body.get("has_deleted", True)
    records = _records(call, has_deleted=has_deleted)
    return _start(call, "snapshot", [r.id for r in records], _has_deleted=has_deleted, _label=call.body.get("label"))


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
    body = {"label": job.get("_label"), "has_deleted": job["_has_deleted"], "expires_at": days_later(context.now, _KEEP_DAYS)}
    snapshot = context.records.create(SNAPSHOTS, {**body, **_content(content)})
    return {"matched_count": len(content), "snapshot_id": snapshot.id, "content_digest": snapshot.doc["content_digest"]}


def _content(entries: list[dict[str, Any]]) -> dict[str, Any]:
    digest = hashlib.sha256(orjson.dumps(entries, option=orjson.OPT_SORT_KEYS)).digest()
    shown = f"sha-256=:{base64.b64encode(digest).decode()}:"
    return {"record_count": len(entries), "content_digest": shown, "_content": entries}


@handles("restoreUserSnapshot")
def start_restoration(call: Call) -> Reply:
    """Start to bring records back."""
    entries = [{"collection": e["collection"], "id": e["id"]} for e in call.found.doc["_content"]]
    return _start(call, "snapshot_restore", entries, _snapshot=call.found.id, _mode=call.body.get("mode", "missing_only"))


class _TakeBack(Exception):  # it carries no error: it ends a trial
    pass


def _maybe_trial(context: Context, job: Mapping[str, Any], work: Callable[[], str]) -> str:
    if not job["is_validate_only"]:
        return work()
    outcome = ""
    with suppress(_TakeBack), context.world.store.transaction():
        outcome = work()
        raise _TakeBack
    return outcome


def _bring_back(context: Context, job: dict[str, Any], item: dict[str, str]) -> str:
    snapshot = context.records.peek(SNAPSHOTS, job["_snapshot"])
    entries = snapshot.doc["_content"] if snapshot is not None else ()
    entry = next((e for e in entries if item.items() <= e.items()), None)
    if entry is None:
        return "skipped"

    def work() -> str:
        with upkeep(context):
            return _restore(context, job["_mode"], entry)

    return _maybe_trial(context, job, work)


def _restore(context: Context, mode: str, entry: Mapping[str, Any]) -> str:
    """Bring one record back; access that was taken away since stays away."""
    collection, id, doc = entry["collection"], entry["id"], dict(entry["doc"])
    present = context.world.store.get(context.tenant, collection, id, deleted=True)
    gone = present is None or present.deleted_at is not None
    if entry["deleted_at"] is not None or (gone and collection == rights.ASSIGNMENTS):
        return "skipped"
    if collection == USERS and present is not None:
        if present.doc.get("is_erased"):
            return "skipped"
        doc = {k: v for k, v in doc.items() if k not in _OF_TODAY}
        doc |= {k: present.doc[k] for k in _OF_TODAY if k in present.doc}
    if collection == USERS and gone and doc.get("is_active", True):
        doc |= {"is_active": False, "deactivated_at": context.now, "deactivation_reason": "other"}
    if collection in _WITH_MEMBERS and present is not None and not gone:
        doc = {k: v for k, v in doc.items() if k not in _MEMBERSHIP}
        doc |= {k: present.doc[k] for k in _MEMBERSHIP if k in present.doc}
    if gone:
        version = max(entry["version"], present.version if present is not None else 0)
        context.records.revive(collection, doc, version + 1, fresh=False)
        return "created"
    if mode == "missing_only" or present is None:
        return "skipped"
    changed = context.records.replace(present, doc, touched={})
    return "skipped" if changed is present else "updated"


def _so_far(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    counts = {f"{name}_count": outcomes.count(name) for name in ("created", "updated", "skipped")}
    failed = failures(outcomes)
    result: dict[str, Any] = {"matched_count": len(job["_items"]), **counts, "failed_count": len(failed)}
    return result | ({"failed_ids": [f["_item"]["id"] for f in failed[:_LISTED]]} if failed else {})


def _restored(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    result = _so_far(context, job, outcomes)
    if not job["is_validate_only"]:
        count = result["created_count"] + result["updated_count"]
        context.emit(RESTORED, job["_snapshot"], {"snapshot_id": job["_snapshot"], "job_id": job["id"], "restored_count": count})
    return result


def forget(context: Context, user: str, /) -> None:
    """Remove a user, and what is about the user alone, from every snapshot that is kept."""
    about = ("id", "user_id", "delegator_id", "delegate_id", "principal_id")
    for snapshot in context.records.find(SNAPSHOTS):
        kept = [e for e in snapshot.doc["_content"] if all(e["doc"].get(name) != user for name in about)]
        if len(kept) != len(snapshot.doc["_content"]):
            context.records.replace(snapshot, {**snapshot.doc, **_content(kept)})


task("users.snapshot", Task(_look, _freeze))
task("users.snapshot_restore", Task(_bring_back, _restored, so_far=_so_far))
