"""The score of a lead: what each rule of a model gives, and how it is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.leads.conditions import holds
from crm_reference.emulator.store import Record

MODELS, SIGNALS, LEADS = "lead-scoring-models", "lead-signals", "leads"
_CENT, _ONE = Decimal("0.01"), Decimal(1)


@computes("lead_score")
def score(input: Mapping[str, Any], /) -> dict[str, Any]:
    """Return a lead's score by a model, with what each rule gives.

    :param input: ``model``, ``lead``, ``signals`` (``type`` and ``occurred_at``) and ``now``.
    """
    model, sums, contributions = input["model"], {"fit": Decimal(0), "behaviour": Decimal(0)}, []
    for rule in model["rules"]:
        entry = _contribution(rule, input["lead"], input["signals"], input["now"])
        if entry["points"] != "0.00" or entry.get("signal_count"):
            contributions.append(entry)
        sums[rule["kind"]] += Decimal(entry["points"])
    fit = _clamped(sums["fit"], Decimal(model["fit_cap"]))
    behaviour = _clamped(sums["behaviour"], Decimal(model["behaviour_cap"]))
    total = int(max(Decimal(0), min(Decimal(100), fit + behaviour)).quantize(_ONE, ROUND_HALF_UP))
    band = "hot" if total >= model["hot_from"] else "warm" if total >= model["warm_from"] else "cold"
    return {
        "score": total,
        "score_band": band,
        "fit": str(fit.quantize(_CENT)),
        "behaviour": str(behaviour.quantize(_CENT)),
        "contributions": contributions,
    }


def _contribution(
    rule: Mapping[str, Any], lead: Mapping[str, Any], signals: Sequence[Mapping[str, Any]], now: str
) -> dict[str, Any]:
    entry: dict[str, Any] = {"rule_key": rule["key"], "label": rule["label"], "kind": rule["kind"]}
    if rule["kind"] == "fit":
        held = all(holds(condition, lead) for condition in rule["conditions"])
        return entry | {"points": str(Decimal(rule["points"] if held else 0).quantize(_CENT))}
    counted = [s for s in signals if s["type"] == rule["signal"] and s["occurred_at"] <= now]
    points = sum((_faded(rule, s["occurred_at"], now) for s in counted), Decimal(0))
    if "max_points" in rule:
        points = _clamped(points, Decimal(rule["max_points"]))
    return entry | {"points": str(points.quantize(_CENT)), "signal_count": len(counted)}


def _faded(rule: Mapping[str, Any], since: str, now: str) -> Decimal:
    """Return what one signal is worth now: half after each half-life, by full days, with two decimals."""
    if "half_life_days" not in rule:
        return Decimal(rule["points"])
    days = (datetime.fromisoformat(now) - datetime.fromisoformat(since)).days
    left = rule["points"] * 2.0 ** (-days / rule["half_life_days"])
    return Decimal(repr(left)).quantize(_CENT, ROUND_HALF_UP)


def _clamped(value: Decimal, cap: Decimal) -> Decimal:
    return max(-cap, min(cap, value))


# -- of a record -----------------------------------------------------------------------------------------------------------


def active_model(context: Context, /) -> Record | None:
    """Return the model that makes the scores, or ``None``."""
    found = context.records.find(MODELS, status="active")
    return found[0] if found else None


def demanded_model(context: Context, /) -> Record:
    """Return the model that makes the scores.

    :raises Problem: ``lead_scoring_off``.
    """
    model = active_model(context)
    if model is None:
        raise Problem("lead_scoring_off", "No scoring model of the tenant is active.")
    return model


def computed(context: Context, lead: Record, model: Record, /) -> dict[str, Any]:
    """Return the explanation of a lead's score by a model at this moment."""
    signals = [s.doc for s in context.records.find(SIGNALS, lead_id=lead.id)]
    found = score({"model": model.doc, "lead": context.records.public(lead), "signals": signals, "now": context.now})
    stored = {"stored_score": lead.doc["score"]} if "score" in lead.doc else {}
    return {"lead_id": lead.id, "score_model_id": model.id, **found, **stored, "computed_at": context.now}


def write(context: Context, lead: Record, found: Mapping[str, Any], /) -> bool:
    """Put a computed score on a lead, and tell of it where it is another one.

    :return: Whether score or band changed.
    """
    changes = {"score": found["score"], "score_band": found["score_band"], "score_model_id": found["score_model_id"]}
    if all(lead.doc.get(name) == value for name, value in changes.items()):
        return False
    is_other = any(lead.doc.get(name) != changes[name] for name in ("score", "score_band"))
    with upkeep(context):
        changed = context.records.change(lead, {**changes, "scored_at": context.now}, action="scored")
    if is_other:
        previous = {f"previous_{n.removeprefix('score_')}": lead.doc[n] for n in ("score", "score_band") if n in lead.doc}
        context.emit(
            "crm.lead.scored.v1", lead.id, {"lead_id": lead.id, **changes, **previous, "record": context.records.public(changed)}
        )
    return is_other


def rescore(context: Context, id: str, /) -> bool:
    """Compute a lead's score where a model is active and the lead is open; tell whether it changed."""
    lead, model = context.records.peek(LEADS, id), active_model(context)
    if lead is None or model is None or lead.doc["status"] == "converted":
        return False
    return write(context, lead, computed(context, lead, model))
