"""What the tenant uses of its plan in this service."""

from __future__ import annotations

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.security.emergency import ACCESSES, current

_NOT = "doc->>'$.status' <> ?"


@handles("getSecurityUsage")
def usage(call: Call) -> Reply:
    """Count the tenant's records beside what the plan includes."""
    store, tenant = call.world.store, call.tenant
    in_use = [a for a in call.records.find(ACCESSES, status="active") if current(a, call.now)[0] == "active"]
    counted = (
        ("roles", store.count(tenant, "roles"), 200),
        ("policies", store.count(tenant, "policies", _NOT, ("archived",)), 100),
        ("ip_rules", store.count(tenant, "ip-rules"), 500),
        ("encryption_keys", store.count(tenant, "encryption-keys", _NOT, ("destroyed",)), 50),
        ("open_access_reviews", len(call.records.find("access-reviews", status="open")), 20),
        ("active_break_glass", len(in_use), 10),
        ("access_decisions", store.count(tenant, "access-decisions"), 1_000_000),
    )
    return Reply(200, {"measured_at": call.now, "items": [{"name": n, "used": u, "limit": m} for n, u, m in counted]})
