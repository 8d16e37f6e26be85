"""What security keeps of people from the events of users: who is active, and what is assigned to whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.access import ASSIGNMENTS, GROUPS, TEAMS, USERS
from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import hears
from crm_reference.emulator.store import Record

Event = Mapping[str, Any]


@hears("crm.user.deactivated.v1")
def user_deactivated(context: Context, event: Event) -> None:
    """Deny every access of the user from now on."""
    _note_user(context, event["data"]["record"]["id"], is_active=False)


@hears("crm.user.reactivated.v1")
def user_reactivated(context: Context, event: Event) -> None:
    """Let the roles of the user count again."""
    _note_user(context, event["data"]["record"]["id"], is_active=True)


@hears("crm.user.deleted.v1")
def user_deleted(context: Context, event: Event) -> None:
    """Deny every access of a user who was moved to the recycle bin."""
    _note_user(context, event["data"]["record"]["id"], is_active=False)


def _note_user(context: Context, user: str, *, is_active: bool) -> None:
    known = context.world.store.get(context.tenant, USERS, user)
    if known is not None and known.doc.get("is_active") is not is_active:
        doc = {**known.doc, "is_active": is_active}
        context.world.store.put(context.tenant, Record(USERS, user, known.version, doc))


@hears("crm.user.created.v1")
@hears("crm.user.updated.v1")
def user_changed(context: Context, event: Event) -> None:
    """Know a user, and the user's manager, department and whatever else levels and policies look at."""
    told = dict(event["data"]["record"])
    known = context.world.store.get(context.tenant, USERS, told["id"])
    doc = {**(known.doc if known is not None else {}), **told}
    if known is None or known.doc != doc:
        context.world.store.put(context.tenant, Record(USERS, told["id"], known.version if known is not None else 1, doc))


@hears("crm.role_assignment.created.v1")
def assigned(context: Context, event: Event) -> None:
    """Keep an assignment, unless it is there."""
    record = dict(event["data"]["record"])
    if context.world.store.get(context.tenant, ASSIGNMENTS, record["id"]) is None:
        context.world.store.put(context.tenant, Record(ASSIGNMENTS, record["id"], 1, record))


@hears("crm.role_assignment.updated.v1")
def reassigned(context: Context, event: Event) -> None:
    """Let an assignment end when it ends now."""
    told = event["data"]["record"]
    known = context.world.store.get(context.tenant, ASSIGNMENTS, told["id"])
    if known is None or known.doc.get("expires_at") == told.get("expires_at"):
        return
    doc = {k: v for k, v in known.doc.items() if k != "expires_at"}
    doc |= {k: told[k] for k in ("expires_at", "reason") if k in told}
    context.world.store.put(context.tenant, Record(ASSIGNMENTS, known.id, known.version, doc))


@hears("crm.role_assignment.deleted.v1")
def unassigned(context: Context, event: Event) -> None:
    """Forget an assignment."""
    context.world.store.remove(context.tenant, ASSIGNMENTS, event["data"]["record"]["id"])


@hears("crm.team_member.added.v1")
def joined(context: Context, event: Event) -> None:
    """Count a user in a team."""
    _note_member(context, event["data"], is_member=True)


@hears("crm.team_member.removed.v1")
def left(context: Context, event: Event) -> None:
    """Count a user in a team no longer."""
    _note_member(context, event["data"], is_member=False)


def _note_member(context: Context, data: Event, *, is_member: bool) -> None:
    said = data.get("member") or data.get("record") or data
    team_id, user = data.get("team_id") or said.get("team_id"), data.get("user_id") or said.get("user_id")
    team = context.world.store.get(context.tenant, TEAMS, team_id) if team_id else None
    if team is None or not user or (user in team.doc.get("_members", {})) is is_member:
        return
    members = {k: v for k, v in team.doc.get("_members", {}).items() if k != user}
    if is_member:
        members[user] = {"role": "member"}
    context.world.store.put(context.tenant, Record(TEAMS, team.id, team.version, {**team.doc, "_members": members}))


@hears("crm.team.deleted.v1")
def team_deleted(context: Context, event: Event) -> None:
    """Let nothing reach anybody by the team any more."""
    _bin(context, TEAMS, event["data"]["record"]["id"])


@hears("crm.group.deleted.v1")
def group_deleted(context: Context, event: Event) -> None:
    """Let nothing reach anybody by the group any more."""
    _bin(context, GROUPS, event["data"]["record"]["id"])


def _bin(context: Context, collection: str, id: str) -> None:
    known = context.world.store.get(context.tenant, collection, id)
    if known is not None:
        context.world.store.put(context.tenant, Record(collection, id, known.version, known.doc, deleted_at=context.now))


@hears("crm.group_member.added.v1")
def grouped(context: Context, event: Event) -> None:
    """Count users and groups in a group."""
    _note_group(context, event["data"], is_member=True)


@hears("crm.group_member.removed.v1")
def ungrouped(context: Context, event: Event) -> None:
    """Count users and groups in a group no longer."""
    _note_group(context, event["data"], is_member=False)


def _note_group(context: Context, data: Event, *, is_member: bool) -> None:
    group = context.world.store.get(context.tenant, GROUPS, data["group_id"])
    if group is None:
        return
    present = group.doc.get("_members", {})
    members = {k: v for k, v in present.items() if is_member or k not in data["member_ids"]}
    if is_member:
        members |= {id: {} for id in data["member_ids"] if id not in present}
    if members != present:
        context.world.store.put(context.tenant, Record(GROUPS, group.id, group.version, {**group.doc, "_members": members}))
