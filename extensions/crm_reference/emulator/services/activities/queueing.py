"""Queues: what waits in them and in which order, who takes it, and how full they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.behaviours import listing
from crm_reference.emulator.behaviours.single import shown
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, derives, handles, presents
from crm_reference.emulator.services.activities import waiting
from crm_reference.emulator.services.activities.common import ASSIGNED, PRIORITIES, QUEUES, TASKS, UPDATED, is_open
from crm_reference.emulator.store import Record

#: After every moment.
_NEVER = "9999"


@computes("queue_order")
def queue_order(given: Mapping[str, Any]) -> list[str]:
    """Return the IDs of tasks in the order of a queue; equal ones by age, then by ID."""

    def key(task: Mapping[str, Any]) -> tuple[Any, ...]:
        age = (task["created_at"], task["id"])
        urgency, due = PRIORITIES.index(task["priority"]), task.get("due_at") or _NEVER
        by_order: dict[str, tuple[Any, ...]] = {"priority_first": (urgency, due), "due_first": (due, urgency), "oldest_first": ()}
        return (*by_order[given["order"]], *age)

    return [task["id"] for task in sorted(given["tasks"], key=key)]


def _unclaimed(context: Context, queue: str) -> list[Record]:
    return [t for t in context.records.find(TASKS, queue_id=queue) if is_open(t) and not t.doc.get("claimed_at")]


def _waiting(context: Context, queue: Record) -> list[Record]:
    """Return what can be claimed, in order."""
    found = {t.id: t for t in _unclaimed(context, queue.id) if not waiting.blockers(context, t.id)}
    ordered = queue_order({"order": queue.doc["order"], "tasks": [t.doc for t in found.values()]})
    return [found[id] for id in ordered]


def _held(context: Context, queue: str, user: str) -> int:
    mine = context.records.find(TASKS, queue_id=queue, owner_id=user)
    return sum(1 for t in mine if is_open(t) and t.doc.get("claimed_at"))


@derives(QUEUES)
def follow(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Set that a queue without members has an empty list."""
    return {"member_ids": doc.get("member_ids", [])}


@presents(QUEUES)
def present(context: Context, queue: Record) -> Mapping[str, Any]:
    """Count what waits."""
    return {"waiting_count": len(_unclaimed(context, queue.id))}


@handles("listTaskQueueTasks")
def list_waiting(call: Call) -> Reply:
    """Return what can be claimed, in order: all of it to members, to others what they may see."""
    is_member = call.identity.user in call.found.doc["member_ids"]
    found = [t for t in _waiting(call, call.found) if is_member or call.records.visible(t)]
    return listing.paged_items(call, [call.records.shown(t) for t in found])


@handles("claimNextTask")
def claim(call: Call) -> Reply:
    """Make the caller the owner of the next task, or of the one that the body names."""
    queue, user = call.found, call.identity.user
    if user not in queue.doc["member_ids"]:
        raise Problem("task_queue_outsider", f"You are not among the members of {queue.doc['name']}.")
    held, most = _held(call, queue.id, user), queue.doc["capacity_per_member"]
    if held >= most:
        raise Problem("task_queue_full_hands", f"You hold {held} open tasks of {queue.doc['name']}; {most} are allowed.")
    free, wanted = _waiting(call, queue), (call.body or {}).get("task_id")
    if wanted:
        free = [t for t in free if t.id == wanted]
        if not free:
            raise Problem("task_claimed_by_another", f"{wanted} does not wait in {queue.doc['name']}.")
    if not free:
        raise Problem("task_queue_empty", f"Nothing waits in {queue.doc['name']}.")
    before = free[0].doc.get("owner_id")
    with upkeep(call):
        taken = call.records.change(free[0], {"owner_id": user, "claimed_at": call.now}, action="claimed")
    call.emit(ASSIGNED, taken.id, {"record": call.records.public(taken), "previous_owner_id": before})
    return shown(call, taken)


@handles("releaseTask")
def release(call: Call) -> Reply:
    """Put a claimed task back into its queue."""
    access.demand(call, call.found, "write")
    if not call.found.doc.get("claimed_at") or not is_open(call.found):
        raise Problem("task_not_claimed", "The task is not claimed, or is closed.")
    patch = {"claimed_at": None, "status": "open"}
    return shown(call, call.records.change(call.found, patch, action="released", event=UPDATED))


@handles("getTaskQueueLoad")
def load(call: Call) -> Reply:
    """Count what waits and what each member holds."""
    queue = call.found
    free = _unclaimed(call, queue.id)
    members = []
    for user in queue.doc["member_ids"]:
        held = _held(call, queue.id, user)
        members.append({"user_id": user, "open_count": held, "free_count": max(queue.doc["capacity_per_member"] - held, 0)})
    body: dict[str, Any] = {
        "queue_id": queue.id,
        "measured_at": call.now,
        "waiting_count": len(free),
        "overdue_count": sum(1 for t in free if t.doc.get("due_at", _NEVER) < call.now),
        "members": sorted(members, key=lambda m: (m["open_count"], m["user_id"])),
    }
    if free:
        body["oldest_waiting_at"] = min(t.doc["created_at"] for t in free)
    return Reply(200, body)
