"""What the modules of pipelines share: collections, limits, look-ups and problems with a place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.store import Record

PIPELINES, STAGES, RULES, RUNS = "pipelines", "stages", "stage-rules", "stage-rule-runs"
FACTS, TEMPLATES, DEFAULTS = "pipeline-deal-facts", "pipeline-templates", "pipeline-defaults"

#: Most active pipelines of a tenant, stages of a pipeline, and rules of a stage or of a pipeline as a whole.
ACTIVE_LIMIT, STAGE_LIMIT, RULE_LIMIT = 5, 20, 5
#: The order of stages: what is open comes before what is closed.
CATEGORIES = ("open", "won", "lost")


def by_position(records: Sequence[Record], /) -> list[Record]:
    """Return records in the order that people gave them."""
    return sorted(records, key=lambda r: (r.doc["position"], r.id))


def stages_of(context: Context, pipeline: str, /) -> list[Record]:
    """Return the stages of a pipeline in their order."""
    return by_position(context.records.find(STAGES, pipeline_id=pipeline))


def open_facts(context: Context, **equal: str) -> list[Record]:
    """Return the facts of open deals, of a stage or a pipeline."""
    return context.records.find(FACTS, status="open", **equal)


def active_pipelines(context: Context, /) -> list[Record]:
    """Return the pipelines in use, in their order."""
    return by_position(context.records.find(PIPELINES, status="active"))


def refused(code: str, detail: str, pointer: str = "", /) -> Problem:
    """Return a problem that blames one member, where a pointer is given."""
    return Problem(code, detail, [{"pointer": pointer, "code": code, "detail": detail}] if pointer else [])


def demand_active(pipeline: Record, /) -> None:
    """Refuse to work on a pipeline that is out of use.

    :raises Problem: ``pipeline_archived`` (409).
    """
    if pipeline.doc["status"] == "archived":
        raise Problem("pipeline_archived", f"{pipeline.doc['name']} is archived. Take it into use first.")


def demand_room(context: Context, /) -> None:
    """Refuse one more active pipeline than the tenant may have.

    :raises Problem: ``pipeline_limit_reached`` (409).
    """
    if len(active_pipelines(context)) >= ACTIVE_LIMIT:
        raise Problem("pipeline_limit_reached", f"{ACTIVE_LIMIT} pipelines are active. Archive one that is no longer used.")


def shown_all(context: Context, records: Sequence[Record], /) -> list[dict[str, Any]]:
    """Return records as the caller sees them."""
    return [context.records.shown(record) for record in records]


def without(doc: Mapping[str, Any], /, *names: str) -> dict[str, Any]:
    """Return a document without some members and without what the platform sets."""
    platform = ("id", "object", "created_at", "updated_at", "created_by", "updated_by", "version", "deleted_at")
    return {k: v for k, v in doc.items() if k not in names and k not in platform and not k.startswith("_")}
