"""Series of tasks: their preview, their next task, days that are skipped, and their end."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from itertools import islice
from typing import Any
from zoneinfo import available_timezones

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.behaviours.single import shown
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.refusals import invalid
from crm_reference.emulator.registry import derives, enforces, handles
from crm_reference.emulator.services.activities import rrule
from crm_reference.emulator.services.activities.common import CREATED, RECURRENCES, TASKS, UPDATED, check_owner, is_open
from crm_reference.emulator.store import Record

CHANGED, ENDED = "crm.task_recurrence.updated.v1", "crm.task_recurrence.ended.v1"
_ABOUT = {"contact_id": "contacts", "account_id": "accounts", "deal_id": "deals"}


@derives(RECURRENCES)
def begin(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Set what a new series has."""
    return {"status": doc.get("status", "active"), "occurrence_count": doc.get("occurrence_count", 0)}


@enforces("recurrence_rule_readable")
def recurrence_rule_readable(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Read the rule, and return what is wrong with it."""
    try:
        rrule.parse(new["rule"])
    except rrule.RuleError as error:
        return str(error)
    return ""


@enforces("recurrence_has_days")
def recurrence_has_days(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Look for the first day of a rule that can be read."""
    if recurrence_rule_readable(context, new, old) or (old is not None and old["rule"] == new["rule"]):
        return ""
    first = next(rrule.days(rrule.parse(new["rule"]), date.fromisoformat(new["starts_on"])), None)
    return "" if first is not None else "The rule gives no day from starts_on on."


@enforces("recurrence_is_active")
def recurrence_is_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a change of a series that has ended."""
    return "" if context.is_upkeep or old is None or old["status"] == "active" else "The series has ended."


def _check_zone(zone: str) -> None:
    if zone not in available_timezones():
        raise invalid("#/time_zone", "invalid_value", f"{zone} is no time zone of the IANA database.")


@handles("previewTaskRecurrence")
def preview(call: Call) -> Reply:
    """Expand a rule that nobody has stored."""
    body = call.body
    zone = body.get("time_zone", "Europe/Amsterdam")
    _check_zone(zone)
    try:
        rule = rrule.parse(body["rule"])
    except rrule.RuleError as error:
        raise invalid("#/rule", "recurrence_rule_invalid", str(error)) from None
    found = list(islice(rrule.days(rule, date.fromisoformat(body["starts_on"])), body.get("limit", 10)))
    if not found:
        raise Problem("recurrence_has_no_days", "The rule gives no day from starts_on on.")
    moments = [{"falls_on": d.isoformat(), "due_at": _due(body | {"time_zone": zone}, d.isoformat())} for d in found]
    return Reply(200, {"occurrences": moments, "is_endless": rule.count is None and rule.until is None})


def _due(series: Mapping[str, Any], day: str) -> str:
    at = {"falls_on": day, "time_of_day": series.get("time_of_day", "17:00"), "time_zone": series["time_zone"]}
    return str(rrule.occurrence_due_at(at))


def _check_blueprint(call: Call) -> None:
    blueprint = call.body.get("blueprint", {})
    if blueprint.get("owner_id"):
        check_owner(call, blueprint["owner_id"], "#/blueprint/owner_id")
    for name, target in _ABOUT.items():
        if name in blueprint:
            record = call.records.peek(target, blueprint[name])
            if record is None or not call.records.visible(record):
                raise invalid(f"#/blueprint/{name}", "invalid_reference", f"There is no record of {target} with this ID.")


@handles("createTaskRecurrence")
def create(call: Call) -> Reply:
    """Store a series and make its first task."""
    _check_zone(call.body.get("time_zone", "Europe/Amsterdam"))
    _check_blueprint(call)
    series = call.records.create(RECURRENCES, call.body, event="crm.task_recurrence.created.v1")
    first = next(rrule.days(rrule.parse(series.doc["rule"]), date.fromisoformat(series.doc["starts_on"])))
    task = _make(call, series, first.isoformat())
    series = call.records.note(series, open_task_id=task.id, next_on=first.isoformat(), occurrence_count=1)
    return shown(call, series, 201, Location=f"/v1/task-recurrences/{series.id}")


@handles("updateTaskRecurrence")
def update(call: Call) -> Reply:
    """Change what the tasks to come look like."""
    _check_zone(call.body.get("time_zone", "Europe/Amsterdam"))
    _check_blueprint(call)
    return single.update(call)


def _make(context: Context, series: Record, day: str) -> Record:
    blueprint = series.doc["blueprint"]
    body = {
        "kind": "to_do",
        "priority": "normal",
        "owner_id": series.doc.get("created_by"),
        **blueprint,
        "due_at": _due(series.doc, day),
        "recurrence_id": series.id,
        "occurrence_on": day,
    }
    with upkeep(context):
        return context.records.create(TASKS, body, event=CREATED)


def advance(context: Context, task: Record, closed_on: str, /, **also: Any) -> Record | None:
    """Make the task that follows the open one of a series, or end the series where its rule gives no further day.

    :param closed_on: The day on which the task was closed.
    :param also: Further members of the series to set.
    :return: The task that follows.
    """
    series = context.records.peek(RECURRENCES, task.doc.get("recurrence_id", ""))
    if series is None or series.doc.get("open_task_id") != task.id or series.doc["status"] != "active":
        return None
    asked = {**series.doc, "last_on": task.doc["occurrence_on"], "closed_on": closed_on}
    day = rrule.next_occurrence(asked)
    if day is None:
        end(context, series, **also)
        return None
    following = _make(context, series, day)
    moved = {"open_task_id": following.id, "next_on": day, "occurrence_count": series.doc["occurrence_count"] + 1, **also}
    with upkeep(context):
        context.records.change(series, moved, event=CHANGED if also else "")
    return following


def end(context: Context, series: Record, /, **also: Any) -> Record:
    """End a series; its open task stays, where it is open."""
    patch = {"status": "ended", "ended_at": context.now, "next_on": None, **also}
    task = context.records.peek(TASKS, series.doc.get("open_task_id", ""))
    if task is None or not is_open(task):
        patch["open_task_id"] = None
    with upkeep(context):
        ended = context.records.change(series, patch)
    context.emit(ENDED, series.id, {"record": context.records.public(ended)})
    return ended


def _demand_active(series: Record) -> None:
    if series.doc["status"] != "active":
        raise Problem("recurrence_ended", f"The series ended at {series.doc['ended_at']}.")


@handles("skipTaskOccurrence")
def skip(call: Call) -> Reply:
    """Cancel the open task, note its day, and make the next one."""
    series = call.found
    _demand_active(series)
    task = call.records.peek(TASKS, series.doc.get("open_task_id", ""))
    if task is None:
        raise Problem("recurrence_ended", "The series has no open task.")
    outcome = (call.body or {}).get("reason")
    with upkeep(call):
        patch = {"status": "cancelled"} | ({"outcome": outcome} if outcome else {})
        cancelled = call.records.change(task, patch, event=UPDATED)
    skipped = [*series.doc.get("skipped_on", []), task.doc["occurrence_on"]]
    advance(call, cancelled, task.doc["occurrence_on"], skipped_on=skipped)
    return shown(call, call.records.get(RECURRENCES, series.id))


@handles("endTaskRecurrence")
def stop(call: Call) -> Reply:
    """End a series by hand."""
    _demand_active(call.found)
    return shown(call, end(call, call.found))
