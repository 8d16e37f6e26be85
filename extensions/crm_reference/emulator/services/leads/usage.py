"""What the tenant uses of its plan."""

from __future__ import annotations

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.leads.common import JOBS, LEADS
from crm_reference.emulator.services.leads.forms import FORMS, SUBMISSIONS


@handles("getLeadUsage")
def usage(call: Call) -> Reply:
    """Count the records of the whole tenant beside what the plan includes."""
    store, tenant = call.world.store, call.tenant
    oldest = days_later(call.now, -call.resource(LEADS).restore_days)
    counted = (
        ("leads", store.count(tenant, LEADS), 200_000),
        ("deleted_leads", len(store.select(tenant, LEADS, "deleted_at > ?", (oldest,), deleted=True)), 200_000),
        ("lead_forms", store.count(tenant, FORMS), 100),
        ("published_forms", store.count(tenant, FORMS, "doc->>'$.status' = 'published'"), 50),
        ("submissions_this_month", store.count(tenant, SUBMISSIONS, "doc->>'$.created_at' >= ?", (call.now[:8],)), 50_000),
        ("running_jobs", store.count(tenant, JOBS.name, "doc->>'$.status' in ('queued', 'running')"), 20),
    )
    items = [{"name": name, "used": used, "limit": limit} for name, used, limit in counted]
    return Reply(200, {"measured_at": call.now, "items": items})
