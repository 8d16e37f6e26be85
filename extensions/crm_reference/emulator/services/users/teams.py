"""Teams: who works together, in which place, below which other team."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import enforces, handles, presents
from crm_reference.emulator.services.users import rights
from crm_reference.emulator.services.users.rights import TEAMS, USERS, members
from crm_reference.emulator.store import Record

ADDED, CHANGED, REMOVED = "crm.team_member.added.v1", "crm.team_member.updated.v1", "crm.team_member.removed.v1"


@presents(TEAMS)
def present(context: Context, team: Record) -> Mapping[str, Any]:
    """Count the members whenever a team is read."""
    return {"member_count": len(_there(context, team))}


def _there(context: Context, team: Record) -> list[str]:
    return [id for id in sorted(members(team)) if context.records.peek(USERS, id)]


@enforces("team_lead_active")
def team_lead_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a deactivated user as the new lead."""
    lead = new.get("lead_id")
    if not lead or (old is not None and old.get("lead_id") == lead) or context.records.peek(USERS, lead) is None:
        return ""
    return "" if rights.is_active(context, lead) else f"{lead} is deactivated and can't lead a team."


@enforces("team_no_cycle")
def team_no_cycle(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Walk from the team above upwards, and refuse to meet the team itself."""
    at, seen = new.get("parent_team_id"), set()
    while at and at not in seen:
        if at == new["id"]:
            return "The team above stands below this team, or is this team."
        seen.add(at)
        parent = context.records.peek(TEAMS, at)
        at = parent.doc.get("parent_team_id") if parent else None
    return ""


@handles("createTeam")
def create(call: Call) -> Reply:
    """Create a team; its lead becomes the first member."""
    body = dict(call.body)
    if body.get("lead_id"):
        body["_members"] = {body["lead_id"]: _mark(call, "lead")}
    team = call.records.create(TEAMS, body, event="crm.team.created.v1")
    return single.shown(call, team, 201, Location=single.location(call, team))


@handles("updateTeam")
def update(call: Call) -> Reply:
    """Change a team; a new lead takes the place of the former one."""
    patch = dict(call.body)
    if "lead_id" in patch:
        patch["_members"] = _led_by(call, call.found, patch["lead_id"])
    team = call.records.change(call.found, patch, event="crm.team.updated.v1")
    lead = team.doc.get("lead_id")
    if lead and lead not in members(call.found):
        call.emit(ADDED, team.id, {"member": _member(call, team, lead)})
    return single.shown(call, team)


@handles("restoreTeam", deleted=True)
def restore(call: Call) -> Reply:
    """Take a team out of the bin; one whose place above is gone, or below itself, comes back at the top."""
    team = call.found
    if team.deleted_at is not None and team.doc.get("parent_team_id"):
        doc = {k: v for k, v in team.doc.items() if k != "deleted_at"}
        if call.records.peek(TEAMS, doc["parent_team_id"]) is None or team_no_cycle(call, doc, None):
            team.doc.pop("parent_team_id")
    return single.restore(call)


def _mark(context: Context, role: str, known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"added_at": context.now, "added_by": context.identity.actor, **(known or {}), "role": role}


def _led_by(context: Context, team: Record, lead: str | None) -> dict[str, Any]:
    """Return the changes of members that make somebody the lead, or nobody."""
    changes: dict[str, Any] = {id: {"role": "member"} for id, m in members(team).items() if m["role"] == "lead" and id != lead}
    if lead:
        changes[lead] = _mark(context, "lead", members(team).get(lead))
    return changes


# -- members ---------------------------------------------------------------------------------------------------------


def _member(context: Context, team: Record, id: str) -> dict[str, Any]:
    user, mark = context.records.peek(USERS, id), members(team)[id]
    name = user.doc.get("full_name", id) if user else id
    body = {"team_id": team.id, "user_id": id, "full_name": name, "role": mark["role"]}
    body["is_active"] = bool(user and user.doc.get("is_active", True))
    return body | {k: mark[k] for k in ("added_at", "added_by") if k in mark}


@handles("listTeamMembers")
def list_members(call: Call) -> Reply:
    """Return who works in a team, by ID."""
    wanted = call.query.get("role")
    found = [_member(call, call.found, id) for id in _there(call, call.found)]
    return listing.paged_items(call, [m for m in found if wanted in (None, m["role"])])


@handles("setTeamMember")
def set_member(call: Call) -> Reply:
    """Put a user into a team, or change the place there."""
    team, id, role = call.parents["team_id"], call.records.get(USERS, call.path["user_id"]).id, call.body["role"]
    known = members(team).get(id)
    if known is None and not rights.is_active(call, id):
        raise Problem("member_inactive", f"{id} is deactivated and can't be put into a team.")
    changes = _led_by(call, team, id) if role == "lead" else {id: _mark(call, role, known)}
    patch: dict[str, Any] = {"_members": changes}
    if role == "lead":
        patch["lead_id"] = id
    elif team.doc.get("lead_id") == id:
        patch["lead_id"] = None
    changed = call.records.change(team, patch)
    for other in changes:
        if other not in members(team):
            call.emit(ADDED, team.id, {"member": _member(call, changed, other)})
        elif members(team)[other]["role"] != members(changed)[other]["role"]:
            call.emit(CHANGED, team.id, {"member": _member(call, changed, other)})
    headers = {} if known else {"Location": f"/v1/teams/{team.id}/members/{id}"}
    return Reply(200 if known else 201, _member(call, changed, id), headers)


@handles("removeTeamMember")
def remove_member(call: Call) -> Reply:
    """Take a user out of a team, unless the user leads it."""
    team, id = call.parents["team_id"], call.path["user_id"]
    if id not in members(team):
        raise Problem("not_found", f"{id} is not in this team.")
    if team.doc.get("lead_id") == id:
        raise Problem("team_lead_leaves", f"{id} leads {team.doc['name']}. Give the team another lead first.")
    gone = _member(call, team, id)
    call.records.change(team, {"_members": {id: None}})
    call.emit(REMOVED, team.id, {"member": gone})
    return Reply(204)


@handles("listUserTeams")
def list_of_user(call: Call) -> Reply:
    """Return the teams of a user by name, with the place in each."""
    user = call.records.get(USERS, call.path["user_id"]).id
    teams = sorted(call.records.find(TEAMS), key=lambda t: (t.doc["name"].casefold(), t.id))
    found = [{"team_id": t.id, "name": t.doc["name"], "role": members(t)[user]["role"]} for t in teams if user in members(t)]
    return listing.paged_items(call, found)
