"""What a tenant uses of its plan, as every service tells it: counts beside what the plan includes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.registry import handles

#: Name of an item, how much of it is used, and how much the plan includes.
Item = tuple[str, int, int]


def offer_usage(operation: str, counted: Callable[[Call], Iterable[Item]], /) -> None:
    """Register the operation that counts the records of the whole tenant.

    :param counted: Returns the items, in the order in which they are shown.
    """

    def usage(call: Call) -> Reply:
        items = [{"name": name, "used": used, "limit": limit} for name, used, limit in counted(call)]
        return Reply(200, {"measured_at": call.now, "items": items})

    handles(operation)(usage)


def in_bin(call: Call, collection: str, /) -> int:
    """Count the deleted records that can be restored; those that were merged away don't count."""
    oldest = days_later(call.now, -call.resource(collection).restore_days)
    where = "deleted_at > ? and doc->>'$._merged_into' is null"
    return len(call.world.store.select(call.tenant, collection, where, (oldest,), deleted=True))


def open_jobs(call: Call, collection: str, /) -> int:
    """Count the jobs that are queued or running."""
    return call.world.store.count(call.tenant, collection, "doc->>'$.status' in ('queued', 'running')")
