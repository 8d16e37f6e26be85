"""Who is on a list: members put there by hand, or computed from criteria."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_reference.emulator.behaviours import listing
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.problems import as_problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.contacts.segments import matched_group
from crm_reference.emulator.services.contacts.selecting import CONTACTS, LISTS, among, on_list, own_ones, seen_contact, summary
from crm_reference.emulator.store import Record

ADDED, REMOVED = "crm.contact_list.members_added.v1", "crm.contact_list.members_removed.v1"
#: How many contacts an event names at most.
_EVENT_SIZE = 100


def count_members(context: Context, contact_list: Record, /) -> int:
    """Return how many contacts are on a list that exist, are not deleted, and that the caller may see."""
    condition = own_ones(context).and_(on_list(context, contact_list))
    return context.world.store.count(context.tenant, CONTACTS, condition.sql, condition.arguments)


def add_members(context: Context, contact_list: Record, ids: Sequence[str], /) -> list[str]:
    """Put contacts on a static list, and tell of those that are new there.

    :return: The new ones.
    """
    known = contact_list.doc.get("_members", {})
    new = [id for id in dict.fromkeys(ids) if id not in known]
    if new:
        mark = {"added_at": context.now, "added_by": context.identity.actor}
        changed = context.records.change(contact_list, {"_members": dict.fromkeys(new, mark)})
        _tell(context, ADDED, changed, new)
    return new


def _tell(context: Context, event: str, contact_list: Record, ids: Sequence[str]) -> None:
    for place in range(0, len(ids), _EVENT_SIZE):
        data = {
            "list_id": contact_list.id,
            "contact_ids": list(ids[place : place + _EVENT_SIZE]),
            "member_count": count_members(context, contact_list),
        }
        context.emit(event, contact_list.id, data)


def refuse_dynamic(contact_list: Record, /) -> None:
    """Refuse to put people on a dynamic list by hand.

    :raises Problem: ``list_is_dynamic``.
    """
    if contact_list.doc["kind"] == "dynamic":
        raise Problem("list_is_dynamic", f"{contact_list.doc['name']} takes its members from its criteria.")


@handles("addContactListMembers")
def add(call: Call) -> Reply:
    """Put up to a hundred contacts on a static list."""
    contact_list, known = call.found, call.found.doc.get("_members", {})
    refuse_dynamic(contact_list)
    statuses = [(200 if id in known else 201) if seen_contact(call, id) else 404 for id in call.body["contact_ids"]]
    asked = zip(call.body["contact_ids"], statuses, strict=True)
    add_members(call, contact_list, [id for id, status in asked if status == 201])
    return _outcomes(call, statuses)


@handles("removeContactListMembers")
def remove(call: Call) -> Reply:
    """Take up to a hundred contacts off a static list."""
    contact_list, known = call.found, call.found.doc.get("_members", {})
    refuse_dynamic(contact_list)
    statuses = [204 if id in known and seen_contact(call, id) else 404 for id in call.body["contact_ids"]]
    gone = [id for id, status in zip(call.body["contact_ids"], statuses, strict=True) if status == 204]
    if gone:
        _tell(call, REMOVED, call.records.change(contact_list, {"_members": dict.fromkeys(gone)}), gone)
    return _outcomes(call, statuses)


def _outcomes(call: Call, statuses: Sequence[int]) -> Reply:
    results: list[dict[str, Any]] = []
    for index, (id, status) in enumerate(zip(call.body["contact_ids"], statuses, strict=True)):
        result: dict[str, Any] = {"index": index, "contact_id": id, "status": status}
        if status == 404:
            problem = Problem("not_found", f"{id} is no contact, or not on this list.")
            result["problem"] = as_problem(call.world.contract, problem, call.new_id("req"))
        results.append(result)
    failed = sum(1 for status in statuses if status == 404)
    present = call.records.peek(LISTS, call.found.id) or call.found
    count = count_members(call, present)
    body = {"results": results, "succeeded_count": len(results) - failed, "failed_count": failed, "member_count": count}
    return Reply(207, body)


@handles("listContactListMembers")
def list_members(call: Call) -> Reply:
    """Return who is on a list, by contact ID, and why."""
    contact_list = call.found

    def show(contact: Record) -> dict[str, Any]:
        return {"contact": summary(contact), **_why(contact_list, contact)}

    return listing.paged(
        call,
        own_ones(call).and_(on_list(call, contact_list)),
        fields=call.records.fields(CONTACTS),
        select=lambda where, arguments, order, limit: call.world.store.select(
            call.tenant, CONTACTS, where, arguments, order=order, limit=limit
        ),
        show=show,
    )


def _why(contact_list: Record, contact: Record) -> dict[str, Any]:
    if contact_list.doc["kind"] == "dynamic":
        return {"reason": "criteria"}
    return {"reason": "added", **contact_list.doc.get("_members", {}).get(contact.id, {})}


@handles("getContactListMembership")
def read_membership(call: Call) -> Reply:
    """Tell whether one contact is on a list, and why."""
    contact_list, contact = call.parents["list_id"], call.records.get(CONTACTS, call.path["contact_id"])
    body: dict[str, Any] = {"list_id": contact_list.id, "contact_id": contact.id}
    condition = among([contact.id]).and_(on_list(call, contact_list))
    body["is_member"] = bool(call.world.store.count(call.tenant, CONTACTS, condition.sql, condition.arguments))
    if body["is_member"]:
        body |= _why(contact_list, contact)
        if contact_list.doc["kind"] == "dynamic":
            body["matched_group"] = matched_group(contact.doc, contact_list.doc["criteria"])
    return Reply(200, body)


def lists_of(context: Context, contact: Record, /) -> list[Record]:
    """Return the living lists that a contact is on and that the caller may see, by name."""
    found = []
    for contact_list in context.records.find(LISTS):
        if context.records.visible(contact_list):
            condition = among([contact.id]).and_(on_list(context, contact_list))
            if context.world.store.count(context.tenant, CONTACTS, condition.sql, condition.arguments):
                found.append(contact_list)
    return sorted(found, key=lambda r: (r.doc["name"].casefold(), r.id))


@handles("listListsOfContact")
def list_lists_of_contact(call: Call) -> Reply:
    """Return the lists that a person is on."""
    return listing.paged_items(call, [call.records.shown(r) for r in lists_of(call, call.found)])
