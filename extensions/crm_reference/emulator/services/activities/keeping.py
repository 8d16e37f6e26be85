"""What the tenant uses of its plan, and snapshots of all its activity data."""

from __future__ import annotations

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.activities.common import DEPENDENCIES, JOBS, QUEUES, RECURRENCES, REMINDERS, TASKS
from crm_reference.emulator.snapshots import Snapshots

_OPEN_JOBS = "doc->>'$.status' in ('queued', 'running')"
_OPEN_TASKS = "doc->>'$.status' not in ('completed', 'cancelled')"


@handles("getActivityUsage")
def usage(call: Call) -> Reply:
    """Count the records of the whole tenant beside what the plan includes."""
    store, tenant = call.world.store, call.tenant
    oldest = days_later(call.now, -call.resource(TASKS).restore_days)
    counted = (
        ("tasks", store.count(tenant, TASKS), 1_000_000),
        ("deleted_tasks", len(store.select(tenant, TASKS, "deleted_at > ?", (oldest,), deleted=True)), 1_000_000),
        ("open_tasks", store.count(tenant, TASKS, _OPEN_TASKS), 1_000_000),
        ("active_recurrences", len(call.records.find(RECURRENCES, status="active")), 10_000),
        ("task_queues", store.count(tenant, QUEUES), 200),
        ("running_jobs", store.count(tenant, JOBS.name, _OPEN_JOBS), 20),
    )
    items = [{"name": name, "used": used, "limit": limit} for name, used, limit in counted]
    return Reply(200, {"measured_at": call.now, "items": items})


#: In the order in which they come back: what others refer to first.
_RECORDS = ("notes", "activity-communications", "activity-events", "timeline-entries")
_HOLDS = (QUEUES, RECURRENCES, TASKS, DEPENDENCIES, REMINDERS, *_RECORDS)

SNAPSHOTS = Snapshots(JOBS, "activity-snapshots", _HOLDS, "crm.activity_snapshot.restored.v1")
SNAPSHOTS.offer("startActivitySnapshot", "restoreActivitySnapshot")
