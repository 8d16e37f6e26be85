"""One change, one deletion or one new owner for every deal of a selection."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import maybe_trial, tally
from crm_reference.emulator.jobs import failures
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import Task, handles, task
from crm_reference.emulator.services.deals.changing import change_deal
from crm_reference.emulator.services.deals.common import DEALS, UPDATED, invalid, refused, selected
from crm_reference.emulator.services.deals.creating import check_owner, hand_over
from crm_reference.emulator.services.deals.jobs import start
from crm_reference.emulator.store import member


def _conclude(job: dict[str, Any], outcomes: list[Any], /, *names: str) -> dict[str, Any]:
    """Return the result of a job.

    :raises Problem: The first failure's code where every single deal refused, so that the job has failed. A trial never does.
    """
    failed = failures(outcomes)
    if failed and len(failed) == len(job["_items"]) and not job["is_validate_only"]:
        first = failed[0]["_problem"]
        raise Problem(first["code"], f"None of {counted(len(failed), 'deal')} could be handled. The first: {first['detail']}")
    return {"matched_count": len(job["_items"]), **tally(outcomes, *names)}


def _expected(call: Call, found: list[str]) -> None:
    wanted = call.body.get("expected_count")
    if wanted is not None and wanted != len(found):
        raise Problem("deal_count_differs", f"The selection matches {len(found)} deals, not {wanted}. Nothing was started.")


@handles("startDealBulkUpdate")
def start_update(call: Call) -> Reply:
    """Fix the selection and start to apply one merge patch to each of its deals."""
    found = selected(call, call.body["selection"])
    _expected(call, found)
    return start(call, "bulk_update", found, _changes=call.body["changes"])


def _update(context: Context, job: dict[str, Any], id: str) -> str:
    def work() -> str:
        deal = context.records.get(DEALS, id)
        changed = change_deal(context, deal, job["_changes"], event="" if job["is_validate_only"] else UPDATED)
        return "skipped" if changed is deal else "updated"

    return str(maybe_trial(context, job, work))


def _updated(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return _conclude(job, outcomes, "updated", "skipped")


@handles("startDealBulkDelete")
def start_delete(call: Call) -> Reply:
    """Start to move a selection to the recycle bin, where its number is the one that the caller expects."""
    found = selected(call, call.body["selection"])
    _expected(call, found)
    return start(call, "bulk_delete", found)


def _delete(context: Context, job: dict[str, Any], id: str) -> str:
    def work() -> str:
        event = "" if job["is_validate_only"] else "crm.deal.deleted.v1"
        context.records.delete(context.records.get(DEALS, id), event=event)
        return "deleted"

    return str(maybe_trial(context, job, work))


def _deleted(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return _conclude(job, outcomes, "deleted")


@handles("transferDeals")
def start_transfer(call: Call) -> Reply:
    """Start to give the deals of one user, or a selection of them, to another."""
    former, owner = call.body["from_owner_id"], call.body["to_owner_id"]
    if call.records.peek("users", former) is None:
        raise invalid("#/from_owner_id", "invalid_reference", "There is no user with this ID.")
    if former == owner:
        raise refused("deal_transfer_to_same_owner", "Both owners are the same user.", "#/to_owner_id")
    check_owner(call, owner, "#/to_owner_id")
    also = Condition(f"{member('owner_id')} = ?", [former])
    if not call.body.get("has_closed"):
        also = also.and_(Condition(f"{member('status')} = 'open'"))
    found = selected(call, call.body.get("selection", {}), also)
    return start(call, "ownership_transfer", found, _owner=owner, _reason=call.body.get("reason"))


def _transfer(context: Context, job: dict[str, Any], id: str) -> str:
    deal = context.records.get(DEALS, id)
    if job["is_validate_only"]:
        return "updated"
    changed = hand_over(context, deal, job["_owner"], reason=job.get("_reason"), job_id=job["id"])
    return "skipped" if changed is deal else "updated"


def _transferred(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return _conclude(job, outcomes, "updated", "skipped")


task("deals.bulk_update", Task(_update, _updated, so_far=_updated))
task("deals.bulk_delete", Task(_delete, _deleted, so_far=_deleted))
task("deals.ownership_transfer", Task(_transfer, _transferred, so_far=_transferred))
