"""Operations on challenges: of signed-in users, and of those who are signing in."""

from __future__ import annotations

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication import signing
from crm_reference.emulator.services.authentication.accounts import account_of, fail
from crm_reference.emulator.services.authentication.acting import acting, keep, kept
from crm_reference.emulator.services.authentication.factor_checks import CHALLENGES, FACTORS, answer, open_challenge
from crm_reference.emulator.store import Record


@handles("createMfaChallenge")
def create(call: Call) -> Reply:
    """Ask one of the caller's factors."""
    session = str(call.identity.claims.get("sid", ""))
    challenge = open_challenge(call, call.identity.user, call.found, "step_up", session_id=session)
    return single.shown(call, challenge, 201, Location=f"/v1/mfa-challenges/{challenge.id}")


@handles("verifyMfaChallenge")
def verify(call: Call) -> Reply:
    """Take the answer of a signed-in user."""
    return single.shown(call, answer(call, call.found, call.body))


@handles("createSignInChallenge")
def create_for_sign_in(call: Call) -> Reply:
    """Ask a factor of somebody who is signing in; the sign-in's secret stands for a token."""
    sign_in = signing.sign_in_of(call.world, call.body["sign_in_id"], call.body["sign_in_secret"])
    tenant, user_id = sign_in.doc.get("_tenant", ""), sign_in.doc.get("_user_id", "")
    context = acting(call.world, tenant, user_id)
    factor = context.records.peek(FACTORS, call.body["factor_id"]) if tenant and user_id else None
    if factor is None or factor.doc["user_id"] != user_id:
        raise Problem("not_found", f"The sign-in has no factor {call.body['factor_id']}.")
    if sign_in.doc["status"] not in ("password_required", "factor_required"):
        raise Problem("factor_not_challengeable", f"The sign-in is {sign_in.doc['status']} and asks no factor.")
    if factor.doc["type"] != "passkey" and sign_in.doc["status"] != "factor_required":
        raise Problem("factor_not_challengeable", "Before the password only a passkey can be asked.")
    challenge = open_challenge(context, user_id, factor, "sign_in", sign_in_id=sign_in.id)
    return Reply(201, context.records.public(challenge))


@handles("verifySignInChallenge")
def verify_for_sign_in(call: Call) -> Reply:
    """Take the answer of somebody who is signing in."""
    context, challenge = _open_one(call, call.path["challenge_id"])
    try:
        return Reply(200, context.records.public(answer(context, challenge, call.body)))
    except Problem as refusal:
        if refusal.commits:
            _count(call, context, challenge)
        raise


def _count(call: Call, context: Context, challenge: Record) -> None:
    """Count a wrong answer as a wrong password is counted; where that locks the account, the sign-in is blocked."""
    account = account_of(context, challenge.doc["user_id"])
    sign_in = kept(call.world, signing.SIGN_INS, str(challenge.doc.get("sign_in_id", "")))
    if account is None:
        return
    fail(context, account, call.request.address)
    locked = account_of(context, challenge.doc["user_id"])
    if sign_in is not None and locked is not None and locked.doc["status"] == "locked":
        keep(call.world, signing.SIGN_INS, {**sign_in.doc, "status": "blocked", "methods": []})


def _open_one(call: Call, id: str) -> tuple[Context, Record]:
    """Return a sign-in's challenge with a context of its user.

    :raises Problem: ``not_found``, for a signed-in user's challenge too.
    """
    for tenant in call.world.store.tenants(CHALLENGES):
        challenge = call.world.store.get(tenant, CHALLENGES, id)
        if challenge is not None and challenge.doc["purpose"] == "sign_in":
            return acting(call.world, tenant, challenge.doc["user_id"]), challenge
    raise Problem("not_found", f"No sign-in has a challenge with the ID {id}.")
