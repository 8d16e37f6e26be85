"""The way of deals through their stages: how long each took, many moves at once, and what rots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours.listing import paged_items
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.languages import language_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.problems import as_problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.refusals import invalid
from crm_reference.emulator.registry import computes, handles, presents
from crm_reference.emulator.services.deals.common import DEALS, STAGES, TRANSITIONS, hides_amounts, own_deals, stage_of
from crm_reference.emulator.services.deals.moving import Way, carry, demand_reachable
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record

#: How many deals one call moves.
_MAX_MOVED = 100


@computes("stage_times")
def stage_times(asked: Mapping[str, Any], /) -> dict[str, Any]:
    """Add the stays of a deal up by stage.

    :param asked: ``transitions`` in their order, each with ``to_stage_id``, ``to_category`` and ``moved_at``, and ``now``.
    :return: ``total_seconds`` in open stages, and ``stages`` in the order in which the deal first met them.
    """
    steps: Sequence[Mapping[str, Any]] = asked["transitions"]
    found: dict[str, dict[str, Any]] = {}
    total = 0
    for step, following in zip(steps, [*steps[1:], None], strict=False):
        until = asked["now"] if following is None else following["moved_at"]
        seconds = seconds_of(until) - seconds_of(step["moved_at"]) if step["to_category"] == "open" else 0
        total += seconds
        entry = found.setdefault(step["to_stage_id"], {"stage_id": step["to_stage_id"], "visit_count": 0, "seconds": 0})
        entry |= {"visit_count": entry["visit_count"] + 1, "seconds": entry["seconds"] + seconds}
        entry |= {"is_current": following is None, "entered_at": step["moved_at"]}
    for entry in found.values():
        entry["is_current"] = bool(steps) and steps[-1]["to_stage_id"] == entry["stage_id"]
    return {"total_seconds": total, "stages": list(found.values())}


@presents(TRANSITIONS)
def present_step(context: Context, step: Record) -> Mapping[str, Any]:
    """Leave the amount of the moment out for those who may not see that of the deal."""
    return {"amount": None} if hides_amounts(context) else {}


@handles("getDealStageTimes")
def read_times(call: Call) -> Reply:
    """Return how long a deal took in each stage."""
    steps = sorted(call.records.find(TRANSITIONS, deal_id=call.found.id), key=lambda t: (t.doc["moved_at"], t.id))
    times = stage_times({"transitions": [t.doc for t in steps], "now": call.now})
    return Reply(200, {"deal_id": call.found.id, "status": call.found.doc["status"], **times})


# -- many at once --------------------------------------------------------------------------------------------------------------


@handles("bulkMoveDeals")
def bulk_move(call: Call) -> Reply:
    """Move up to 100 deals, named one by one or by the stage that is to be emptied."""
    body = call.body
    if "deal_ids" in body and "from_stage_id" in body:
        raise invalid("#/deal_ids", "invalid_value", "deal_ids and from_stage_id aren't sent together")
    stage = stage_of(call, body["stage_id"], "#/stage_id")
    source = stage_of(call, body["from_stage_id"], "#/from_stage_id") if "from_stage_id" in body else None
    if source is not None and source.doc["category"] != stage.doc["category"]:
        raise Problem("deal_stage_closes", f"{source.doc['name']} is {source.doc['category']} and {stage.doc['name']} is not.")
    if source is not None and source.id == stage.id:
        raise Problem("deal_stage_unchanged", "A stage can't be emptied into itself.")
    ids = _in_stage(call, source.id) if source is not None else body.get("deal_ids", ())
    results = [_moved(call, index, id, stage, is_emptied=source is not None) for index, id in enumerate(ids[:_MAX_MOVED])]
    failed = sum("problem" in r for r in results)
    left = len(_in_stage(call, source.id)) if source is not None else 0
    counts = {"succeeded_count": len(results) - failed, "failed_count": failed, "remaining_count": left}
    return Reply(207, {"results": results, **counts})


def _in_stage(context: Context, stage: str) -> list[str]:
    where = own_deals(context).and_(Condition(f"{member('stage_id')} = ?", [stage]))
    return [r.id for r in context.world.store.select(context.tenant, DEALS, where.sql, where.arguments)]


def _moved(call: Call, index: int, id: str, stage: Record, *, is_emptied: bool) -> dict[str, Any]:
    """Move one deal and return its outcome."""
    way = Way("moved", {}, call.body.get("reason"), call.body.get("keep_probability", False), has_rules=not is_emptied)
    try:
        with call.world.store.transaction():
            deal = call.records.get(DEALS, id)
            if not is_emptied:
                demand_reachable(call, deal, stage)
            moved = carry(call, deal, stage, way)
    except Problem as problem:
        told = as_problem(call.world.contract, problem, call.new_id("req"), language=language_of(call.request))
        return {"index": index, "status": told["status"], "id": id, "problem": told}
    record = call.records.shown(moved)
    return {"index": index, "status": 200, "id": id, "from_stage_id": deal.doc["stage_id"], "record": record}


# -- what rots -----------------------------------------------------------------------------------------------------------------


@handles("listRottingDeals")
def list_rotting(call: Call) -> Reply:
    """Return open deals that have stayed in their stage for too long, the longest overdue first."""
    condition = own_deals(call).and_(Condition(f"{member('status')} = 'open'"))
    for name in ("pipeline_id", "owner_id"):
        if call.query.get(name):
            condition = condition.and_(Condition(f"{member(name)} = ?", [call.query[name]]))
    found = []
    for deal in call.world.store.select(call.tenant, DEALS, condition.sql, condition.arguments):
        shown = call.records.shown(deal)
        stage = call.records.peek(STAGES, deal.doc["stage_id"])
        if shown.get("is_rotting") and stage is not None:
            days, limit = shown["days_in_stage"], stage.doc["rotting_after_days"]
            counts = {"days_in_stage": days, "rotting_after_days": limit, "overdue_days": days - limit}
            found.append({"deal": shown, **counts})
    return paged_items(call, sorted(found, key=lambda r: (-r["overdue_days"], r["deal"]["id"])))
