"""The records that an activity is about: who sees it through them, and who may change it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.call import Call, Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record

#: Member of an activity, and the collection that it leads to.
LINKS: Mapping[str, str] = {"contact_id": "contacts", "account_id": "accounts", "deal_id": "deals", "lead_id": "leads"}


def linked(context: Context, doc: Mapping[str, Any], /) -> Iterator[Record]:
    """Yield the living records that an activity is about."""
    for name, collection in LINKS.items():
        record = context.records.peek(collection, doc[name]) if doc.get(name) else None
        if record is not None:
            yield record


def sees(context: Context, doc: Mapping[str, Any], who: str, /) -> bool:
    """Tell whether the caller may see an activity: whose it is always, others by one of its records, unless it is private.

    :param who: Member that names whose it is.
    """
    user = context.identity.user
    if context.is_upkeep or (user and doc.get(who) == user):
        return True
    return not doc.get("is_private") and any(context.records.visible(record) for record in linked(context, doc))


def demand(call: Call, who: str, /) -> None:
    """Demand that the caller may change the activity that the path names.

    :raises Problem: ``record_read_only`` where it is somebody else's and none of its records may be changed either.
    """
    if call.record is None or call.operation.method == "GET":
        return
    doc, user = call.record.doc, call.identity.user
    if call.is_upkeep or not user or doc.get(who) == user:
        return
    resources = call.world.contract.resources
    for record in linked(call, doc):
        if record.collection not in resources or access.may(call, resources[record.collection], record, "write"):
            return
    raise Problem("record_read_only", f"You may see {call.record.id} and not change it.")


def is_about_something(doc: Mapping[str, Any], /) -> bool:
    """Tell whether an activity names a record at all."""
    return any(doc.get(name) for name in LINKS)


def about(asked: Mapping[str, Any], /) -> Condition:
    """Return the condition of the activities that are about the records which a query names."""
    found = Condition()
    for name in LINKS:
        if asked.get(name):
            found = found.and_(Condition(f"{member(name)} = ?", [asked[name]]))
    return found
