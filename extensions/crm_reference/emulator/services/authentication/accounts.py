"""Accounts that can sign in: their passwords, the count of wrong ones, locks, and what administrators do with them."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterable, Mapping
from typing import Any

import argon2
import argon2.low_level

from crm_reference.emulator.call import Call, Context, Reply, World
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.services.authentication.acting import acting, refused
from crm_reference.emulator.services.authentication.locks import account_lock
from crm_reference.emulator.services.authentication.password_policy import effective
from crm_reference.emulator.services.authentication.password_strength import breach_count, normalised, strength
from crm_reference.emulator.store import Record

ACCOUNTS = "sign-in-accounts"
DEVICES = "sign-in-devices"
CHANGED, FAILED, BLOCKED = "crm.password.changed.v1", "crm.sign_in.failed.v1", "crm.sign_in.blocked.v1"
DEVICE_UPDATED = "crm.sign_in_device.updated.v1"

#: Cheap on purpose: the emulator hashes in examples all day. A service takes 64 MiB and three passes.
_HASHER = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)
#: What an unknown address is compared with, so that it takes as long as a known one.
_NOBODYS_HASH = "$argon2id$v=19$m=8192,t=1,p=1$bm9ib2R5J3Mgc2FsdC4uLg$k1CAnF7kT0bfnO2cWq0m0GvhH9OZ1nHqXo7bC4m2m3Y"
_MOST_FAILURES = 100


# -- finding -------------------------------------------------------------------------------------------------------------------


def account_of(context: Context, user_id: str, /) -> Record | None:
    """Return a user's account as it is now."""
    found = context.records.find(ACCOUNTS, user_id=user_id) if user_id else []
    return present(context, found[0]) if found else None


def account_by_email(world: World, email: str, /) -> tuple[str, Record] | None:
    """Return the tenant and the account of an address, over all tenants."""
    for tenant in world.store.tenants(ACCOUNTS):
        found = world.store.find(tenant, ACCOUNTS, email=email.lower())
        if found:
            return tenant, present(acting(world, tenant), found[0])
    return None


def present(context: Context, account: Record, /) -> Record:
    """Return an account with a lock whose time is over taken off."""
    if account.doc["status"] == "locked" and account.doc.get("lock_ends_at", "9999") <= context.now:
        with upkeep(context):
            return context.records.change(account, {**_UNLOCKED, "status": resting(account)})
    return account


#: What is taken off an account with its lock.
_UNLOCKED = {"locked_at": None, "lock_ends_at": None, "lock_reason": None}


def resting(account: Record, /) -> str:
    """Return the state of an account that is neither locked nor disabled."""
    return "active" if account.doc.get("has_password") or account.doc.get("is_federated") else "pending"


def is_shut(account: Record | None, /) -> bool:
    """Tell whether an administrator locked an account: no proof opens it then, while wrong passwords shut out passwords alone."""
    return account is not None and account.doc["status"] == "locked" and account.doc.get("lock_reason") != "wrong_passwords"


def lapse(context: Context, /) -> None:
    """Take off every lock of the tenant whose time is over."""
    for account in context.records.find(ACCOUNTS, status="locked"):
        present(context, account)


def create_account(context: Context, user_id: str, email: str, /, password_hash: str = "") -> Record:
    """Create the account of a user."""
    doc: dict[str, Any] = {"user_id": user_id, "email": email.lower(), "status": "active" if password_hash else "pending"}
    doc |= {"has_password": bool(password_hash), "is_password_change_due": False}
    if password_hash:
        doc |= {"password_changed_at": context.now, "_hash": password_hash, "_former": []}
    return context.records.create(ACCOUNTS, doc)


def give_first_password(context: Context, user_id: str, email: str, password_hash: str, /) -> Record:
    """Create the account of a user, or give the one that waits its first password."""
    waiting = account_of(context, user_id)
    if waiting is None:
        return create_account(context, user_id, email, password_hash)
    patch = {"has_password": True, "status": "active", "password_changed_at": context.now, "_hash": password_hash, "_former": []}
    return context.records.change(waiting, patch)


