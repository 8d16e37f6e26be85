"""What opens an account to a user besides roles and sharing rules, and why a user may do what with it."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import handles, opens
from crm_reference.emulator.services.accounts import reaching
from crm_reference.emulator.services.accounts.teams import TEAMS, is_in_force
from crm_reference.emulator.services.accounts.territory_places import ASSIGNMENTS, TERRITORIES, active_model, current, members
from crm_reference.emulator.store import Record


@opens(reaching.ACCOUNTS)
def open_accounts(context: Context, user: str, action: str) -> Condition:
    """Open the accounts in whose teams a user is, and those of territories that are open to their people."""
    places = [p.doc for p in context.records.find(TEAMS, user_id=user) if is_in_force(context, p.doc)]
    found = {p["account_id"] for p in places if _suffices(p["access_level"], action)}
    for territory in _open_territories(context, user, action):
        found |= {a.doc["account_id"] for a in context.records.find(ASSIGNMENTS, territory_id=territory)}
    return reaching.among(sorted(found))


def _suffices(level: str, action: str) -> bool:
    return level == "write" or (level == "read" and action == "read")


def _open_territories(context: Context, user: str, action: str) -> list[str]:
    """Return the territories of the model in force that open their accounts to a user, who works there or above."""
    model = active_model(context)
    territories = {t.id: t for t in context.records.find(TERRITORIES, model_id=model.id)} if model is not None else {}
    found = []
    for id, territory in territories.items():
        at: Record | None = territory
        while at is not None and user not in members(at):
            at = territories.get(at.doc.get("parent_id", ""))
        if at is not None and _suffices(territory.doc.get("access_level", "none"), action):
            found.append(id)
    return found


@handles("explainAccountAccess")
def explain(call: Call) -> Reply:
    """Tell whether a user may see, change and delete an account, with every reason."""
    asked = call.query.get("user_id")
    user = asked or call.identity.user
    if user != call.identity.user and "accounts.teams" not in call.identity.scopes:
        detail = "The access of others is told to whoever holds accounts.teams."
        raise Problem("insufficient_scope", detail, required_scopes=["accounts.teams"])
    user = call.records.get(reaching.USERS, user).id
    reasons = [reason for action in access.ACTIONS for reason in _reasons(call, call.found, user, action)]
    may = {f"can_{action}": any(r["action"] == action for r in reasons) for action in access.ACTIONS}
    return Reply(200, {"account_id": call.found.id, "user_id": user, **may, "reasons": reasons})


def _reasons(context: Context, account: Record, user: str, action: str) -> list[dict[str, Any]]:
    if not reaching.is_active(context, user):
        return []
    resource = context.resource(reaching.ACCOUNTS)
    if not access.people(context).has_assignments:
        return [{"kind": "no_role", "action": action}]
    subject, found = access.subject_of(context, user), []
    level = subject.level(resource.object, action)
    if level == "all" or (level != "none" and account.doc.get("owner_id") in subject.owners(level)):
        found.append({"kind": "role", "action": action, "level": level})
    rule = access.opening_rule(context, subject, resource, account, action)
    if rule is not None:
        found.append({"kind": "sharing_rule", "action": action, "source_id": rule["id"]})
    return found if action == "delete" else [*found, *_places(context, account, user, action)]


def _places(context: Context, account: Record, user: str, action: str) -> list[dict[str, Any]]:
    """Return the places of a user in the account's team and territories that open it."""
    found = [
        {"kind": "team", "action": action, "source_id": place.id}
        for place in context.records.find(TEAMS, account_id=account.id, user_id=user)
        if is_in_force(context, place.doc) and _suffices(place.doc["access_level"], action)
    ]
    model = active_model(context)
    there = {a.doc["territory_id"] for a in current(context, account.id, model.id)} if model is not None else set()
    opened = sorted(there.intersection(_open_territories(context, user, action)))
    return found + [{"kind": "territory", "action": action, "source_id": id} for id in opened]
