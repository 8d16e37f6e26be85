"""Forecasts: what people submit, what managers put in its place, and how it rolls up."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.records import merge_patch
from crm_reference.emulator.registry import derives, enforces, handles, presents, sees
from crm_reference.emulator.services.deals.credit import asked_user, below, direct_reports, may_read_of, people_of
from crm_reference.emulator.services.deals.figures import Counted, counted, counted_amount, figures, quota_for
from crm_reference.emulator.services.deals.money import decimal_of, money
from crm_reference.emulator.services.deals.periods import Period, period_of, periods_between
from crm_reference.emulator.services.deals.rates import convert, tenant_currency, used
from crm_reference.emulator.services.deals.shares import misfit
from crm_reference.emulator.store import Record

FORECASTS = "forecasts"
SUBMITTED, ADJUSTED = "crm.forecast.submitted.v1", "crm.forecast.adjusted.v1"
_LONGEST_YEARS = 10


# -- the record ------------------------------------------------------------------------------------------------------------


@derives(FORECASTS)
def follow(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive the kind of the period, the status, and the amounts that count."""
    adjusted = doc.get("_adjustment") or {}
    return {
        "period_kind": period_of(doc["period"]).kind,
        "status": "adjusted" if adjusted else "submitted",
        "effective_commit_amount": adjusted.get("commit_amount", doc["commit_amount"]),
        "effective_best_case_amount": adjusted.get("best_case_amount", doc["best_case_amount"]),
    }


@presents(FORECASTS)
def present(context: Context, forecast: Record) -> Mapping[str, Any]:
    """Show figures and adjustment, which are kept aside: the history tells amounts, not sums of other records."""
    return {"figures": forecast.doc.get("_figures"), "adjustment": forecast.doc.get("_adjustment")}


@sees(FORECASTS)
def see(context: Context, forecast: Record) -> bool:
    """Show a forecast to its owner, those above in the line, and administrators."""
    return may_read_of(context, forecast.doc["owner_id"])


