"""Passwords that are changed, forgotten, reset by mail, and demanded by administrators."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import iso
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication import sessions
from crm_reference.emulator.services.authentication.accounts import (
    ACCOUNTS,
    account_by_email,
    check_password,
    expires_at,
    lapse,
    lock,
    note_failure,
    own_account,
    present,
    replied,
    set_password,
    unlocked,
)
from crm_reference.emulator.services.authentication.acting import (
    NO_STORE,
    NOBODY,
    acting,
    hashed,
    keep,
    kept,
    mail_hint,
    refused,
    send_mail,
)
from crm_reference.emulator.services.authentication.password_policy import effective
from crm_reference.emulator.services.authentication.sso_routing import route
from crm_reference.emulator.store import Record

RESETS = "password-reset-tokens"
REQUESTED, UNBLOCKED = "crm.password_reset.requested.v1", "crm.sign_in.unblocked.v1"
LINK_SECONDS = 1800


@handles("changePassword")
def change(call: Call) -> Reply:
    """Replace the caller's password."""
    account = own_account(call)
    if account is None or not check_password(call, account, call.body["current_password"]):
        if account is not None:
            note_failure(call, account)
        raise refused("current_password_wrong", "#/current_password", "is not your password", commits=True)
    changed = set_password(call, account, call.body["new_password"], "change", "#/new_password")
    ended = 0
    if call.body.get("end_other_sessions", True):
        sid = str(call.identity.claims.get("sid", ""))
        ended = sessions.end_all(call, call.identity.user, "password_changed", but=sid)
    send_mail(call, account.doc["email"], "password_changed")
    return _changed(call, changed, ended)


def _changed(context: Context, account: Record, ended: int) -> Reply:
    answer: dict[str, Any] = {"changed_at": account.doc["password_changed_at"], "ended_session_count": ended}
    due = expires_at(context, account)
    return Reply(200, answer | ({"expires_at": due} if due else {}), dict(NO_STORE))


# -- links ---------------------------------------------------------------------------------------------------------------------


@handles("requestPasswordReset")
def request(call: Call) -> Reply:
    """Send a link, where the address has an account that a password can open; answer alike in any case."""
    found = account_by_email(call.world, call.body["email"])
    if found is not None:
        tenant, account = found
        context = acting(call.world, tenant)
        # Whoever came by a provider and is led there no more has no password yet, and gets the first one by the link.
        can_have_one = account.doc.get("has_password") or route(context, account.doc["email"])["method"] == "password"
        if can_have_one and account.doc["status"] != "disabled":
            send_link(context, account)
            told = {"user_id": account.doc["user_id"], "is_by_administrator": False, "mode": "link"}
            context.emit(REQUESTED, account.doc["user_id"], told)
    return Reply(200, {"is_accepted": True, "link_lifetime_seconds": LINK_SECONDS})


def send_link(context: Context, account: Record, /) -> None:
    """Send a link for a new password; an earlier one ends."""
    store = context.world.store
    for former in store.find(NOBODY, RESETS, _account=account.id):
        store.remove(NOBODY, RESETS, former.id)
    token = context.world.secret("reset-token", 24)
    ends = iso(context.world.clock.time() + LINK_SECONDS)
    doc = {"id": hashed(token), "expires_at": ends, "_account": account.id, "_tenant": context.tenant}
    keep(context.world, RESETS, doc)
    send_mail(context, account.doc["email"], "password_reset", token=token)


def _reset(call: Call) -> tuple[Context, Record, Record]:
    """Return the token of a link with a context of its tenant and the account that it is for.

    :raises Problem: ``reset_token_wrong``, whatever is wrong with it.
    """
    token = kept(call.world, RESETS, hashed(call.body["reset_token"]))
    if token is not None and token.doc["expires_at"] > call.now:
        context = acting(call.world, token.doc["_tenant"])
        account = context.records.peek(ACCOUNTS, token.doc["_account"])
        if account is not None and account.doc["status"] != "disabled":
            return context, token, present(context, account)
    raise refused("reset_token_wrong", "#/reset_token", "is unknown, was used, was followed by another or is too old")


@handles("verifyPasswordReset")
def verify(call: Call) -> Reply:
    """Tell what a link is for."""
    context, token, account = _reset(call)
    answer = {"email_hint": mail_hint(account.doc["email"]), "expires_at": token.doc["expires_at"]}
    return Reply(200, {**answer, "password_policy": effective(context)}, dict(NO_STORE))


@handles("completePasswordReset")
def complete(call: Call) -> Reply:
    """Set a new password by a link, and end every session."""
    context, token, account = _reset(call)
    own = acting(call.world, context.tenant, account.doc["user_id"])
    changed = set_password(own, account, call.body["new_password"], "reset", "#/new_password")
    call.world.store.remove(NOBODY, RESETS, token.id)
    return _changed(own, changed, sessions.end_all(own, account.doc["user_id"], "password_changed"))


# -- administrators ------------------------------------------------------------------------------------------------------------


@handles("listSignInAccounts")
def list_accounts(call: Call) -> Reply:
    """List accounts, without locks whose time is over."""
    lapse(call)
    if "email" in call.query:
        call.query["email"] = call.query["email"].lower()
    return listing.list_records(call)


@handles("getSignInAccount")
def read_account(call: Call) -> Reply:
    """Return one account as it is now."""
    call.record = present(call, call.found)
    return single.read(call)


@handles("resetSignInAccountPassword")
def reset_account(call: Call) -> Reply:
    """Send a link, or demand a new password at the next sign-in."""
    account = present(call, call.found)
    if account.doc["status"] == "disabled":
        raise Problem("account_disabled", "Reactivate the user in users first.")
    user, mode = account.doc["user_id"], call.body["mode"]
    if mode == "link":
        send_link(call, account)
        sessions.end_all(call, user, "revoked_by_administrator", note_text=call.body["reason"])
    patch = {"reset_requested_at": call.now, "is_password_change_due": mode == "next_sign_in"}
    changed = call.records.change(account, patch)
    call.emit(REQUESTED, user, {"user_id": user, "is_by_administrator": True, "mode": mode})
    return replied(call, changed)


@handles("lockSignInAccount")
def lock_account(call: Call) -> Reply:
    """Lock an account and end the user's sessions."""
    account = present(call, call.found)
    if account.doc["user_id"] == call.identity.user:
        raise Problem("own_account", "Nobody locks the own account. Ask another administrator.")
    if account.doc["status"] == "disabled":
        raise Problem("account_disabled", "The user was deactivated; nobody can sign in there.")
    if account.doc["status"] == "locked":
        raise Problem("account_locked", f"The account is locked for the reason {account.doc['lock_reason']}.")
    ends = call.body.get("lock_ends_at", "")
    if ends and ends <= call.now:
        detail = "must lie in the future"
        entry = {"pointer": "#/lock_ends_at", "code": "invalid_value", "detail": detail}
        raise Problem("validation_failed", "1 field breaks a rule; see errors.", [entry])
    locked = lock(call, account, call.body["lock_reason"], ends)
    sessions.end_all(call, account.doc["user_id"], "account_locked")
    return replied(call, locked)


@handles("unlockSignInAccount")
def unlock_account(call: Call) -> Reply:
    """Lift a lock and forget wrong passwords."""
    account = present(call, call.found)
    if account.doc["status"] != "locked":
        raise Problem("account_not_locked", f"The account is {account.doc['status']}.")
    changed = call.records.change(account, unlocked(account))
    told = {"user_id": account.doc["user_id"], "sign_in_account_id": account.id}
    call.emit(UNBLOCKED, account.doc["user_id"], told)
    return replied(call, changed)
