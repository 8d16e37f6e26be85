"""What the tenant uses of its plan."""

from __future__ import annotations

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS, JOBS
from crm_reference.emulator.services.accounts.tree import MAX_DEPTH

_OPEN_JOBS = "doc->>'$.status' in ('queued', 'running')"


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


@handles("getAccountUsage")
def usage(call: Call) -> Reply:
    """Count the records of the whole tenant beside what the plan includes."""
    store, tenant = call.world.store, call.tenant
    oldest = days_later(call.now, -call.resource(ACCOUNTS).restore_days)
    in_bin = store.select(tenant, ACCOUNTS, "deleted_at > ? and doc->>'$._merged_into' is null", (oldest,), deleted=True)
    lowest, largest = _shape({r.id: r.doc.get("parent_id") for r in store.select(tenant, ACCOUNTS)})
    active = {m.id for m in call.records.find("territory-models", status="active")}
    territories = [t for t in store.select(tenant, "territories") if t.doc.get("model_id") in active]
    counted = (
        ("accounts", store.count(tenant, ACCOUNTS), 500_000),
        ("deleted_accounts", len(in_bin), 500_000),
        ("deepest_level", lowest, MAX_DEPTH),
        ("largest_tree", largest, 10_000),
        ("account_relationships", store.count(tenant, "account-relationships"), 2_000_000),
        ("account_team_members", store.count(tenant, "account-teams"), 2_000_000),
        ("territories", len(territories), 2000),
        ("running_jobs", store.count(tenant, JOBS.name, _OPEN_JOBS), 20),
    )
    items = [{"name": name, "used": used, "limit": limit} for name, used, limit in counted]
    return Reply(200, {"measured_at": call.now, "items": items})
