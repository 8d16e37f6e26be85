"""Quotas: set, copied, divided, and how far they are reached."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from crm_reference.emulator.behaviours import listing
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, derives, enforces, handles
from crm_reference.emulator.services.deals.credit import USERS, people_of
from crm_reference.emulator.services.deals.figures import QUOTAS, counted, percent
from crm_reference.emulator.services.deals.money import decimal_of, money, rounded
from crm_reference.emulator.services.deals.periods import Period, period_of
from crm_reference.emulator.services.deals.shares import allot, misfit
from crm_reference.emulator.store import Record

CREATED, UPDATED = "crm.quota.created.v1", "crm.quota.updated.v1"
#: Points of attainment by which somebody may be off the pace.
_TOLERANCE = 10


@derives(QUOTAS)
def follow(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive the kind of the period."""
    return {"period_kind": period_of(doc["period"]).kind}


@enforces("quota_amount_fits")
def quota_amount_fits(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare the amount with zero, and its places with those of its currency."""
    return misfit(new["amount"]) if decimal_of(new["amount"]) else "A quota is more than zero."


@handles("copyQuotas")
def copy(call: Call) -> Reply:
    """Set for one period what was set for another, raised or lowered."""
    body = call.body
    source, target = period_of(body["from_period"]), period_of(body["to_period"])
    if source.kind != target.kind or source.key == target.key:
        raise Problem("quota_periods_differ", f"{source.key} and {target.key} are no two months or two quarters.")
    factor = 1 + Decimal(str(body.get("change_percent", 0))) / 100
    wanted = set(body.get("owner_ids", ()))
    given = call.records.find(QUOTAS, period=source.key)
    given = [q for q in given if not wanted or q.doc["owner_id"] in wanted]
    entries = []
    for quota in sorted(given, key=lambda q: (q.doc["owner_id"], q.doc["covers"])):
        entries.append(_copied(call, quota, target, factor, trial=body.get("validate_only", False)))
    outcomes = [e["outcome"] for e in entries]
    counts = {"created_count": outcomes.count("created"), "existing_count": outcomes.count("exists")}
    return Reply(200, {"entries": entries, **counts})


def _copied(call: Call, quota: Record, target: Period, factor: Decimal, *, trial: bool) -> dict[str, Any]:
    owner, covers = quota.doc["owner_id"], quota.doc["covers"]
    entry: dict[str, Any] = {"owner_id": owner, "covers": covers, "from_quota_id": quota.id}
    known = _known(call, owner, target.key, covers)
    if known is not None:
        return {**entry, "outcome": "exists", "amount": known.doc["amount"], "quota_id": known.id}
    amount = money(decimal_of(quota.doc["amount"]) * factor, quota.doc["amount"]["currency"])
    if trial:
        return {**entry, "outcome": "planned", "amount": amount}
    made = _set(call, owner, target.key, covers, amount, quota.id)
    return {**entry, "outcome": "created", "amount": amount, "quota_id": made.id}


def _known(context: Context, owner: str, period: str, covers: str) -> Record | None:
    found = context.records.find(QUOTAS, owner_id=owner, period=period, covers=covers)
    return found[0] if found else None


def _set(context: Context, owner: str, period: str, covers: str, amount: Mapping[str, Any], source: str) -> Record:
    doc = {"owner_id": owner, "period": period, "covers": covers, "amount": amount, "source_quota_id": source}
    return context.records.create(QUOTAS, doc, event=CREATED)


@handles("distributeQuota")
def distribute(call: Call) -> Reply:
    """Divide a quarter's quota into months, or a team's among people."""
    quota, body = call.found, call.body
    total, currency = decimal_of(quota.doc["amount"]), quota.doc["amount"]["currency"]
    places, weights = _places(call, quota)
    if not sum(weights):
        raise Problem("quota_weights_zero", "Give at least one part a weight above zero.")
    parts = []
    for (owner, period, covers), amount in zip(places, allot(total, weights, currency), strict=True):
        if amount:
            parts.append(_part(call, quota, owner, period, covers, money(amount, currency), trial=body.get("validate_only", False)))
    return Reply(200, {"quota_id": quota.id, "amount": quota.doc["amount"], "parts": parts})


def _places(call: Call, quota: Record) -> tuple[list[tuple[str, str, str]], list[int]]:
    """Return owner, period and cover of each part of a division, and the weights."""
    doc, body = quota.doc, call.body
    if body["into"] == "months":
        if doc["period_kind"] != "quarter":
            raise Problem("quota_not_quarter", f"{doc['period']} is a month.")
        months = period_of(doc["period"]).months
        return [(doc["owner_id"], month, doc["covers"]) for month in months], list(body.get("weights", (1, 1, 1)))
    if doc["covers"] != "team":
        raise Problem("quota_not_team", f"The quota is that of {doc['owner_id']} alone.")
    shares = body["shares"]
    owners = [s["owner_id"] for s in shares]
    for place, owner in enumerate(owners):
        code, detail = "", ""
        if call.records.peek(USERS, owner) is None:
            code, detail = "invalid_reference", "No user of the tenant has this ID."
        elif owner in owners[:place]:
            code, detail = "quota_share_twice", "This person has a share above."
        if code:
            entry = {"pointer": f"#/shares/{place}/owner_id", "code": code, "detail": detail}
            raise Problem("validation_failed", "The quota can't be divided like this; see errors.", [entry])
    return [(owner, doc["period"], "person") for owner in owners], [s["weight"] for s in shares]


def _part(
    call: Call, quota: Record, owner: str, period: str, covers: str, amount: Mapping[str, Any], *, trial: bool
) -> dict[str, Any]:
    known = _known(call, owner, period, covers)
    part: dict[str, Any] = {"owner_id": owner, "period": period, "amount": amount, "is_new": known is None}
    if not trial and known is None:
        known = _set(call, owner, period, covers, amount, quota.id)
    elif not trial and known is not None:
        call.records.replace(known, {**known.doc, "amount": amount, "source_quota_id": quota.id}, event=UPDATED)
    return {**part, "quota_id": known.id} if known is not None else part


# -- attainment ------------------------------------------------------------------------------------------------------------


def pace_of(attained: float, elapsed: float, /) -> str:
    """Return how an attainment stands to the share of the period that has passed, both in percent.

    >>> pace_of(100.0, 20.0), pace_of(31.0, 20.0), pace_of(12.0, 20.0), pace_of(9.0, 20.0)
    ('reached', 'ahead', 'on_track', 'behind')
    """
    if attained >= 100:
        return "reached"
    if attained - elapsed >= _TOLERANCE:
        return "ahead"
    return "behind" if elapsed - attained > _TOLERANCE else "on_track"


@computes("quota_attainment")
def quota_attainment(asked: Mapping[str, Any], /) -> dict[str, Any]:
    """Return how far a quota is reached, for vectors: ``quota_amount``, ``closed_amount``, ``period`` and ``today``."""
    period = period_of(asked["period"])
    return _attained(Decimal(asked["quota_amount"]), Decimal(asked["closed_amount"]), period, asked["today"])


def _attained(quota: Decimal, closed: Decimal, period: Period, today: str) -> dict[str, Any]:
    attained = percent(closed, quota)
    elapsed = percent(Decimal(period.elapsed(today)), Decimal(period.days))
    return {"attainment_percent": attained, "elapsed_percent": elapsed, "pace": pace_of(attained, elapsed)}


@handles("listQuotaAttainments")
def list_attainments(call: Call) -> Reply:
    """List how far the quotas of a period are reached, the highest attainment first."""
    query, period = call.query, period_of(call.query["period"])
    wanted = {k: query[k] for k in ("owner_id", "covers") if query.get(k)}
    rows = [_attainment(call, q, period) for q in call.records.find(QUOTAS, period=period.key, **wanted)]
    rows.sort(key=lambda r: (-r["attainment_percent"], r["quota_id"]))
    for row in rows:
        row["rank"] = 1 + sum(other["attainment_percent"] > row["attainment_percent"] for other in rows)
    return listing.paged_items(call, rows)


def _attainment(call: Call, quota: Record, period: Period) -> dict[str, Any]:
    doc = quota.doc
    currency, amount = doc["amount"]["currency"], decimal_of(doc["amount"])
    people = people_of(call, doc["owner_id"], "team" if doc["covers"] == "team" else "own")
    won = [c.amount for c in counted(call, period, people, currency) if c.category == "closed" and c.amount is not None]
    closed = rounded(sum(won, Decimal(0)), currency)
    return {
        "quota_id": quota.id,
        "owner_id": doc["owner_id"],
        "period": period.key,
        "covers": doc["covers"],
        "quota_amount": money(amount, currency),
        "closed_amount": money(closed, currency),
        "gap_amount": money(max(Decimal(0), amount - closed), currency),
        **_attained(amount, closed, period, call.now[:10]),
    }
