"""Scoring models, signals and everything that computes scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.job_collections import maybe_trial, tally
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import Task, enforces, guards, handles, hears, sees, task
from crm_reference.emulator.services.leads.common import JOBS, OPEN_STATUSES, selected
from crm_reference.emulator.services.leads.conditions import fault
from crm_reference.emulator.services.leads.conversions import demand_open
from crm_reference.emulator.services.leads.scores import (
    LEADS,
    MODELS,
    SIGNALS,
    active_model,
    computed,
    demanded_model,
    rescore,
    write,
)
from crm_reference.emulator.store import Record

#: How a call ends in which nobody spoke with the lead.
_UNANSWERED = ("left_message", "no_answer", "busy", "wrong_number")

Event = Mapping[str, Any]


# -- models ----------------------------------------------------------------------------------------------------------------


@enforces("scoring_rules_sound")
def scoring_rules_sound(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse rules that can't work."""
    keys = [rule["key"] for rule in new["rules"]]
    for index, rule in enumerate(new["rules"]):
        if keys.index(rule["key"]) != index:
            return f"Two rules have the key {rule['key']}."
        if (rule["kind"] == "fit") != ("conditions" in rule) or (rule["kind"] == "fit") == ("signal" in rule):
            wanted = "conditions and no signal" if rule["kind"] == "fit" else "a signal and no conditions"
            return f"The rule {rule['key']} needs {wanted}."
        wrong = fault(context, rule.get("conditions", ()))
        if wrong:
            return f"The rule {rule['key']}: {wrong}"
    return ""


@handles("createLeadScoringModel")
def create(call: Call) -> Reply:
    """Store a model as a draft."""
    return _drafted(call, call.body)


@handles("cloneLeadScoringModel")
def clone(call: Call) -> Reply:
    """Make a draft of a model's rules, caps and thresholds."""
    names = ("description", "rules", "warm_from", "hot_from", "fit_cap", "behaviour_cap")
    copied = {k: v for k, v in call.found.doc.items() if k in names}
    return _drafted(call, {**copied, "name": call.body["name"], "cloned_from_id": call.found.id})


def _drafted(call: Call, body: Mapping[str, Any]) -> Reply:
    model = call.records.create(MODELS, {**body, "status": "draft"}, event="crm.lead_scoring_model.created.v1")
    return single.shown(call, model, 201, Location=f"/v1/{MODELS}/{model.id}")


@handles("updateLeadScoringModel")
def update(call: Call) -> Reply:
    """Change a draft."""
    if call.found.doc["status"] != "draft":
        raise Problem("lead_model_not_draft", f"{call.found.doc['name']} is {call.found.doc['status']}.")
    return single.update(call)


@guards(MODELS)
def keep_active(context: Context, model: Record) -> None:
    """Keep the model that makes the scores."""
    if model.doc["status"] == "active":
        raise Problem("lead_model_active", f"{model.doc['name']} makes the scores.")


@handles("activateLeadScoringModel")
def activate(call: Call) -> Reply:
    """Let a model make the scores, and archive the one that did."""
    keep_active(call, call.found)
    former = active_model(call)
    if former is not None:
        call.records.change(former, {"status": "archived", "archived_at": call.now}, action="archived")
    model = call.records.change(call.found, {"status": "active", "activated_at": call.now, "archived_at": None}, action="activated")
    data = {"record": call.records.public(model)} | ({"archived_id": former.id} if former is not None else {})
    call.emit("crm.lead_scoring_model.activated.v1", model.id, data)
    return single.shown(call, model)


@handles("previewLeadScoringModel")
def preview(call: Call) -> Reply:
    """Compute what a model would make of some leads."""
    ids = call.body.get("lead_ids")
    if ids is None:
        seen = access.condition(call, call.resource(LEADS))
        leads = call.world.store.select(call.tenant, LEADS, seen.sql, seen.arguments, order="id desc", limit=50)
    else:
        leads = [_seen(call, id, f"#/lead_ids/{index}") for index, id in enumerate(ids)]
    found = [_tried(lead, computed(call, lead, call.found)) for lead in leads]
    found.sort(key=lambda entry: (-entry["score"], entry["lead_id"]))
    changed = sum(1 for entry in found if entry.get("stored_band", entry["score_band"]) != entry["score_band"])
    return Reply(200, {"data": found, "changed_band_count": changed})


