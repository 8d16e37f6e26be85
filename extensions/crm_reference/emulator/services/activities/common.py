"""What the modules of activities share: collections, jobs, owners, and what is open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import owners
from crm_reference.emulator.call import Context
from crm_reference.emulator.job_collections import JobCollection
from crm_reference.emulator.refusals import invalid
from crm_reference.emulator.store import Record

TASKS = "tasks"
RECURRENCES = "task-recurrences"
DEPENDENCIES = "task-dependencies"
REMINDERS = "task-reminders"
QUEUES = "task-queues"
JOBS = JobCollection("activities", "activity-jobs", "crm.activity_job.finished.v1")

CREATED, UPDATED, ASSIGNED = "crm.task.created.v1", "crm.task.updated.v1", "crm.task.assigned.v1"
COMPLETED, REOPENED, OVERDUE = "crm.task.completed.v1", "crm.task.reopened.v1", "crm.task.overdue.v1"
#: Statuses in which nothing is left to do.
CLOSED = ("completed", "cancelled")
#: Order of priorities: the first comes first.
PRIORITIES = ("urgent", "high", "normal", "low")


def is_open(task: Record, /) -> bool:
    """Tell whether something of a task is left to do."""
    return task.doc["status"] not in CLOSED


def check_owner(context: Context, user: str, pointer: str, /) -> None:
    """Refuse a user who can't do a task.

    :raises Problem: ``invalid_reference`` or ``task_owner_inactive``.
    """
    from crm_reference.emulator.messages import Problem

    if context.records.peek("users", user) is None:
        raise invalid(pointer, "invalid_reference", "There is no user with this ID.")
    if not owners.is_active(context, user):
        detail = f"{user} was deactivated. Choose an active user."
        raise Problem("task_owner_inactive", detail, [{"pointer": pointer, "code": "task_owner_inactive", "detail": detail}])


def hand_over(context: Context, task: Record, owner: str, /, **told: str | None) -> Record:
    """Give a task to another user and tell of it; the present owner changes nothing.

    :param told: ``reason`` and ``job_id`` of the event, as far as they are set.
    """
    before = task.doc.get("owner_id")
    if before == owner:
        return task
    changed = context.records.change(task, {"owner_id": owner}, action="assigned")
    data: dict[str, Any] = {"record": context.records.public(changed), "previous_owner_id": before}
    context.emit(ASSIGNED, task.id, data | {k: v for k, v in told.items() if v})
    return changed


def parts(context: Context, task: Mapping[str, Any], /) -> list[Record]:
    """Return the tasks directly below one."""
    return context.records.find(TASKS, parent_id=task["id"])
