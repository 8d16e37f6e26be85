"""What the tenant uses of its plan."""

from __future__ import annotations

from crm_reference.emulator.call import Call
from crm_reference.emulator.services.contacts.jobs import JOBS
from crm_reference.emulator.services.contacts.selecting import CONTACTS, LISTS
from crm_reference.emulator.usage import Item, in_bin, offer_usage, open_jobs


def _counted(call: Call) -> tuple[Item, ...]:
    store, tenant = call.world.store, call.tenant
    return (
        ("contacts", store.count(tenant, CONTACTS), 1_000_000),
        ("deleted_contacts", in_bin(call, CONTACTS), 1_000_000),
        ("lists", store.count(tenant, LISTS), 1000),
        ("relationships", store.count(tenant, "contact-relationships"), 5_000_000),
        ("consents", store.count(tenant, "contact-consents"), 5_000_000),
        ("running_jobs", open_jobs(call, JOBS), 20),
    )


offer_usage("getContactUsage", _counted)
