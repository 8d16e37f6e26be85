"""Challenges: how one is opened, and how its answer is judged. Sign-ins and step-ups both go through here."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping
from typing import Any

import pyotp

from crm_reference.emulator.call import Context
from crm_reference.emulator.clock import iso, seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, presents, sees
from crm_reference.emulator.services.authentication.acting import hashed, is_same, mail_hint, refused, send_mail
from crm_reference.emulator.services.authentication.webauthn_checks import RELYING_PARTY, Rejected, verify_assertion
from crm_reference.emulator.store import Record

FACTORS = "mfa-factors"
CHALLENGES = "mfa-challenges"
#: Kinds of factor that a challenge can ask; the others are sets of codes that stand in for one.
PRIMARY = ("passkey", "totp", "email")
CHALLENGE_SECONDS = 300
MAX_TRIES = 5
TOTP_SECONDS = 30

#: Takes context, challenge, factor and answer; returns what to note on the passed challenge.
_Check = Callable[[Context, Record, Record, Mapping[str, Any]], dict[str, Any]]


def later(context: Context, seconds: int, /) -> str:
    """Return an instant so many seconds from now."""
    return iso(seconds_of(context.now) + seconds)


def digits(context: Context, purpose: str, number: int, /) -> str:
    """Return a new numeric code of so many digits."""
    secret = context.world.secret(purpose, 16)
    value = int.from_bytes(base64.urlsafe_b64decode(secret + "=="), "big")
    return str(value % 10**number).zfill(number)


def usable(context: Context, user_id: str, /) -> list[Record]:
    """Return a user's factors that a challenge can ask, the default first."""
    found = context.records.find(FACTORS, user_id=user_id, status="active")
    return sorted((f for f in found if f.doc["type"] in PRIMARY), key=lambda f: not f.doc.get("is_default"))


@sees(CHALLENGES)
def sees_challenge(context: Context, challenge: Record) -> bool:
    """Show a challenge to the user whom it asks."""
    return bool(challenge.doc["user_id"] == context.identity.user)


@presents(CHALLENGES)
def present_challenge(context: Context, challenge: Record) -> Mapping[str, Any]:
    """Count the answers that may still be wrong, and tell that a challenge failed or ran out, though nobody wrote it down."""
    left = MAX_TRIES - challenge.doc["_tries"]
    if challenge.doc["status"] != "pending":
        return {"tries_left": left}
    ended = challenge.doc["expires_at"] <= context.now
    return {"tries_left": left, "status": "failed" if not left else "expired" if ended else "pending"}


def open_challenge(
    context: Context, user_id: str, factor: Record, purpose: str, /, *, sign_in_id: str = "", session_id: str = ""
) -> Record:
    """Open a challenge of a factor; an e-mail code is on its way then.

    :param context: Of the user's tenant.
    :param purpose: ``step_up`` or ``sign_in``.
    :raises Problem: ``factor_not_challengeable``.
    """
    if factor.doc["type"] not in PRIMARY or factor.doc["status"] != "active":
        raise Problem("factor_not_challengeable", "Ask an active authenticator app, passkey or e-mail factor.")
    doc = {
        "purpose": purpose,
        "status": "pending",
        "user_id": user_id,
        "factor_id": factor.id,
        "_tries": 0,
        "expires_at": later(context, CHALLENGE_SECONDS),
        "sign_in_id": sign_in_id or None,
        "session_id": session_id or None,
    }
    if factor.doc["type"] == "email":
        doc |= mail_code(context, user_id, "mfa_code")
    elif factor.doc["type"] == "passkey":
        doc["passkey"] = request_options(context.world.secret("passkey-challenge"), [factor.doc["_credential"]])
    return context.records.create(CHALLENGES, doc)


def mail_code(context: Context, user_id: str, template: str, /) -> dict[str, Any]:
    """Send a user a six-digit code, and return what is kept of it."""
    user = context.records.get("users", user_id)
    code = digits(context, "email-code", 6)
    send_mail(context, user.doc["email"], template, code=code)
    return {"sent_to": mail_hint(user.doc["email"]), "_code": hashed(code)}


def request_options(challenge: str, credentials: list[str], /) -> dict[str, Any]:
    """Return what a browser needs to use a passkey."""
    return {
        "challenge": challenge,
        "relying_party": RELYING_PARTY,
        "allow_credentials": credentials,
        "user_verification": "preferred" if credentials else "required",
        "timeout_seconds": CHALLENGE_SECONDS,
    }


