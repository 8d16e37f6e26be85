"""What the tenant uses of its plan."""

from __future__ import annotations

from crm_reference.emulator.call import Call
from crm_reference.emulator.services.deals.common import DEALS, REASONS, VIEWS
from crm_reference.emulator.services.deals.jobs import JOBS
from crm_reference.emulator.usage import Item, in_bin, offer_usage, open_jobs


def _counted(call: Call) -> tuple[Item, ...]:
    store, tenant = call.world.store, call.tenant
    return (
        ("deals", store.count(tenant, DEALS), 1_000_000),
        ("deleted_deals", in_bin(call, DEALS), 1_000_000),
        ("close_reasons", store.count(tenant, REASONS), 200),
        ("views", store.count(tenant, VIEWS), 5000),
        ("running_jobs", open_jobs(call, JOBS.name), 20),
    )


offer_usage("getDealUsage", _counted)
