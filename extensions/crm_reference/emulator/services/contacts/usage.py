"""What the tenant uses of its plan."""

from __future__ import annotations

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.registry import handles

_OPEN_JOBS = "doc->>'$.status' in ('queued', 'running')"


@handles("getContactUsage")
def usage(call: Call) -> Reply:
    """Count the records of the whole tenant beside what the plan includes."""
    store, tenant = call.world.store, call.tenant
    oldest = days_later(call.now, -call.resource("contacts").restore_days)
    in_bin = store.select(tenant, "contacts", "deleted_at > ? and doc->>'$._merged_into' is null", (oldest,), deleted=True)
    counted = (
        ("contacts", store.count(tenant, "contacts"), 1_000_000),
        ("deleted_contacts", len(in_bin), 1_000_000),
        ("lists", store.count(tenant, "contact-lists"), 1000),
        ("relationships", store.count(tenant, "contact-relationships"), 5_000_000),
        ("consents", store.count(tenant, "contact-consents"), 5_000_000),
        ("running_jobs", store.count(tenant, "contact-jobs", _OPEN_JOBS), 20),
    )
    items = [{"name": name, "used": used, "limit": limit} for name, used, limit in counted]
    return Reply(200, {"measured_at": call.now, "items": items})
