"""Buying roles: a contact's roles over all deals, and what follows when contacts go or merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crm_reference.emulator.behaviours import listing
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.registry import computes, handles, hears
from crm_reference.emulator.store import Record

ROLES = "deal-buying-roles"
DELETED, UPDATED = "crm.deal_buying_role.deleted.v1", "crm.deal_buying_role.updated.v1"

#: Roles in the order in which they are told.
KINDS = (
    "decision_maker",
    "economic_buyer",
    "champion",
    "influencer",
    "technical_evaluator",
    "procurement",
    "legal",
    "end_user",
    "blocker",
)
_WEIGHTS = {"low": 1, "medium": 2, "high": 3}
_VOICES = {"supporter": 1, "opponent": -1}
_DECIDING = ("decision_maker", "economic_buyer")


def judged(roles: Sequence[Mapping[str, Any]], /) -> dict[str, Any]:
    """Return what a buying group comes to: people by role, support, and risks from the gravest on.

    :param roles: Entries with ``contact_id``, ``role``, ``influence`` and ``stance``.
    """
    contacts = {r["contact_id"] for r in roles}
    held = {kind: {r["contact_id"] for r in roles if r["role"] == kind} for kind in KINDS}
    found: dict[str, Any] = {"contact_count": len(contacts)}
    found["roles"] = [{"role": kind, "contact_count": len(people)} for kind, people in held.items() if people]
    if roles:
        weight = sum(_WEIGHTS[r["influence"]] for r in roles)
        voices = sum(_WEIGHTS[r["influence"]] * _VOICES.get(r["stance"], 0) for r in roles)
        found["support_percent"] = float((Decimal(voices * 100) / weight).quantize(Decimal("0.1"), ROUND_HALF_UP))
    opponents = [r for r in roles if r["stance"] == "opponent"]
    risks = {
        "nobody_known": not roles,
        "deciding_opponent": any(r["role"] in _DECIDING for r in opponents),
        "blocker": bool(held["blocker"]) or any(r["influence"] == "high" for r in opponents),
        "no_decision_maker": bool(roles) and not any(held[kind] for kind in _DECIDING),
        "no_champion": bool(roles) and not held["champion"],
        "single_contact": len(contacts) == 1,
    }
    return {**found, "risks": [name for name, holds in risks.items() if holds]}


@computes("buying_group")
def buying_group(asked: Mapping[str, Any], /) -> dict[str, Any]:
    """Judge a buying group, for vectors: the list ``roles``."""
    return judged(asked["roles"])


@handles("getDealBuyingGroup")
def judge_group(call: Call) -> Reply:
    """Judge the buying group of a deal."""
    roles = [r.doc for r in call.records.find(ROLES, deal_id=call.found.id)]
    return Reply(200, {"deal_id": call.found.id, **judged(roles)})


@handles("listContactBuyingRoles")
def list_of_contact(call: Call) -> Reply:
    """List the roles of one contact in all deals that the caller may see, the latest first."""
    wanted = {"role": call.query["role"]} if call.query.get("role") else {}
    found = call.records.find(ROLES, contact_id=call.query["contact_id"], **wanted)
    found = [r for r in found if _is_seen(call, r)]
    found.sort(key=lambda r: (r.doc["created_at"], r.id), reverse=True)
    return listing.paged_items(call, [call.records.shown(r) for r in found])


def _is_seen(context: Context, role: Record) -> bool:
    deal = context.records.peek("deals", role.doc["deal_id"])
    return deal is not None and context.records.visible(deal)


@hears("crm.contact.deleted.v1")
def contact_deleted(context: Context, event: Mapping[str, Any]) -> None:
    """Remove the contact from all buying groups."""
    for role in context.records.find(ROLES, contact_id=event["data"]["record"]["id"]):
        context.records.delete(role, event=DELETED)


@hears("crm.contact.merged.v1")
def contacts_merged(context: Context, event: Mapping[str, Any]) -> None:
    """Move roles to the surviving contact; one that it has already goes."""
    target = event["data"]["target_id"]
    for source in event["data"]["source_ids"]:
        for role in context.records.find(ROLES, contact_id=source):
            same = {"deal_id": role.doc["deal_id"], "role": role.doc["role"]}
            if context.records.find(ROLES, contact_id=target, **same):
                context.records.delete(role, event=DELETED)
            else:
                context.records.change(role, {"contact_id": target}, event=UPDATED)


@hears("crm.contact.erased.v1")
def contact_erased(context: Context, event: Mapping[str, Any]) -> None:
    """Remove the roles of a person whose data were erased, with their notes and everything that tells of them."""
    data = event["data"]
    for contact in (data["contact_id"], *data.get("merged_contact_ids", ())):
        for role in context.records.find(ROLES, contact_id=contact):
            context.records.delete(role, event=DELETED)
            context.world.store.forget(context.tenant, ROLES, role.id)
