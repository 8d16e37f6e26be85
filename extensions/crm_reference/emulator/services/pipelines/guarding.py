"""Whether a deal may enter a stage, and how full a stage is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crm_reference.emulator.behaviours.listing import paged_items
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.messages import counted
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.pipelines import deal_fields
from crm_reference.emulator.services.pipelines.common import STAGES, open_facts, refused
from crm_reference.emulator.services.pipelines.facts import without_hidden
from crm_reference.emulator.services.pipelines.money import sums, weighted_sums

Doc = Mapping[str, Any]
_DAY = 86_400


@computes("stage_entry")
def stage_entry(input: Doc, /) -> dict[str, Any]:
    """Return whether a deal may enter a stage, and every guard that it breaks.

    :param input: ``stage``, ``from_stage`` (absent for a new deal), ``deal`` as it would be, and ``open_deal_count``, the open
        deals in the stage without this one. Names of stages by ID stand in ``stage_names``.
    """
    stage, source, deal = input["stage"], input.get("from_stage"), input["deal"]
    found: list[dict[str, Any]] = []
    if source is not None and _goes_on(source, stage):
        found += _broken(source.get("exit_rules", ()), "exit_rule", deal)
    if source is None or source["id"] != stage["id"]:
        found += _required(stage, deal)
        found += _broken(stage.get("entry_rules", ()), "entry_rule", deal)
        found += _sources(stage, source, input.get("stage_names", {}))
        found += _limit(stage, input.get("open_deal_count", 0))
    return {"is_allowed": not any(b["is_blocking"] for b in found), "breaches": found}


def _goes_on(source: Doc, stage: Doc) -> bool:
    """Tell whether a move leads on: to a won stage, or to a later open one. Any deal can be lost or sent back."""
    if stage["category"] == "won":
        return bool(source["category"] == "open")
    return bool(stage["category"] == "open" and source["category"] == "open" and stage["position"] > source["position"])


def _broken(rules: Any, kind: str, deal: Doc) -> Iterator[dict[str, Any]]:
    for rule in rules:
        if not deal_fields.holds(rule["filter_groups"], deal):
            blocks = rule.get("mode", "block") == "block"
            yield {"kind": kind, "is_blocking": blocks, "rule_key": rule["key"], "text": rule["text"]}


def _required(stage: Doc, deal: Doc) -> Iterator[dict[str, Any]]:
    for field in stage.get("required_fields", ()):
        if not deal_fields.is_set(deal_fields.value_at(deal, field)):
            words = field.removeprefix("custom_fields.").removesuffix("_id").replace("_", " ").replace(".", " ")
            text = f"{words.capitalize()} must be set before a deal enters {stage['name']}."
            yield {"kind": "required_field", "is_blocking": True, "field": field, "text": text}


def _sources(stage: Doc, source: Doc | None, names: Doc) -> Iterator[dict[str, Any]]:
    allowed = stage.get("allowed_from_stage_ids")
    if allowed and (source is None or source["id"] not in allowed):
        said = " or ".join(names.get(id, id) for id in allowed)
        yield {"kind": "from_stage", "is_blocking": True, "text": f"Deals enter {stage['name']} from {said}."}


def _limit(stage: Doc, count: int) -> Iterator[dict[str, Any]]:
    limit = stage.get("wip_limit")
    if limit is not None and stage["category"] == "open" and count + 1 > limit:
        text = f"{stage['name']} holds {counted(count, 'open deal')} and its limit is {limit}."
        yield {"kind": "wip_limit", "is_blocking": stage.get("wip_mode") == "block", "text": text}


@handles("evaluateStageEntry")
def evaluate(call: Call) -> Reply:
    """Compare a deal with the guards of the stage that it leaves and of the one that it enters."""
    stage, deal, from_id = call.found.doc, call.body["deal"], call.body.get("from_stage_id")
    source = call.records.peek(STAGES, from_id) if from_id else None
    if from_id and source is None:
        raise refused("evaluation_stage_unknown", f"No stage has the ID {from_id}.", "#/from_stage_id")
    others = [f for f in open_facts(call, stage_id=stage["id"]) if f.doc["deal_id"] != deal.get("id")]
    allowed = stage.get("allowed_from_stage_ids", ())
    names = {s.id: s.doc["name"] for id in allowed if (s := call.records.peek(STAGES, id)) is not None}
    input = {"stage": stage, "deal": deal, "open_deal_count": len(others), "stage_names": names}
    found = stage_entry(input | ({"from_stage": source.doc} if source is not None else {}))
    said = {name: stage[name] for name in ("pipeline_id", "category", "probability", "forecast_category")}
    return Reply(200, {"stage_id": stage["id"], **said, **found})


@handles("listStageConditionFields")
def condition_fields(call: Call) -> Reply:
    """List what conditions and actions can name."""
    return paged_items(call, deal_fields.catalogue(call))


def is_rotten(stage: Doc, entered_at: str, now: str, /) -> bool:
    """Tell whether a deal has been in a stage for longer than the stage allows."""
    days = stage.get("rotting_after_days")
    return days is not None and seconds_of(now) - seconds_of(entered_at) > days * _DAY


@handles("getStageOccupancy")
def occupancy(call: Call) -> Reply:
    """Count what stands in a stage."""
    stage, facts = call.found.doc, without_hidden(call, (f.doc for f in open_facts(call, stage_id=call.found.id)))
    entered = sorted(f["visits"][-1]["entered_at"] for f in facts)
    limit = stage.get("wip_limit")
    body: dict[str, Any] = {
        "stage_id": call.found.id,
        "open_deal_count": len(facts),
        "is_over_limit": limit is not None and len(facts) > limit,
        "rotten_deal_count": sum(is_rotten(stage, at, call.now) for at in entered),
        "amounts": sums(f.get("amount") for f in facts),
        "weighted_amounts": weighted_sums((f.get("amount"), stage["probability"]) for f in facts),
    }
    body |= {"wip_limit": limit} if limit is not None else {}
    return Reply(200, body | ({"oldest_entered_at": entered[0]} if entered else {}))
