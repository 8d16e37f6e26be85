"""Users one by one: what follows from their fields, their rules, and the reporting line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import derives, enforces, handles, presents
from crm_reference.emulator.store import Record

USERS = "users"
UPDATED = "crm.user.updated.v1"
#: Scope of those who may act for others where users act for themselves.
FOR_OTHERS = "users.write"

#: How far the line of managers is followed.
MAX_MANAGERS = 50
_MAX_REPORTS = 500


@derives(USERS)
def derive(context: Context | None, user: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive the full name, the address in lower case, and the marks that are always there.

    Every change comes this way, batches included, so an erased user is guarded here.

    :raises Problem: ``user_erased``.
    """
    if context is not None and user.get("is_erased") and not context.is_upkeep:
        raise Problem("user_erased", "The personal data of this user were erased.")
    names = (user.get("first_name"), user.get("last_name"))
    derived: dict[str, Any] = {
        "full_name": " ".join(n for n in names if n) or None,
        "kind": user.get("kind", "human"),
        "source": user.get("source", "manual"),
        "is_active": user.get("is_active", True),
        "is_erased": user.get("is_erased", False),
    }
    if user.get("email"):
        derived["email"] = user["email"].lower()
    return derived


@presents(USERS)
def present(context: Context, user: Record) -> Mapping[str, Any]:
    """Tell whether there is a picture, which stands in an answer of its own."""
    return {"has_avatar": "_avatar" in user.doc}


def is_able(context: Context, id: str, /) -> bool:
    """Tell whether somebody can take work over: a person of the tenant who is active."""
    user = context.records.peek(USERS, id)
    return user is not None and user.doc["is_active"] and user.doc.get("kind") != "integration"


def demand_own(call: Call, user: str, /) -> None:
    """Refuse to change what is another user's, unless the caller may act for others.

    :raises Problem: ``record_read_only``.
    """
    if not may_act_for(call, user):
        raise Problem("record_read_only", f"Only {user} and holders of {FOR_OTHERS} change this.")


def may_act_for(call: Call, user: str, /) -> bool:
    """Tell whether the caller is the user, or may act for others."""
    return call.identity.user == user or FOR_OTHERS in call.identity.scopes


# -- rules ---------------------------------------------------------------------------------------------------------------------


@enforces("manager_is_active")
def manager_is_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a deactivated user as a new manager."""
    manager = new.get("manager_id")
    if context.is_upkeep or manager is None or (old is not None and old.get("manager_id") == manager):
        return ""
    known = context.records.peek(USERS, manager)
    return "" if known is None or known.doc["is_active"] else f"{known.doc['full_name']} is deactivated."


@enforces("manager_line_acyclic")
def manager_line_acyclic(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Walk the managers upwards from the new one; meeting the user breaks the rule."""
    manager = new.get("manager_id")
    if context.is_upkeep or old is None or manager in (None, new["id"]) or old.get("manager_id") == manager:
        return ""
    above = context.records.peek(USERS, str(manager))
    for higher in managers_of(context, above) if above is not None else ():
        if higher.id == new["id"]:
            return "The new manager reports to this user, directly or over others."
    return ""


# -- reporting line ------------------------------------------------------------------------------------------------------------


def managers_of(context: Context, user: Record, /) -> Iterator[Record]:
    """Yield the managers above a user, nearest first, whatever circles the data hold."""
    at = user
    for _ in range(MAX_MANAGERS):
        above = context.records.peek(USERS, at.doc.get("manager_id") or "")
        if above is None:
            return
        yield above
        at = above


def reports_of(context: Context, id: str, /) -> list[Record]:
    """Return who reports to a user directly, by name."""
    return sorted(context.records.find(USERS, manager_id=id), key=lambda u: (u.doc["full_name"], u.id))


@handles("getUserReportingLine")
def read_line(call: Call) -> Reply:
    """Return the managers above, the direct reports, and how many report over others."""
    user = call.found
    below, pending = {user.id}, [user.id]
    while pending:
        new = [r.id for id in pending for r in reports_of(call, id) if r.id not in below]
        below |= set(new)
        pending = new
    body = {
        "user_id": user.id,
        "managers": [reference(m) for m in managers_of(call, user)],
        "reports": [reference(r) for r in reports_of(call, user.id)[:_MAX_REPORTS]],
        "report_count": len(below) - 1,
    }
    return Reply(200, body)


def reference(user: Record, /) -> dict[str, Any]:
    """Return the few fields by which others mention a user."""
    return {name: user.doc[name] for name in ("id", "full_name", "job_title", "is_active") if name in user.doc}
