"""What users tell colleagues, and how they like to work. Both are part of the user's record and share its version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.records import merge_patch
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.users.people import demand_own, may_act_for
from crm_reference.emulator.store import Record

#: What holds for a preference that the user didn't set.
DEFAULTS: Mapping[str, Any] = {
    "date_format": "day_month_year",
    "time_format": "h24",
    "number_format": "point_comma",
    "first_day_of_week": "monday",
    "theme": "system",
    "density": "comfortable",
    "start_page": "/home",
    "page_size": 25,
    "has_reduced_motion": False,
    "has_keyboard_shortcuts": True,
}
_FROM_THE_RECORD = ("full_name", "job_title", "department", "time_zone")


def profile_of(user: Record, /) -> dict[str, Any]:
    """Return what a user tells colleagues."""
    record = {name: user.doc[name] for name in _FROM_THE_RECORD if name in user.doc}
    return {"user_id": user.id, **record, **user.doc.get("_profile", {})}


def preferences_of(user: Record, /) -> dict[str, Any]:
    """Return a user's preferences with the defaults filled in, and which of them are its own."""
    own = user.doc.get("_preferences", {})
    return {"user_id": user.id, **DEFAULTS, **own, "own_settings": [name for name in DEFAULTS if name in own]}


@handles("getUserProfile")
def read_profile(call: Call) -> Reply:
    """Return the profile."""
    return _read(call, profile_of(call.found))


@handles("updateUserProfile")
def update_profile(call: Call) -> Reply:
    """Change the profile."""
    demand_own(call, call.found.id)
    user = _changed(call, "_profile", "profile_changed", "crm.user_profile.updated.v1")
    return Reply(200, profile_of(user), {"ETag": user.etag})


@handles("getUserPreferences")
def read_preferences(call: Call) -> Reply:
    """Return the preferences, to those whom they concern."""
    _demand_seen(call)
    return _read(call, preferences_of(call.found))


@handles("updateUserPreferences")
def update_preferences(call: Call) -> Reply:
    """Change the preferences."""
    _demand_seen(call)
    user = _changed(call, "_preferences", "preferences_changed", "crm.user_preferences.updated.v1")
    return Reply(200, preferences_of(user), {"ETag": user.etag})


def _demand_seen(call: Call) -> None:
    if not may_act_for(call, call.found.id):
        raise Problem("not_found", f"No preferences of {call.found.id} are here for you.")


def _read(call: Call, body: dict[str, Any]) -> Reply:
    etag = call.found.etag
    if call.headers.get("If-None-Match") in (etag, "*"):
        return Reply(304, None, {"ETag": etag})
    return Reply(200, body, {"ETag": etag})


def _changed(call: Call, member: str, action: str, event: str) -> Record:
    before = call.found.doc.get(member, {})
    after = merge_patch(before, call.body)
    names = [name for name in call.body if before.get(name) != after.get(name)]
    if not names:
        return call.found
    user = keep(call, call.found, member, after, action)
    call.emit(event, user.id, {"user_id": user.id, "changed_fields": names})
    return user


def keep(context: Context, user: Record, member: str, value: Any, action: str, /) -> Record:
    """Write a hidden member of a user as a version of its own, without telling its value in the history.

    :param value: ``None`` removes the member.
    """
    doc = {k: v for k, v in user.doc.items() if k != member}
    return context.records.replace(user, doc if value is None else {**doc, member: value}, action=action)
