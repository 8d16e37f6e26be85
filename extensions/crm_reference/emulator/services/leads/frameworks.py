"""Frameworks of questions, and what is known of a lead by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, enforces, guards, handles
from crm_reference.emulator.services.leads.common import invalid
from crm_reference.emulator.services.leads.conversions import demand_open
from crm_reference.emulator.store import Record

FRAMEWORKS = "lead-frameworks"
#: Percent that an answer counts.
_LEVELS = {"yes": 100, "partly": 50, "no": 0, "unknown": 0}


@enforces("criteria_differ")
def criteria_differ(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse two criteria with one key."""
    keys = [criterion["key"] for criterion in new["criteria"]]
    twice = [key for index, key in enumerate(keys) if keys.index(key) != index]
    return f"The key {twice[0]} stands twice." if twice else ""


@computes("lead_assessment")
def assessment(input: Mapping[str, Any], /) -> dict[str, Any]:
    """Return the weighted share of a framework that is met, and whether that is enough.

    :param input: ``criteria``, ``threshold_percent`` and ``answers``.
    """
    given = {answer["key"]: answer for answer in input["answers"]}
    answers = [given.get(c["key"], {"key": c["key"], "level": "unknown"}) for c in input["criteria"]]
    weights = sum(c["weight"] for c in input["criteria"])
    points = sum(c["weight"] * _LEVELS[a["level"]] for c, a in zip(input["criteria"], answers, strict=True))
    percent = (2 * points + weights) // (2 * weights)
    missed = [c["key"] for c, a in zip(input["criteria"], answers, strict=True) if c.get("is_required") and not _LEVELS[a["level"]]]
    is_met = percent >= input["threshold_percent"] and not missed
    return {"answers": answers, "fit_percent": percent, "is_met": is_met, "missed_keys": missed}


# -- frameworks ------------------------------------------------------------------------------------------------------------


def default_framework(context: Context, /) -> Record | None:
    """Return the framework that leads must meet to be qualified, or ``None``."""
    found = context.records.find(FRAMEWORKS, is_default=True)
    return found[0] if found else None


@handles("createLeadFramework")
def create(call: Call) -> Reply:
    """Store a framework; as the default it takes the former one's place."""
    former = default_framework(call) if call.body.get("is_default") else None
    reply = single.create(call)
    _step_down(call, former)
    return reply


@handles("updateLeadFramework")
def update(call: Call) -> Reply:
    """Change a framework; as the default it takes the former one's place."""
    former = default_framework(call) if call.body.get("is_default") else None
    reply = single.update(call)
    if former is not None and former.id != call.found.id:
        _step_down(call, former)
    return reply


def _step_down(call: Call, former: Record | None) -> None:
    if former is not None:
        call.records.change(former, {"is_default": False}, event="crm.lead_framework.updated.v1")


@guards(FRAMEWORKS)
def keep_default(context: Context, framework: Record) -> None:
    """Keep the framework by which leads are qualified."""
    if framework.doc["is_default"]:
        raise Problem("lead_framework_is_default", f"{framework.doc['name']} decides who can be qualified.")


# -- assessments -----------------------------------------------------------------------------------------------------------


@handles("assessLead")
def assess(call: Call) -> Reply:
    """Store the answers to a framework's questions."""
    access.demand(call, call.found, "write")
    framework = _framework(call)
    _check_keys(framework.doc["criteria"], call.body["answers"])
    demand_open(call.found)
    found = assessment({**framework.doc, "answers": call.body["answers"]})
    kept = {"lead_id": call.found.id, "framework_id": framework.id, **found, "assessed_at": call.now}
    kept |= {"assessed_by": call.identity.user} if call.identity.user else {}
    lead = call.records.note(call.found, _assessment=kept)
    told = {"lead_id": lead.id, "framework_id": framework.id, "fit_percent": found["fit_percent"], "is_met": found["is_met"]}
    call.emit("crm.lead.assessed.v1", lead.id, {**told, "record": call.records.public(lead)})
    return Reply(200, kept)


def _framework(call: Call) -> Record:
    if "framework_id" in call.body:
        framework = call.records.peek(FRAMEWORKS, call.body["framework_id"])
        if framework is None:
            raise invalid("#/framework_id", "invalid_reference", "There is no framework with this ID.")
        return framework
    default = default_framework(call)
    if default is None:
        raise Problem("lead_framework_missing", "The tenant has no default framework, and the request names none.")
    return default


def _check_keys(criteria: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]) -> None:
    known, seen = {c["key"] for c in criteria}, set()
    for index, answer in enumerate(answers):
        if answer["key"] not in known or answer["key"] in seen:
            said = "is answered twice" if answer["key"] in seen else "is no criterion"
            raise invalid(f"#/answers/{index}/key", "lead_answer_unknown", f"{answer['key']} {said}.")
        seen.add(answer["key"])


@handles("getLeadAssessment")
def read(call: Call) -> Reply:
    """Show what is known of a lead by a framework.

    :raises Problem: ``lead_not_assessed``.
    """
    kept = call.found.doc.get("_assessment")
    if kept is None:
        raise Problem("lead_not_assessed", f"Nobody has assessed {call.found.id}.")
    return Reply(200, kept)