def answer(context: Context, challenge: Record, body: Mapping[str, Any], /) -> Record:
    """Judge the answer to a challenge, and return the challenge as passed.

    :raises Problem: ``challenge_closed``; ``answer_method_mismatch``; ``factor_code_wrong`` or ``passkey_rejected``, counted.
    """
    status = context.records.public(challenge)["status"]
    if status != "pending":
        raise Problem("challenge_closed", f"The challenge is {status}. Begin a new one.")
    factor = context.records.peek(FACTORS, challenge.doc.get("factor_id", ""))
    if factor is None:
        raise Problem("challenge_closed", "The factor that it asks is gone.")
    try:
        noted = _CHECKS[body["method"]](context, challenge, factor, body)
    except _Wrong as wrong:
        tries = challenge.doc["_tries"] + 1
        context.records.note(challenge, _tries=tries)
        # The count stays although the answer is an error: guessing must come to an end.
        raise refused(
            wrong.code, wrong.pointer, f"is not right; {MAX_TRIES - tries} more answers are taken", commits=True
        ) from None
    return context.records.change(challenge, {"status": "passed", "passed_at": context.now, **noted})


class _Wrong(Exception):
    """A wrong answer, which counts."""

    def __init__(self, code: str, pointer: str) -> None:
        self.code, self.pointer = code, pointer
        super().__init__(code)


def _by_code(context: Context, challenge: Record, factor: Record, body: Mapping[str, Any]) -> dict[str, Any]:
    """Check the code of an app or of a mail."""
    if factor.doc["type"] == "totp":
        step = matching_step(factor.doc["_secret"], body["code"], seconds_of(context.now), factor.doc.get("_last_step", 0))
        if step is None:
            raise _Wrong("factor_code_wrong", "#/code")
        used(context, factor, _last_step=step)
        return {"method": "totp"}
    if factor.doc["type"] != "email":
        raise refused("answer_method_mismatch", "#/method", "must be passkey, recovery_code or bypass_code here")
    if not is_same(body["code"], challenge.doc["_code"]):
        raise _Wrong("factor_code_wrong", "#/code")
    used(context, factor)
    return {"method": "email_code"}


def _by_set(type: str, method: str) -> _Check:
    """Return the check of codes that stand in for a factor and are used up."""

    def check(context: Context, challenge: Record, factor: Record, body: Mapping[str, Any]) -> dict[str, Any]:
        sent = hashed(body[method].replace("-", "").upper())
        for kept in context.records.find(FACTORS, user_id=challenge.doc["user_id"], type=type):
            left = [code for code in kept.doc["_codes"] if not hmac.compare_digest(code, sent)]
            if len(left) < len(kept.doc["_codes"]) and kept.doc.get("expires_at", "9") > context.now:
                used(context, kept, _codes=left)
                return {"method": method}
        raise _Wrong("factor_code_wrong", f"#/{method}")

    return check


def _by_passkey(context: Context, challenge: Record, factor: Record, body: Mapping[str, Any]) -> dict[str, Any]:
    """Check a passkey's signature."""
    if factor.doc["type"] != "passkey":
        raise refused("answer_method_mismatch", "#/method", "must be code, recovery_code or bypass_code here")
    if body["credential"] != factor.doc["_credential"]:
        raise _Wrong("passkey_rejected", "#/credential")
    try:
        proof = verify_assertion(factor.doc, challenge.doc["passkey"]["challenge"], body)
    except Rejected:
        raise _Wrong("passkey_rejected", "#/signature") from None
    used(context, factor, _sign_count=proof.sign_count)
    return {"method": "passkey", "is_user_verified": proof.is_user_verified}


_CHECKS: Mapping[str, _Check] = {
    "code": _by_code,
    "recovery_code": _by_set("recovery_codes", "recovery_code"),
    "bypass_code": _by_set("bypass_code", "bypass_code"),
    "passkey": _by_passkey,
}


def used(context: Context, factor: Record, /, **hidden: Any) -> Record:
    """Note that a factor proved something."""
    patch = {"last_used_at": context.now, "use_count": factor.doc.get("use_count", 0) + 1}
    return context.records.change(factor, {**patch, **hidden})


def matching_step(secret: str, code: str, now: int, last: int, /) -> int | None:
    """Return the period whose code it is: this one, the one before or the one after, but none up to the last that was used."""
    totp = pyotp.TOTP(secret)
    present = now // TOTP_SECONDS
    for step in (present, present - 1, present + 1):
        if step > last and hmac.compare_digest(totp.at(step * TOTP_SECONDS), code):
            return step
    return None


@computes("totp_check")
def totp_check(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Judge a code of an authenticator app.

    :param asked: ``secret`` in base 32, ``code``, the instant ``at``, and ``last_step``, the period of the last code taken.
    :return: ``is_accepted``, and ``step``, the period to remember, where it is.
    """
    step = matching_step(asked["secret"], asked["code"], seconds_of(asked["at"]), asked.get("last_step", 0))
    return {"is_accepted": False} if step is None else {"is_accepted": True, "step": step}
