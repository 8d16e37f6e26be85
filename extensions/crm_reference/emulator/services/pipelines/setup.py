"""Pipelines themselves: made with their stages, copied, ordered, archived, restored, and one of them the default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.behaviours.listing import list_records
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.query import Sort
from crm_reference.emulator.registry import guards, handles, presents
from crm_reference.emulator.services.pipelines.common import (
    CATEGORIES,
    DEFAULTS,
    PIPELINES,
    RULES,
    STAGES,
    TEMPLATES,
    active_pipelines,
    by_position,
    demand_active,
    demand_room,
    open_facts,
    refused,
    shown_all,
    stages_of,
    without,
)
from crm_reference.emulator.store import Record

CREATED, UPDATED, RESTORED = "crm.pipeline.created.v1", "crm.pipeline.updated.v1", "crm.pipeline.restored.v1"
STAGE_CREATED = "crm.stage.created.v1"
#: What a pipeline begins with that names no stages.
_PLAIN = ({"name": "Open"}, {"name": "Won", "category": "won"}, {"name": "Lost", "category": "lost"})
#: What a definition tells of a stage, beside where deals may come from.
_DEFINED = (
    *("name", "guidance", "category", "probability", "forecast_category", "color", "required_fields", "entry_rules"),
    *("exit_rules", "wip_limit", "wip_mode", "rotting_after_days"),
)
_SUMMARY = ("id", "name", "position", "category", "probability", "forecast_category")


@presents(PIPELINES)
def present(context: Context, pipeline: Record) -> Mapping[str, Any]:
    """Show the stages in their order, and how many open deals there are."""
    counts: dict[str, int] = {}
    for fact in open_facts(context, pipeline_id=pipeline.id):
        counts[fact.doc["stage_id"]] = counts.get(fact.doc["stage_id"], 0) + 1
    stages = [
        {name: s.doc[name] for name in _SUMMARY} | {"open_deal_count": counts.get(s.id, 0)} for s in stages_of(context, pipeline.id)
    ]
    return {"stages": stages, "open_deal_count": sum(counts.values())}


@handles("listPipelines")
def list_pipelines(call: Call) -> Reply:
    """List pipelines in the order that people gave them."""
    return list_records(call, (Sort("position"), Sort("id")))


@handles("createPipeline")
def create(call: Call) -> Reply:
    """Create a pipeline with stages of its own, a template's, or three to begin with."""
    body = dict(call.body)
    specs = body.pop("stage_specs", None)
    if specs is not None and "template_id" in body:
        raise refused("pipeline_origin_ambiguous", "Send one of template_id and stage_specs.", "#/stage_specs")
    demand_room(call)
    template = call.records.peek(TEMPLATES, body["template_id"]) if "template_id" in body else None
    wanted: Sequence[Mapping[str, Any]] = specs or (template.doc["stages"] if template is not None else _PLAIN)
    _demand_complete(wanted)
    return _created(call, _new(call, body, wanted, "stage_specs"))


def _demand_complete(specs: Sequence[Mapping[str, Any]], place: str = "#/stage_specs") -> None:
    """Refuse stages that make no pipeline: one of each category, open ones first, names that differ."""
    order = [CATEGORIES.index(s.get("category", "open")) for s in specs]
    missing = [c for i, c in enumerate(CATEGORIES) if i not in order]
    names = [s["name"].casefold() for s in specs]
    detail = ""
    if missing:
        detail = f"There is no {' and no '.join(missing)} stage."
    elif any(one == 0 for one in order[order.count(0) :]):
        detail = "An open stage stands behind a closed one."
    elif len(set(names)) < len(names):
        detail = "Two stages have the same name."
    if detail:
        raise refused("pipeline_stages_incomplete", detail, place)


def _new(context: Context, body: Mapping[str, Any], stages: Sequence[Mapping[str, Any]], place: str) -> Record:
    """Write a pipeline at the end of the order, with its stages, before anyone is told.

    :param place: Where the stages stand in the request's body.
    """
    others = context.records.find(PIPELINES)
    said = {"status": "active", "is_default": not any(p.doc["is_default"] for p in others)}
    said["position"] = max((p.doc["position"] for p in others), default=0) + 1
    pipeline = context.records.create(PIPELINES, {**said, **body})
    for number, stage in enumerate(stages):
        try:
            context.records.create(STAGES, {**stage, "pipeline_id": pipeline.id, "position": number + 1})
        except Problem as problem:
            placed = [{**e, "pointer": f"#/{place}/{number}{e['pointer'][1:]}"} for e in problem.errors]
            raise Problem(problem.code, problem.detail, placed) from None
    return pipeline


