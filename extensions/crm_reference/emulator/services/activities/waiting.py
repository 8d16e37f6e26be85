"""Tasks that wait for others: what holds a task up, circles, and the plan that follows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.registry import computes, enforces, handles, presents
from crm_reference.emulator.services.activities.common import CLOSED, DEPENDENCIES, TASKS
from crm_reference.emulator.store import Record

#: Minutes of a day of work.
_DAY = 480
#: Tasks that a plan walks over at most.
_MOST = 500


def is_fulfilled(context: Context, link: Mapping[str, Any], /) -> bool:
    """Tell whether a dependency holds its task up no more."""
    other = context.records.peek(TASKS, link["depends_on_id"])
    if other is None or other.doc["status"] == "cancelled":
        return True
    if link["kind"] == "start_to_start":
        return other.doc["status"] in ("in_progress", "completed")
    done = other.doc.get("completed_at")
    return done is not None and days_later(done, link["lag_days"]) <= context.now


def blockers(context: Context, task: str, /) -> list[str]:
    """Return the tasks that stand directly before one and hold it up."""
    links = context.records.find(DEPENDENCIES, task_id=task)
    return [link.doc["depends_on_id"] for link in links if not is_fulfilled(context, link.doc)]


@presents(DEPENDENCIES)
def present(context: Context, link: Record) -> Mapping[str, Any]:
    """Compute whether a dependency is fulfilled."""
    return {"is_fulfilled": is_fulfilled(context, link.doc)}


@enforces("task_dependency_runs_forward")
def task_dependency_runs_forward(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Find out whether the task that should come first waits for this one already."""
    known, todo = set(), [new["depends_on_id"]]
    while todo:
        id = todo.pop()
        if id == new["task_id"]:
            return "The task that should come first waits for this one, directly or over others."
        if id not in known:
            known.add(id)
            todo += [link.doc["depends_on_id"] for link in context.records.find(DEPENDENCIES, task_id=id)]
    return ""


@handles("createTaskDependency")
def create(call: Call) -> Reply:
    """Let a task wait that the caller may change."""
    task = call.records.peek(TASKS, call.body["task_id"])
    if task is not None and call.records.visible(task):
        access.demand(call, task, "write")
    return single.create(call)


@handles("deleteTaskDependency")
def delete(call: Call) -> Reply:
    """Free a task that the caller may change."""
    task = call.records.peek(TASKS, call.found.doc["task_id"])
    if task is not None:
        access.demand(call, task, "write")
    return single.delete(call)


# -- the plan ------------------------------------------------------------------------------------------------------------------


@handles("getTaskPlan")
def plan(call: Call) -> Reply:
    """Plan a task with all that it waits for."""
    ids, links = [call.found.id], []
    for id in ids:  # the list grows while it is walked
        for link in call.records.find(DEPENDENCIES, task_id=id):
            links.append(
                {"task": id, "after": link.doc["depends_on_id"], "kind": link.doc["kind"], "lag_days": link.doc["lag_days"]}
            )
            if link.doc["depends_on_id"] not in ids and len(ids) < _MOST:
                ids.append(link.doc["depends_on_id"])
    tasks = {id: task for id in ids if (task := call.records.peek(TASKS, id)) is not None}
    known = [link for link in links if link["after"] in tasks]
    given = [
        {"id": t.id, "days": -(-t.doc.get("estimated_minutes", 1) // _DAY), "is_done": t.doc["status"] in CLOSED}
        for t in tasks.values()
    ]
    made = task_plan({"starts_on": call.now[:10], "target": call.found.id, "tasks": given, "links": known})
    days = {t["id"]: t["days"] for t in given}
    nodes = []
    for node in made["nodes"]:
        task = tasks[node["task_id"]]
        if call.records.visible(task):
            shown = {"task_id": task.id, "title": task.doc["title"], "status": task.doc["status"], "duration_days": days[task.id]}
            nodes.append(shown | node)
    body = {
        "task_id": call.found.id,
        "starts_on": call.now[:10],
        "finishes_on": made["finishes_on"],
        "blocked_by": blockers(call, call.found.id),
        "nodes": nodes,
    }
    return Reply(200, body)


@computes("task_plan")
def task_plan(given: Mapping[str, Any]) -> dict[str, Any]:
    """Compute earliest days, slack and the critical path of tasks before a target (the critical path method in whole days)."""
    length = {t["id"]: 0 if t["is_done"] else t["days"] for t in given["tasks"]}
    links = [link for link in given["links"] if length[link["after"]]]
    order = _sorted([t["id"] for t in given["tasks"]], given["links"])
    early: dict[str, int] = {}
    for id in order:
        early[id] = max((_earliest(link, early, length) for link in links if link["task"] == id), default=0)
    end = early[given["target"]] + max(length[given["target"]], 1) - 1
    late = dict.fromkeys(order, end)
    for id in reversed(order):
        late[id] = min((_latest(link, late, length) for link in links if link["after"] == id), default=end)
    first = date.fromisoformat(given["starts_on"])
    nodes: list[dict[str, Any]] = []
    for id in order:
        node: dict[str, Any] = {"task_id": id}
        if length[id]:
            finish = early[id] + length[id] - 1
            slack = late[id] - finish
            node["earliest_start_on"] = (first + timedelta(days=early[id])).isoformat()
            node["earliest_finish_on"] = (first + timedelta(days=finish)).isoformat()
            node |= {"slack_days": slack, "is_critical": slack == 0}
        nodes.append(node)
    return {"finishes_on": (first + timedelta(days=end)).isoformat(), "nodes": nodes}


def _earliest(link: Mapping[str, Any], early: Mapping[str, int], length: Mapping[str, int]) -> int:
    before: str = link["after"]
    return early[before] if link["kind"] == "start_to_start" else early[before] + length[before] + int(link["lag_days"])


def _latest(link: Mapping[str, Any], late: Mapping[str, int], length: Mapping[str, int]) -> int:
    """Return the last day on which a task can finish for one that waits for it."""
    start = late[link["task"]] - max(length[link["task"]], 1) + 1
    if link["kind"] == "start_to_start":
        return start + length[link["after"]] - 1
    return start - 1 - int(link["lag_days"])


def _sorted(ids: list[str], links: list[dict[str, Any]]) -> list[str]:
    """Return tasks so that each comes after those that it waits for; equal ones by ID."""
    left, done = sorted(ids), list[str]()
    while left:
        ready = next((i for i in left if all(k["after"] in done for k in links if k["task"] == i)), left[0])
        left.remove(ready)
        done.append(ready)
    return done
