"""Jobs on activities: one change or one owner for every task of a selection, who sees jobs, and what went wrong in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from crm_reference.emulator import access
from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import maybe_trial, tally
from crm_reference.emulator.jobs import failures
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import Task, handles, sees, task
from crm_reference.emulator.services.activities import reminding
from crm_reference.emulator.services.activities.common import CLOSED, JOBS, TASKS, UPDATED, check_owner, hand_over
from crm_reference.emulator.store import Record


@sees(JOBS.name)
def see(context: Context, job: Record) -> bool:
    """Show a job for 30 days after its end: to whoever holds the bulk scope, and to the user who started it."""
    if job.doc.get("expires_at", context.now) < context.now:
        return False
    return "activities.bulk" in context.identity.scopes or job.doc.get("created_by") == context.identity.user


handles("getActivityJob")(single.read_job)
handles("cancelActivityJob")(JOBS.cancel)


@handles("listActivityJobErrors")
def list_errors(call: Call) -> Reply:
    """Return what the job could not handle, in the order of its items."""
    return listing.paged_items(call, [e for failure in failures(call.found.doc["_outcomes"]) for e in _errors(failure)])


def _errors(failure: Mapping[str, Any]) -> list[dict[str, Any]]:
    problem, item = failure["_problem"], failure["_item"]
    id = item if isinstance(item, str) else item.get("id")
    found = []
    for entry in problem.get("errors") or [{"code": problem["code"], "detail": problem["detail"]}]:
        error = {"record_id": id, "code": entry["code"], "detail": entry["detail"]}
        field = re.sub(r"/\d+(?=/|$)", "", entry.get("pointer", "")).removeprefix("#").strip("/").replace("/", ".")
        found.append(error | ({"field": field} if field else {}))
    return found


def _selected(call: Call, also: Condition | None = None) -> list[str]:
    """Return the IDs of the visible tasks that the body's selection matches.

    :raises Problem: ``task_count_differs`` where the body expects another number.
    """
    selection = call.body["selection"]
    condition = access.condition(call, call.resource(TASKS)).and_(also or Condition())
    condition = condition.and_(listing.criteria(call.records.fields(TASKS), selection, "#/selection/filter_groups"))
    if "ids" in selection:
        condition = condition.and_(Condition("id in (select value from json_each(?))", [orjson.dumps(selection["ids"]).decode()]))
    found = [r.id for r in call.world.store.select(call.tenant, TASKS, condition.sql, condition.arguments, order="id")]
    wanted = call.body.get("expected_count")
    if wanted is not None and wanted != len(found):
        raise Problem("task_count_differs", f"The selection matches {len(found)} tasks, not {wanted}. Nothing was started.")
    return found


@handles("startTaskBulkUpdate")
def start_update(call: Call) -> Reply:
    """Fix the selection and start to apply one merge patch to each of its tasks."""
    return JOBS.start(call, "bulk_update", _selected(call), _changes=call.body["changes"])


def _update(context: Context, job: dict[str, Any], id: str) -> str:
    def work() -> str:
        found = context.records.get(TASKS, id)
        changed = context.records.change(found, job["_changes"], event="" if job["is_validate_only"] else UPDATED)
        if not job["is_validate_only"]:
            reminding.follow(context)
        return "skipped" if changed is found else "updated"

    return str(maybe_trial(context, job, work))


@handles("startTaskBulkAssignment")
def start_assignment(call: Call) -> Reply:
    """Start to give the open tasks of a selection to one user."""
    check_owner(call, call.body["owner_id"], "#/owner_id")
    left = Condition(f"doc->>'$.status' not in ({', '.join('?' * len(CLOSED))})", list(CLOSED))
    found = _selected(call, left)
    return JOBS.start(call, "bulk_assign", found, _owner=call.body["owner_id"], _reason=call.body.get("reason"))


def _assign(context: Context, job: dict[str, Any], id: str) -> str:
    found = context.records.get(TASKS, id)
    if job["is_validate_only"]:
        access.demand(context, found, "write")
        return "updated"
    changed = hand_over(context, found, job["_owner"], reason=job.get("_reason"), job_id=job["id"])
    return "skipped" if changed is found else "updated"


def _counted(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(job["_items"]), **tally(outcomes, "updated", "skipped")}


task("activities.bulk_update", Task(_update, _counted, so_far=_counted))
task("activities.bulk_assign", Task(_assign, _counted, so_far=_counted))
