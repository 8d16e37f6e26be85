"""Owners of records: whether they are active, as every service knows it from what users tells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crm_reference.emulator.refusals import invalid, refused
from crm_reference.emulator.store import Record

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

#: Users who were heard to be deactivated or active again.
COLLECTION = "owner-activity"


def is_active(context: Context, user: str, /) -> bool:
    """Tell whether a user exists and isn't deactivated."""
    store, tenant = context.world.store, context.tenant
    heard = store.remembered(COLLECTION, (tenant, user), lambda: store.get(tenant, COLLECTION, user))
    if heard is not None:
        return bool(heard.doc["is_active"])
    known = store.remembered("users", (tenant, user), lambda: store.get(tenant, "users", user))
    return known is not None and known.doc.get("is_active", True) is not False


def note(context: Context, collection: str, user: str, /, *, is_active: bool, updated: str) -> None:
    """Keep whether a user is active, and show it as ``is_owner_active`` on the records that the user owns.

    :param collection: The records; the derivation of ``is_owner_active`` there asks :func:`is_active`.
    :param updated: Event of each record that changes.
    """
    context.world.store.put(context.tenant, Record(COLLECTION, user, 1, {"id": user, "is_active": is_active}))
    for record in context.records.find(collection, owner_id=user):
        context.records.change(record, {"is_owner_active": is_active}, event=updated)


def check_owner(context: Context, user: str, pointer: str, code: str, /) -> None:
    """Refuse a user who can't become an owner.

    :param pointer: Where the user stands in the body.
    :param code: Code for a user who was deactivated: ``deal_owner_inactive``.
    :raises Problem: ``invalid_reference`` for a user who isn't there, else the code.
    """
    if context.records.peek("users", user) is None:
        raise invalid(pointer, "invalid_reference", "There is no user with this ID.")
    if not is_active(context, user):
        raise refused(code, f"{user} was deactivated. Choose an active user.", pointer)


def inactive(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None, /) -> str:
    """Tell, as a rule does, that a new record would belong to a user who was deactivated; a user who isn't there is another rule's.

    :param old: The record before the write; one that is there may keep its owner.
    """
    owner = new.get("owner_id", "")
    known = context.records.peek("users", owner)
    if context.is_upkeep or old is not None or known is None or is_active(context, owner):
        return ""
    return f"{owner} was deactivated. Choose an active user."


def hand_over(context: Context, record: Record, owner: str, event: str, /, **told: str | None) -> Record:
    """Set another owner and tell of it; the present owner changes nothing.

    :param event: ``crm.deal.owner_changed.v1``.
    :param told: ``reason`` and ``job_id`` of the event, as far as they are set.
    """
    before = record.doc.get("owner_id")
    if before == owner:
        return record
    changed = context.records.change(record, {"owner_id": owner}, action="owner_changed")
    data = {"record": context.records.public(changed), "previous_owner_id": before}
    context.emit(event, record.id, data | {k: v for k, v in told.items() if v})
    return changed
