"""What the tenant uses of its plan."""

from __future__ import annotations

from crm_reference.emulator.call import Call
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS, JOBS
from crm_reference.emulator.services.accounts.tree import MAX_DEPTH
from crm_reference.emulator.usage import Item, in_bin, offer_usage, open_jobs


def _shape(parents: dict[str, str | None]) -> tuple[int, int]:
    """Return the lowest level and the size of the largest tree."""
    lowest, sizes = 0, dict.fromkeys(parents, 0)
    for id in parents:
        depth, top, met = 1, id, {id}
        while (above := parents.get(top)) is not None and above in parents and above not in met:
            met.add(above)
            top, depth = above, depth + 1
        lowest = max(lowest, depth)
        sizes[top] += 1
    return lowest, max(sizes.values(), default=0)


def _counted(call: Call) -> tuple[Item, ...]:
    store, tenant = call.world.store, call.tenant
    lowest, largest = _shape({r.id: r.doc.get("parent_id") for r in store.select(tenant, ACCOUNTS)})
    active = {m.id for m in call.records.find("territory-models", status="active")}
    territories = [t for t in store.select(tenant, "territories") if t.doc.get("model_id") in active]
    return (
        ("accounts", store.count(tenant, ACCOUNTS), 500_000),
        ("deleted_accounts", in_bin(call, ACCOUNTS), 500_000),
        ("deepest_level", lowest, MAX_DEPTH),
        ("largest_tree", largest, 10_000),
        ("account_relationships", store.count(tenant, "account-relationships"), 2_000_000),
        ("account_team_members", store.count(tenant, "account-teams"), 2_000_000),
        ("territories", len(territories), 2000),
        ("running_jobs", open_jobs(call, JOBS.name), 20),
    )


offer_usage("getAccountUsage", _counted)
