"""What the other modules share: summaries of people, who may see whom, selections, refusals at a place of the body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from crm_reference.emulator import access
from crm_reference.emulator.behaviours.listing import criteria
from crm_reference.emulator.call import Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition, Fields
from crm_reference.emulator.refusals import invalid
from crm_reference.emulator.store import Record

CONTACTS, LISTS = "contacts", "contact-lists"

_SUMMARY = ("id", "object", "full_name", "email", "phone", "job_title", "account_id")


def summary(contact: Record, /) -> dict[str, Any]:
    """Return the few fields by which people recognise a person."""
    return {name: contact.doc[name] for name in _SUMMARY if name in contact.doc}


def seen_contact(context: Context, id: str, /) -> Record | None:
    """Return a living contact that the caller may see, or ``None``."""
    contact = context.records.peek(CONTACTS, id)
    return contact if contact is not None and context.records.visible(contact) else None


def is_seen(context: Context, id: str, /) -> bool:
    """Tell whether the caller may see a contact, deleted or merged away as it may be."""
    if not own_ones(context).sql:
        return True
    contact = context.world.store.get(context.tenant, CONTACTS, id, deleted=True)
    return contact is not None and context.records.visible(contact)


def own_ones(context: Context, /) -> Condition:
    """Return the condition of the contacts that the caller may see."""
    return access.condition(context, context.resource(CONTACTS))


def among(ids: Iterable[str], /) -> Condition:
    """Return the condition of the records with these IDs, however many they are."""
    return Condition("id in (select value from json_each(?))", [orjson.dumps(list(ids)).decode()])


def matching(context: Context, body: Mapping[str, Any], pointer: str, /, fields: Fields | None = None) -> Condition:
    """Return the condition of criteria: text query and filter groups, as a search takes them.

    :param pointer: Where the criteria stand in the body, ``#/criteria``.
    :raises Problem: ``validation_failed`` where a field or an operator doesn't fit.
    """
    return criteria(fields or context.records.fields(CONTACTS), body, f"{pointer}/filter_groups")


def on_list(context: Context, contact_list: Record, /, *, fields: Fields | None = None) -> Condition:
    """Return the condition of a list's members. Criteria that have come to fit nothing, as a field went away, match nobody."""
    if contact_list.doc["kind"] == "static":
        return among(contact_list.doc.get("_members", ()))
    try:
        return matching(context, contact_list.doc["criteria"], "#/criteria", fields)
    except Problem:
        return Condition("false")


def selected(context: Context, selection: Mapping[str, Any], /, also: Condition | None = None, order: str = "id") -> list[str]:
    """Return the IDs of the living contacts that a selection matches and that the caller may see.

    :param also: A further condition.
    :param order: Their order as :meth:`Fields.order` makes it.
    :raises Problem: ``validation_failed`` with pointers below ``#/selection``.
    """
    condition = own_ones(context).and_(also or Condition()).and_(matching(context, selection, "#/selection"))
    if "list_id" in selection:
        contact_list = context.records.peek(LISTS, selection["list_id"])
        if contact_list is None or not context.records.visible(contact_list):
            raise invalid("#/selection/list_id", "invalid_reference", "There is no list with this ID.")
        condition = condition.and_(on_list(context, contact_list))
    return [r.id for r in context.world.store.select(context.tenant, CONTACTS, condition.sql, condition.arguments, order=order)]
