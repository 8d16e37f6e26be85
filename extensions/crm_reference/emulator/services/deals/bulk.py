"""One change, one deletion or one new owner for every deal of a selection."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.bulk import Bulk
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import tally
from crm_reference.emulator.jobs import failures
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.deals.changing import change_deal
from crm_reference.emulator.services.deals.common import DEALS, UPDATED, selected
from crm_reference.emulator.services.deals.creating import check_owner, hand_over
from crm_reference.emulator.services.deals.jobs import JOBS
from crm_reference.emulator.sql import member


def _conclude(context: Context, job: dict[str, Any], outcomes: list[Any], /, *names: str) -> dict[str, Any]:
    """Return the result of a job.

    :raises Problem: The first failure's code where every single deal refused, so that the job has failed. A trial never does.
    """
    failed = failures(outcomes)
    if failed and len(failed) == len(job["_items"]) and not job["is_validate_only"]:
        first = failed[0]["_problem"]
        raise Problem(first["code"], f"None of {counted(len(failed), 'deal')} could be handled. The first: {first['detail']}")
    return {"matched_count": len(job["_items"]), **tally(outcomes, *names)}


BULK = Bulk(
    JOBS,
    DEALS,
    selected,
    updated=UPDATED,
    deleted="crm.deal.deleted.v1",
    count_differs="deal_count_differs",
    same_owner="deal_transfer_to_same_owner",
    check_owner=check_owner,
    hand_over=hand_over,
    change=lambda context, deal, patch, event: change_deal(context, deal, patch, event=event),
    conclude=_conclude,
)
BULK.offer(update="startDealBulkUpdate", delete="startDealBulkDelete")


@handles("transferDeals")
def start_transfer(call: Call) -> Reply:
    """Start to give the deals of one user, or a selection of them, to another; closed ones only where that is wanted."""
    is_open = Condition(f"{member('status')} = 'open'")
    return BULK.start_transfer(call, BULK.portfolio(call, None if call.body.get("has_closed") else is_open))