# -- passwords -----------------------------------------------------------------------------------------------------------------


def hash_password(world: World, password: str, /) -> str:
    """Return the argon2id hash of a password, with a salt of its own."""
    salt = base64.urlsafe_b64decode(world.secret("password-salt", 15))
    encoded: bytes = argon2.low_level.hash_secret(
        normalised(password).encode(), salt, time_cost=1, memory_cost=8192, parallelism=1, hash_len=32, type=argon2.Type.ID
    )
    return encoded.decode()


@functools.lru_cache(maxsize=512)
def _matches(password: str, kept: str) -> bool:
    try:
        return _HASHER.verify(kept, normalised(password))
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False


def assess(context: Context, password: str, /, email: str = "", full_name: str = "") -> dict[str, Any]:
    """Judge a password by the rules of the context's tenant.

    :return: What the operation answers: score, guesses, findings, and whether it would be taken.
    """
    policy = effective(context)
    words = [*full_name.split(), *email.partition("@")[0].replace("-", ".").replace("_", ".").split("."), email.partition("@")[0]]
    worth, seen = strength({"password": password, "words": words}), breach_count(password)
    findings = []
    if seen:
        findings.append(("breached", f"The password was seen in {seen} stolen records."))
    if len(normalised(password)) < policy["minimum_length"]:
        findings.append(("too_short", f"The password must have {policy['minimum_length']} characters or more."))
    if worth["score"] < policy["minimum_score"]:
        findings.append(("too_guessable", f"The score is {worth['score']}, and {policy['minimum_score']} is demanded."))
    is_acceptable = not findings
    findings += [(code, _PIECES[code]) for code in worth["findings"]]
    return {
        "score": worth["score"],
        "guesses_log10": worth["guesses_log10"],
        "is_acceptable": is_acceptable,
        "is_breached": bool(seen),
        "breach_count": seen,
        "findings": [{"code": code, "detail": detail} for code, detail in findings],
    }


_PIECES = {
    "personal": "It has the person's name or address in it.",
    "common_word": "It has words in it that guessers try first.",
    "sequence": "It has a row of the keyboard, the alphabet or the digits in it.",
    "repetition": "It has one character several times in a row.",
}


def demand_good(context: Context, password: str, pointer: str, /, email: str = "", full_name: str = "") -> None:
    """Refuse a password that the rules don't admit.

    :raises Problem: ``password_too_weak``.
    """
    judged = assess(context, password, email, full_name)
    if not judged["is_acceptable"]:
        raise refused("password_too_weak", pointer, judged["findings"][0]["detail"])


def set_password(context: Context, account: Record, password: str, cause: str, pointer: str, /) -> Record:
    """Give an account a new password: it lifts what wrong passwords caused, and ends the trust in devices.

    :param cause: By which way it came: ``change``, ``reset``, ``sign_in`` ...
    :param pointer: The member that has the password, for problems.
    :raises Problem: ``password_too_weak`` or ``password_used_before``.
    """
    user = context.world.store.get(context.tenant, "users", account.doc["user_id"])
    demand_good(context, password, pointer, account.doc["email"], user.doc.get("full_name", "") if user is not None else "")
    former = [h for h in (account.doc.get("_hash"), *account.doc.get("_former", ())) if h]
    count = effective(context)["history_count"]
    if any(_matches(password, kept) for kept in former[:count]):
        raise refused("password_used_before", pointer, f"is one of your last {count} passwords")
    patch: dict[str, Any] = {"has_password": True, "is_password_change_due": False, "password_changed_at": context.now}
    patch |= {"_hash": hash_password(context.world, password), "_former": former[:count], "_failed_at": []}
    if account.doc["status"] == "pending" or account.doc.get("lock_reason") == "wrong_passwords":
        patch |= {**_UNLOCKED, "status": "active"}
    changed = context.records.change(account, patch)
    for device in context.records.find(DEVICES, user_id=account.doc["user_id"], is_trusted=True):
        context.records.change(device, {"is_trusted": False, "trust_ends_at": None}, event=DEVICE_UPDATED)
    told = {"user_id": account.doc["user_id"], "cause": cause, "changed_at": context.now}
    context.emit(CHANGED, account.doc["user_id"], told)
    return changed