@enforces("forecast_period_open")
def forecast_period_open(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare the end of the period with today."""
    period = period_of(new["period"])
    return f"{period.key} ended on {period.ends_on}." if period.ends_on < context.now[:10] else ""


@enforces("forecast_amounts_fit")
def forecast_amounts_fit(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Look at the sign and the places of both amounts."""
    for name in ("commit_amount", "best_case_amount"):
        if wrong := misfit(new[name]):
            return wrong, name
    return ""


@enforces("forecast_one_currency")
def forecast_one_currency(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare the currencies of both amounts."""
    one, other = new["commit_amount"]["currency"], new["best_case_amount"]["currency"]
    return f"The commit is in {one} and the best case in {other}." if one != other else ""


@enforces("forecast_amounts_ordered")
def forecast_amounts_ordered(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare both amounts."""
    commit, best = decimal_of(new["commit_amount"]), decimal_of(new["best_case_amount"])
    return f"The best case of {best} is less than the commit of {commit}." if best < commit else ""


def own_figures(context: Context, owner: str, period: Period, currency: str, /) -> dict[str, Any]:
    """Return what a person's own deals add up to."""
    found = counted(context, period, frozenset({owner}), currency)
    return figures(found, currency, quota_for(context, owner, "own", period, currency))


@handles("submitForecast")
def submit(call: Call) -> Reply:
    """Record a forecast of the caller with the figures of this moment."""
    body, owner = call.body, call.identity.user
    currency = body["commit_amount"]["currency"]
    doc = {**body, "owner_id": owner, "submitted_at": call.now}
    doc["_figures"] = own_figures(call, owner, period_of(body["period"]), currency)
    record = call.records.create(FORECASTS, doc, event=SUBMITTED)
    return single.shown(call, record, 201, Location=single.location(call, record))


@handles("updateForecast")
def resubmit(call: Call) -> Reply:
    """Change the caller's own forecast and take the figures anew."""
    forecast = _own(call)
    doc = merge_patch(forecast.doc, call.body)
    doc["_figures"] = own_figures(call, doc["owner_id"], period_of(doc["period"]), doc["commit_amount"]["currency"])
    doc["submitted_at"] = call.now
    return single.shown(call, call.records.replace(forecast, doc, event=SUBMITTED))


@handles("withdrawForecast")
def withdraw(call: Call) -> Reply:
    """Remove the caller's own forecast."""
    call.records.delete(_own(call), event="crm.forecast.withdrawn.v1")
    return Reply(204)


def _own(call: Call) -> Record:
    forecast = call.found
    if forecast.doc["owner_id"] != call.identity.user:
        raise Problem("not_the_forecaster", f"{forecast.doc['owner_id']} submitted this forecast.")
    _demand_open(call, forecast)
    return forecast


def _demand_open(call: Call, forecast: Record) -> None:
    if said := forecast_period_open(call, forecast.doc, None):
        raise Problem("forecast_period_over", str(said))


# -- a manager's judgement -------------------------------------------------------------------------------------------------


@handles("adjustForecast")
def adjust(call: Call) -> Reply:
    """Put a manager's amounts in place of the owner's."""
    forecast, body = _below(call), call.body
    _demand_open(call, forecast)
    best = body.get("best_case_amount", forecast.doc["best_case_amount"])
    trial = {"commit_amount": body["commit_amount"], "best_case_amount": best}
    if body["commit_amount"]["currency"] != forecast.doc["commit_amount"]["currency"] or forecast_one_currency(call, trial, None):
        raise _refused("forecast_currencies_differ", f"The forecast is in {forecast.doc['commit_amount']['currency']}.")
    if wrong := misfit(body["commit_amount"]) or misfit(best):
        raise _refused("forecast_amount_invalid", wrong)
    if said := forecast_amounts_ordered(call, trial, None):
        raise _refused("forecast_amounts_cross", str(said))
    adjustment = {**body, "adjusted_by": call.identity.actor, "adjusted_at": call.now}
    return single.shown(call, _adjusted(call, forecast, adjustment))


@handles("removeForecastAdjustment")
def readjust(call: Call) -> Reply:
    """Let the owner's amounts count again."""
    forecast = _below(call)
    if "_adjustment" not in forecast.doc:
        raise Problem("forecast_not_adjusted", "The forecast counts as its owner submitted it.")
    _adjusted(call, forecast, None)
    return Reply(204)


def _below(call: Call) -> Record:
    """Return the forecast of the path, where the caller stands above its owner."""
    forecast, owner = call.found, call.found.doc["owner_id"]
    if owner == call.identity.user or not may_read_of(call, owner):
        raise Problem("not_above_forecaster", f"{owner} doesn't report to you.")
    return forecast


def _adjusted(call: Call, forecast: Record, adjustment: Mapping[str, Any] | None) -> Record:
    doc = {k: v for k, v in forecast.doc.items() if k != "_adjustment"}
    if adjustment is not None:
        doc["_adjustment"] = adjustment
    changed = call.records.replace(forecast, doc)
    before = {"previous_adjustment": forecast.doc["_adjustment"]} if "_adjustment" in forecast.doc else {}
    call.emit(ADJUSTED, forecast.id, {"record": call.records.public(changed), **before})
    return changed


def _refused(code: str, detail: str) -> Problem:
    entry = {"pointer": "#/commit_amount", "code": code, "detail": detail}
    return Problem("validation_failed", "The adjustment doesn't fit the forecast; see errors.", [entry])


# -- what deals add up to --------------------------------------------------------------------------------------------------


@handles("listForecastPeriods")
def list_periods(call: Call) -> Reply:
    """List months and quarters, a year back and a year ahead unless other days are asked for."""
    today, query = call.now[:10], call.query
    start = query.get("from_on") or f"{int(today[:4]) - 1}{today[4:7]}-01"
    end = query.get("to_on") or f"{int(today[:4]) + 1}{today[4:7]}-01"
    if start > end or int(end[:4]) - int(start[:4]) > _LONGEST_YEARS or start < "1000":
        raise Problem("forecast_range_too_long", f"From {start} to {end} are no days, or more than {_LONGEST_YEARS} years.")
    kinds = [query["kind"]] if query.get("kind") else ["month", "quarter"]
    found = [p for kind in kinds for p in periods_between(start, end, kind)]
    found.sort(key=lambda p: (p.starts_on, p.ends_on))
    return listing.paged_items(call, [p.as_dict(today) for p in found])


def _asked(call: Call) -> tuple[Period, str, str, str, list[Counted]]:
    """Return what a request about figures is about: period, user, scope, currency and the deals that count."""
    query = call.query
    period, user, scope = period_of(query["period"]), asked_user(call, query), query.get("scope") or "own"
    currency = query.get("currency") or tenant_currency(call)
    omitted = query.get("forecast_category") == "omitted"
    people = people_of(call, user, scope)
    deals = counted(call, period, people, currency, pipeline=query.get("pipeline_id") or "", with_omitted=omitted)
    return period, user, scope, currency, deals


@handles("getForecastFigures")
def report(call: Call) -> Reply:
    """Compute the figures of a user or team."""
    period, user, scope, currency, deals = _asked(call)
    limited = {"pipeline_id": call.query["pipeline_id"]} if call.query.get("pipeline_id") else {}
    quota = None if limited else quota_for(call, user, scope, period, currency)
    submitted = _submitted(call, user, period)
    currencies = {str(c.deal["amount"]["currency"]) for c in deals if c.deal.get("amount")} | {currency}
    body: dict[str, Any] = {
        "period": period.as_dict(call.now[:10]),
        "user_id": user,
        "scope": scope,
        "currency": currency,
        **limited,
        "figures": figures(deals, currency, quota),
        **({"forecast_id": submitted.id} if submitted is not None else {}),
        "rates": used(call, currencies, call.now[:10]) if len(currencies) > 1 else [],
        "computed_at": call.now,
    }
    return Reply(200, body)


def _submitted(context: Context, user: str, period: Period) -> Record | None:
    found = context.records.find(FORECASTS, owner_id=user, period=period.key)
    return found[0] if found and context.records.visible(found[0]) else None


@handles("listForecastDeals")
def list_deals(call: Call) -> Reply:
    """List the deals behind figures, the largest first."""
    _, _, _, currency, deals = _asked(call)
    wanted = call.query.get("forecast_category")
    chosen = [c for c in deals if wanted in (None, c.category)]
    chosen.sort(key=lambda c: (-(c.amount or Decimal(0)), c.deal["id"]))
    return listing.paged_items(call, [counted_amount(c, currency) for c in chosen])


@handles("getForecastRollup")
def roll_up(call: Call) -> Reply:
    """Put a manager's forecast together from those of the people below."""
    period, manager = period_of(call.query["period"]), asked_user(call, call.query, "manager_id")
    currency = call.query.get("currency") or tenant_currency(call)
    team = people_of(call, manager, "team")
    rows = [_row(call, manager, frozenset({manager}), period, currency)]
    rows += [_row(call, u, people_of(call, u, "team"), period, currency) for u in direct_reports(call, manager)]
    everybody = counted(call, period, team, currency)
    expected = sum((decimal_of(row["expected_amount"]) for row in rows), Decimal(0))
    active = {u for c in everybody for u in team if c.deal["owner_id"] == u}
    missing = sorted(u for u in active if not call.records.find(FORECASTS, owner_id=u, period=period.key))
    body = {
        "period": period.as_dict(call.now[:10]),
        "manager_id": manager,
        "currency": currency,
        "rows": rows,
        "total": figures(everybody, currency, quota_for(call, manager, "team", period, currency)),
        "expected_total_amount": money(expected, currency),
        "missing_user_ids": missing,
        "computed_at": call.now,
    }
    return Reply(200, body)


def _row(call: Call, user: str, people: frozenset[str], period: Period, currency: str) -> dict[str, Any]:
    deals = counted(call, period, people, currency)
    scope = "team" if len(people) > 1 else "own"
    shown = figures(deals, currency, quota_for(call, user, scope, period, currency))
    row: dict[str, Any] = {"user_id": user, "has_reports": bool(below(call, user)) and len(people) > 1, "figures": shown}
    forecast = _submitted(call, user, period)
    row["is_adjusted"] = forecast is not None and "_adjustment" in forecast.doc
    row["expected_amount"] = shown["commit_total_amount"]
    if forecast is not None:
        own = convert(call, forecast.doc["commit_amount"], currency, call.now[:10])
        counts = convert(call, forecast.doc["effective_commit_amount"], currency, call.now[:10])
        row["forecast_id"] = forecast.id
        if own is not None and counts is not None:
            row["submitted_commit_amount"] = money(own, currency)
            row["expected_amount"] = money(counts, currency)
    return row
