"""What the tenant uses of its plan."""

from __future__ import annotations

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.users import rights
from crm_reference.emulator.services.users.invitations import INVITATIONS, state_of
from crm_reference.emulator.services.users.people import USERS


@handles("getUserUsage")
def usage(call: Call) -> Reply:
    """Count seats, invitations that wait, groups and teams beside what the plan includes."""
    active = [u for u in call.records.find(USERS) if u.doc["is_active"]]
    people = sum(u.doc.get("kind") != "integration" for u in active)
    waiting = sum(state_of(call, i) == "pending" for i in call.records.find(INVITATIONS, status="pending"))
    counted = (
        ("people", people, 250),
        ("integrations", len(active) - people, 25),
        ("pending_invitations", waiting, 500),
        ("groups", call.world.store.count(call.tenant, rights.GROUPS), 500),
        ("teams", call.world.store.count(call.tenant, rights.TEAMS), 200),
    )
    items = [{"name": name, "used": used, "limit": limit} for name, used, limit in counted]
    return Reply(200, {"measured_at": call.now, "items": items})
