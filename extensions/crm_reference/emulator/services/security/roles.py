"""What is done with roles as a whole: their hierarchy, copies, comparisons and previews."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator import field_access
from crm_reference.emulator.access import ROLES, people
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.records import merge_patch
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.security import fields
from crm_reference.emulator.services.security.definitions import scopes_of, summary
from crm_reference.emulator.store import Record

CREATED = "crm.role.created.v1"
_SAMPLE = 20

Doc = Mapping[str, Any]


@handles("createRole")
def create(call: Call) -> Reply:
    """Create a role of the tenant's own, and tell of the fields that the defaults keep from it."""
    return _created(call, call.records.create(ROLES, {**call.body, "is_system": False}, event=CREATED))


def _created(call: Call, role: Record) -> Reply:
    fields.tell_of_role(call, role)
    return single.shown(call, role, 201, Location=f"/v1/roles/{role.id}")


@handles("cloneRole")
def clone(call: Call) -> Reply:
    """Copy scopes, access to records, parent and field rights of a role under another key and name."""
    origin = call.found.doc
    body: dict[str, Any] = {n: origin[n] for n in ("description", "parent_role_id", "record_access") if n in origin}
    body |= {"scopes": scopes_of(call, origin), "is_system": False, **call.body}
    role = call.records.create(ROLES, body, event=CREATED)
    fields.copy_grants(call, origin["id"], role.id)
    return _created(call, role)


@handles("deleteRole")
def delete(call: Call) -> Reply:
    """Delete a role; field security forgets it."""
    call.records.delete(call.found, event="crm.role.deleted.v1")
    fields.forget_role(call, call.found.id)
    return Reply(204)


@handles("getRoleHierarchy")
def hierarchy(call: Call) -> Reply:
    """Return the roles above and below a role."""
    known = people(call)
    above = [known.roles[i] for i in known.ancestors(call.found.id)]
    body = {
        "role": summary(call.found.doc),
        "ancestors": [{"role": summary(role), "depth": n} for n, role in enumerate(above, 1)],
        "subordinates": _below(list(known.roles.values()), call.found.id),
    }
    return Reply(200, body)


def _below(roles: Sequence[Doc], top: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    frontier, depth, seen = {top}, 0, {top}
    while frontier:
        depth += 1
        level = sorted(
            (r for r in roles if r.get("parent_role_id") in frontier and r["id"] not in seen), key=lambda r: str(r["key"])
        )
        found += [{"role": summary(role), "depth": depth} for role in level]
        frontier = {str(role["id"]) for role in level}
        seen |= frontier
    return found


@handles("previewRoleChange")
def preview(call: Call) -> Reply:
    """Compare a role with itself after a change, and count who has it."""
    before = call.found.doc
    after = merge_patch(before, call.body)
    now, then = set(scopes_of(call, before)), set(after.get("scopes", ()) if "scopes" in call.body else scopes_of(call, before))
    holders = people(call).holders(call.found.id, call.now)
    body = {
        "gained_scopes": sorted(then - now),
        "lost_scopes": sorted(now - then),
        "record_access": access_changes(before, after),
        "user_count": len(holders),
        "user_ids": holders[:_SAMPLE],
    }
    return Reply(200, body)


def access_changes(left: Doc, right: Doc, /) -> list[dict[str, Any]]:
    """Return the kinds of record on which two roles differ, each with both entries as far as there are."""
    one = {entry["object_type"]: entry for entry in left.get("record_access", ())}
    other = {entry["object_type"]: entry for entry in right.get("record_access", ())}
    found = []
    for object in sorted(one.keys() | other.keys()):
        if one.get(object) != other.get(object):
            sides = {"left": one.get(object), "right": other.get(object)}
            found.append({"object_type": object} | {k: v for k, v in sides.items() if v is not None})
    return found


@handles("compareRoles")
def compare(call: Call) -> Reply:
    """Return where two roles differ in scopes, access to records, and fields."""
    left, right = (_named(call, n, id) for n, id in enumerate(call.body["role_ids"]))
    one, other = set(scopes_of(call, left)), set(scopes_of(call, right))
    body = {
        "left": summary(left),
        "right": summary(right),
        "shared_scopes": sorted(one & other),
        "left_scopes": sorted(one - other),
        "right_scopes": sorted(other - one),
        "record_access": access_changes(left, right),
        "fields": list(_field_differences(call, left, right)),
    }
    return Reply(200, body)


def _named(call: Call, index: int, id: str) -> Doc:
    role = call.records.peek(ROLES, id)
    if role is None:
        raise fields.invalid(f"#/role_ids/{index}", "invalid_reference", "There is no role with this ID.")
    return role.doc


def _field_differences(context: Context, left: Doc, right: Doc) -> Sequence[dict[str, Any]]:
    found = []
    for object in sorted({r.doc["object_type"] for r in context.records.find(field_access.DEFINITIONS)}):
        one, other = (field_access.rights(context, object, (role,), ()) for role in (left, right))
        for field in sorted(one.keys() | other.keys()):
            pair = one.get(field, "write"), other.get(field, "write")
            if pair[0] != pair[1]:
                found.append({"object_type": object, "field": field, "left": pair[0], "right": pair[1]})
    return found
