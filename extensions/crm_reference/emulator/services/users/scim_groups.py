"""Groups as a directory knows them. A group that a directory writes follows it from then on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.services.users import groups, rights
from crm_reference.emulator.services.users.rights import GROUPS, USERS
from crm_reference.emulator.services.users.scim_patch import refusal
from crm_reference.emulator.services.users.scim_schemas import GROUP
from crm_reference.emulator.services.users.scim_support import base, meta, referred, ruled
from crm_reference.emulator.store import Record


def attributes_of(context: Context, group: Record, /) -> dict[str, Any]:
    """Return what a directory may change of a group."""
    found: dict[str, Any] = {"displayName": group.doc["name"]}
    if key := group.doc.get("external_ids", {}).get("scim"):
        found["externalId"] = key
    inside = [_member(context, id) for id in sorted(rights.members(group)) if _exists(context, id)]
    return found | ({"members": inside} if inside else {})


def _exists(context: Context, id: str) -> bool:
    return context.records.peek(USERS if id.startswith("usr_") else GROUPS, id) is not None


def _member(context: Context, id: str) -> dict[str, str]:
    kind = "User" if id.startswith("usr_") else "Group"
    return {"value": id, "$ref": f"{base(context)}/{kind}s/{id}", "type": kind}


def shown(context: Context, group: Record, /) -> dict[str, Any]:
    """Return a group as a SCIM resource."""
    body = {"schemas": [GROUP], "id": group.id, **attributes_of(context, group)}
    return body | {"meta": meta(context, group, "Group", "Groups")}


def create(context: Context, body: Mapping[str, Any], /) -> Record:
    """Create a group from what a directory sent, with its members.

    :raises Problem: ``scim_not_unique``; ``validation_failed`` where a member doesn't exist.
    """
    ids = _member_ids(context, body)
    doc: dict[str, Any] = {"name": body["displayName"], "source": "scim"}
    if body.get("externalId"):
        doc["external_ids"] = {"scim": body["externalId"]}
    with ruled():
        group = context.records.create(GROUPS, doc, event="crm.group.created.v1")
        return groups.put_in(context, group, ids)


def replace(context: Context, group: Record, body: Mapping[str, Any], /) -> Record:
    """Write name, key and members that a directory sent in the place of the present ones.

    :raises Problem: Also ``last_administrator``.
    """
    ids, before = _member_ids(context, body), rights.administrators(context)
    keys = {**group.doc.get("external_ids", {}), "scim": body.get("externalId")}
    doc = {**group.doc, "name": body["displayName"], "source": "scim"}
    doc["external_ids"] = {k: v for k, v in keys.items() if v is not None}
    if not doc["external_ids"]:
        del doc["external_ids"]
    with ruled():
        changed = context.records.replace(group, doc, event="crm.group.updated.v1")
        changed = groups.take_out(context, changed, [id for id in rights.members(changed) if id not in ids])
        new = [id for id in ids if id not in rights.members(changed)]
        for id in new:
            groups.check_circle(context, changed, id)
        changed = groups.put_in(context, changed, new)
    if before and not rights.administrators(context):
        raise rights.no_administrator_left()
    return changed


def _member_ids(context: Context, body: Mapping[str, Any]) -> list[str]:
    ids = []
    for member in body.get("members", ()):
        id = referred(context, member, ["Users", "Groups"])
        if not id.startswith(("usr_", "grp_")) or not _exists(context, id):
            raise refusal("validation_failed", f"The member {id[:60]} is no user and no group.", "invalidValue")
        ids.append(id)
    return list(dict.fromkeys(ids))


def remove(context: Context, group: Record, /) -> None:
    """Delete a group that the directory no longer has, with its roles.

    :raises Problem: ``last_administrator``.
    """
    groups.remove_group(context, group)


def find(context: Context, id: str, /) -> Record:
    """Return a living group.

    :raises Problem: ``not_found``.
    """
    group = context.records.peek(GROUPS, id)
    if group is None:
        raise Problem("not_found", f"No group has the id {id[:60]}.")
    return group
