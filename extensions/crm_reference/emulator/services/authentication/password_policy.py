"""The rules for passwords that hold in a tenant: the platform's, made stricter by what security tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.store import Record

#: Collection with each tenant's rules as security told them; its one record has the ID ``policy``.
RULES = "password-rules"
PLATFORM: Mapping[str, int] = {
    "minimum_length": 12,
    "maximum_length": 128,
    "minimum_score": 3,
    "history_count": 5,
    "lockout_threshold": 5,
    "lockout_window_minutes": 15,
    "lockout_minutes": 15,
}
#: Which of two numbers is the stricter.
_STRICTER: Mapping[str, Callable[[int, int], int]] = {
    "minimum_length": max,
    "minimum_score": max,
    "history_count": max,
    "lockout_threshold": min,
    "lockout_window_minutes": max,
    "lockout_minutes": max,
}
#: Bounds within which a tenant's numbers are taken.
_BOUNDS = {
    "minimum_length": 64,
    "minimum_score": 4,
    "history_count": 24,
    "lockout_threshold": 3,
    "lockout_window_minutes": 60,
    "lockout_minutes": 60,
}


#: Our name of a rule by security's.
_NAMES = {
    "min_length": "minimum_length",
    "history_count": "history_count",
    "max_age_days": "maximum_age_days",
    "lockout_attempts": "lockout_threshold",
    "lockout_minutes": "lockout_minutes",
}


def keep_rules(context: Context, told: Mapping[str, Any], /) -> None:
    """Keep the tenant's rules as security tells them."""
    doc = {ours: told[theirs] for theirs, ours in _NAMES.items() if told.get(theirs) is not None}
    context.world.store.put(context.tenant, Record(RULES, "policy", 1, {"id": "policy", **doc}))


@computes("password_policy")
def merged(told: Mapping[str, Any] | None, /) -> dict[str, Any]:
    """Return the rules that hold: of each number the stricter one of the platform's and the tenant's, within its bounds.

    :param told: The tenant's rules; ``null`` where it set none.
    """
    policy: dict[str, Any] = {"source": "tenant" if told else "platform", **PLATFORM, "is_breach_check_on": True}
    for name, stricter in _STRICTER.items():
        if told and isinstance(told.get(name), int):
            bound = max(told[name], _BOUNDS[name]) if stricter is min else min(told[name], _BOUNDS[name])
            policy[name] = stricter(bound, PLATFORM[name])
    if told and told.get("maximum_age_days"):
        policy["maximum_age_days"] = min(max(int(told["maximum_age_days"]), 30), 730)
    return policy


def effective(context: Context, /) -> dict[str, Any]:
    """Return the rules that hold in the context's tenant."""
    record = context.world.store.get(context.tenant, RULES, "policy") if context.tenant else None
    rules: dict[str, Any] = merged(record.doc if record is not None else None)
    return rules


@handles("getEffectivePasswordPolicy")
def read_policy(call: Call) -> Reply:
    """Return the rules of the caller's tenant."""
    return Reply(200, effective(call))
