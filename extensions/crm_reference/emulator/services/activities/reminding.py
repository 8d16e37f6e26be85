"""Reminders: their moment, putting them off, dismissing them, and the scan that makes them due and tells of overdue tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours.single import shown
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import iso, seconds_of
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import Task, computes, derives, enforces, handles, sees, task
from crm_reference.emulator.services.activities.common import CLOSED, JOBS, OVERDUE, REMINDERS, TASKS
from crm_reference.emulator.store import Record

CHANGED, DUE = "crm.reminder.updated.v1", "crm.reminder.due.v1"


@computes("reminder_moment")
def reminder_moment(given: Mapping[str, Any]) -> str:
    """Return the moment some minutes before another one."""
    return iso(seconds_of(given["due_at"]) - 60 * int(given["minutes_before"]))


@derives(REMINDERS)
def follow_task(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive whom a reminder reminds, and when, from the task that it counts back from."""
    derived: dict[str, Any] = {"status": doc.get("status", "scheduled"), "snooze_count": doc.get("snooze_count", 0)}
    if context is None:
        return derived
    if not doc.get("user_id") and context.identity.user:
        derived["user_id"] = context.identity.user
    about = context.records.peek(TASKS, doc.get("task_id", ""))
    if doc.get("minutes_before") is not None and about is not None and about.doc.get("due_at"):
        derived["remind_at"] = reminder_moment({"due_at": about.doc["due_at"], "minutes_before": doc["minutes_before"]})
    return derived


@enforces("reminder_counts_from_due")
def reminder_counts_from_due(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse to count back from nothing."""
    about = context.records.peek(TASKS, new.get("task_id", ""))
    if context.is_upkeep or new.get("minutes_before") is None or about is None or about.doc.get("due_at"):
        return ""
    return "The task has no due_at."


@sees(REMINDERS)
def see(context: Context, reminder: Record) -> bool:
    """Show a reminder to the user whom it reminds, to who set it, and to administrators."""
    user = context.identity.user
    return user in (reminder.doc.get("user_id"), reminder.doc.get("created_by")) or "activities.admin" in context.identity.scopes


def follow(context: Context, /) -> None:
    """Move the reminders whose task got another moment; where it lost it they stay where they are."""
    for reminder in context.records.find(REMINDERS, status="scheduled"):
        if reminder.doc.get("minutes_before") is not None:
            with upkeep(context):
                context.records.change(reminder, {}, event=CHANGED)


def _demand_open(reminder: Record) -> None:
    if reminder.doc["status"] == "dismissed":
        raise Problem("reminder_closed", f"It was dismissed at {reminder.doc['dismissed_at']}.")


@handles("updateTaskReminder")
def update(call: Call) -> Reply:
    """Change a reminder; a new moment makes it scheduled again."""
    patch = dict(call.body)
    if "remind_at" in patch:
        patch.setdefault("minutes_before", None)
    if "remind_at" in patch or patch.get("minutes_before") is not None:
        _demand_open(call.found)
        patch |= {"status": "scheduled", "fired_at": None}
    return shown(call, call.records.change(call.found, patch, event=CHANGED))


@handles("snoozeTaskReminder")
def snooze(call: Call) -> Reply:
    """Put a reminder off from now."""
    _demand_open(call.found)
    patch = {
        "remind_at": iso(seconds_of(call.now) + 60 * call.body["minutes"]),
        "minutes_before": None,
        "status": "scheduled",
        "fired_at": None,
        "snooze_count": call.found.doc["snooze_count"] + 1,
    }
    return shown(call, call.records.change(call.found, patch, event=CHANGED))


@handles("dismissTaskReminder")
def dismiss(call: Call) -> Reply:
    """Mark a reminder as read."""
    _demand_open(call.found)
    return shown(call, call.records.change(call.found, {"status": "dismissed", "dismissed_at": call.now}, event=CHANGED))


# -- the scan ------------------------------------------------------------------------------------------------------------------


@handles("startTaskDueScan")
def start_scan(call: Call) -> Reply:
    """Fix what is due now and start to tell of it."""
    now = call.now
    due = [r.id for r in call.records.find(REMINDERS, status="scheduled") if r.doc["remind_at"] <= now]
    late = [t.id for t in call.records.find(TASKS) if _is_untold(t, now)]
    return JOBS.start(call, "due_scan", due + late)


def _is_untold(about: Record, now: str) -> bool:
    due = about.doc.get("due_at")
    return bool(due and due <= now and about.doc["status"] not in CLOSED and about.doc.get("_overdue_told") != due)


def _tell(context: Context, job: dict[str, Any], id: str) -> str:
    trial = job["is_validate_only"]
    if id.startswith("trm_"):
        reminder = context.records.peek(REMINDERS, id)
        about = context.records.peek(TASKS, reminder.doc["task_id"]) if reminder is not None else None
        if reminder is None or about is None or reminder.doc["status"] != "scheduled":
            return "skipped"
        if not trial:
            with upkeep(context):
                fired = context.records.change(reminder, {"status": "due", "fired_at": context.now})
            data = {"record": context.records.public(fired), "task": context.records.public(about)}
            context.emit(DUE, id, data)
        return "reminder"
    about = context.records.peek(TASKS, id)
    if about is None or not _is_untold(about, context.now):
        return "skipped"
    if not trial:
        noted = context.records.note(about, _overdue_told=about.doc["due_at"])
        late = seconds_of(context.now) - seconds_of(about.doc["due_at"])
        context.emit(OVERDUE, id, {"record": context.records.public(noted), "seconds_late": late})
    return "overdue"


def _told(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    counts = {f"{name}_count": sum(1 for o in outcomes if o == name) for name in ("reminder", "overdue", "skipped")}
    return {"matched_count": len(job["_items"]), **counts, "failed_count": sum(1 for o in outcomes if isinstance(o, dict))}


task("activities.due_scan", Task(_tell, _told, so_far=_told))
