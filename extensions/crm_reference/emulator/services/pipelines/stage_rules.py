"""Stage rules: what they may say, their order, whether they run, and that they never go round in a circle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator import field_access
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.behaviours.listing import list_records
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Sort
from crm_reference.emulator.registry import computes, enforces, handles, presents
from crm_reference.emulator.services.pipelines import deal_fields
from crm_reference.emulator.services.pipelines.actions import is_kept, said_of
from crm_reference.emulator.services.pipelines.common import (
    PIPELINES,
    RULE_LIMIT,
    RULES,
    RUNS,
    STAGES,
    by_position,
    refused,
    shown_all,
)
from crm_reference.emulator.store import Record

Doc = Mapping[str, Any]
UPDATED = "crm.stage_rule.updated.v1"
#: The field by which an action moves a deal.
_STAGE = "stage_id"
#: The field that an action sets, by its type; empty where the action names it.
_SET_BY = {"set_field": "", "assign_owner": "owner_id"}


@presents(RULES)
def present(context: Context, rule: Record) -> Mapping[str, Any]:
    """Show how often the rule acted, as far as its runs are kept."""
    runs = [r.doc for r in context.records.find(RUNS, stage_rule_id=rule.id) if is_kept(context, r.doc)]
    fired = [r for r in runs if r["status"] != "skipped"]
    said: dict[str, Any] = {"fired_count": len(fired), "failed_count": sum(r["status"] == "failed" for r in runs)}
    return said | ({"last_fired_at": max(r["created_at"] for r in fired)} if fired else {})


def _moves(rule: Doc) -> list[str]:
    """Return the stages to which a rule moves deals."""
    return [a["value"] for a in rule["actions"] if a["type"] == "set_field" and a["field"] == _STAGE]


@enforces("rule_targets_exist")
def rule_targets_exist(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Refuse users and workflows that don't exist, or that the caller may not see."""
    if old is not None and old.get("actions") == new["actions"]:
        return ""
    for index, action in enumerate(new["actions"]):
        for name, collection in (("user_id", "users"), ("workflow_id", "workflows")):
            if name in action:
                if collection == "users" and context.service == "pipelines":
                    context.ask("users", "getUser")
                if context.records.peek(collection, action[name]) is None:
                    return f"{action[name]} leads to no record of {collection}.", f"actions.{index}.{name}"
    return ""