def _created(call: Call, pipeline: Record) -> Reply:
    """Tell of a new pipeline and then of its stages, and answer with it."""
    call.emit(CREATED, pipeline.id, {"record": call.records.public(pipeline)})
    for stage in stages_of(call, pipeline.id):
        call.emit(STAGE_CREATED, stage.id, {"record": call.records.public(stage)})
    return single.shown(call, pipeline, 201, Location=f"/v1/pipelines/{pipeline.id}")


@handles("clonePipeline")
def clone(call: Call) -> Reply:
    """Copy a pipeline with its stages, and its rules as drafts where they are wanted."""
    source, body = call.found, call.body
    demand_room(call)
    kept: dict[str, Any] = {k: source.doc[k] for k in ("description", "currency") if k in source.doc}
    name = body.get("name") or _free_name(call, source.doc["name"])
    stages = stages_of(call, source.id)
    wanted = [without(s.doc, "pipeline_id", "position", "allowed_from_stage_ids") for s in stages]
    pipeline = _new(call, {**kept, "name": name, "cloned_from_id": source.id}, wanted, "stages")
    copies = dict(zip((s.id for s in stages), (s.id for s in stages_of(call, pipeline.id)), strict=True))
    for stage in stages:
        _allow(call, copies[stage.id], [copies[i] for i in stage.doc.get("allowed_from_stage_ids", ()) if i in copies])
    reply = _created(call, pipeline)
    if body.get("include_rules"):
        for rule in by_position(call.records.find(RULES, pipeline_id=source.id)):
            _copy_rule(call, rule, pipeline.id, copies)
    return reply


def _allow(context: Context, stage: str, sources: Sequence[str]) -> None:
    """Say from which stages deals may come to a stage that is being made, before anyone is told of it."""
    if sources:
        made = context.records.get(STAGES, stage)
        context.records.note(made, allowed_from_stage_ids=list(sources))


@handles("exportPipelineDefinition")
def export_definition(call: Call) -> Reply:
    """Answer what a pipeline is, without IDs, as another tenant can import it."""
    stages = stages_of(call, call.found.id)
    names = {s.id: s.doc["name"] for s in stages}
    told = [
        {name: s.doc[name] for name in _DEFINED if name in s.doc}
        | {"allowed_from": [names[i] for i in s.doc.get("allowed_from_stage_ids", ()) if i in names]}
        for s in stages
    ]
    said = {name: call.found.doc[name] for name in ("name", "description", "currency") if name in call.found.doc}
    return Reply(200, {"format": "pipeline/1", **said, "stages": told})


@handles("importPipelineDefinition")
def import_definition(call: Call) -> Reply:
    """Make a pipeline of a definition."""
    definition = call.body["definition"]
    stages = definition["stages"]
    demand_room(call)
    _demand_complete(stages, "#/definition/stages")
    body = {name: definition[name] for name in ("name", "description", "currency") if name in definition}
    body |= {"name": call.body["name"]} if "name" in call.body else {}
    wanted = [{k: v for k, v in stage.items() if k != "allowed_from"} for stage in stages]
    pipeline = _new(call, body, wanted, "definition/stages")
    ids = {s.doc["name"].casefold(): s.id for s in stages_of(call, pipeline.id)}
    for number, stage in enumerate(stages):
        unknown = [name for name in stage.get("allowed_from", ()) if name.casefold() not in ids]
        if unknown:
            place = f"#/definition/stages/{number}/allowed_from"
            raise refused("definition_source_unknown", f"The definition has no stage {unknown[0]}.", place)
        _allow(call, ids[stage["name"].casefold()], [ids[name.casefold()] for name in stage.get("allowed_from", ())])
    return _created(call, pipeline)


def _free_name(context: Context, name: str) -> str:
    """Return the name of a copy that no pipeline has yet."""
    taken = {p.doc["name"].casefold() for p in context.records.find(PIPELINES)}
    candidate, number = f"{name} (copy)", 1
    while candidate.casefold() in taken:
        number += 1
        candidate = f"{name} (copy {number})"
    return candidate


