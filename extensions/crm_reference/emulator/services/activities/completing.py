"""Completing a task, with its parts and the next one of its series, and taking it up again."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.behaviours.single import shown
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.refusals import invalid
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.activities import recurring, waiting
from crm_reference.emulator.services.activities.common import CLOSED, COMPLETED, REOPENED, is_open, parts
from crm_reference.emulator.store import Record


@handles("completeTask")
def complete(call: Call) -> Reply:
    """Mark a task as done, where nothing stands before it."""
    task, body = call.found, call.body or {}
    access.demand(call, task, "write")
    if body.get("completed_at", "") > call.now:
        raise invalid("#/completed_at", "invalid_value", "This moment lies in the future.")
    if task.doc["status"] == "completed":
        raise Problem("task_already_completed", f"It was completed at {task.doc['completed_at']}.")
    if blockers := waiting.blockers(call, task.id):
        raise Problem("task_blocked", f"It waits for {', '.join(blockers)}.")
    below = [t for t in _branch(call, task) if is_open(t)]
    if below and not body.get("has_subtasks"):
        raise Problem("task_has_open_subtasks", f"{len(below)} subtasks are open.")
    told = {k: body[k] for k in ("outcome", "actual_minutes") if k in body}
    at = body.get("completed_at", call.now)
    for part in below:
        _close(call, part, at, {})
    return shown(call, _close(call, task, at, told))


def _branch(context: Context, task: Record) -> list[Record]:
    """Return all tasks below one, the lowest first."""
    return [t for part in parts(context, task.doc) for t in (*_branch(context, part), part)]


def _close(context: Context, task: Record, at: str, told: dict[str, Any]) -> Record:
    who = {"completed_by": context.identity.user} if context.identity.user else {}
    with upkeep(context):
        done = context.records.change(task, {"status": "completed", "completed_at": at, **who, **told}, action="completed")
        following = recurring.advance(context, done, at[:10])
    data: dict[str, Any] = {"record": context.records.public(done)}
    if following is not None:
        data["next_task_id"] = following.id
    due = task.doc.get("due_at")
    if due and due < at:
        data["seconds_late"] = seconds_of(at) - seconds_of(due)
    context.emit(COMPLETED, task.id, data)
    return done


@handles("reopenTask")
def reopen(call: Call) -> Reply:
    """Take a closed task up again."""
    task, body = call.found, call.body or {}
    access.demand(call, task, "write")
    if task.doc["status"] not in CLOSED:
        raise Problem("task_not_completed", f"The task is {task.doc['status']}.")
    gone = dict.fromkeys(("completed_at", "completed_by", "outcome", "actual_minutes"))
    patch = {"status": "open", **gone, **({"due_at": body["due_at"]} if "due_at" in body else {})}
    with upkeep(call):
        opened = call.records.change(task, patch, action="reopened")
    data: dict[str, Any] = {"record": call.records.public(opened)}
    if "completed_at" in task.doc:
        data["previous_completed_at"] = task.doc["completed_at"]
    if body.get("reason"):
        data["reason"] = body["reason"]
    call.emit(REOPENED, task.id, data)
    return shown(call, opened)
