"""Campaigns, their members and what they have brought."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, presents, sees
from crm_reference.emulator.services.leads.common import LEADS, invalid
from crm_reference.emulator.store import Record

CAMPAIGNS, MEMBERS = "campaigns", "campaign-members"
#: Statuses in the order in which members go; who declines may do so from everywhere and come back.
_RANKS = {"planned": 0, "declined": 1, "reached": 1, "responded": 2, "attended": 2}
_RESPONSES = ("responded", "attended")


@presents(CAMPAIGNS)
def present(context: Context, campaign: Record) -> Mapping[str, Any]:
    """Count the members."""
    return {"member_count": len(context.records.find(MEMBERS, campaign_id=campaign.id))}


@sees(MEMBERS)
def see(context: Context, member: Record) -> bool:
    """Show a membership to those who may see the lead."""
    lead = context.records.peek(LEADS, member.doc["lead_id"])
    return lead is not None and context.records.visible(lead)


def _demand_open(campaign: Record) -> None:
    if campaign.doc["status"] in ("completed", "cancelled"):
        raise Problem("campaign_over", f"{campaign.doc['name']} is {campaign.doc['status']}.")


@handles("addCampaignMembers")
def add(call: Call) -> Reply:
    """Let leads join a campaign; who takes part already is passed over."""
    campaign, status = call.found, call.body.get("status", "planned")
    for index, id in enumerate(call.body["lead_ids"]):
        lead = call.records.peek(LEADS, id)
        if lead is None or not call.records.visible(lead):
            raise invalid(f"#/lead_ids/{index}", "invalid_reference", "There is no lead with this ID.")
    _demand_open(campaign)
    present = {m.doc["lead_id"] for m in call.records.find(MEMBERS, campaign_id=campaign.id)}
    added = []
    for id in call.body["lead_ids"]:
        if id not in present:
            doc = {"campaign_id": campaign.id, "lead_id": id, "status": status, **_reached(call.now, status, {})}
            added.append(call.records.create(MEMBERS, doc, event="crm.campaign_member.added.v1"))
    ids = [member.id for member in added]
    return Reply(200, {"added_count": len(ids), "present_count": len(call.body["lead_ids"]) - len(ids), "member_ids": ids})


def _reached(now: str, status: str, member: Mapping[str, Any]) -> dict[str, str]:
    """Return the times that follow from a status: of the first touch and of the first response."""
    times = {}
    if status != "planned" and "touched_at" not in member:
        times["touched_at"] = now
    if status in _RESPONSES and "responded_at" not in member:
        times["responded_at"] = now
    return times


@handles("updateCampaignMember")
def change(call: Call) -> Reply:
    """Set how far a member has come, or its note."""
    member, status = call.found, call.body.get("status", call.found.doc["status"])
    _demand_open(call.parents["campaign_id"])
    if _RANKS[status] < _RANKS[member.doc["status"]] and status != "declined":
        raise Problem("campaign_member_way_back", f"A member that is {member.doc['status']} can't be {status} again.")
    times = _reached(call.now, status, member.doc)
    event = "responded" if "responded_at" in times else "updated"
    if event == "updated":
        return single.shown(call, call.records.change(member, {**call.body, **times}, event="crm.campaign_member.updated.v1"))
    changed = call.records.change(member, {**call.body, **times})
    call.emit("crm.campaign_member.responded.v1", changed.id, {"record": call.records.public(changed)})
    return single.shown(call, changed)


@handles("getCampaignFigures")
def figures(call: Call) -> Reply:
    """Count a campaign's members, and what became of the leads."""
    campaign = call.found
    members = [m for m in call.records.find(MEMBERS, campaign_id=campaign.id) if see(call, m)]
    leads = [lead for m in members if (lead := call.records.peek(LEADS, m.doc["lead_id"])) is not None]
    reached = sum(1 for m in members if "touched_at" in m.doc)
    responded = sum(1 for m in members if "responded_at" in m.doc)
    found: dict[str, Any] = {
        "campaign_id": campaign.id,
        "member_count": len(members),
        "reached_count": reached,
        "responded_count": responded,
        "declined_count": sum(1 for m in members if m.doc["status"] == "declined"),
        "qualified_count": sum(1 for lead in leads if lead.doc["status"] in ("qualified", "converted")),
        "converted_count": sum(1 for lead in leads if lead.doc["status"] == "converted"),
        "measured_at": call.now,
    }
    if reached:
        found["response_percent"] = (200 * responded + reached) // (2 * reached)
    if responded and "actual_cost" in campaign.doc:
        cost = campaign.doc["actual_cost"]
        each = (Decimal(cost["amount"]) / responded).quantize(Decimal("0.01"), ROUND_HALF_UP)
        found["cost_per_response"] = {"amount": str(each), "currency": cost["currency"]}
    return Reply(200, found)