def _copy_rule(context: Context, rule: Record, pipeline: str, copies: Mapping[str, str]) -> None:
    doc = without(rule.doc, "activated_at", "last_fired_at", "fired_count", "failed_count")
    doc |= {"pipeline_id": pipeline, "status": "draft"}
    if "stage_id" in doc:
        doc["stage_id"] = copies[doc["stage_id"]]
    doc["actions"] = [{**a, "value": copies.get(a["value"], a["value"])} if "value" in a else a for a in doc["actions"]]
    context.records.create(RULES, doc, event="crm.stage_rule.created.v1")


@handles("reorderPipelines")
def reorder(call: Call) -> Reply:
    """Give every active pipeline its place; archived ones come behind."""
    wanted = call.body["pipeline_ids"]
    active = {p.id: p for p in active_pipelines(call)}
    if sorted(wanted) != sorted(active):
        raise refused("pipeline_order_incomplete", f"Name each of the {len(active)} active pipelines once.", "#/pipeline_ids")
    archived = by_position(call.records.find(PIPELINES, status="archived"))
    for place, pipeline in enumerate([*(active[i] for i in wanted), *archived], 1):
        call.records.change(pipeline, {"position": place}, event=UPDATED, action="reordered")
    return Reply(200, {"pipelines": shown_all(call, active_pipelines(call))})


@guards(PIPELINES)
def guard(context: Context, pipeline: Record) -> None:
    """Keep a pipeline that has open deals, and the default."""
    count = len(open_facts(context, pipeline_id=pipeline.id))
    if count:
        raise Problem("pipeline_has_open_deals", f"{pipeline.doc['name']} holds {counted(count, 'open deal')}.")
    if pipeline.doc["is_default"]:
        raise Problem("pipeline_is_default", f"{pipeline.doc['name']} is the tenant's default. Make another one the default first.")


@handles("restorePipeline", deleted=True)
def restore(call: Call) -> Reply:
    """Take a pipeline out of the recycle bin; its rules rest until somebody has looked at them."""
    if call.found.deleted_at is None:
        raise Problem("pipeline_not_deleted", f"{call.found.id} is not in the recycle bin.")
    if call.found.doc["status"] == "active":
        demand_room(call)
    restored = call.records.restore(call.found)
    pause_rules(call, restored.id)
    call.emit(RESTORED, restored.id, {"record": call.records.public(restored)})
    return single.shown(call, restored)


def pause_rules(context: Context, pipeline: str, /) -> None:
    """Let the rules of a pipeline rest."""
    with upkeep(context):
        for rule in context.records.find(RULES, pipeline_id=pipeline, status="active"):
            context.records.change(rule, {"status": "paused"})


@handles("archivePipeline")
def archive(call: Call) -> Reply:
    """Take a pipeline out of use."""
    demand_active(call.found)
    guard(call, call.found)
    changed = call.records.change(call.found, {"status": "archived", "archived_at": call.now}, action="archived")
    pause_rules(call, changed.id)
    call.emit("crm.pipeline.archived.v1", changed.id, {"record": call.records.public(changed)})
    return single.shown(call, changed)


@handles("unarchivePipeline")
def unarchive(call: Call) -> Reply:
    """Take an archived pipeline into use again, at the end of the order of those in use."""
    if call.found.doc["status"] == "active":
        raise Problem("pipeline_not_archived", f"{call.found.doc['name']} is in use.")
    demand_room(call)
    last = max((p.doc["position"] for p in call.records.find(PIPELINES)), default=0)
    patch = {"status": "active", "archived_at": None, "position": last + (call.found.doc["position"] != last)}
    changed = call.records.change(call.found, patch, action="unarchived")
    call.emit(RESTORED, changed.id, {"record": call.records.public(changed)})
    return single.shown(call, changed)


@handles("makePipelineDefault")
def make_default(call: Call) -> Reply:
    """Let new deals begin in this pipeline, and in no other by default."""
    demand_active(call.found)
    for other in call.records.find(PIPELINES, is_default=True):
        if other.id != call.found.id:
            call.records.change(other, {"is_default": False}, event=UPDATED)
    return single.shown(call, call.records.change(call.found, {"is_default": True}, event=UPDATED))


def pipeline_of_team(context: Context, team: str, /) -> Record | None:
    """Return the active default pipeline of a team, or ``None``."""
    for entry in context.records.find(DEFAULTS, team_id=team):
        pipeline = context.records.peek(PIPELINES, entry.doc["pipeline_id"])
        if pipeline is not None and pipeline.doc["status"] == "active":
            return pipeline
    return None
