"""Usage, jobs and snapshots, and the look for deals that linger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.job_collections import JobCollection
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import Task, handles, sees, task
from crm_reference.emulator.services.pipelines import deal_fields
from crm_reference.emulator.services.pipelines.actions import deal_now, run
from crm_reference.emulator.services.pipelines.common import (
    ACTIVE_LIMIT,
    DEFAULTS,
    FACTS,
    PIPELINES,
    RULE_LIMIT,
    RULES,
    RUNS,
    STAGE_LIMIT,
    STAGES,
    TEMPLATES,
    active_pipelines,
    by_position,
    open_facts,
    refused,
)
from crm_reference.emulator.snapshots import Entry, Snapshots
from crm_reference.emulator.store import Record

JOBS = JobCollection("pipelines", "pipeline-jobs", "crm.pipeline_job.finished.v1")
handles("getPipelineJob")(single.read_job)
#: Most templates of a tenant, and deals of which facts are kept.
_TEMPLATE_LIMIT, _FACT_LIMIT = 50, 10_000_000
_DAY = 86_400
#: Scope of whoever starts snapshots and restorations, and may stop them.
_BACKUP = "pipelines.backup"


@handles("cancelPipelineJob")
def cancel(call: Call) -> Reply:
    """Stop a job: a scan, or with the right to start them a snapshot or a restoration.

    :raises Problem: ``insufficient_scope`` (403).
    """
    if call.found.doc["kind"] != "stale_scan" and _BACKUP not in call.identity.scopes:
        challenge = f'Bearer realm="crm", error="insufficient_scope", scope="{_BACKUP}"'
        detail = f"To stop a {call.found.doc['kind'].replace('_', ' ')} this needs the scope {_BACKUP}."
        raise Problem("insufficient_scope", detail, headers={"WWW-Authenticate": challenge}, required_scopes=[_BACKUP])
    return JOBS.cancel(call)


@sees(JOBS.name)
def see_job(context: Context, job: Record) -> bool:
    """Show a job for 30 days after its end."""
    return bool(job.doc.get("expires_at", context.now) >= context.now)


def _admit(context: Context, entry: Entry, present: Record | None) -> Mapping[str, Any] | None:
    """Bring a record back; a rule that was gone rests until somebody has looked at it."""
    if entry["deleted_at"] is not None:
        return None
    doc = dict(entry["doc"])
    gone = present is None or present.deleted_at is not None
    if entry["collection"] == RULES and gone and doc["status"] == "active":
        doc["status"] = "paused"
    return doc


#: Facts and runs stand in none: deals tells facts again, and runs are evidence.
SNAPSHOTS = Snapshots(
    JOBS, "pipeline-snapshots", (TEMPLATES, PIPELINES, STAGES, DEFAULTS, RULES), "crm.pipeline_snapshot.restored.v1", _admit
)
SNAPSHOTS.offer("startPipelineSnapshot", "restorePipelineSnapshot")


@handles("getPipelineUsage")
def usage(call: Call) -> Reply:
    """Count the tenant's records beside what the plan includes."""
    store, tenant = call.world.store, call.tenant
    counted = (
        ("active_pipelines", len(active_pipelines(call)), ACTIVE_LIMIT),
        ("stages", store.count(tenant, STAGES), ACTIVE_LIMIT * STAGE_LIMIT),
        ("stage_rules", store.count(tenant, RULES), ACTIVE_LIMIT * (STAGE_LIMIT + 1) * RULE_LIMIT),
        ("pipeline_templates", store.count(tenant, TEMPLATES), _TEMPLATE_LIMIT),
        ("deal_facts", store.count(tenant, FACTS), _FACT_LIMIT),
    )
    return Reply(200, {"measured_at": call.now, "items": [{"name": n, "used": u, "limit": m} for n, u, m in counted]})


@handles("startStageRuleScan")
def start_scan(call: Call) -> Reply:
    """Start to look for deals that linger."""
    named = call.body.get("pipeline_id")
    pipelines = [p.id for p in active_pipelines(call) if named in (None, p.id)]
    if not pipelines:
        raise refused("scan_pipeline_unknown", f"No active pipeline has the ID {named}.", "#/pipeline_id")
    facts = [f.id for id in pipelines for f in open_facts(call, pipeline_id=id)]
    return JOBS.start(call, "stale_scan", facts)


def _look(context: Context, job: dict[str, Any], id: str) -> int:
    """Let stale rules act on one deal, and return how many did, or in a trial would."""
    fact = context.records.peek(FACTS, id)
    if fact is None or fact.doc["status"] != "open":
        return 0
    entered = fact.doc["visits"][-1]["entered_at"]
    deal: dict[str, Any] | None = None
    days = (seconds_of(context.now) - seconds_of(entered)) / _DAY
    fired = 0
    for rule in by_position(context.records.find(RULES, stage_id=fact.doc["stage_id"], status="active", trigger="stale")):
        runs = context.records.find(RUNS, stage_rule_id=rule.id, deal_id=fact.doc["deal_id"])
        if days < rule.doc["stale_after_days"] or any(r.doc["created_at"] >= entered for r in runs):
            continue
        deal = deal or deal_now(context, fact.doc)
        if deal is None or deal["stage_id"] != fact.doc["stage_id"]:
            return fired  # it is gone, or has moved on and this service hears of it in a moment
        if deal_fields.holds(rule.doc.get("filter_groups", ()), deal):
            fired += 1
            if not job["is_validate_only"]:
                with upkeep(context):
                    run(context, rule, "stale", deal, fact.doc["stage_id"])
    return fired


def _scanned(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    fired = [o for o in outcomes if isinstance(o, int)]
    return {"matched_count": len(job["_items"]), "fired_count": sum(fired), "skipped_count": fired.count(0)}


#: Nothing acts on deals while deals itself is away: it may have moved them meanwhile.
task("pipelines.stale_scan", Task(_look, _scanned, so_far=_scanned, needs="deals"))
