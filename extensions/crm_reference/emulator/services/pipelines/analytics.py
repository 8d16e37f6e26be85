"""Analytics of a pipeline: each answer is computed from the facts that the caller may see."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.pipelines import measures
from crm_reference.emulator.services.pipelines.common import stages_of
from crm_reference.emulator.services.pipelines.facts import seen
from crm_reference.emulator.services.pipelines.money import rounded

#: Days of a period that nothing was said about, and the longest that is taken.
_USUAL, _LONGEST = 365, 1096
#: Decimals of the numbers that comparisons show.
_DECIMALS = {"win_rate": 4, "cycle_days": 2, "won_amount": 2}


def _input(call: Call, **said: Any) -> dict[str, Any]:
    """Return what computations take: stages, visible facts and the present."""
    stages = [s.doc for s in stages_of(call, call.found.id)]
    facts = seen(call, call.found.id, call.query.get("owner_id") or "")
    return {"stages": stages, "facts": facts, "now": call.now, **said}


def _period(call: Call, prefix: str = "", until: str = "", days: int = _USUAL) -> dict[str, str]:
    """Return the period that the query names, or the usual one.

    :param until: The day after the last one, where the query has none.
    :raises Problem: ``period_invalid`` (422).
    """
    tomorrow = (date.fromisoformat(call.now[:10]) + timedelta(days=1)).isoformat()
    to_on = call.query.get(f"{prefix}to_on") or until or tomorrow
    from_on = call.query.get(f"{prefix}from_on") or (date.fromisoformat(to_on) - timedelta(days=days)).isoformat()
    length = (date.fromisoformat(to_on) - date.fromisoformat(from_on)).days
    if not 0 < length <= _LONGEST:
        detail = f"It has {length} days; 1 to {_LONGEST} are taken."
        entry = {"parameter": f"{prefix}from_on", "in": "query", "code": "period_invalid", "detail": detail}
        raise Problem("period_invalid", f"The period from {from_on} to {to_on} is not valid. {detail}", [entry])
    return {"from_on": from_on, "to_on": to_on}


def _currency(call: Call) -> str:
    """Return the currency of amounts: the one that was asked for, else the pipeline's, else the tenant's."""
    named = call.query.get("currency") or call.found.doc.get("currency")
    tenant = call.records.peek("tenants", call.tenant)
    return str(named or (tenant.doc.get("currency") if tenant is not None else None) or "EUR")


def _answer(call: Call, **said: Any) -> Reply:
    return Reply(200, {"pipeline_id": call.found.id, **said})


@handles("getPipelineFunnel")
def funnel(call: Call) -> Reply:
    """Tell how deals came through the stages."""
    period = _period(call)
    return _answer(call, period=period, **measures.funnel(_input(call, period=period)))


@handles("getPipelineVelocity")
def velocity(call: Call) -> Reply:
    """Tell what the pipeline sells a day."""
    period = _period(call)
    return _answer(call, period=period, **measures.velocity(_input(call, period=period, currency=_currency(call))))


@handles("getPipelineStageDurations")
def stage_durations(call: Call) -> Reply:
    """Tell how long deals stay in stages."""
    period = _period(call)
    return _answer(call, period=period, stages=measures.stage_durations(_input(call, period=period)))


@handles("getPipelineBottlenecks")
def bottlenecks(call: Call) -> Reply:
    """Name the stages that hold deals up."""
    period = _period(call)
    return _answer(call, period=period, bottlenecks=measures.bottlenecks(_input(call, period=period)))


@handles("getPipelineAgeing")
def ageing(call: Call) -> Reply:
    """Tell how long open deals have stood still."""
    return _answer(call, measured_at=call.now, **measures.ageing(_input(call)))


@handles("getPipelineWinRate")
def win_rate(call: Call) -> Reply:
    """Tell what was won and lost, by group."""
    period, group = _period(call), call.query.get("group_by") or "all"
    rows = measures.win_rate(_input(call, period=period, group_by=group))
    return _answer(call, period=period, group_by=group, rows=rows)


@handles("comparePipelinePeriods")
def compare(call: Call) -> Reply:
    """Put the numbers of two periods side by side."""
    period = _period(call)
    days = (date.fromisoformat(period["to_on"]) - date.fromisoformat(period["from_on"])).days
    against = _period(call, "against_", period["from_on"], days)
    input = _input(call, currency=_currency(call))
    now, then = (measures.period_numbers({**input, "period": p}) for p in (period, against))
    metrics = [_compared(name, now[name], then[name]) for name in now]
    return _answer(call, period=period, against=against, currency=input["currency"], metrics=metrics)


def _compared(name: str, current: str, previous: str) -> dict[str, str]:
    change = Decimal(current) - Decimal(previous)
    said = {"name": name, "current": current, "previous": previous, "change": rounded(change, _DECIMALS.get(name, 0))}
    return said | ({"change_rate": measures.rate(change, Decimal(previous))} if Decimal(previous) else {})


@handles("getPipelineCohorts")
def cohorts(call: Call) -> Reply:
    """Follow deals by the month of their creation."""
    months = call.query.get("months") or 12
    first = measures.month_after(call.now[:7], 1 - months)
    tomorrow = (date.fromisoformat(call.now[:10]) + timedelta(days=1)).isoformat()
    period = {"from_on": f"{first}-01", "to_on": tomorrow}
    return _answer(call, period=period, cohorts=measures.cohorts(_input(call, months=months)))


@handles("suggestStageProbabilities")
def suggest_probabilities(call: Call) -> Reply:
    """Tell what history says of the stages' probabilities."""
    period = _period(call)
    return _answer(call, period=period, stages=measures.probability_suggestions(_input(call, period=period)))


@handles("getPipelineForecastAccuracy")
def forecast_accuracy(call: Call) -> Reply:
    """Compare what was foretold with what was sold."""
    input = _input(call, months=call.query.get("months") or 6, currency=_currency(call))
    return _answer(call, **measures.forecast_accuracy(input))
