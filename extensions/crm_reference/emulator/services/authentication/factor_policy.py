"""What a tenant demands of second factors: of whom, which kinds, and for how long a new user may do without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.store import Record

POLICIES = "mfa-policies"
#: Kinds of factor that a challenge can ask.
_PRIMARY = ("passkey", "totp", "email")
#: What a user who has to enrol may do, and nothing else.
ENROLMENT_SCOPE = "authentication.self"
#: What a tenant begins with.
SEEDED: Mapping[str, Any] = {
    "requirement": "optional",
    "allowed_types": ["passkey", "totp", "email"],
    "grace_days": 7,
    "is_bypass_allowed": True,
}


def policy_of(context: Context, /) -> Record:
    """Return the tenant's policy; a tenant without one gets the seeded one."""
    found = context.records.find(POLICIES)
    return found[0] if found else context.records.create(POLICIES, SEEDED)


def demand_allowed(context: Context, type: str, /) -> None:
    """Refuse a kind of factor that can't be enrolled.

    :raises Problem: ``factor_type_not_allowed``.
    """
    allowed = policy_of(context).doc["allowed_types"]
    if type not in allowed:
        raise Problem("factor_type_not_allowed", f"The policy allows {', '.join(allowed)}, and not {type}.")


def is_required(context: Context, user_id: str, /) -> bool:
    """Tell whether the policy demands a second factor of a user, now or once the grace is over."""
    policy = policy_of(context).doc
    if policy["requirement"] == "roles":
        return not roles_of(context, user_id).isdisjoint(policy.get("required_roles", ()))
    return bool(policy["requirement"] == "everybody")


def is_off(context: Context, /) -> bool:
    """Tell whether the policy says that sign-ins ask for no second factor."""
    found = context.records.find(POLICIES)
    return bool(found) and found[0].doc["requirement"] == "off"


def is_due(context: Context, user_id: str, /) -> bool:
    """Tell whether a user has to enrol before anything else: a factor is required, the grace is over, and there is none.

    Whoever signs in at an identity provider proves it there.
    """
    policy = next(iter(context.records.find(POLICIES)), None)
    user = context.records.peek("users", user_id)
    if policy is None or user is None or policy.doc["requirement"] in ("off", "optional"):
        return False
    if days_later(user.doc.get("created_at", context.now), policy.doc["grace_days"]) > context.now:
        return False
    factors = context.world.store.find(context.tenant, "mfa-factors", user_id=user_id, status="active")
    enrolled = any(f.doc["type"] in _PRIMARY for f in factors) or context.records.find("identity-links", user_id=user_id)
    return not enrolled and is_required(context, user_id)


def roles_of(context: Context, user_id: str, /) -> frozenset[str]:
    """Return the keys of a user's roles, as users' events told them; groups count, and what ran out doesn't."""
    if context.world.store.has(access.ASSIGNMENTS) and access.people(context).has_assignments:
        return frozenset(str(role["key"]) for role in access.subject_of(context, user_id).roles)
    user = context.records.peek("users", user_id)
    return frozenset((str(user.doc["role"]),)) if user is not None and user.doc.get("role") else frozenset()


@handles("getMfaPolicy")
def read(call: Call) -> Reply:
    """Show the policy, or say that the caller's copy still holds."""
    policy = policy_of(call)
    if call.headers.get("If-None-Match") in (policy.etag, "*"):
        return Reply(304, None, {"ETag": policy.etag})
    return single.shown(call, policy)
