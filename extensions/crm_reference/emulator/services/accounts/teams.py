"""Account teams: who has a place in one, and how far it opens the account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import maybe_trial
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import Task, enforces, handles, hears, presents, sees, task
from crm_reference.emulator.services.accounts import reaching
from crm_reference.emulator.services.accounts.reaching import ACCOUNTS, is_reached
from crm_reference.emulator.services.accounts.territories import take_out
from crm_reference.emulator.services.accounts.territory_places import TERRITORIES, members
from crm_reference.emulator.store import Record

TEAMS, TEMPLATES = "account-teams", "account-team-templates"
ADDED, CHANGED, REMOVED = (f"crm.account_team.member_{what}.v1" for what in ("added", "updated", "removed"))


def is_in_force(context: Context, place: Mapping[str, Any], /) -> bool:
    """Tell whether a place opens its account today."""
    return str(place.get("ends_on", "9999")) >= context.now[:10] and reaching.is_active(context, place["user_id"])


@presents(TEAMS)
def present(context: Context, place: Record) -> Mapping[str, Any]:
    """Name the colleague, and compute whether the place opens the account."""
    user = place.doc["user_id"]
    shown = {"full_name": reaching.full_name(context, user), "is_user_active": reaching.is_active(context, user)}
    return shown | {"is_in_force": is_in_force(context, place.doc)}


@sees(TEAMS)
def see(context: Context, place: Record) -> bool:
    """Show a place to those who may see its account."""
    return is_reached(context, place.doc["account_id"])


@enforces("account_team_user_active")
def account_team_user_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a deactivated user."""
    user = new["user_id"]
    if old is not None or context.records.peek(reaching.USERS, user) is None or reaching.is_active(context, user):
        return ""
    return f"{reaching.full_name(context, user)} is deactivated."


def _demand(context: Context, account: str) -> None:
    """Refuse to change the team of an account that the caller may see and no more.

    :raises Problem: ``record_read_only``.
    """
    record = context.records.peek(ACCOUNTS, account)
    if record is not None and is_reached(context, account):
        access.demand(context, record, "write")


def put_in(context: Context, body: Mapping[str, Any], /, source: str, **members: Any) -> Record:
    """Give a place in a team and tell of it."""
    place = context.records.create(TEAMS, {**body, "source": source, **members})
    context.emit(ADDED, place.id, {"record": context.records.public(place)})
    return place


def take_away(context: Context, place: Record, /) -> None:
    """End a place in a team and tell of it."""
    before = context.records.public(place)
    context.records.delete(place)
    context.emit(REMOVED, place.id, {"record": before})


@handles("addAccountTeamMember")
def add(call: Call) -> Reply:
    """Give a colleague a place in a team."""
    _demand(call, call.body["account_id"])
    place = put_in(call, call.body, "manual")
    return single.shown(call, place, 201, Location=single.location(call, place))


@handles("updateAccountTeamMember")
def update(call: Call) -> Reply:
    """Change a place in a team."""
    _demand(call, call.found.doc["account_id"])
    return single.shown(call, call.records.change(call.found, call.body, event=CHANGED))


@handles("removeAccountTeamMember")
def remove(call: Call) -> Reply:
    """End a place in a team; whoever has it may always leave."""
    if call.found.doc["user_id"] != call.identity.user:
        _demand(call, call.found.doc["account_id"])
    take_away(call, call.found)
    return Reply(204)


# -- everywhere at once ----------------------------------------------------------------------------------------------


@handles("replaceAccountTeamMember")
def replace(call: Call) -> Reply:
    """Accept a job that gives one colleague's places to another."""
    leaver, successor = call.body["from_user_id"], call.body["to_user_id"]
    if leaver == successor:
        raise Problem("account_team_same_user", f"{reaching.full_name(call, leaver)} can't take over from the same person.")
    for name in ("from_user_id", "to_user_id"):
        if call.records.peek(reaching.USERS, call.body[name]) is None:
            entry = {"pointer": f"#/{name}", "code": "invalid_reference", "detail": "No user has this ID."}
            raise Problem("validation_failed", "1 field breaks a rule; see errors.", [entry])
    if not reaching.is_active(call, successor):
        raise Problem("account_team_user_inactive", f"{reaching.full_name(call, successor)} is deactivated and can't take over.")
    places = [p for p in call.records.find(TEAMS, user_id=leaver) if call.records.visible(p)]
    wanted = [p.id for p in places if call.body.get("role") in (None, p.doc["role"])]
    return reaching.JOBS.start(call, "replace_team_member", wanted, _successor=successor)


def _replace_one(context: Context, job: dict[str, Any], id: Any) -> Any:
    return maybe_trial(context, job, lambda: _hand_on(context, context.records.get(TEAMS, id), job["_successor"]))


def _hand_on(context: Context, place: Record, successor: str) -> list[str]:
    """Give a place to another colleague; where that one is in the team, the wider access stays."""
    _demand(context, place.doc["account_id"])
    known = context.records.find(TEAMS, account_id=place.doc["account_id"], user_id=successor)
    take_away(context, place)
    if not known:
        kept: dict[str, Any] = {
            k: place.doc[k] for k in ("account_id", "role", "access_level", "ends_on", "note") if k in place.doc
        }
        put_in(context, {**kept, "user_id": successor}, "replacement")
        return ["moved"]
    if "write" in (place.doc["access_level"], known[0].doc["access_level"]):
        context.records.change(known[0], {"access_level": "write"}, event=CHANGED)
    return ["removed"]


def _replaced(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return reaching.counted(outcomes, ("moved", "removed"))


task("accounts.replace_team_member", Task(_replace_one, _replaced, _replaced))


@hears("crm.user.deleted.v1")
def user_deleted(context: Context, event: Mapping[str, Any]) -> None:
    """Take a deleted user out of teams, templates and territories."""
    user = event["data"]["record"]["id"]
    for place in context.records.find(TEAMS, user_id=user):
        take_away(context, place)
    for territory in context.records.find(TERRITORIES):
        if user in members(territory):
            take_out(context, territory, user)
    for template in context.records.find(TEMPLATES):
        kept = [m for m in template.doc["members"] if m["user_id"] != user]
        changes: dict[str, Any] = {"members": kept} if kept and kept != template.doc["members"] else {}
        if template.doc.get("default_for_user_id") == user:
            changes["default_for_user_id"] = None
        if changes:
            context.records.change(template, changes, event="crm.account_team_template.updated.v1")
