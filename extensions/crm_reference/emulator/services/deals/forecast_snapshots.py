"""Snapshots of forecasts: which deals counted at one instant, and what has become of each since."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.registry import computes, handles, sees
from crm_reference.emulator.services.deals.common import DEALS, hides_amounts
from crm_reference.emulator.services.deals.credit import may_read_of, people_of
from crm_reference.emulator.services.deals.figures import Counted, counted, day_of, figures, quota_for
from crm_reference.emulator.services.deals.money import money
from crm_reference.emulator.services.deals.periods import Period, period_of
from crm_reference.emulator.services.deals.rates import convert, tenant_currency
from crm_reference.emulator.store import Record

SNAPSHOTS = "forecast-snapshots"
KINDS = ("added", "moved_in", "moved_out", "lost", "removed", "won", "increased", "decreased", "category_changed")


@sees(SNAPSHOTS)
def see(context: Context, snapshot: Record) -> bool:
    """Show a snapshot to whoever took it, those above in the line, and administrators."""
    return may_read_of(context, snapshot.doc["user_id"])


@handles("takeForecastSnapshot")
def take(call: Call) -> Reply:
    """Freeze the deals that count in a period now."""
    body, user = call.body, call.identity.user
    period, scope = period_of(body["period"]), body.get("scope", "team")
    currency = body.get("currency") or tenant_currency(call)
    deals = counted(call, period, people_of(call, user, scope), currency)
    doc = {
        **body,
        "user_id": user,
        "scope": scope,
        "currency": currency,
        "figures": figures(deals, currency, quota_for(call, user, scope, period, currency)),
        "deal_count": len(deals),
        "_entries": [_entry(c) for c in deals],
    }
    record = call.records.create(SNAPSHOTS, doc, event="crm.forecast_snapshot.taken.v1")
    return single.shown(call, record, 201, Location=single.location(call, record))


def _entry(deal: Counted) -> dict[str, Any]:
    own = {"amount": str(deal.own), "currency": deal.deal["amount"]["currency"]} if deal.own is not None else None
    return {"deal_id": deal.deal["id"], "name": deal.deal["name"], "category": deal.category, "amount": own}


def change_of(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None, fate: str, /) -> tuple[str, Decimal]:
    """Return what happened with a deal since a snapshot, and its effect on the total.

    :param before: ``category`` and ``amount`` (decimal) in the snapshot; ``None`` where it didn't count.
    :param now: The same at present.
    :param fate: What else is known: ``created`` since, ``lost``, ``moved`` out of the period, ``gone``, or ``there``.
    :return: An empty kind where nothing happened.
    """
    if before is None:
        return ("added" if fate == "created" else "moved_in", now["amount"]) if now is not None else ("", Decimal(0))
    if now is None:
        return {"lost": "lost", "moved": "moved_out"}.get(fate, "removed"), -before["amount"]
    effect: Decimal = now["amount"] - before["amount"]
    if now["category"] == "closed" and before["category"] != "closed":
        return "won", effect
    if effect:
        return "increased" if effect > 0 else "decreased", effect
    return ("category_changed" if now["category"] != before["category"] else ""), effect


@computes("forecast_change")
def forecast_change(asked: Mapping[str, Any], /) -> dict[str, str]:
    """Tell what happened with a deal, for vectors: ``before``, ``now`` (null or category and amount) and ``fate``."""
    states = [{**s, "amount": Decimal(s["amount"])} if s else None for s in (asked.get("before"), asked.get("now"))]
    kind, effect = change_of(states[0], states[1], asked.get("fate", "there"))
    return {"kind": kind or "unchanged", "change_amount": str(effect)}


@handles("compareForecastSnapshot")
def compare(call: Call) -> Reply:
    """Explain the difference between a snapshot and the present, by today's rates."""
    snapshot = call.found
    period, currency, today = period_of(snapshot.doc["period"]), snapshot.doc["currency"], call.now[:10]
    people = people_of(call, snapshot.doc["user_id"], snapshot.doc["scope"])
    present = {c.deal["id"]: c for c in counted(call, period, people, currency, rate_day=today)}
    frozen = {e["deal_id"]: e for e in snapshot.doc["_entries"]}
    changes, start, end = [], Decimal(0), Decimal(0)
    for id in sorted(frozen.keys() | present.keys()):
        before = _state(call, frozen.get(id), currency, today)
        counts = present.get(id)
        now: dict[str, Any] | None = None
        if counts is not None:
            now = {"category": counts.category, "amount": counts.amount or Decimal(0)}
        start += before["amount"] if before else 0
        end += now["amount"] if now else 0
        kind, effect = change_of(before, now, _fate(call, id, snapshot, period))
        if kind:
            name = counts.deal["name"] if counts is not None else _name(call, frozen[id])
            changes.append(_change(id, name, kind, effect, before, now, currency))
    changes.sort(key=lambda c: (-abs(Decimal(c["change_amount"]["amount"])), c["deal_id"]))
    body = {
        "snapshot_id": snapshot.id,
        "period": period.key,
        "from_amount": money(start, currency),
        "to_amount": money(end, currency),
        "totals": _totals(changes, currency),
        "changes": changes,
        "compared_at": call.now,
    }
    return Reply(200, body)


def _state(context: Context, entry: Mapping[str, Any] | None, currency: str, today: str) -> dict[str, Any] | None:
    if entry is None:
        return None
    amount = convert(context, entry["amount"], currency, today) if entry["amount"] and not hides_amounts(context) else None
    return {"category": entry["category"], "amount": amount or Decimal(0)}


def _fate(context: Context, id: str, snapshot: Record, period: Period) -> str:
    """Return what is known of a deal beside its amounts. One that the caller may not see is gone."""
    deal = context.records.peek(DEALS, id)
    if deal is None or not context.records.visible(deal):
        return "gone"
    if deal.doc["created_at"] > snapshot.doc["created_at"]:
        return "created"
    if deal.doc["status"] == "lost":
        return "lost"
    return "there" if period.holds(day_of(deal.doc)) else "moved"


def _name(context: Context, entry: Mapping[str, Any]) -> str:
    """Return the name that a deal had; empty where the deal is there and hidden from the caller."""
    deal = context.records.peek(DEALS, entry["deal_id"])
    return str(entry["name"]) if deal is None or context.records.visible(deal) else ""


def _change(
    id: str,
    name: str,
    kind: str,
    effect: Decimal,
    before: Mapping[str, Any] | None,
    now: Mapping[str, Any] | None,
    currency: str,
) -> dict[str, Any]:
    found: dict[str, Any] = {"deal_id": id, "kind": kind, "change_amount": money(effect, currency)}
    if name:
        found["name"] = name
    if before is not None:
        found |= {"from_amount": money(before["amount"], currency), "from_category": before["category"]}
    if now is not None:
        found |= {"to_amount": money(now["amount"], currency), "to_category": now["category"]}
    return found


def _totals(changes: list[dict[str, Any]], currency: str) -> list[dict[str, Any]]:
    found = []
    for kind in KINDS:
        effects = [Decimal(c["change_amount"]["amount"]) for c in changes if c["kind"] == kind]
        if effects:
            found.append({"kind": kind, "deal_count": len(effects), "change_amount": money(sum(effects, Decimal(0)), currency)})
    return found
