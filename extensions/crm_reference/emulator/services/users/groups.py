"""Groups: their members, nested ones resolved, and what ends when a group is deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.languages import language_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.problems import as_problem
from crm_reference.emulator.registry import derives, handles, presents
from crm_reference.emulator.services.users import rights
from crm_reference.emulator.services.users.rights import ASSIGNMENTS, GROUPS, USERS, members, summary
from crm_reference.emulator.store import Record

ADDED, REMOVED = "crm.group_member.added.v1", "crm.group_member.removed.v1"
#: How many members an event names at most.
_EVENT_SIZE = 100


@derives(GROUPS)
def derive(context: Context | None, group: Mapping[str, Any]) -> Mapping[str, Any]:
    """Say who keeps a group: people, unless a directory made it."""
    return {"source": group.get("source", "manual")}


@presents(GROUPS)
def present(context: Context, group: Record) -> Mapping[str, Any]:
    """Count direct members, and the people whom the group reaches, whenever it is read."""
    return {"member_count": len(_there(context, group)), "user_count": len(rights.reached(context, group))}


def _there(context: Context, group: Record) -> dict[str, Mapping[str, Any]]:
    """Return the direct members that exist, by ID in order."""
    return {id: mark for id, mark in sorted(members(group).items()) if _principal(context, id) is not None}


def _principal(context: Context, id: str) -> Record | None:
    """Return a user or a living group."""
    return context.records.peek(USERS if id.startswith("usr_") else GROUPS, id)


def name_of(principal: Record, /) -> str:
    """Return what people call a user or a group."""
    name: str = principal.doc.get("full_name") or principal.doc.get("name") or principal.id
    return name


# -- the group itself ------------------------------------------------------------------------------------------------


@handles("updateGroup")
def update(call: Call) -> Reply:
    """Change a group; the name of one that a directory keeps stays."""
    if call.found.doc["source"] == "scim":
        raise provisioned(call.found)
    return single.update(call)


def provisioned(group: Record, /) -> Problem:
    """Return the problem that a directory keeps a group."""
    return Problem("group_is_provisioned", f"{group.doc['name']} follows a directory. Change it there.")


@handles("deleteGroup")
def delete(call: Call) -> Reply:
    """Move a group to the recycle bin, with what it gave its members."""
    check_grants(call, call.found)
    remove_group(call, call.found)
    return Reply(204)


def remove_group(context: Context, group: Record, /) -> None:
    """Revoke a group's assignments, take it out of other groups, and delete it.

    :raises Problem: ``last_administrator``.
    """
    held = context.records.find(ASSIGNMENTS, principal_id=group.id)
    if rights.administrators(context) and not rights.administrators(context, without=[a.id for a in held]):
        raise rights.no_administrator_left()
    for assignment in held:
        context.records.delete(assignment, event="crm.role_assignment.deleted.v1")
    for outer in rights.all_groups(context):
        if group.id in members(outer):
            take_out(context, outer, [group.id])
    context.records.delete(group, event="crm.group.deleted.v1")


# -- members ---------------------------------------------------------------------------------------------------------


def put_in(context: Context, group: Record, ids: Sequence[str], /) -> Record:
    """Put users and groups into a group, and tell of those that are new there.

    :return: The group as it is now.
    """
    new = [id for id in dict.fromkeys(ids) if id not in members(group)]
    if not new:
        return group
    mark = {"added_at": context.now, "added_by": context.identity.actor}
    changed = context.records.change(group, {"_members": dict.fromkeys(new, mark)})
    _tell(context, ADDED, changed, new)
    return changed


def take_out(context: Context, group: Record, ids: Sequence[str], /) -> Record:
    """Take users and groups out of a group, and tell of those that were in it.

    :return: The group as it is now.
    """
    gone = [id for id in dict.fromkeys(ids) if id in members(group)]
    if not gone:
        return group
    changed = context.records.change(group, {"_members": dict.fromkeys(gone)})
    _tell(context, REMOVED, changed, gone)
    return changed


def _tell(context: Context, event: str, group: Record, ids: Sequence[str]) -> None:
    for place in range(0, len(ids), _EVENT_SIZE):
        part = list(ids[place : place + _EVENT_SIZE])
        context.emit(event, group.id, {"group_id": group.id, "member_ids": part, "member_count": len(members(group))})


def check_circle(context: Context, group: Record, id: str, /) -> None:
    """Refuse a group that would contain itself, or stand too deep.

    :raises Problem: ``group_cycle``.
    """
    if not id.startswith("grp_"):
        return
    outer, inner = rights.ways_to(context, group.id), context.records.peek(GROUPS, id)
    if id == group.id or id in outer:
        raise Problem("group_cycle", f"{group.doc['name']} is in that group already, directly or over others.")
    above = max((len(path) + 1 for _, path in outer.values()), default=0)
    below = _depth(context, inner) if inner else 0
    if above + below + 2 > rights.MAX_DEPTH:
        raise Problem("group_cycle", f"More than {rights.MAX_DEPTH} groups would stand in each other.")


def _depth(context: Context, group: Record) -> int:
    inner = [context.records.peek(GROUPS, id) for id in members(group) if id.startswith("grp_")]
    return max((_depth(context, g) + 1 for g in inner if g is not None), default=0)


def check_grants(context: Context, group: Record, /) -> None:
    """Refuse that somebody changes who has the roles of a group that stand above the own.

    :raises Problem: ``role_above_own``.
    """
    reach = {group.id, *rights.ways_to(context, group.id)}
    for id in reach:
        for assignment in context.records.find(ASSIGNMENTS, principal_id=id):
            given = rights.given_by(context, assignment.doc)
            if given is not None and not rights.may_give(context, given):
                detail = f"The group gives {given.doc['name']}, which you can't give yourself."
                raise Problem("role_above_own", detail)


@handles("addGroupMembers")
def add(call: Call) -> Reply:
    """Put up to a hundred users and groups into a group, one after another."""
    if call.found.doc["source"] == "scim":
        raise provisioned(call.found)
    check_grants(call, call.found)

    def one(group: Record, id: str) -> tuple[int, Record]:
        if _principal(call, id) is None:
            raise Problem("not_found", f"{id} is no user and no group.")
        if id in members(group):
            return 200, group
        check_circle(call, group, id)
        return 201, put_in(call, group, [id])

    return _outcomes(call, one)


@handles("removeGroupMembers")
def remove(call: Call) -> Reply:
    """Take up to a hundred direct members out of a group."""
    if call.found.doc["source"] == "scim":
        raise provisioned(call.found)
    check_grants(call, call.found)
    before = rights.administrators(call)

    def one(group: Record, id: str) -> tuple[int, Record]:
        if id not in members(group):
            raise Problem("not_found", f"{id} is not in this group.")
        return 204, take_out(call, group, [id])

    reply = _outcomes(call, one)
    if before and not rights.administrators(call):
        raise rights.no_administrator_left()
    return reply


def _outcomes(call: Call, one: Callable[[Record, str], tuple[int, Record]]) -> Reply:
    group, failed = call.found, 0
    results: list[dict[str, Any]] = []
    for index, id in enumerate(call.body["member_ids"]):
        result: dict[str, Any] = {"index": index, "member_id": id}
        try:
            result["status"], group = one(group, id)
        except Problem as problem:
            body = as_problem(call.world.contract, problem, call.new_id("req"), language=language_of(call.request))
            result |= {"status": body["status"], "problem": body}
            failed += 1
        results.append(result)
    counts = {"succeeded_count": len(results) - failed, "failed_count": failed, "member_count": len(_there(call, group))}
    return Reply(207, {"results": results, **counts})


@handles("listGroupMembers")
def list_members(call: Call) -> Reply:
    """Return who is in a group, by ID; resolved to people where that is asked for."""
    group, wanted = call.found, call.query.get("member_type")
    found: list[dict[str, Any]] = []
    if call.query.get("is_nested"):
        paths = rights.reached(call, group)
        found = [_member(call, group, id, paths[id]) for id in paths]
    else:
        found = [_member(call, group, id, ()) for id in _there(call, group)]
    return listing.paged_items(call, [m for m in found if wanted in (None, m["member_type"])])


def _member(context: Context, group: Record, id: str, path: rights.Path) -> dict[str, Any]:
    principal = _principal(context, id)
    kind = "user" if id.startswith("usr_") else "group"
    entry: dict[str, Any] = {"member_id": id, "member_type": kind, "name": name_of(principal) if principal else id}
    entry["is_direct"] = not path
    return entry | ({"path": [summary(g) for g in path]} if path else dict(members(group)[id]))


@handles("getGroupMembership")
def read_membership(call: Call) -> Reply:
    """Tell whether a user or a group is in a group, and by which way."""
    group, id = call.parents["group_id"], call.path["member_id"]
    if _principal(call, id) is None:
        raise Problem("not_found", f"No user and no group has the ID {id}.")
    body: dict[str, Any] = {"group_id": group.id, "member_id": id, "is_member": False}
    way = rights.ways_to(call, id).get(group.id)
    if way is not None:
        body |= {"is_member": True, "is_direct": not way[1]}
        if way[1]:
            body["path"] = [summary(g) for g in way[1]]
    return Reply(200, body)


@handles("listUserGroups")
def list_of_user(call: Call) -> Reply:
    """Return the groups of a user by name, with the way to each."""
    found = []
    ways = rights.ways_to(call, call.records.get(USERS, call.path["user_id"]).id)
    for group, path in sorted(ways.values(), key=lambda way: (way[0].doc["name"].casefold(), way[0].id)):
        entry: dict[str, Any] = {"group": summary(group), "is_direct": not path}
        found.append(entry | ({"path": [summary(g) for g in path]} if path else {}))
    return listing.paged_items(call, found)