def _tried(lead: Record, found: Mapping[str, Any]) -> dict[str, Any]:
    stored = {"stored_score": lead.doc.get("score"), "stored_band": lead.doc.get("score_band")}
    shown = {"lead_id": lead.id, "score": found["score"], "score_band": found["score_band"], **stored}
    return {k: v for k, v in shown.items() if v is not None}


def _seen(call: Call, id: str, pointer: str) -> Record:
    lead = call.records.peek(LEADS, id)
    if lead is None or not call.records.visible(lead):
        entry = {"pointer": pointer, "code": "invalid_reference", "detail": "There is no lead with this ID."}
        raise Problem("validation_failed", "1 field is not valid; see errors.", [entry])
    return lead


# -- scores ----------------------------------------------------------------------------------------------------------------


@handles("explainLeadScore")
def explain(call: Call) -> Reply:
    """Show a lead's score rule by rule."""
    return Reply(200, computed(call, call.found, demanded_model(call)))


@handles("calculateLeadScore")
def calculate(call: Call) -> Reply:
    """Compute a lead's score, write it down, and show it rule by rule."""
    access.demand(call, call.found, "write")
    demand_open(call.found)
    found = computed(call, call.found, demanded_model(call))
    write(call, call.found, found)
    return Reply(200, found)


@handles("startLeadRescoring")
def start(call: Call) -> Reply:
    """Start to compute the scores of a selection anew."""
    demanded_model(call)
    chosen = targets(call, call.body.get("selection", {}))
    return JOBS.start(call, "rescore", chosen)


def targets(context: Context, selection: Mapping[str, Any], /) -> list[str]:
    """Return the IDs of the open leads that a run works on, in the order of their IDs."""
    condition = Condition("doc->>'$.status' in (?, ?, ?, ?)", list(OPEN_STATUSES))
    for name in ("owner_id", "source"):
        if name in selection:
            condition = condition.and_(Condition(f"doc->>'$.{name}' = ?", [selection[name]]))
    return selected(context, {k: v for k, v in selection.items() if k == "lead_ids"}, condition)


def _step(context: Context, job: dict[str, Any], item: Any) -> str:
    def work() -> str:
        before = context.records.get(LEADS, item).doc.get("score_band")
        if not rescore(context, item):
            return "skipped"
        return "rescored" if context.records.get(LEADS, item).doc["score_band"] == before else "changed_band"

    return str(maybe_trial(context, job, work))


