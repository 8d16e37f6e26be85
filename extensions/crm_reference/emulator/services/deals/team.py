"""Teams of deals: who works on one beside its owner, and what that opens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from crm_reference.emulator import access
from crm_reference.emulator.call import Call, Context
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import enforces, enters, opens
from crm_reference.emulator.services.deals.credit import USERS

MEMBERS = "deal-team-members"


@opens("deals")
def open_deals(context: Context, user: str, action: str) -> Condition:
    """Open the deals of which a user is a team member; changing them takes the access write."""
    found = context.records.find(MEMBERS, user_id=user)
    deals = sorted({m.doc["deal_id"] for m in found if action == "read" or m.doc["access"] == "write"})
    return Condition("id in (select value from json_each(?))", [orjson.dumps(deals).decode()])


@enforces("team_member_active")
def team_member_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Look whether the colleague's account is active."""
    user = context.records.peek(USERS, new["user_id"])
    return "" if user is None or user.doc.get("is_active", True) else "The user's account is not active."


def demand_deal(call: Call) -> None:
    """Demand the right to change the deal from whoever changes what hangs on it."""
    deal = call.parents.get("deal_id")
    if deal is not None and call.operation.method != "GET":
        access.demand(call, deal, "write")


for _collection in (MEMBERS, "deal-buying-roles", "deal-rivals", "deal-splits"):
    enters(_collection)(demand_deal)
