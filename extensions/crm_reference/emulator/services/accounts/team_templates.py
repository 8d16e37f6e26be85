"""Team templates: put together once, applied to many accounts, or by themselves to those that somebody comes to own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.job_collections import maybe_trial
from crm_reference.emulator.registry import Task, computes, enforces, handles, hears, presents, task
from crm_reference.emulator.services.accounts import reaching
from crm_reference.emulator.services.accounts.teams import CHANGED, TEAMS, TEMPLATES, put_in, take_away
from crm_reference.emulator.store import Record

_OUTCOMES = ("added", "updated", "removed", "unchanged")


@presents(TEMPLATES)
def present(context: Context, template: Record) -> Mapping[str, Any]:
    """Count the places that came from a template."""
    return {"use_count": len(context.records.find(TEAMS, template_id=template.id))}


@enforces("account_team_template_members_fit")
def account_team_template_members_fit(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse members who are no active users, or who stand there twice."""
    named = [m["user_id"] for m in new["members"]]
    if context.is_upkeep or (old is not None and old["members"] == new["members"]):
        return ""
    for user in named:
        if not reaching.is_active(context, user):
            return f"{user} is no active user."
        if named.count(user) > 1:
            return f"{reaching.full_name(context, user)} is named twice."
    return ""


@computes("account_team_merge")
def team_plan(asked: Mapping[str, Any]) -> dict[str, list[str]]:
    """Compute what applying a template does with a team.

    :param asked: ``mode``; ``team`` and ``template``, each a list of ``user_id``, ``role`` and ``access_level``.
    :return: Users to be ``added``, ``updated``, ``removed`` and left ``unchanged``, each in the order of their IDs.
    """
    there = {m["user_id"]: (m["role"], m["access_level"]) for m in asked["team"]}
    wanted = {m["user_id"]: (m["role"], m["access_level"]) for m in asked["template"]}
    both = wanted.keys() & there.keys()
    changed = {u for u in both if asked["mode"] == "replace" and wanted[u] != there[u]}
    gone = there.keys() - wanted.keys() if asked["mode"] == "replace" else set()
    plan = {"added": wanted.keys() - there.keys(), "updated": changed, "removed": gone}
    return {name: sorted(users) for name, users in {**plan, "unchanged": there.keys() - changed - gone}.items()}


def apply(context: Context, template: Record, account: str, mode: str, source: str, /) -> list[str]:
    """Give an account the team of a template, and return what was done with each colleague."""
    team = {p.doc["user_id"]: p for p in context.records.find(TEAMS, account_id=account)}
    wanted = {m["user_id"]: m for m in template.doc["members"] if reaching.is_active(context, m["user_id"])}
    plan = team_plan({"mode": mode, "team": [p.doc for p in team.values()], "template": list(wanted.values())})
    for user in plan["removed"]:
        take_away(context, team[user])
    for user in plan["updated"]:
        kept = {k: wanted[user][k] for k in ("role", "access_level")}
        context.records.change(team[user], kept, event=CHANGED)
    for user in plan["added"]:
        put_in(context, {**wanted[user], "account_id": account}, source, template_id=template.id)
    return [name for name, users in plan.items() for _ in users]


@handles("deleteAccountTeamTemplate")
def delete(call: Call) -> Reply:
    """Delete a template; the places that came from it forget it and stay."""
    with upkeep(call):
        for place in call.records.find(TEAMS, template_id=call.found.id):
            call.records.change(place, {"template_id": None})
    return single.delete(call)


@handles("applyAccountTeamTemplate")
def start(call: Call) -> Reply:
    """Accept a job that applies a template to the accounts of a selection."""
    accounts = [a.id for a in reaching.chosen(call, call.body)]
    mode = call.body.get("mode", "add")
    return reaching.JOBS.start(call, "apply_team_template", accounts, _template=call.found.id, _mode=mode)


def _step(context: Context, job: dict[str, Any], id: Any) -> Any:
    def work() -> list[str]:
        access.demand(context, context.records.get(reaching.ACCOUNTS, id), "write")
        return apply(context, context.records.get(TEMPLATES, job["_template"]), id, job["_mode"], "template")

    return maybe_trial(context, job, work)


def _finish(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return reaching.counted(outcomes, _OUTCOMES)


task("accounts.apply_team_template", Task(_step, _finish, _finish))


# -- by themselves ---------------------------------------------------------------------------------------------------


@hears("crm.account.created.v1")
def account_created(context: Context, event: Mapping[str, Any]) -> None:
    """Give a new account the default team of its owner."""
    _apply_default(context, event["data"]["record"])


@hears("crm.account.owner_changed.v1")
def account_owner_changed(context: Context, event: Mapping[str, Any]) -> None:
    """Let the default team of a new owner join the team of the account."""
    _apply_default(context, event["data"]["record"])


def _apply_default(context: Context, account: Mapping[str, Any]) -> None:
    owner = account.get("owner_id")
    for template in context.records.find(TEMPLATES, default_for_user_id=owner) if owner else ():
        apply(context, template, account["id"], "add", "default")
