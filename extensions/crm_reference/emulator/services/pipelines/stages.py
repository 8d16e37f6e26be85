"""Stages: added, ordered, guarded, deleted with their deals moved away, and restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.behaviours.listing import list_records
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.query import Sort
from crm_reference.emulator.registry import derives, enforces, handles, presents
from crm_reference.emulator.services.pipelines import deal_fields
from crm_reference.emulator.services.pipelines.common import (
    CATEGORIES,
    PIPELINES,
    RULES,
    STAGE_LIMIT,
    STAGES,
    demand_active,
    open_facts,
    refused,
    shown_all,
    stages_of,
)
from crm_reference.emulator.services.pipelines.facts import without_hidden
from crm_reference.emulator.services.pipelines.money import sums
from crm_reference.emulator.store import Record

Doc = Mapping[str, Any]
REORDERED = "crm.stage.reordered.v1"
#: Probability and forecast category that follow from a category.
_OUTCOMES = {"open": (50, "pipeline"), "won": (100, "closed"), "lost": (0, "omitted")}


@derives(STAGES)
def derive(context: Context | None, stage: Doc) -> Doc:
    """Fill in what follows from the category, and lists that are empty."""
    category = stage.get("category", "open")
    probability, forecast = _OUTCOMES[category]
    filled = {"category": category, "probability": probability, "forecast_category": forecast, "wip_mode": "warn"}
    filled |= {"required_fields": [], "entry_rules": [], "exit_rules": []}
    return {name: value for name, value in filled.items() if name not in stage}


@presents(STAGES)
def present(context: Context, stage: Record) -> Mapping[str, Any]:
    """Show how many open deals stand in the stage."""
    return {"open_deal_count": len(open_facts(context, stage_id=stage.id))}


@enforces("stage_outcome_sound")
def stage_outcome_sound(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Refuse a probability or forecast category that contradicts the category."""
    category, probability, forecast = new["category"], new["probability"], new["forecast_category"]
    if category == "open":
        if not 1 <= probability <= 99:
            return "An open stage has a probability of 1 to 99."
        return ("An open stage can't be closed in forecasts.", "forecast_category") if forecast == "closed" else ""
    wanted = _OUTCOMES[category]
    if probability != wanted[0]:
        return f"A {category} stage has the probability {wanted[0]}."
    return (f"A {category} stage is {wanted[1]} in forecasts.", "forecast_category") if forecast != wanted[1] else ""


