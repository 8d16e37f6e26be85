"""What the modules of leads share: refusals at a place of the body, selections, owners, summaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from crm_reference.emulator import access, owners
from crm_reference.emulator.behaviours.listing import criteria
from crm_reference.emulator.call import Context
from crm_reference.emulator.job_collections import JobCollection
from crm_reference.emulator.query import Condition
from crm_reference.emulator.refusals import invalid, refused
from crm_reference.emulator.store import Record

LEADS = "leads"
JOBS = JobCollection("leads", "lead-jobs", "crm.lead_job.finished.v1")
CREATED, UPDATED, DELETED = "crm.lead.created.v1", "crm.lead.updated.v1", "crm.lead.deleted.v1"
OWNER_CHANGED = "crm.lead.owner_changed.v1"
#: States of leads whom nobody has given up or won: a person who comes again is one of these.
OPEN_STATUSES = ("new", "working", "nurturing", "qualified")
__all__ = [
    "CREATED",
    "DELETED",
    "JOBS",
    "LEADS",
    "OPEN_STATUSES",
    "OWNER_CHANGED",
    "UPDATED",
    "among",
    "check_owner",
    "hand_over",
    "invalid",
    "refused",
    "selected",
]


def check_owner(context: Context, user: str, pointer: str, /) -> None:
    """Refuse a user who can't become an owner.

    :raises Problem: ``invalid_reference`` or ``lead_owner_inactive``.
    """
    if context.records.peek("users", user) is None:
        raise invalid(pointer, "invalid_reference", "There is no user with this ID.")
    if not owners.is_active(context, user):
        raise refused("lead_owner_inactive", f"{user} was deactivated. Choose an active user.", pointer)


def hand_over(context: Context, lead: Record, owner: str, /, *, action: str = "owner_changed", **told: str | None) -> Record:
    """Set another owner and tell of it; the present owner changes nothing.

    :param action: What the history calls it.
    :param told: ``reason`` and ``job_id`` of the event, as far as they are set.
    """
    before = lead.doc.get("owner_id")
    if before == owner:
        return lead
    changed = context.records.change(lead, {"owner_id": owner}, action=action)
    data = {"record": context.records.public(changed), "previous_owner_id": before}
    context.emit(OWNER_CHANGED, lead.id, data | {k: v for k, v in told.items() if v})
    return changed


def among(ids: Iterable[str], /) -> Condition:
    """Return the condition of the records with these IDs, however many they are."""
    return Condition("id in (select value from json_each(?))", [orjson.dumps(list(ids)).decode()])


def selected(context: Context, selection: Mapping[str, Any], /, also: Condition | None = None, order: str = "id") -> list[str]:
    """Return the IDs of the living leads that a selection matches and that the caller may see.

    :param also: A further condition.
    :param order: Their order as :meth:`Fields.order` makes it.
    :raises Problem: ``validation_failed`` with pointers below ``#/selection``.
    """
    condition = access.condition(context, context.resource(LEADS)).and_(also or Condition())
    condition = condition.and_(criteria(context.records.fields(LEADS), selection, "#/selection/filter_groups"))
    if "lead_ids" in selection:
        condition = condition.and_(among(selection["lead_ids"]))
    found = context.world.store.select(context.tenant, LEADS, condition.sql, condition.arguments, order=order)
    return [record.id for record in found]
