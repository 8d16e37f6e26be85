"""One change, one deletion or one new owner for every record of a selection: jobs that handle a record at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import JobCollection, maybe_trial, tally
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.refusals import invalid, refused
from crm_reference.emulator.registry import Task, handles, task
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record

#: Takes the context, a record, a merge patch and an event; returns the record as it is then.
Change = Callable[[Context, Record, Mapping[str, Any], str], Record]
#: Takes the context, a record, its new owner, and ``reason`` and ``job_id``; returns the record as it is then.
HandOver = Callable[..., Record]


def _change(context: Context, record: Record, patch: Mapping[str, Any], event: str) -> Record:
    return context.records.change(record, patch, event=event)


def _may_change(context: Context, record: Record) -> None:
    access.demand(context, record, "write")


def _counted(context: Context, job: dict[str, Any], outcomes: list[Any], *names: str) -> dict[str, Any]:
    return {"matched_count": len(job["_items"]), **tally(outcomes, *names)}


@dataclass(frozen=True, slots=True)
class Bulk:
    """What can be done with many records of a collection.

    :param jobs: The service's jobs.
    :param collection: The records.
    :param select: Takes the call, the body's ``selection`` and a further condition; returns the IDs.
    :param updated: Event of a change; ``deleted`` that of a deletion.
    :param count_differs: Code where ``expected_count`` isn't the number of the selection.
    :param same_owner: Code where a transfer names one user twice.
    :param check_owner: Refuses a user who can't become an owner, at a pointer.
    :param hand_over: Gives a record to another owner.
    :param change: Applies a merge patch, where more than that follows.
    :param may_hand_over: Refuses a record that may not be handed over, for trials.
    :param conclude: Makes the result; takes context, job, outcomes, and the names of outcomes to count.
    """

    jobs: JobCollection
    collection: str
    select: Callable[[Call, Mapping[str, Any], Condition | None], list[str]]
    updated: str
    deleted: str
    count_differs: str
    same_owner: str
    check_owner: Callable[[Context, str, str], None]
    hand_over: HandOver
    change: Change = _change
    may_hand_over: Callable[[Context, Record], None] = _may_change
    conclude: Callable[..., dict[str, Any]] = _counted

    def offer(self, *, update: str, delete: str, transfer: str = "") -> None:
        """Register operations and their jobs, by operationId; a transfer is left to the service where none is named."""
        handles(update)(self._start_update)
        handles(delete)(self._start_delete)
        if transfer:
            handles(transfer)(lambda call: self.start_transfer(call, self.portfolio(call)))
        service = self.jobs.service
        task(f"{service}.bulk_update", self._task(self._update, "updated", "skipped"))
        task(f"{service}.bulk_delete", self._task(self._delete, "deleted"))
        task(f"{service}.ownership_transfer", self._task(self._transfer, "updated", "skipped"))

    def _task(self, step: Callable[[Context, dict[str, Any], str], str], *names: str) -> Task:
        def finish(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
            return self.conclude(context, job, outcomes, *names)

        return Task(step, finish, so_far=finish)

    def expect(self, call: Call, found: list[str], /) -> None:
        """Refuse a selection of another size than the caller expects."""
        wanted = call.body.get("expected_count")
        if wanted is not None and wanted != len(found):
            detail = f"The selection matches {len(found)} {self.collection}, not {wanted}. Nothing was changed."
            raise Problem(self.count_differs, detail)

    def _start_update(self, call: Call) -> Reply:
        found = self.select(call, call.body["selection"], None)
        self.expect(call, found)
        return self.jobs.start(call, "bulk_update", found, _changes=call.body["changes"])

    def _update(self, context: Context, job: dict[str, Any], id: str) -> str:
        def work() -> str:
            record = context.records.get(self.collection, id)
            changed = self.change(context, record, job["_changes"], "" if job["is_validate_only"] else self.updated)
            return "skipped" if changed is record else "updated"

        return str(maybe_trial(context, job, work))

    def _start_delete(self, call: Call) -> Reply:
        found = self.select(call, call.body["selection"], None)
        self.expect(call, found)
        return self.jobs.start(call, "bulk_delete", found)

    def _delete(self, context: Context, job: dict[str, Any], id: str) -> str:
        def work() -> str:
            event = "" if job["is_validate_only"] else self.deleted
            context.records.delete(context.records.get(self.collection, id), event=event)
            return "deleted"

        return str(maybe_trial(context, job, work))

    def portfolio(self, call: Call, /, also: Condition | None = None) -> list[str]:
        """Return the records that a transfer moves: those of ``from_owner_id`` within the selection.

        :param also: A further condition.
        :raises Problem: Where one of the two users can't give or take them.
        """
        former, owner = call.body["from_owner_id"], call.body["to_owner_id"]
        if call.records.peek("users", former) is None:
            raise invalid("#/from_owner_id", "invalid_reference", "There is no user with this ID.")
        if former == owner:
            raise refused(self.same_owner, "Both owners are the same user.", "#/to_owner_id")
        self.check_owner(call, owner, "#/to_owner_id")
        owned = Condition(f"{member('owner_id')} = ?", [former])
        return self.select(call, call.body.get("selection", {}), owned.and_(also) if also else owned)

    def start_transfer(self, call: Call, found: list[str], /) -> Reply:
        """Start to give records to the user whom the body names."""
        owner, reason = call.body["to_owner_id"], call.body.get("reason")
        return self.jobs.start(call, "ownership_transfer", found, _owner=owner, _reason=reason)

    def _transfer(self, context: Context, job: dict[str, Any], id: str) -> str:
        record = context.records.get(self.collection, id)
        if job["is_validate_only"]:
            self.may_hand_over(context, record)
            return "updated"
        changed = self.hand_over(context, record, job["_owner"], reason=job.get("_reason"), job_id=job["id"])
        return "skipped" if changed is record else "updated"
