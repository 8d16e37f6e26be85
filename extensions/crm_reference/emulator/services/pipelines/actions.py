"""What rules do: each action is handed over to the service that does it, and the run tells what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from crm_reference.emulator import owners
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, sees
from crm_reference.emulator.services.pipelines import deal_fields
from crm_reference.emulator.services.pipelines.common import FACTS, RULES, RUNS, STAGES, by_position
from crm_reference.emulator.services.pipelines.facts import is_visible
from crm_reference.emulator.store import Record

Doc = Mapping[str, Any]
#: How long a run can be read.
KEEP_DAYS = 90
FIRED, FAILED = "crm.stage_rule.fired.v1", "crm.stage_rule.failed.v1"
#: Operation and service that does an action, by its type.
_DOERS: Mapping[str, tuple[str, str]] = {
    "create_task": ("activities", "createTask"),
    "notify": ("notifications", "sendMessage"),
    "set_field": ("deals", "updateDeal"),
    "assign_owner": ("deals", "updateDeal"),
    "start_workflow": ("workflows", "startExecution"),
    "webhook": ("integrations", "sendWebhookMessage"),
}


def is_kept(context: Context, run: Doc, /) -> bool:
    """Tell whether a run isn't older than 90 days."""
    return bool(days_later(run["created_at"], KEEP_DAYS) > context.now)


class CannotDo(Exception):
    """An action that can't be done now; its text says why."""


@sees(RUNS)
def see_run(context: Context, run: Record) -> bool:
    """Show a run for 90 days to whom its deal is visible."""
    if not is_kept(context, run.doc):
        return False
    facts = context.records.find(FACTS, deal_id=run.doc["deal_id"])
    return all(is_visible(context, fact.doc.get("owner_id", "")) for fact in facts)


def said_of(context: Context, action: Doc, deal: Doc, /) -> str:
    """Return what an action would do, as a sentence."""
    try:
        return f"{_prepared(context, action, deal)}."
    except CannotDo as reason:
        return f"It would fail: {reason}."


def _prepared(context: Context, action: Doc, deal: Doc) -> str:
    """Return what is asked for.

    :raises CannotDo: Where it can't be done.
    """
    owner = str(deal.get("owner_id", ""))
    match action["type"]:
        case "create_task":
            due = date.fromisoformat(context.now[:10]) + timedelta(days=action["due_in_days"])
            return f"Task {action['subject']} for {_active(context, action.get('user_id', owner))}, due {due.isoformat()}"
        case "notify":
            return f"Message to {' and '.join(_recipients(context, action['recipients'], owner))}"
        case "assign_owner":
            return f"Owner becomes {_active(context, action['user_id'])}"
        case "set_field":
            if action["field"] == "stage_id" and context.records.peek(STAGES, action["value"]) is None:
                raise CannotDo(f"the stage {action['value']} is gone")
            return f"{'Stage' if action['field'] == 'stage_id' else action['field']} becomes {action['value']}"
        case "start_workflow":
            if context.records.peek("workflows", action["workflow_id"]) is None:
                raise CannotDo(f"{action['workflow_id']} is no workflow")
            return f"Workflow {action['workflow_id']} with the deal"
    return f"Signed request to {action['url']}"


def _active(context: Context, user: str) -> str:
    if not user or not owners.is_active(context, user):
        raise CannotDo(f"the user {user} is not active" if user else "the deal has no owner")
    return user


def _recipients(context: Context, wanted: Sequence[str], owner: str) -> list[str]:
    """Return who is told, each once and active."""
    person = context.records.peek("users", owner)
    manager = str(person.doc.get("manager_id", "")) if person is not None else ""
    named = {"owner": owner, "owner_manager": manager}
    found = [named[name] for name in wanted if named[name] and owners.is_active(context, named[name])]
    if not found:
        raise CannotDo("nobody who is active would be told")
    return list(dict.fromkeys(found))


def _attempt(context: Context, index: int, action: Doc, deal: Doc) -> dict[str, Any]:
    """Hand one action over, and return what became of it."""
    service, operation = _DOERS[action["type"]]
    if action.get("field") == "stage_id":
        operation = "moveDeal"
    result = {"index": index, "type": action["type"], "operation": operation}
    try:
        detail = _prepared(context, action, deal)
    except CannotDo as reason:
        text = str(reason)
        return {**result, "status": "failed", "detail": text[:1].upper() + text[1:]}
    context.ask(service, operation)
    return {**result, "status": "handed_over", "detail": detail}


def fire(context: Context, trigger: str, deal: Doc, stage: str, /) -> None:
    """Let the rules of a pipeline act that watch for something, in their order.

    :param deal: The deal as it is now.
    :param stage: The stage that was entered, left, or lingered or closed in.
    """
    for rule in by_position(context.records.find(RULES, pipeline_id=deal["pipeline_id"], status="active", trigger=trigger)):
        if rule.doc.get("stage_id", stage) == stage and deal_fields.holds(rule.doc.get("filter_groups", ()), deal):
            run(context, rule, trigger, deal, stage)


def run(context: Context, rule: Record, trigger: str, deal: Doc, stage: str, /) -> Record:
    """Let a rule act on a deal, and keep the run."""
    done = [r for r in context.records.find(RUNS, stage_rule_id=rule.id, deal_id=deal["id"]) if r.doc["status"] != "skipped"]
    said = {"stage_rule_id": rule.id, "rule_version": rule.version, "pipeline_id": rule.doc["pipeline_id"], "stage_id": stage}
    said |= {"deal_id": deal["id"], "trigger": trigger, "attempt_count": 1}
    if rule.doc["is_once_per_deal"] and done:
        return context.records.create(RUNS, {**said, "status": "skipped", "results": []})
    results = [_attempt(context, index, action, deal) for index, action in enumerate(rule.doc["actions"])]
    kept = context.records.create(RUNS, {**said, "status": _outcome(results), "results": results})
    _tell(context, kept)
    return kept


def _outcome(results: Sequence[Doc]) -> str:
    return "failed" if any(r["status"] == "failed" for r in results) else "succeeded"


def _tell(context: Context, kept: Record) -> None:
    event = FAILED if kept.doc["status"] == "failed" else FIRED
    if event == FAILED:
        context.ask("notifications", "sendMessage")
    context.emit(event, kept.id, {"record": context.records.public(kept)})


@handles("retryStageRuleRun")
def retry(call: Call) -> Reply:
    """Do the failed actions of a run once more."""
    kept = call.found
    if kept.doc["status"] != "failed":
        raise Problem("stage_rule_run_not_failed", f"The run has {kept.doc['status']}.")
    rule = call.records.peek(RULES, kept.doc["stage_rule_id"])
    if rule is None:
        raise Problem("stage_rule_gone", f"The rule {kept.doc['stage_rule_id']} was deleted.")
    facts = call.records.find(FACTS, deal_id=kept.doc["deal_id"])
    deal = {"id": kept.doc["deal_id"], **({"owner_id": facts[0].doc.get("owner_id", "")} if facts else {})}
    results = []
    for result in kept.doc["results"]:
        actions, index = rule.doc["actions"], result["index"]
        again = result["status"] == "failed" and index < len(actions)
        results.append(_attempt(call, index, actions[index], deal) if again else result)
    patch = {"results": results, "status": _outcome(results), "attempt_count": kept.doc["attempt_count"] + 1}
    changed = call.records.change(kept, {**patch, "retried_at": call.now})
    _tell(call, changed)
    return single.shown(call, changed)