def _finish(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    found = tally(outcomes, "rescored", "changed_band", "skipped")
    found["rescored_count"] += found["changed_band_count"]
    return {"matched_count": len(outcomes)} | found


task("leads.rescore", Task(_step, _finish, _finish))


@handles("getLeadScoreDistribution")
def distribution(call: Call) -> Reply:
    """Count open leads by band and in steps of ten points."""
    seen = access.condition(call, call.resource(LEADS))
    is_open = Condition("doc->>'$.status' not in ('converted', 'disqualified')", [])
    condition = seen.and_(is_open)
    docs = [r.doc for r in call.world.store.select(call.tenant, LEADS, condition.sql, condition.arguments)]
    scores = [doc["score"] for doc in docs if "score" in doc]
    bands = {f"{band}_count": sum(1 for doc in docs if doc.get("score_band") == band) for band in ("hot", "warm", "cold")}
    buckets = [
        {"from_score": low, "lead_count": sum(1 for s in scores if min(s // 10, 9) * 10 == low)} for low in range(0, 100, 10)
    ]
    model = active_model(call)
    found = {**bands, "unscored_count": len(docs) - len(scores), "buckets": buckets}
    return Reply(200, found | ({"score_model_id": model.id} if model is not None else {}))


# -- signals ---------------------------------------------------------------------------------------------------------------


@sees(SIGNALS)
def see(context: Context, signal: Record) -> bool:
    """Show a signal to those who may see the lead."""
    lead = context.records.peek(LEADS, signal.doc["lead_id"])
    return lead is not None and context.records.visible(lead)


@handles("recordLeadSignal")
def record(call: Call) -> Reply:
    """Note what a lead did, and compute its score."""
    lead = call.parents["lead_id"]
    access.demand(call, lead, "write")
    if call.body.get("occurred_at", "") > call.now:
        detail = "A signal has happened; this moment is still to come."
        entry = {"pointer": "#/occurred_at", "code": "lead_signal_in_future", "detail": detail}
        raise Problem("validation_failed", "1 field is not valid; see errors.", [entry])
    demand_open(lead)
    signal = note(call, lead.id, call.body)
    return single.shown(call, signal, 201, Location=f"/v1/leads/{lead.id}/signals/{signal.id}")


def note(context: Context, lead: str, body: Mapping[str, Any], /) -> Record:
    """Record a signal of a lead, tell of it, and compute the score."""
    doc = {"occurred_at": context.now, **body, "lead_id": lead}
    signal = context.records.create(SIGNALS, doc)
    context.emit("crm.lead_signal.recorded.v1", lead, {"record": context.records.public(signal)})
    rescore(context, lead)
    return signal


def leads_in(value: Any, /) -> Iterator[str]:
    """Yield the IDs of leads that an event's data names anywhere, each once."""
    found: dict[str, None] = {}
    frontier = [value]
    while frontier:
        entry = frontier.pop(0)
        if isinstance(entry, str) and entry.startswith("lea_"):
            found[entry] = None
        elif isinstance(entry, Mapping):
            frontier += entry.values()
        elif isinstance(entry, list):
            frontier += entry
    yield from found


def _signal(context: Context, event: Event, type: str) -> None:
    """Note a signal of each open lead that an event names; the same evidence counts once, as for a task that is completed again."""
    data = event["data"].get("record", event["data"])
    body = {"type": type} | ({"evidence": data["id"]} if "id" in data else {})
    for id in leads_in(data):
        lead = context.records.peek(LEADS, id)
        is_known = "evidence" in body and context.records.find(SIGNALS, lead_id=id, **body)
        if lead is not None and lead.doc["status"] != "converted" and not is_known:
            with upkeep(context):
                note(context, id, body)


@hears("crm.task.completed.v1")
def task_completed(context: Context, event: Event) -> None:
    """Count a completed task about a lead as a signal."""
    _signal(context, event, "task_completed")


@hears("crm.activity_communication.logged.v1")
def communication_logged(context: Context, event: Event) -> None:
    """Count a call that was answered, a meeting, and what a lead wrote as a signal."""
    said = event["data"].get("record", event["data"])
    if said.get("kind") in ("call", "meeting"):
        if is_spoken(said):
            _signal(context, event, said["kind"])
    elif said.get("direction") == "inbound":
        _signal(context, event, "message")


def is_spoken(said: Mapping[str, Any], /) -> bool:
    """Tell whether people spoke with each other in what activities logged."""
    return said.get("kind") == "meeting" or (said.get("kind") == "call" and said.get("outcome") not in _UNANSWERED)


@hears("crm.mention.matched.v1")
def mentioned(context: Context, event: Event) -> None:
    """Count a mention in which social recognized a lead as a signal."""
    _signal(context, event, "social_mention")


@hears("crm.lead_score.predicted.v1")
def predicted(context: Context, event: Event) -> None:
    """Put the predicted chance of a conversion on the lead."""
    data = event["data"].get("record", event["data"])
    lead = context.records.peek(LEADS, data.get("lead_id", ""))
    if lead is not None:
        with upkeep(context):
            context.records.change(lead, {"predicted_score": data["score"]}, event="crm.lead.updated.v1")
