"""What the tenant uses of its plan."""

from __future__ import annotations

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.deals.common import DEALS, REASONS, VIEWS
from crm_reference.emulator.services.deals.jobs import JOBS

_OPEN_JOBS = "doc->>'$.status' in ('queued', 'running')"


@handles("getDealUsage")
def usage(call: Call) -> Reply:
    """Count the records of the whole tenant beside what the plan includes."""
    store, tenant = call.world.store, call.tenant
    oldest = days_later(call.now, -call.resource(DEALS).restore_days)
    counted = (
        ("deals", store.count(tenant, DEALS), 1_000_000),
        ("deleted_deals", len(store.select(tenant, DEALS, "deleted_at > ?", (oldest,), deleted=True)), 1_000_000),
        ("close_reasons", store.count(tenant, REASONS), 200),
        ("views", store.count(tenant, VIEWS), 5000),
        ("running_jobs", store.count(tenant, JOBS.name, _OPEN_JOBS), 20),
    )
    items = [{"name": name, "used": used, "limit": limit} for name, used, limit in counted]
    return Reply(200, {"measured_at": call.now, "items": items})