@enforces("rule_stages_of_pipeline")
def rule_stages_of_pipeline(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Refuse stages of another pipeline."""
    own = {s.id for s in context.records.find(STAGES, pipeline_id=new["pipeline_id"])}
    if new.get("stage_id") is not None and new["stage_id"] not in own and not context.is_upkeep:
        return "The stage belongs to another pipeline."
    strangers = [id for id in _moves(new) if id not in own]
    return (f"{strangers[0]} is no stage of the pipeline.", "actions") if strangers and not context.is_upkeep else ""


@enforces("rule_conditions_sound")
def rule_conditions_sound(context: Context, new: Doc, old: Doc | None) -> str:
    """Refuse conditions on what deals don't have."""
    groups = new.get("filter_groups", ())
    if not groups or (old is not None and old.get("filter_groups") == groups):
        return ""
    return deal_fields.wrong_filter({f["name"]: f for f in deal_fields.catalogue(context)}, groups)


@enforces("rule_actions_sound")
def rule_actions_sound(context: Context, new: Doc, old: Doc | None) -> str:
    """Refuse to set what rules can't set, or what the author may not set by hand either: a rule acts with the service's rights."""
    if old is not None and old.get("actions") == new["actions"]:
        return ""
    fixed = field_access.limited(context, "deal")
    settable = {f["name"] for f in deal_fields.catalogue(context) if f["is_settable"]} | {_STAGE}
    asked = [_SET_BY[a["type"]] or a["field"] for a in new["actions"] if a["type"] in _SET_BY]
    wrong = [name for name in asked if name in fixed or name not in settable | {"owner_id"}]
    named = [a["field"] for a in new["actions"] if a.get("field") == "owner_id"]
    return f"A rule of yours can't set {(named or wrong)[0]}." if named or wrong else ""


@computes("stage_rule_loop")
def stage_rule_loop(rules: Sequence[Doc], /) -> list[str]:
    """Return the stages of a circle in which rules would move a deal, or nothing.

    Entering the stage of a rule that moves on enter leads to leaving it and to entering the other; leaving the stage of a rule
    that moves on exit leads to entering the other. A circle of these never ends.
    """
    steps: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for rule in rules:
        for target in _moves(rule):
            if rule["trigger"] == "enter":
                steps.setdefault(("enter", rule["stage_id"]), []).extend([("enter", target), ("exit", rule["stage_id"])])
            elif rule["trigger"] == "exit":
                steps.setdefault(("exit", rule["stage_id"]), []).append(("enter", target))
    for start in steps:
        circle = _circle(steps, start)
        if circle:
            return circle
    return []


def _circle(steps: Mapping[tuple[str, str], Sequence[tuple[str, str]]], start: tuple[str, str]) -> list[str]:
    """Return the stages on the way from an occasion back to itself, in their order."""
    ways: list[list[tuple[str, str]]] = [[start]]
    seen: set[tuple[str, str]] = set()
    while ways:
        way = ways.pop(0)
        for following in steps.get(way[-1], ()):
            if following == start:
                return list(dict.fromkeys(stage for _, stage in way))
            if following not in seen:
                seen.add(following)
                ways.append([*way, following])
    return []


def _refuse_loop(context: Context, rule: Doc) -> None:
    """Refuse a rule that would make a circle with the active ones.

    :raises Problem: ``stage_rule_loop`` (409).
    """
    others = [r.doc for r in context.records.find(RULES, pipeline_id=rule["pipeline_id"], status="active") if r.id != rule["id"]]
    circle = stage_rule_loop([*others, rule])
    if circle:
        names = [s.doc["name"] for id in circle if (s := context.records.peek(STAGES, id)) is not None]
        raise Problem("stage_rule_loop", f"Deals would go round in {', '.join(names)} without end.")


@handles("listStageRules")
def list_rules(call: Call) -> Reply:
    """List rules in their order."""
    return list_records(call, (Sort("pipeline_id"), Sort("position"), Sort("id")))


@handles("createStageRule")
def create(call: Call) -> Reply:
    """Create a rule as a draft, behind the others of its pipeline."""
    body = call.body
    siblings = call.records.find(RULES, pipeline_id=body["pipeline_id"])
    if sum(r.doc.get(_STAGE) == body.get(_STAGE) for r in siblings) >= RULE_LIMIT:
        raise Problem("stage_rule_limit_reached", f"{RULE_LIMIT} rules watch the same stage, or the pipeline as a whole.")
    last = max((r.doc["position"] for r in siblings), default=0)
    rule = call.records.create(RULES, {**body, "status": "draft", "position": last + 1}, event="crm.stage_rule.created.v1")
    return single.shown(call, rule, 201, Location=single.location(call, rule))


@handles("updateStageRule")
def update(call: Call) -> Reply:
    """Change a rule; one that runs must not make a circle."""
    changed = call.records.change(call.found, call.body, event=UPDATED)
    if changed.doc["status"] == "active":
        _refuse_loop(call, changed.doc)
    return single.shown(call, changed)


@handles("activateStageRule")
def activate(call: Call) -> Reply:
    """Let a rule run."""
    rule = call.found
    if rule.doc["status"] == "active":
        raise Problem("stage_rule_active", f"{rule.doc['name']} runs already.")
    pipeline = call.records.get(PIPELINES, rule.doc["pipeline_id"])
    if pipeline.doc["status"] == "archived":
        raise Problem("rule_pipeline_archived", f"{pipeline.doc['name']} is archived.")
    _refuse_loop(call, rule.doc)
    return single.shown(call, call.records.change(rule, {"status": "active", "activated_at": call.now}, event=UPDATED))


@handles("pauseStageRule")
def pause(call: Call) -> Reply:
    """Stop a rule."""
    if call.found.doc["status"] != "active":
        raise Problem("stage_rule_not_active", f"{call.found.doc['name']} is {call.found.doc['status']}.")
    return single.shown(call, call.records.change(call.found, {"status": "paused"}, event=UPDATED))


@handles("reorderStageRules")
def reorder(call: Call) -> Reply:
    """Give every rule of a pipeline its place."""
    pipeline, wanted = call.body["pipeline_id"], call.body["stage_rule_ids"]
    rules = {r.id: r for r in call.records.find(RULES, pipeline_id=pipeline)}
    if not rules or sorted(wanted) != sorted(rules):
        raise refused("stage_rule_order_incomplete", "Name each rule of the pipeline once.", "#/stage_rule_ids")
    for place, id in enumerate(wanted, 1):
        call.records.change(rules[id], {"position": place}, event=UPDATED, action="reordered")
    ordered = by_position(call.records.find(RULES, pipeline_id=pipeline))
    return Reply(200, {"pipeline_id": pipeline, "rules": shown_all(call, ordered)})


@handles("testStageRule")
def test(call: Call) -> Reply:
    """Tell what a rule would do with a deal."""
    rule, deal = call.found.doc, call.body["deal"]
    groups = rule.get("filter_groups", ())
    days, wanted = call.body.get("days_in_stage", 0), rule.get("stale_after_days", 0)
    if rule["trigger"] == "stale" and days < wanted:
        fires, reason = False, f"The deal has been in the stage for {days} days, and the rule waits for {wanted}."
    else:
        fires = deal_fields.holds(groups, deal)
        reason = "Every filter of a group holds." if fires else "No group of filters holds as a whole."
        reason = reason if groups else "The rule is for every deal."
    previews = [{"type": a["type"], "text": said_of(call, a, deal)} for a in rule["actions"]] if fires else []
    body = {"is_matching": fires, "reason": reason, "conditions": list(deal_fields.results(groups, deal)), "actions": previews}
    return Reply(200, body)
