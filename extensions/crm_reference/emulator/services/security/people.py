"""What the security service knows of people: copies of users and of their role assignments, kept by the events of users."""

from __future__ import annotations

from crm_reference.emulator.access import subject_of
from crm_reference.emulator.call import Context
from crm_reference.emulator.store import Record

ASSIGNMENTS = "role-assignments"


def assignments(context: Context, /) -> list[Record]:
    """Return the role assignments of users that hold now, by ID."""
    found = context.records.find(ASSIGNMENTS, principal_type="user")
    return [a for a in found if a.doc.get("role_id") and a.doc.get("expires_at", "9") > context.now]


def roles_of(context: Context, user: str, /) -> list[str]:
    """Return the IDs of the roles that a user holds, by themselves, by a group or by an emergency access."""
    return sorted({str(role["id"]) for role in subject_of(context, user).roles})


def manager_of(context: Context, user: str, /) -> str | None:
    """Return the ID of a user's manager; ``None`` where there is none."""
    known = context.records.peek("users", user)
    return known.doc.get("manager_id") if known is not None else None


def is_role(context: Context, id: str, /) -> bool:
    """Tell whether the tenant has a role."""
    return context.records.peek("roles", id) is not None
