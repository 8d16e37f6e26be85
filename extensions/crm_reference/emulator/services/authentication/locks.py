"""When wrong passwords lock an account, and for how long. A pure computation that the vectors fix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.clock import iso, seconds_of
from crm_reference.emulator.registry import computes

#: The longest lock, in minutes: a day.
LONGEST_MINUTES = 1440


@computes("account_lock")
def account_lock(asked: Mapping[str, Any], /) -> dict[str, Any]:
    """Tell whether an account is locked by wrong passwords.

    The wrong passwords are gone through in their order. Those that came while a lock held don't count. As many as the threshold
    says within the window lock the account; each later lock on record lasts twice as long as the one before, a day at most.

    :param asked: ``failed_at``, the instants of wrong passwords; ``threshold``, ``window_minutes``, ``lock_minutes`` and ``now``.
    :return: ``is_locked``, ``lock_ends_at`` while it is, and ``failure_count``, those that count towards the next lock.
    """
    now, window = seconds_of(asked["now"]), asked["window_minutes"] * 60
    counted: list[int] = []
    locks, ends = 0, 0
    for instant in sorted(map(seconds_of, asked["failed_at"])):
        if instant < ends:
            continue
        counted = [*(i for i in counted if i > instant - window), instant]
        if len(counted) >= asked["threshold"]:
            ends = instant + min(asked["lock_minutes"] * 2**locks, LONGEST_MINUTES) * 60
            locks, counted = locks + 1, []
    is_locked = now < ends
    recent = [i for i in counted if i > now - window]
    return {"is_locked": is_locked, "failure_count": len(recent)} | ({"lock_ends_at": iso(ends)} if is_locked else {})