def is_password_due(context: Context, account: Record, /) -> bool:
    """Tell whether a right password may not be used any more."""
    return bool(account.doc.get("is_password_change_due")) or (expires_at(context, account) or "9999") <= context.now


def expires_at(context: Context, account: Record, /) -> str | None:
    """Return when an account's password must be changed; ``None`` where it may grow old."""
    days = effective(context).get("maximum_age_days")
    changed = account.doc.get("password_changed_at")
    if days is None or changed is None:
        return None
    return days_later(changed, days)


def check_password(context: Context, account: Record | None, password: str, /) -> bool:
    """Tell whether a password is an account's and the account can be used now. It takes as long whatever is wrong."""
    kept = account.doc.get("_hash") if account is not None else None
    matches = _matches(password, kept or _NOBODYS_HASH)
    return bool(kept) and matches and account is not None and account.doc["status"] == "active" and not _lock(context, account)


def _lock(context: Context, account: Record) -> dict[str, Any]:
    """Return the lock that wrong passwords caused; empty where there is none."""
    found = wrong_passwords(context, account, account.doc.get("_failed_at", ()))
    return found if found["is_locked"] else {}


def wrong_passwords(context: Context, account: Record, failed_at: Iterable[str], /) -> dict[str, Any]:
    """Return what wrong passwords at some instants mean for an account."""
    policy = effective(context)
    state: dict[str, Any] = account_lock(
        {
            "failed_at": list(failed_at),
            "threshold": policy["lockout_threshold"],
            "window_minutes": policy["lockout_window_minutes"],
            "lock_minutes": policy["lockout_minutes"],
            "now": context.now,
        }
    )
    return state


def note_failure(context: Context, account: Record, /) -> Record:
    """Count a wrong password in silence, where the answer is an error and only the count may stay."""
    return context.records.note(account, _failed_at=_failures(context, account))


def _failures(context: Context, account: Record) -> list[str]:
    return [*account.doc.get("_failed_at", ()), context.now][-_MOST_FAILURES:]


def fail(context: Context, account: Record, address: str, /) -> None:
    """Count a wrong password of a sign-in, tell of it, and lock the account where it was one too many.

    :param address: The network address that it came from.
    """
    was_locked = bool(_lock(context, account))
    failures = _failures(context, account)
    noted = context.records.note(account, _failed_at=failures)
    state = wrong_passwords(context, noted, failures)
    user = account.doc["user_id"]
    told: dict[str, Any] = {"user_id": user, "ip_address": address}
    count = state["failure_count"] or effective(context)["lockout_threshold"]
    context.emit(FAILED, user, {**told, "failure_count": count})
    if state["is_locked"] and not was_locked and account.doc["status"] == "active":
        lock(context, noted, "wrong_passwords", state["lock_ends_at"], address)


def lock(context: Context, account: Record, reason: str, ends_at: str = "", address: str = "", /) -> Record:
    """Lock an account and tell of it."""
    patch = {"status": "locked", "locked_at": context.now, "lock_reason": reason, "lock_ends_at": ends_at or None}
    locked = context.records.change(account, patch)
    user = account.doc["user_id"]
    told = {"user_id": user, "sign_in_account_id": account.id, "lock_reason": reason}
    told |= {k: v for k, v in (("lock_ends_at", ends_at), ("ip_address", address)) if v}
    context.emit(BLOCKED, user, told)
    return locked


def unlocked(account: Record, /) -> Mapping[str, Any]:
    """Return the patch that lifts a lock and forgets wrong passwords."""
    return {**_UNLOCKED, "status": resting(account), "_failed_at": []}


def own_account(call: Call, /) -> Record | None:
    """Return the caller's account."""
    return account_of(call, call.identity.user)


def replied(call: Call, account: Record, /) -> Reply:
    """Return an account as its reader sees it, with its ETag."""
    return Reply(200, call.records.shown(account), {"ETag": account.etag})
