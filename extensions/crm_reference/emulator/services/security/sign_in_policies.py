"""Password and session policies: one of each for a tenant, with stricter settings by role, and what holds for one user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import CustomRule, computes, enforces, handles
from crm_reference.emulator.services.security import networks
from crm_reference.emulator.services.security.people import is_role, roles_of
from crm_reference.emulator.store import Record

PASSWORDS = "password-policies"
SESSIONS = "session-policies"

#: What a new tenant begins with.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    PASSWORDS: {
        "min_length": 12,
        "min_character_classes": 2,
        "is_breach_check_enabled": True,
        "history_count": 5,
        "lockout_attempts": 10,
        "lockout_minutes": 15,
    },
    SESSIONS: {
        "idle_timeout_minutes": 60,
        "absolute_lifetime_hours": 12,
        "max_sessions": 10,
        "is_second_factor_required": False,
        "second_factor_methods": ["totp", "passkey", "recovery_code"],
        "can_trusted_networks_skip_second_factor": False,
        "remember_device_days": 30,
    },
}
#: The stricter of two values, by setting.
_STRICTER: Mapping[str, Callable[..., Any]] = {
    "min_length": max,
    "min_character_classes": max,
    "history_count": max,
    "max_age_days": min,
    "lockout_attempts": min,
    "idle_timeout_minutes": min,
    "absolute_lifetime_hours": min,
    "max_sessions": min,
    "is_second_factor_required": max,
}


@computes("strictest_policy")
def strictest(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Join a policy with the overrides of a user's roles: of two values the stricter one holds.

    :param asked: ``policy`` with its ``overrides``, and ``role_ids``.
    :return: ``settings``, and ``sources``: which role gave a setting that differs from the policy's.
    """
    policy = asked["policy"]
    settings = {k: v for k, v in policy.items() if k != "overrides"}
    sources: dict[str, str] = {}
    for override in sorted(policy.get("overrides", ()), key=lambda o: str(o["role_id"])):
        if override["role_id"] not in asked["role_ids"]:
            continue
        for name, value in override.items():
            if name != "role_id" and _is_stricter(name, value, settings.get(name)):
                settings[name], sources[name] = value, override["role_id"]
    return {"settings": settings, "sources": [{"setting": n, "role_id": r} for n, r in sorted(sources.items())]}


def _is_stricter(name: str, value: Any, present: Any) -> bool:
    """Tell whether a value asks for more than the present one; a setting without one asks for nothing."""
    return present is None or (value != present and _STRICTER[name](value, present) == value)


def _weaker(doc: Mapping[str, Any]) -> tuple[str, str] | str:
    for i, override in enumerate(doc.get("overrides", ())):
        for name, value in override.items():
            present = doc.get(name)
            if name != "role_id" and present is not None and value != present and not _is_stricter(name, value, present):
                return f"{name} is {present} for everybody, and {value} is weaker.", f"overrides.{i}.{name}"
    return ""


def _overrides_stricter(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> tuple[str, str] | str:
    """Find the first override that asks for less than the policy."""
    return _weaker(new)


def _override_roles(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> tuple[str, str] | str:
    """Find the first override whose role is unknown or stands in another override."""
    seen: set[str] = set()
    known = {o["role_id"] for o in (old or {}).get("overrides", ())}
    for i, override in enumerate(new.get("overrides", ())):
        role = override["role_id"]
        if role in seen:
            return "Another override is for this role.", f"overrides.{i}.role_id"
        if role not in known and not is_role(context, role):
            return "No role has this ID.", f"overrides.{i}.role_id"
        seen.add(role)
    return ""


for _kind in ("password", "session"):
    _checks: dict[str, CustomRule] = {"override_role": _override_roles, "override_stricter": _overrides_stricter}
    for _name, _check in _checks.items():
        enforces(f"{_kind}_{_name}")(_check)


@enforces("session_timeouts_ordered")
def timeouts_ordered(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse an idle timeout that is longer than the lifetime."""
    if new["idle_timeout_minutes"] > 60 * new["absolute_lifetime_hours"]:
        return f"The lifetime is {60 * new['absolute_lifetime_hours']} minutes."
    return ""


def the(context: Context, collection: str, /) -> Record:
    """Return the tenant's policy, and create it with the platform's defaults where there is none."""
    found = context.records.find(collection)
    return found[0] if found else context.records.create(collection, DEFAULTS[collection])


@handles("getPasswordPolicy")
def get_password_policy(call: Call) -> Reply:
    """Read the password policy."""
    return _read(call, PASSWORDS)


@handles("getSessionPolicy")
def get_session_policy(call: Call) -> Reply:
    """Read the session policy."""
    return _read(call, SESSIONS)


def _read(call: Call, collection: str) -> Reply:
    call.record = the(call, collection)
    return single.read(call)


@handles("replacePasswordPolicy")
def replace_password_policy(call: Call) -> Reply:
    """Replace the password policy."""
    return _replace(call, PASSWORDS, "crm.password_policy.changed.v1")


@handles("replaceSessionPolicy")
def replace_session_policy(call: Call) -> Reply:
    """Replace the session policy."""
    return _replace(call, SESSIONS, "crm.session_policy.changed.v1")


def _replace(call: Call, collection: str, event: str) -> Reply:
    present = the(call, collection)
    wanted = call.headers["If-Match"]
    if wanted not in (present.etag, "*"):
        raise Problem("version_mismatch", f"If-Match is {wanted}, and the policy's ETag is {present.etag}.")
    kept = {k: v for k, v in present.doc.items() if k not in _settings(call, collection)}
    return single.shown(call, call.records.replace(present, {**kept, **call.body}, event=event))


def _settings(call: Call, collection: str) -> Sequence[str]:
    properties = call.resource(collection).node.get("properties", {})
    return [name for name, schema in properties.items() if not schema.get("readOnly")]


@handles("getEffectiveSecurityPolicy")
def effective(call: Call) -> Reply:
    """Return what holds for one user's sign-in, with the roles that made it stricter."""
    user = call.path["user_id"]
    if call.records.peek("users", user) is None:
        raise Problem("not_found", f"No user has the ID {user}.")
    roles = roles_of(call, user)
    body: dict[str, Any] = {"user_id": user, "role_ids": roles, "sources": []}
    for name, collection in (("password", PASSWORDS), ("session", SESSIONS)):
        doc = the(call, collection).doc
        wanted = (*_settings(call, collection), "overrides")
        joined = strictest({"policy": {k: v for k, v in doc.items() if k in wanted}, "role_ids": roles})
        body[name] = joined["settings"]
        body["sources"] += [{**s, "setting": f"{name}.{s['setting']}"} for s in joined["sources"]]
    rules = [r for r in call.records.find(networks.RULES) if networks.is_effective(r.doc, call.now)]
    body["ip_rule_ids"] = [r.id for r in rules if r.doc.get("role_id") in (None, *roles)]
    return Reply(200, body)
