"""How the credit for a deal is shared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, presents
from crm_reference.emulator.services.deals.common import hides_amounts
from crm_reference.emulator.services.deals.credit import SPLITS, USERS
from crm_reference.emulator.services.deals.money import decimal_of, money
from crm_reference.emulator.services.deals.shares import allot
from crm_reference.emulator.store import Record

_WHOLE = 100


def _parts(deal: Mapping[str, Any], shares: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return shares with their amounts, the largest first."""
    parts = [{"user_id": s["user_id"], "percent": s["percent"]} for s in shares]
    if deal.get("amount"):
        currency = deal["amount"]["currency"]
        amounts = allot(decimal_of(deal["amount"]), [s["percent"] for s in shares], currency)
        parts = [{**p, "amount": money(a, currency)} for p, a in zip(parts, amounts, strict=True)]
    return sorted(parts, key=lambda p: -p["percent"])


@presents(SPLITS)
def present(context: Context, split: Record) -> Mapping[str, Any]:
    """Compute the amounts of the shares from the deal's amount as it is now."""
    deal = context.records.peek("deals", split.doc["deal_id"])
    return {"shares": _parts(deal.doc if deal is not None else {}, split.doc["shares"]), "is_default": False}


@handles("getDealSplits")
def read(call: Call) -> Reply:
    """Return the shares that were agreed, or the owner with all of it."""
    deal = call.found
    kept = call.records.find(SPLITS, deal_id=deal.id)
    if kept:
        return Reply(200, _seen(call, call.records.shown(kept[0])))
    whole = [{"user_id": deal.doc["owner_id"], "percent": _WHOLE}]
    body = {"id": f"dsp_{deal.id[4:]}", "object": "deal_splits", "deal_id": deal.id, "is_default": True}
    return Reply(200, _seen(call, {**body, "shares": _parts(deal.doc, whole)}))


def _seen(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    """Leave the amounts out for those who may not see that of the deal."""
    if not hides_amounts(call):
        return dict(body)
    return {**body, "shares": [{k: v for k, v in share.items() if k != "amount"} for share in body["shares"]]}


@handles("replaceDealSplits")
def replace(call: Call) -> Reply:
    """Replace all shares of a deal's credit."""
    deal, shares = call.found, call.body["shares"]
    _check(call, shares)
    kept = call.records.find(SPLITS, deal_id=deal.id)
    before: dict[str, Any] = {}
    if kept:
        before = {"previous_shares": [{"user_id": s["user_id"], "percent": s["percent"]} for s in kept[0].doc["shares"]]}
        record = call.records.replace(kept[0], {**kept[0].doc, "shares": shares})
    else:
        record = call.records.create(SPLITS, {"deal_id": deal.id, "is_default": False, "shares": shares}, id=f"dsp_{deal.id[4:]}")
    call.emit("crm.deal_splits.replaced.v1", record.id, {"record": call.records.public(record), **before})
    return Reply(200, _seen(call, call.records.shown(record)))


def _check(call: Call, shares: Sequence[Mapping[str, Any]]) -> None:
    entries, seen = [], set()
    for place, share in enumerate(shares):
        user = call.records.peek(USERS, share["user_id"])
        pointer = f"#/shares/{place}/user_id"
        if share["user_id"] in seen:
            entries.append({"pointer": pointer, "code": "split_user_twice", "detail": "This person has a share above."})
        elif user is None or not user.doc.get("is_active", True):
            entries.append({"pointer": pointer, "code": "split_user_unknown", "detail": "No active user has this ID."})
        seen.add(share["user_id"])
    if entries:
        raise Problem("validation_failed", "The credit can't be shared like this; see errors.", entries)
    whole = sum(share["percent"] for share in shares)
    if whole != _WHOLE:
        entry = {"pointer": "#/shares", "code": "splits_not_hundred", "detail": f"The shares add up to {whole} percent."}
        raise Problem("validation_failed", "The credit can't be shared like this; see errors.", [entry])
