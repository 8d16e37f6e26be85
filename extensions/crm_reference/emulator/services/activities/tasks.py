"""Tasks one by one: what follows from their fields, their rules, owners, tags and parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import access, owners
from crm_reference.emulator.behaviours import batch, external, listing, single
from crm_reference.emulator.behaviours.single import shown
from crm_reference.emulator.call import Behaviour, Call, Context, Reply
from crm_reference.emulator.registry import derives, enforces, handles, presents
from crm_reference.emulator.services.activities import reminding, waiting
from crm_reference.emulator.services.activities.common import TASKS, UPDATED, check_owner, hand_over, is_open, parts
from crm_reference.emulator.store import Record
from crm_reference.emulator.tags import changed_tags

#: Levels of tasks, the top included.
LEVELS = 3


@derives(TASKS)
def follow(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive whether the owner is active, and take the claim from a task that stands in no queue."""
    active = doc.get("is_owner_active", True) if context is None else owners.is_active(context, doc.get("owner_id", ""))
    return {"is_owner_active": active} | ({} if doc.get("queue_id") else {"claimed_at": None})


@presents(TASKS)
def present(context: Context, task: Record) -> Mapping[str, Any]:
    """Compute whether a task is overdue or waits for another one, and count its parts."""
    below = parts(context, task.doc)
    due = task.doc.get("due_at")
    return {
        "is_overdue": bool(due and due < context.now and is_open(task)),
        "is_blocked": is_open(task) and bool(waiting.blockers(context, task.id)),
        "subtask_count": len(below),
        "open_subtask_count": sum(1 for t in below if is_open(t)),
    }


# -- rules ---------------------------------------------------------------------------------------------------------------------


@enforces("task_owner_is_active")
def task_owner_is_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a user who was deactivated as the owner of a new task."""
    return owners.inactive(context, new, old)


def _above(context: Context, id: str | None) -> list[str]:
    """Return the IDs of the tasks from a parent up to the top."""
    found: list[str] = []
    while id and id not in found:
        found.append(id)
        task = context.records.peek(TASKS, id)
        id = task.doc.get("parent_id") if task is not None else None
    return found


def _height(context: Context, id: str, depth: int = 1) -> int:
    below = context.records.find(TASKS, parent_id=id) if depth <= LEVELS else []
    return max((_height(context, t.id, depth + 1) for t in below), default=depth)


@enforces("task_parent_outside")
def task_parent_outside(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Find out whether a task would stand below itself."""
    return "The new parent stands in this very branch." if new["id"] in _above(context, new.get("parent_id")) else ""


@enforces("task_three_levels")
def task_three_levels(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Add the level of the parent to the height of the branch."""
    above = _above(context, new.get("parent_id"))
    if not above or new["id"] in above or (old is not None and old.get("parent_id") == new["parent_id"]):
        return ""
    levels = len(above) + _height(context, new["id"])
    return f"The branch would reach level {levels}; {LEVELS} are allowed." if levels > LEVELS else ""


@enforces("task_status_moves")
def task_status_moves(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a new task that is cancelled, and another status of a task that is closed."""
    if context.is_upkeep:
        return ""
    if old is None:
        return "A new task is open, in_progress or waiting." if new["status"] == "cancelled" else ""
    if new["status"] == old["status"] or old["status"] not in ("completed", "cancelled"):
        return ""
    return f"The task is {old['status']}. Reopen it first."


# -- writing -------------------------------------------------------------------------------------------------------------------


def _then_remind(behaviour: Behaviour) -> Behaviour:
    """Return a behaviour after which reminders follow the moments of their tasks."""

    def write(call: Call) -> Reply:
        reply = behaviour(call)
        reminding.follow(call)
        return reply

    return write


handles("updateTask")(_then_remind(single.update))
handles("upsertTaskByExternalId")(_then_remind(external.upsert))
handles("batchUpdateTasks", by_item=True)(_then_remind(batch.update))
handles("batchUpsertTasks", by_item=True)(_then_remind(batch.upsert))


@handles("assignTask")
def assign(call: Call) -> Reply:
    """Give a task to another user, and its open parts where that is wanted."""
    owner, reason = call.body["owner_id"], call.body.get("reason")
    check_owner(call, owner, "#/owner_id")
    changed = hand_over(call, call.found, owner, reason=reason)
    for part in parts(call, changed.doc) if call.body.get("has_subtasks") else ():
        if is_open(part) and access.may(call, call.resource(TASKS), part, "write"):
            hand_over(call, part, owner, reason=reason)
    return shown(call, changed)


@handles("changeTaskTags")
def change_tags(call: Call) -> Reply:
    """Add and remove single labels."""
    access.demand(call, call.found, "write")
    tags = changed_tags(call, "task_tag_limit_exceeded", "The task")
    if tags == call.found.doc.get("tags", []):
        return shown(call, call.found)
    return shown(call, call.records.change(call.found, {"tags": tags or None}, event=UPDATED))


@handles("listSubtasks")
def list_subtasks(call: Call) -> Reply:
    """Return the visible parts of a task, the earliest due one first."""
    status = call.query.get("status")
    below = [t for t in parts(call, call.found.doc) if call.records.visible(t) and status in (None, t.doc["status"])]
    below.sort(key=lambda t: (t.doc.get("due_at") or "9999", t.id))
    return listing.paged_items(call, [call.records.shown(t) for t in below])