@enforces("stage_conditions_sound")
def stage_conditions_sound(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Refuse conditions on what deals don't have, and keys that stand twice."""
    known = {f["name"]: f for f in deal_fields.catalogue(context)}
    for name in ("entry_rules", "exit_rules"):
        rules = new.get(name, ())
        if old is not None and old.get(name) == rules:
            continue
        keys = [rule["key"] for rule in rules]
        if len(set(keys)) < len(keys):
            return "Two rules of the list have the same key.", name
        for rule in rules:
            wrong = deal_fields.wrong_filter(known, rule["filter_groups"])
            if wrong:
                return f"{rule['key']}: {wrong}", name
    return ""


@enforces("stage_required_fields_known")
def stage_required_fields_known(context: Context, new: Doc, old: Doc | None) -> str:
    """Refuse required fields that deals don't have."""
    wanted = new.get("required_fields", ())
    if old is not None and old.get("required_fields") == wanted:
        return ""
    known = {f["name"] for f in deal_fields.catalogue(context)}
    unknown = [name for name in wanted if name not in known]
    return f"Deals have no field {unknown[0]}." if unknown else ""


@handles("listStages")
def list_stages(call: Call) -> Reply:
    """List stages in their order, pipeline by pipeline."""
    return list_records(call, (Sort("pipeline_id"), Sort("position"), Sort("id")))


@handles("createStage")
def create(call: Call) -> Reply:
    """Add a stage behind the last one of its category."""
    pipeline = call.records.peek(PIPELINES, call.body["pipeline_id"])
    if pipeline is not None:
        demand_active(pipeline)
        _demand_room(call, pipeline.id)
    last = len(stages_of(call, call.body["pipeline_id"])) + 1
    stage = _settle(call, call.records.create(STAGES, {**call.body, "position": last}))
    call.emit("crm.stage.created.v1", stage.id, {"record": call.records.public(stage)})
    return single.shown(call, stage, 201, Location=f"/v1/stages/{stage.id}")


def _demand_room(context: Context, pipeline: str) -> None:
    if len(stages_of(context, pipeline)) >= STAGE_LIMIT:
        raise Problem("stage_limit_reached", f"The pipeline has {STAGE_LIMIT} stages.")


def _settle(context: Context, stage: Record) -> Record:
    """Put a stage behind the last one of its category, and tell of the order.

    :return: The stage at its place.
    """
    rank = CATEGORIES.index(stage.doc["category"])
    others = [s for s in stages_of(context, stage.doc["pipeline_id"]) if s.id != stage.id]
    index = sum(CATEGORIES.index(s.doc["category"]) <= rank for s in others)
    return _number(context, stage.doc["pipeline_id"], [*others[:index], stage, *others[index:]]).get(stage.id, stage)


def _number(context: Context, pipeline: str, stages: Sequence[Record]) -> dict[str, Record]:
    """Give stages their places from 1, and tell of the order once."""
    changed = {s.id: context.records.change(s, {"position": n}, action="reordered") for n, s in enumerate(stages, 1)}
    context.emit(REORDERED, pipeline, {"pipeline_id": pipeline, "stage_ids": [s.id for s in stages]})
    return changed


@handles("reorderStages")
def reorder(call: Call) -> Reply:
    """Give every stage of a pipeline its place."""
    wanted, stages = call.body["stage_ids"], {s.id: s for s in stages_of(call, call.found.id)}
    if sorted(wanted) != sorted(stages):
        raise refused("stage_order_invalid", f"Name each of the {len(stages)} stages of the pipeline once.", "#/stage_ids")
    ranks = [stages[i].doc["category"] != "open" for i in wanted]
    if ranks != sorted(ranks):
        raise refused("stage_order_invalid", "An open stage stands behind a closed one.", "#/stage_ids")
    _number(call, call.found.id, [stages[i] for i in wanted])
    return Reply(200, {"pipeline_id": call.found.id, "stages": shown_all(call, stages_of(call, call.found.id))})


def _target(call: Call, id: str) -> None:
    """Refuse a stage to which deals can't go.

    :raises Problem: ``stage_move_target_invalid`` (422).
    """
    target = call.records.peek(STAGES, id)
    doc: Doc = target.doc if target is not None else {}
    if target is None or id == call.found.id or doc["category"] != "open" or doc["pipeline_id"] != call.found.doc["pipeline_id"]:
        detail = "It is no other open stage of the pipeline."
        entry = {"parameter": "move_to_id", "in": "query", "code": "stage_move_target_invalid", "detail": detail}
        raise Problem("stage_move_target_invalid", f"Deals can't move to {id}. {detail}", [entry])


@handles("deleteStage")
def delete(call: Call) -> Reply:
    """Delete a stage; its open deals go to another one."""
    stage, move_to = call.found, call.query.get("move_to_id")
    if move_to is not None:
        _target(call, move_to)
    if _is_last(call, stage):
        raise Problem("stage_last_of_category", f"{stage.doc['name']} is the last {stage.doc['category']} stage.")
    facts = open_facts(call, stage_id=stage.id)
    held = counted(len(facts), "open deal")
    if facts and move_to is None:
        raise Problem("stage_has_deals", f"{stage.doc['name']} holds {held}. Say in move_to_id where to put them.")
    call.records.delete(stage)
    if facts:
        call.ask("deals", "bulkMoveDeals")
    tombstone = {"id": stage.id, "object": "stage", "version": stage.version + 1, "deleted_at": call.now}
    data = {"record": tombstone, "pipeline_id": stage.doc["pipeline_id"]} | ({"move_to_id": move_to} if move_to else {})
    call.emit("crm.stage.deleted.v1", stage.id, data)
    _number(call, stage.doc["pipeline_id"], stages_of(call, stage.doc["pipeline_id"]))
    return Reply(204)


def _is_last(context: Context, stage: Record) -> bool:
    same = context.records.find(STAGES, pipeline_id=stage.doc["pipeline_id"], category=stage.doc["category"])
    return len(same) == 1


@handles("previewStageDeletion")
def preview_deletion(call: Call) -> Reply:
    """Tell what deleting a stage would do."""
    stage = call.found
    facts = without_hidden(call, (f.doc for f in open_facts(call, stage_id=stage.id)))
    body: dict[str, Any] = {
        "stage_id": stage.id,
        "open_deal_count": len(facts),
        "open_amounts": sums(f.get("amount") for f in facts),
        "stage_rule_count": len(call.records.find(RULES, stage_id=stage.id)),
        "is_move_required": bool(facts),
        "is_last_of_category": _is_last(call, stage),
    }
    others = [s for s in stages_of(call, stage.doc["pipeline_id"]) if s.doc["category"] == "open" and s.id != stage.id]
    before = [s for s in others if s.doc["position"] < stage.doc["position"]]
    best = before[-1] if before else others[0] if others else None
    return Reply(200, body | ({"suggested_stage_id": best.id} if best is not None else {}))


@handles("restoreStage", deleted=True)
def restore(call: Call) -> Reply:
    """Take a stage out of the recycle bin, to the end of its category."""
    if call.found.deleted_at is None:
        raise Problem("stage_not_deleted", f"{call.found.id} is not in the recycle bin.")
    pipeline = call.found.doc["pipeline_id"]
    call.records.get(PIPELINES, pipeline)
    _demand_room(call, pipeline)
    last = len(stages_of(call, pipeline)) + 1
    restored = call.records.restore(call.found)
    with upkeep(call):
        for rule in call.records.find(RULES, stage_id=restored.id, status="active"):
            call.records.change(rule, {"status": "paused"})
    placed = _settle(call, call.records.change(restored, {"position": last}))
    call.emit("crm.stage.restored.v1", placed.id, {"record": call.records.public(placed)})
    return single.shown(call, placed)
