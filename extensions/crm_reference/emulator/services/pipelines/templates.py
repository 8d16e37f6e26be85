"""Templates of pipelines, and the pipelines in which teams' deals begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import enforces, guards, handles
from crm_reference.emulator.services.pipelines.common import PIPELINES, TEMPLATES, stages_of
from crm_reference.emulator.services.pipelines.setup import pipeline_of_team
from crm_reference.emulator.store import Record

_KEPT = ("name", "category", "probability", "forecast_category", "rotting_after_days", "required_fields")


@handles("createPipelineTemplate")
def create(call: Call) -> Reply:
    """Keep a pipeline's stages as a template, as they are now."""
    stages = [{k: s.doc[k] for k in _KEPT if k in s.doc} for s in stages_of(call, call.body["pipeline_id"])]
    body = {**call.body, "is_system": False, "stages": stages}
    template = call.records.create(TEMPLATES, body, event="crm.pipeline_template.created.v1")
    return single.shown(call, template, 201, Location=single.location(call, template))


@guards(TEMPLATES)
def guard(context: Context, template: Record) -> None:
    """Keep the platform's templates."""
    if template.doc["is_system"]:
        raise Problem("template_is_system", f"{template.doc['name']} is a template of the platform.")


@enforces("default_pipeline_active")
def default_pipeline_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse an archived pipeline as a default."""
    pipeline = context.records.peek(PIPELINES, new["pipeline_id"])
    archived = pipeline is not None and pipeline.doc["status"] == "archived"
    return f"{pipeline.doc['name']} is archived." if pipeline is not None and archived else ""


@handles("getEffectivePipeline")
def effective(call: Call) -> Reply:
    """Find where a new deal begins that names no pipeline."""
    named = call.query.get("team_id")
    if named is not None and call.records.peek("teams", named) is None:
        entry = {"parameter": "team_id", "in": "query", "code": "default_team_unknown", "detail": "There is no such team."}
        raise Problem("default_team_unknown", f"No team has the ID {named}.", [entry])
    for team in [named] if named is not None else _teams_of(call):
        pipeline = pipeline_of_team(call, team)
        if pipeline is not None:
            return _answer(call, pipeline, {"reason": "team_default", "team_id": team})
    (default,) = call.records.find(PIPELINES, is_default=True)
    return _answer(call, default, {"reason": "tenant_default"})


def _teams_of(call: Call) -> list[str]:
    """Return the teams of the caller, by ID."""
    return sorted(t.id for t in call.records.find("teams") if call.identity.user in t.doc.get("_members", ()))


def _answer(call: Call, pipeline: Record, said: dict[str, str]) -> Reply:
    first = stages_of(call, pipeline.id)[0]
    return Reply(200, {"pipeline_id": pipeline.id, "first_stage_id": first.id, **said})
