"""What rules do: deals and activities are called, other services get their part by the outbox; the run tells what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import date, timedelta
from typing import Any

from crm_reference.emulator import owners
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, sees
from crm_reference.emulator.services.pipelines import deal_fields
from crm_reference.emulator.services.pipelines.common import RULES, RUNS, STAGES, by_position
from crm_reference.emulator.services.pipelines.facts import is_visible, of_deal
from crm_reference.emulator.store import Record
from crm_reference.emulator.tokens import Identity

Doc = Mapping[str, Any]
#: How long a run can be read.
KEEP_DAYS = 90
#: The field by which an action moves a deal.
_STAGE = "stage_id"
FIRED, FAILED = "crm.stage_rule.fired.v1", "crm.stage_rule.failed.v1"
#: Operation and service that does an action, by its type.
_DOERS: Mapping[str, tuple[str, str]] = {
    "create_task": ("activities", "createTask"),
    "notify": ("notifications", "sendMessage"),
    "set_field": ("deals", "updateDeal"),
    "assign_owner": ("deals", "changeDealOwner"),
    "start_workflow": ("workflows", "startExecution"),
    "webhook": ("integrations", "sendWebhookMessage"),
}
#: Kinds of action whose neighbour is called and answers; the others wait in the outbox.
_CALLED = ("create_task", "set_field", "assign_owner")
#: How many moves rules may make one after another, from the first rule on.
_MOVES = 5
#: Longest text of a result.
_DETAIL = 400
#: Rules that are at work, each with its deal: the rule whose move fired the last one stands before it.
_AT_WORK: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("stage rules at work", default=())


def is_kept(context: Context, run: Doc, /) -> bool:
    """Tell whether a run isn't older than 90 days."""
    return bool(days_later(run["created_at"], KEEP_DAYS) > context.now)


class CannotDo(Exception):
    """An action that can't be done now; its text says why."""


@sees(RUNS)
def see_run(context: Context, run: Record) -> bool:
    """Show a run for 90 days to whom its deal is visible; that of a deleted deal to whoever sees all deals."""
    if not is_kept(context, run.doc):
        return False
    fact = of_deal(context, run.doc["deal_id"])
    return is_visible(context, fact.doc.get("owner_id", "") if fact is not None else "")


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
            if action["field"] == _STAGE and context.records.peek(STAGES, action["value"]) is None:
                raise CannotDo(f"the stage {action['value']} is gone")
            return f"{'Stage' if action['field'] == _STAGE else action['field']} becomes {action['value']}"
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


def _attempt(context: Context, index: int, rule: Record, deal: dict[str, Any]) -> dict[str, Any]:
    """Do one action, and return what became of it.

    :param deal: The deal; it becomes what deals answers, for the actions and rules that follow.
    """
    action = rule.doc["actions"][index]
    service, operation = _DOERS[action["type"]]
    if action.get("field") == _STAGE:
        operation = "moveDeal"
    result = {"index": index, "type": action["type"], "operation": operation}
    try:
        detail = _prepared(context, action, deal)
        if action["type"] in _CALLED:
            status, answer = _called(context, service, operation, _body(context, action, rule, deal), deal["id"])
            deal |= answer if service == "deals" else {}
        else:
            context.ask(service, operation)
            status = "handed_over"
    except CannotDo as reason:
        text = str(reason)
        return {**result, "status": "failed", "detail": (text[:1].upper() + text[1:])[:_DETAIL]}
    return {**result, "status": status, "detail": detail}


def _body(context: Context, action: Doc, rule: Record, deal: Doc) -> dict[str, Any]:
    """Return what the neighbour is sent."""
    if action["type"] == "create_task":
        day = date.fromisoformat(context.now[:10]) + timedelta(days=action["due_in_days"])
        owner = action.get("user_id") or deal["owner_id"]
        return {"title": action["subject"], "due_at": f"{day.isoformat()}T23:59:59Z", "owner_id": owner, "deal_id": deal["id"]}
    reason = f"Stage rule {rule.doc['name']}"
    if action["type"] == "assign_owner":
        return {"owner_id": action["user_id"], "reason": reason}
    field, value = action["field"], action["value"]
    if field == _STAGE:
        return {_STAGE: value, "reason": reason}
    head, _, name = field.partition(".")
    return {head: {name: value}} if name else {field: value}


