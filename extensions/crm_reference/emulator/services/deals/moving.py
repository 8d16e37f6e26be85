"""Moves of deals: what a stage's rules say to one, how it is carried out, and what it would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm_reference.emulator.behaviours.single import shown
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.records import derived, merge_patch
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.deals.changing import tell_amount
from crm_reference.emulator.services.deals.common import (
    DEALS,
    STAGES,
    UPDATED,
    demand_active,
    demand_open,
    hides_amounts,
    stage_of,
    stages_of,
)
from crm_reference.emulator.services.deals.creating import note_transition
from crm_reference.emulator.services.deals.money import weighted
from crm_reference.emulator.services.deals.ranks import rank_at, rank_on_top
from crm_reference.emulator.store import Record

#: The event of each kind of transition.
_EVENTS = {
    "moved": "crm.deal.stage_changed.v1",
    "won": "crm.deal.won.v1",
    "lost": "crm.deal.lost.v1",
    "reopened": "crm.deal.reopened.v1",
}
#: A move names one field at most for each rule that it breaks.
_TOLD = ("kind", "rule_key", "field", "is_blocking", "text")


@dataclass(frozen=True, slots=True)
class Way:
    """How a deal goes to another stage.

    :param kind: Of the transition: ``moved``, ``won``, ``lost`` or ``reopened``.
    :param patch: What else changes with it.
    :param keeps_probability: Whether the seller's own probability stays.
    :param place: Where the card goes in its column, as :func:`rank_at` takes it; on top where empty.
    :param has_rules: Whether the rules of the stage are evaluated.
    :param told: Further members of the event.
    """

    kind: str = "moved"
    patch: Mapping[str, Any] = field(default_factory=dict)
    reason: str | None = None
    keeps_probability: bool = False
    place: Mapping[str, str] = field(default_factory=dict)
    has_rules: bool = True
    told: Mapping[str, Any] = field(default_factory=dict)


def arrival(context: Context, deal: Record, stage: Record, way: Way, /) -> dict[str, Any]:
    """Return the deal as it would be in a stage, without its rank."""
    said, is_open = stage.doc, stage.doc["category"] == "open"
    keeps = way.keeps_probability and deal.doc.get("is_probability_overridden") and is_open
    patch: dict[str, Any] = {
        "forecast_category": said["forecast_category"],
        **way.patch,
        "stage_id": stage.id,
        "pipeline_id": said["pipeline_id"],
        "stage_entered_at": context.now,
        "is_probability_overridden": bool(keeps),
    }
    patch |= {} if keeps else {"probability": said["probability"], "probability_reason": None}
    return derived(context, DEALS, merge_patch(deal.doc, patch))


def breaches_of(context: Context, deal: Record, doc: Mapping[str, Any], stage: Record, /) -> list[dict[str, Any]]:
    """Ask pipelines which rules a deal would break in a stage; where it isn't loaded, the required fields alone are looked at.

    :param doc: The deal as it would be.
    :raises Problem: ``unavailable`` where pipelines is down.
    """
    told = context.records.public(Record(DEALS, deal.id, deal.version, dict(doc)))
    body = {"deal": told, "from_stage_id": deal.doc["stage_id"]}
    answer = context.call("pipelines", "evaluateStageEntry", body, path={"stage_id": stage.id})
    if answer is not None:
        return [{name: breach[name] for name in _TOLD if name in breach} for breach in answer["breaches"]]
    missing = [name for name in stage.doc.get("required_fields", ()) if doc.get(name) in (None, [], "")]
    return [
        {"kind": "required_field", "field": name, "is_blocking": True, "text": f"{name} must be set in {stage.doc['name']}."}
        for name in missing
    ]


def carry(context: Context, deal: Record, stage: Record, way: Way, /) -> Record:
    """Bring a deal to a stage in one step with everything that changes, and tell of it.

    :raises Problem: ``deal_stage_refused`` with an entry for each rule that holds it back.
    """
    doc = arrival(context, deal, stage, way)
    if way.has_rules:
        refuse_breaches(stage, breaches_of(context, deal, doc, stage), way.patch)
    rank = rank_at(context, stage.id, deal.id, way.place) if way.place else rank_on_top(context, stage.id)
    touched = way.patch.get("custom_fields") or {}
    moved = context.records.replace(deal, doc | {"board_rank": rank}, action=way.kind, touched=touched)
    seconds = max(0, seconds_of(context.now) - seconds_of(deal.doc["stage_entered_at"]))
    note_transition(context, moved, deal.doc, way.kind, seconds_in_stage=seconds, reason=way.reason)
    data = {
        "record": context.records.public(moved),
        "from_stage_id": deal.doc["stage_id"],
        "to_stage_id": stage.id,
        "from_category": deal.doc["status"],
        "to_category": moved.doc["status"],
        "seconds_in_stage": seconds,
        **way.told,
    }
    context.emit(_EVENTS[way.kind], deal.id, data | ({"reason": way.reason} if way.reason else {}))
    tell_amount(context, moved, deal.doc)
    return moved


def refuse_breaches(stage: Record, breaches: Sequence[Mapping[str, Any]], patch: Mapping[str, Any], /) -> None:
    """Refuse a move that a rule holds back; warnings hold nothing back.

    :param patch: What the body sets, so that a field that was sent is pointed at where it stands.
    :raises Problem: ``deal_stage_refused``.
    """
    held = [b for b in breaches if b.get("is_blocking", True)]
    if held:
        entries = [{"pointer": _pointer(b, patch), "code": "deal_stage_refused", "detail": b["text"]} for b in held]
        raise Problem(
            "deal_stage_refused", f"{counted(len(held), 'rule')} of {stage.doc['name']} refused the deal; see errors.", entries
        )


def _pointer(breach: Mapping[str, Any], patch: Mapping[str, Any]) -> str:
    name = str(breach.get("field", ""))
    return f"#/changes/{name.replace('.', '/')}" if name else "#/stage_id"


# -- operations ----------------------------------------------------------------------------------------------------------------


@computes("move_direction")
def direction(asked: Mapping[str, Any], /) -> str:
    """Return where a move leads.

    :param asked: ``from`` and ``to``, each with ``id``, ``pipeline_id``, ``position`` and ``category``.
    """
    one, other = asked["from"], asked["to"]
    if one["id"] == other["id"]:
        return "none"
    if other["category"] != "open":
        return "closes"
    if one["category"] != "open":
        return "reopens"
    if one["pipeline_id"] != other["pipeline_id"]:
        return "other_pipeline"
    return "forward" if other["position"] > one["position"] else "backward"


@handles("previewDealMove")
def preview(call: Call) -> Reply:
    """Tell what a move would do."""
    deal, stage = call.found, stage_of(call, call.body["stage_id"], "#/stage_id")
    present = call.records.peek(STAGES, deal.doc["stage_id"])
    said = {"id": deal.doc["stage_id"], "category": deal.doc["status"], "pipeline_id": deal.doc["pipeline_id"], "position": 0}
    said |= {k: present.doc[k] for k in ("position",) if present is not None}
    doc = arrival(call, deal, stage, Way(patch=call.body.get("changes", {})))
    leads = direction({"from": said, "to": stage.doc})
    breaches = breaches_of(call, deal, doc, stage) if leads != "none" else []
    between = []
    if leads in ("forward", "backward"):
        low, high = sorted((said["position"], stage.doc["position"]))
        line = stages_of(call, said["pipeline_id"])
        between = [s.id for s in line if low < s.doc["position"] < high and s.doc["category"] == "open"]
    body: dict[str, Any] = {
        "is_allowed": leads in ("forward", "backward", "other_pipeline") and not any(b.get("is_blocking", True) for b in breaches),
        "direction": leads,
        "from_stage_id": deal.doc["stage_id"],
        "to_stage_id": stage.id,
        "breaches": breaches,
        "skipped_stage_ids": between,
        "probability": doc["probability"],
        "forecast_category": doc["forecast_category"],
    }
    if doc.get("amount") and not hides_amounts(call):
        body["weighted_amount"] = weighted(doc["amount"], doc["probability"])
    return Reply(200, body)


def demand_reachable(context: Context, deal: Record, stage: Record, /) -> None:
    """Refuse a move that can't be one.

    :raises Problem: ``deal_closed``, ``deal_stage_unchanged``, ``deal_stage_closes`` or ``deal_pipeline_archived``.
    """
    demand_open(deal)
    if deal.doc["stage_id"] == stage.id:
        raise Problem("deal_stage_unchanged", f"The deal is in {stage.doc['name']} already.")
    if stage.doc["category"] != "open":
        raise Problem("deal_stage_closes", f"{stage.doc['name']} means {stage.doc['category']}. Win or lose the deal instead.")
    if stage.doc["pipeline_id"] != deal.doc["pipeline_id"]:
        demand_active(context, stage.doc["pipeline_id"])


@handles("moveDeal")
def move(call: Call) -> Reply:
    """Move an open deal to another open stage."""
    body = call.body
    stage = stage_of(call, body["stage_id"], "#/stage_id")
    demand_reachable(call, call.found, stage)
    place = {"after_deal_id": body["after_deal_id"]} if "after_deal_id" in body else {}
    way = Way("moved", body.get("changes", {}), body.get("reason"), body.get("keep_probability", False), place)
    return shown(call, carry(call, call.found, stage, way))


@handles("overrideDealProbability")
def override(call: Call) -> Reply:
    """Set a probability of the seller's own."""
    demand_open(call.found)
    patch = {
        "probability": call.body["probability"],
        "probability_reason": call.body["reason"],
        "is_probability_overridden": True,
    }
    return shown(call, call.records.change(call.found, patch, event=UPDATED))


@handles("resetDealProbability")
def reset(call: Call) -> Reply:
    """Return to the probability of the stage."""
    demand_open(call.found)
    stage = call.records.peek(STAGES, call.found.doc["stage_id"])
    if call.found.doc["is_probability_overridden"] and stage is not None:
        patch = {"probability": stage.doc["probability"], "probability_reason": None, "is_probability_overridden": False}
        call.records.change(call.found, patch, event=UPDATED)
    return Reply(204)
