"""How deals end and begin again, and the reasons that they end for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Sort
from crm_reference.emulator.refusals import invalid
from crm_reference.emulator.registry import guards, handles
from crm_reference.emulator.services.deals.common import (
    DEALS,
    REASONS,
    STAGES,
    TRANSITIONS,
    demand_active,
    demand_open,
    stage_of,
    stages_of,
)
from crm_reference.emulator.services.deals.moving import Way, carry
from crm_reference.emulator.services.deals.records import demand_unordered, first_stage, today
from crm_reference.emulator.store import Record

#: Collection of the tenant's competitors.
COMPETITORS = "deal-competitors"


def _last_stage(context: Context, deal: Record, outcome: str) -> Record:
    found = [s for s in stages_of(context, deal.doc["pipeline_id"]) if s.doc["category"] == outcome]
    if not found:
        raise Problem("deal_stage_refused", f"No stage of the pipeline means {outcome}.")
    return found[0]


def _day(call: Call) -> str:
    """Return the day of the end.

    :raises Problem: Where it lies in the future or before the beginning.
    """
    day, now = call.body.get("closed_on", today(call)), today(call)
    if day > now:
        raise invalid("#/closed_on", "deal_closed_in_future", f"is {now} at the latest")
    if day < call.found.doc["created_at"][:10]:
        raise invalid("#/closed_on", "deal_closed_before_creation", f"is {call.found.doc['created_at'][:10]} at the earliest")
    return str(day)


def _reason(call: Call, outcome: str) -> str | None:
    """Return the name of the reason that the body gives."""
    if "close_reason_id" not in call.body:
        return None
    reason = call.records.peek(REASONS, call.body["close_reason_id"])
    if reason is None:
        raise invalid("#/close_reason_id", "invalid_reference", "There is no close reason with this ID.")
    if reason.doc["outcome"] != outcome or not reason.doc["is_active"]:
        fault = "is no longer offered" if reason.doc["outcome"] == outcome else f"explains what is {reason.doc['outcome']}"
        raise invalid("#/close_reason_id", "deal_close_reason_unfit", f"{reason.doc['name']} {fault}")
    return str(reason.doc["name"])


def _closed(call: Call, outcome: str, patch: Mapping[str, Any]) -> Reply:
    day, reason = _day(call), _reason(call, outcome)
    demand_open(call.found)
    if outcome == "lost":
        demand_unordered(call, call.found)
    said: dict[str, Any] = {"closed_on": day, **patch}
    said |= {k: call.body[k] for k in ("close_reason_id", "lost_to_competitor_id") if k in call.body}
    said |= {"close_note": call.body["note"]} if "note" in call.body else {}
    amount = said.get("amount", call.found.doc.get("amount"))
    way = Way(outcome, said, reason, has_rules=outcome == "won", told={"amount": amount} if amount else {})
    return single.shown(call, carry(call, call.found, _last_stage(call, call.found, outcome), way))


@handles("winDeal")
def win(call: Call) -> Reply:
    """Close a deal as won."""
    return _closed(call, "won", {"amount": call.body["amount"]} if "amount" in call.body else {})


@handles("loseDeal")
def lose(call: Call) -> Reply:
    """Close a deal as lost, for a reason."""
    competitor = call.body.get("lost_to_competitor_id")
    if competitor is not None and call.records.peek(COMPETITORS, competitor) is None:
        raise invalid("#/lost_to_competitor_id", "invalid_reference", "There is no competitor with this ID.")
    return _closed(call, "lost", {})


@handles("reopenDeal")
def reopen(call: Call) -> Reply:
    """Open a closed deal again, in the stage from which it was closed or in another open one."""
    deal, body = call.found, call.body
    stage = stage_of(call, body["stage_id"], "#/stage_id") if "stage_id" in body else None
    if stage is not None and stage.doc["category"] != "open":
        raise invalid("#/stage_id", "deal_stage_not_open", f"{stage.doc['name']} means {stage.doc['category']}")
    if deal.doc["status"] == "open":
        raise Problem("deal_not_closed", f"{deal.id} is open.")
    demand_unordered(call, deal)
    stage = stage or _left(call, deal)
    demand_active(call, stage.doc["pipeline_id"])
    gone = dict.fromkeys(("closed_on", "close_reason_id", "close_note", "lost_to_competitor_id"))
    patch = {**gone, **({"close_on": body["close_on"]} if "close_on" in body else {})}
    way = Way("reopened", patch, body["reason"], has_rules=False)
    return single.shown(call, carry(call, deal, stage, way))


def _left(context: Context, deal: Record) -> Record:
    """Return the stage from which a deal was closed, or the first of its pipeline where that one is gone."""
    steps = sorted(context.records.find(TRANSITIONS, deal_id=deal.id), key=lambda t: (t.doc["moved_at"], t.id))
    closing = next((t for t in reversed(steps) if t.doc["to_category"] != "open"), None)
    stage = context.records.peek(STAGES, closing.doc.get("from_stage_id", "")) if closing is not None else None
    if stage is None or stage.doc["category"] != "open":
        stage = first_stage(context, deal.doc["pipeline_id"])
    if stage is None:
        raise Problem("deal_pipeline_archived", "The pipeline has no open stage to which the deal could return.")
    return stage


# -- reasons -------------------------------------------------------------------------------------------------------------------


@handles("listDealCloseReasons")
def list_reasons(call: Call) -> Reply:
    """Return the reasons by outcome and place."""
    return listing.list_records(call, default=(Sort("outcome", False), Sort("position", False), Sort("name", False)))


@guards(REASONS)
def keep_used(context: Context, reason: Record) -> None:
    """Keep a reason that a deal has, be it in the recycle bin."""
    where = "json_extract(doc, '$.close_reason_id') = ?"
    if context.world.store.select(context.tenant, DEALS, where, [reason.id], limit=1, deleted=None):
        raise Problem("close_reason_in_use", f"Deals were closed for {reason.doc['name']}. Deactivate it instead.")