def _own(context: Context) -> Context:
    """Return a context with the service's own rights: it acts for no user."""
    scopes = frozenset(context.world.contract.scopes)
    identity = Identity(context.identity.tenant, "", "service:pipelines", scopes, "all", "", 0, {})
    return Context(context.world, identity, "pipelines")


def deal_now(context: Context, fact: Doc, /) -> dict[str, Any] | None:
    """Return a deal as deals has it, what its fact says where deals can't be asked, and ``None`` where there is no such deal."""
    try:
        answer = _own(context).call("deals", "getDeal", None, path={"deal_id": fact["deal_id"]})
    except Problem:
        return None
    return answer if answer is not None else {**fact, "id": fact["deal_id"]}


def _called(context: Context, service: str, operation: str, body: Doc, deal: str) -> tuple[str, Doc]:
    """Call a neighbour with the service's own rights; return what came of it, and the answer. What it refuses is undone as a whole.

    :raises CannotDo: Where it can't be reached, or refuses.
    """
    if operation == "moveDeal" and len(_AT_WORK.get()) > _MOVES:
        raise CannotDo(f"rules have moved the deal {_MOVES} times one after another")
    try:
        with context.world.store.transaction():
            answer = _own(context).call(service, operation, body, path={"deal_id": deal} if service == "deals" else None)
    except Problem as problem:
        if problem.code == "deal_stage_unchanged":
            return "done", {}
        said = "; ".join(dict.fromkeys(str(entry["detail"]).rstrip(".") for entry in problem.errors))
        raise CannotDo(f"{service} refused it with {problem.code}: {said or problem.detail.rstrip('.')}") from None
    if answer is not None:
        return "done", answer
    if service in context.world.faults:
        raise CannotDo(f"{service} can't be reached")
    return "handed_over", {}


def fire(context: Context, trigger: str, deal: Doc, stage: str, /) -> None:
    """Let the rules of a pipeline act that watch for something, in their order; each sees what the ones before it changed.

    :param deal: The deal as the event has it.
    :param stage: The stage that was entered, left, or lingered or closed in.
    """
    now = dict(deal)
    for rule in by_position(context.records.find(RULES, pipeline_id=deal["pipeline_id"], status="active", trigger=trigger)):
        if rule.doc.get("stage_id", stage) == stage and deal_fields.holds(rule.doc.get("filter_groups", ()), now):
            run(context, rule, trigger, now, stage)


def run(context: Context, rule: Record, trigger: str, deal: dict[str, Any], stage: str, /) -> Record:
    """Let a rule act on a deal, and keep the run. In what follows from its own move it doesn't act again."""
    done = [r for r in context.records.find(RUNS, stage_rule_id=rule.id, deal_id=deal["id"]) if r.doc["status"] != "skipped"]
    said = {"stage_rule_id": rule.id, "rule_version": rule.version, "pipeline_id": rule.doc["pipeline_id"], "stage_id": stage}
    said |= {"deal_id": deal["id"], "trigger": trigger, "attempt_count": 1}
    before, this = _AT_WORK.get(), (rule.id, str(deal["id"]))
    if this in before or (rule.doc["is_once_per_deal"] and done):
        return context.records.create(RUNS, {**said, "status": "skipped", "results": []})
    id = context.new_id("srr")
    token = _AT_WORK.set((*before, this))
    try:
        results = [_attempt(context, index, rule, deal) for index in range(len(rule.doc["actions"]))]
    finally:
        _AT_WORK.reset(token)
    kept = context.records.create(RUNS, {**said, "status": _outcome(results), "results": results}, id=id)
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
    fact = of_deal(call, kept.doc["deal_id"])
    deal = deal_now(call, fact.doc if fact is not None else kept.doc) or {"id": kept.doc["deal_id"]}
    token = _AT_WORK.set(((rule.id, str(deal["id"])),))
    try:
        results = [_again(call, result, rule, deal) for result in kept.doc["results"]]
    finally:
        _AT_WORK.reset(token)
    patch = {"results": results, "status": _outcome(results), "attempt_count": kept.doc["attempt_count"] + 1}
    changed = call.records.change(kept, {**patch, "retried_at": call.now})
    _tell(call, changed)
    return single.shown(call, changed)


def _again(context: Context, result: Doc, rule: Record, deal: dict[str, Any]) -> Doc:
    """Do an action once more that failed, as the rule has it now."""
    failed = result["status"] == "failed" and result["index"] < len(rule.doc["actions"])
    return _attempt(context, result["index"], rule, deal) if failed else result
