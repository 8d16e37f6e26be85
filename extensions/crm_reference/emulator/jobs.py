"""Jobs: long work that progresses with the world's clock.

A job is a record of a service's job collection; its plan (task, items, outcomes) stands in members that clients don't see, so that
a world kept in a file goes on where it stopped. A job starts a second after it was accepted and then handles a fixed number of
items a second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crm_reference.emulator.clock import days_later, seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.problems import as_problem
from crm_reference.emulator.registry import TASKS
from crm_reference.emulator.store import Record
from crm_reference.emulator.tokens import Identity

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context, World

ITEMS_PER_SECOND = 10
#: How long a job waits for a neighbour that is down before it fails.
GIVE_UP_SECONDS = 86_400
#: Seconds that a client is asked to wait between two looks at a job.
POLL_SECONDS = 5
#: How long a job that has ended can be read.
KEEP_DAYS = 30
#: States in which a job still has work before it.
OPEN = ("queued", "running")


class Jobs:
    """Jobs of the context's tenant."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def start(
        self, collection: str, task: str, items: Sequence[Any], /, *, event: str = "", failed_event: str = "", **members: Any
    ) -> Record:
        """Accept a job.

        :param task: Registered task that handles the items, as ``contacts.update``.
        :param items: What to handle, as JSON data.
        :param event: Event to emit when it succeeded; ``failed_event`` when it failed. Data: ``{"job": ...}``.
        :param members: Members of the job record: ``kind`` and what else its schema has.
        """
        context = self._context
        body = {
            "status": "queued",
            "progress": _progress(len(items), 0, 0),
            "_task": task,
            "_items": list(items),
            "_outcomes": [],
            "_handled": 0,
            "_event": event,
            "_failed_event": failed_event,
            "_identity": _as_data(context.identity),
            **members,
        }
        job = context.records.create(collection, body)
        context.world.open_jobs.add((context.tenant, collection, job.id))
        return job

    def cancel(self, job: Record, /, code: str, *, event: str = "") -> Record:
        """Stop a job; what it did stays done.

        :param code: Code of the problem where it has ended already.
        """
        if job.doc["status"] not in OPEN:
            raise Problem(code, f"The job has already ended: it is {job.doc['status']}.")
        doc = {**job.doc, "status": "cancelled"}
        task = TASKS[doc["_task"]]
        if task.so_far is not None:
            doc["result"] = task.so_far(self._context, doc, doc["_outcomes"])
        changed = self._context.records.replace(job, _ended(self._context, job.collection, doc))
        if event:
            self._context.emit(event, job.id, {"job": self._context.records.public(changed)})
        return changed


def advance(world: World) -> None:
    """Bring every open job of every tenant up to the present."""
    from crm_reference.emulator.call import Context

    for tenant, collection, id in sorted(world.open_jobs):
        job = world.store.get(tenant, collection, id)
        if job is not None and job.doc["status"] in OPEN:
            _advance_one(Context(world, _identity(job.doc["_identity"]), world.contract.resources[collection].service), job)
        else:
            world.open_jobs.discard((tenant, collection, id))


def open_jobs(world: World) -> set[tuple[str, str, str]]:
    """Return tenant, collection and ID of every job that has not ended: for a world that was reopened."""
    found = set()
    for resource in world.contract.resources.values():
        if resource.prefix == "job":
            for tenant in world.store.tenants(resource.collection):
                for job in world.store.select(tenant, resource.collection, "doc->>'$.status' in ('queued', 'running')"):
                    if "_task" in job.doc:
                        found.add((tenant, resource.collection, job.id))
    return found


def _advance_one(context: Context, job: Record) -> None:
    elapsed = int(context.world.clock.time()) - seconds_of(job.doc["created_at"])
    if elapsed < 1:
        return
    doc = dict(job.doc)
    task, items = TASKS[doc["_task"]], doc["_items"]
    if task.needs in context.world.faults:
        if elapsed > GIVE_UP_SECONDS:
            _give_up(context, job, task.needs)
        return
    due = min(len(items), (elapsed - 1) * ITEMS_PER_SECOND + (0 if items else 1))
    outcomes, failed = list(doc["_outcomes"]), doc["progress"]["failed_count"]
    doc["status"] = "running"
    doc.setdefault("started_at", context.now)
    for item in items[doc["_handled"] : due]:
        try:
            with context.world.store.transaction():
                outcomes.append(task.step(context, doc, item))
        except Problem as problem:
            failed += 1
            outcomes.append({"_problem": as_problem(context.world.contract, problem, context.new_id("req")), "_item": item})
    doc |= {"_outcomes": outcomes, "_handled": max(due, doc["_handled"]), "progress": _progress(len(items), due, failed)}
    finished = due >= len(items) and elapsed > 1
    event = ""
    if finished:
        doc = _ended(context, job.collection, doc)
        try:
            doc["result"] = task.finish(context, doc, outcomes)
            doc["status"], event = "succeeded", doc["_event"]
        except Problem as problem:
            doc["problem"] = as_problem(context.world.contract, problem, context.new_id("req"))
            doc["status"], event = "failed", doc["_failed_event"]
    changed = context.records.replace(job, doc)
    if event:
        context.emit(event, job.id, {"job": context.records.public(changed)})


def _give_up(context: Context, job: Record, neighbour: str) -> None:
    """End a job whose neighbour stayed away for too long."""
    doc = _ended(context, job.collection, {**job.doc, "status": "failed"})
    reason = Problem("unavailable", f"{neighbour} could not be reached for {GIVE_UP_SECONDS // 3600} hours. Start the job again.")
    doc["problem"] = as_problem(context.world.contract, reason, context.new_id("req"))
    changed = context.records.replace(job, doc)
    if doc["_failed_event"]:
        context.emit(doc["_failed_event"], job.id, {"job": context.records.public(changed)})


def _ended(context: Context, collection: str, doc: dict[str, Any]) -> dict[str, Any]:
    ended = {**doc, "finished_at": context.now}
    if "expires_at" in context.resource(collection).node.get("properties", {}):
        ended["expires_at"] = days_later(context.now, KEEP_DAYS)
    return ended


def failures(outcomes: Sequence[Any], /) -> list[dict[str, Any]]:
    """Return the failed ones of a job's outcomes, each with ``_item`` and ``_problem``."""
    return [o for o in outcomes if isinstance(o, dict) and "_problem" in o]


def _progress(total: int, done: int, failed: int) -> dict[str, int]:
    done = min(done, total)
    return {
        "total_count": total,
        "done_count": done,
        "failed_count": failed,
        "percent": 100 * done // total if total else (100 if done else 0),
    }


def _as_data(identity: Identity) -> dict[str, Any]:
    return {
        "tenant": identity.tenant,
        "user": identity.user,
        "client": identity.client,
        "scopes": sorted(identity.scopes),
        "sees": identity.sees,
        "role": identity.claims.get("role", ""),
    }


def _identity(data: Mapping[str, Any]) -> Identity:
    claims = {"role": data.get("role", "")}
    return Identity(data["tenant"], data["user"], data["client"], frozenset(data["scopes"]), data["sees"], "", float("inf"), claims)
