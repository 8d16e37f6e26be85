"""Second factors: enrolment, confirmation, codes on paper, and what administrators do for those who lost theirs."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import enforces, guards, handles, hears, presents, sees
from crm_reference.emulator.services.authentication import sessions
from crm_reference.emulator.services.authentication.acting import NO_STORE, hashed, is_same, refused, send_mail
from crm_reference.emulator.services.authentication.factor_checks import (
    CHALLENGES,
    FACTORS,
    MAX_TRIES,
    PRIMARY,
    TOTP_SECONDS,
    digits,
    later,
    mail_code,
    matching_step,
    usable,
)
from crm_reference.emulator.services.authentication.factor_policy import SEEDED, demand_allowed, is_required, policy_of
from crm_reference.emulator.store import Record

ENROLLED = "crm.mfa_factor.enrolled.v1"
UPDATED = "crm.mfa_factor.updated.v1"
REMOVED = "crm.mfa_factor.removed.v1"
POLICY_CHANGED = "crm.mfa_policy.changed.v1"
#: How long an enrolment waits for its first code.
ENROLMENT_SECONDS = 600
#: Letters and digits that nobody takes for each other.
_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ79"
#: What everybody's factor begins as.
NEW: Mapping[str, Any] = {"is_default": False, "is_phishing_resistant": False, "use_count": 0}


@sees(FACTORS)
def sees_factor(context: Context, factor: Record) -> bool:
    """Show a factor to its own user; administrators read factors under the user."""
    return bool(factor.doc["user_id"] == context.identity.user)


@presents(FACTORS)
def present(context: Context, factor: Record) -> Mapping[str, Any]:
    """Count the codes that are left."""
    if "_codes" not in factor.doc:
        return {}
    return {"remaining_count": len(factor.doc["_codes"]) if factor.doc.get("expires_at", "9") > context.now else 0}


@enforces("default_factor_active")
def default_factor_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Keep one active factor as the default."""
    if context.is_upkeep or old is None or new["is_default"] == old["is_default"]:
        return ""
    if not new["is_default"]:
        return "is_default can't be taken away; make another factor the default."
    if new["status"] != "active" or new["type"] not in PRIMARY:
        return "Only an active passkey, authenticator app or e-mail factor can be the default."
    return ""


@guards(FACTORS)
def keep_last(context: Context, factor: Record) -> None:
    """Keep the last factor of a user of whom the policy demands one."""
    user_id = factor.doc["user_id"]
    others = [f for f in usable(context, user_id) if f.id != factor.id]
    if factor.doc["status"] == "active" and factor.doc["type"] in PRIMARY and not others and is_required(context, user_id):
        raise Problem("last_factor", "The policy demands a second factor of you. Enrol another one first.")


# -- one's own ------------------------------------------------------------------------------------------------------------------


@handles("enrolMfaFactor")
def enrol(call: Call) -> Reply:
    """Begin an enrolment: a secret to be scanned, or a code that is mailed."""
    type = call.body["type"]
    demand_allowed(call, type)
    demand_owner(call)
    doc = {**NEW, **call.body, "status": "pending", "expires_at": later(call, ENROLMENT_SECONDS), "_tries": 0}
    shown: dict[str, Any] = {}
    if type == "totp":
        secret = base64.b32encode(base64.urlsafe_b64decode(call.world.secret("totp-secret", 20) + "=")).decode().rstrip("=")
        doc["_secret"] = secret
        shown["totp"] = _totp(call, secret)
    else:
        doc |= mail_code(call, call.identity.user, "mfa_enrolment")
    factor = call.records.create(FACTORS, doc, event=ENROLLED)
    return Reply(201, {"factor": call.records.shown(factor), **shown}, {"Location": f"/v1/mfa-factors/{factor.id}", **NO_STORE})


def demand_owner(call: Call, /) -> None:
    """Refuse a change of factors on a session that was confirmed long ago, where its user has a factor to confirm with.

    :raises Problem: ``step_up_required``.
    """
    if usable(call, call.identity.user):
        sessions.demand_fresh(call)


def _totp(context: Context, secret: str) -> dict[str, Any]:
    user = context.records.get("users", context.identity.user)
    label, issuer = quote(f"Brightwater CRM:{user.doc['email']}"), quote("Brightwater CRM")
    uri = f"otpauth://totp/{label}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits=6&period={TOTP_SECONDS}"
    return {"secret": secret, "otpauth_uri": uri, "algorithm": "SHA1", "digits": 6, "period_seconds": TOTP_SECONDS}


@handles("confirmMfaFactor")
def confirm(call: Call) -> Reply:
    """Make a factor active by its first right code."""
    factor, code = call.found, call.body["code"]
    if factor.doc["status"] == "active":
        raise Problem("factor_already_active", "The factor was confirmed before.")
    if factor.doc["expires_at"] <= call.now or factor.doc["_tries"] >= MAX_TRIES:
        raise Problem("factor_enrolment_expired", "The enrolment ran out, or five wrong codes came. Enrol anew.")
    patch: dict[str, Any] = {"status": "active", "confirmed_at": call.now, "expires_at": None}
    if factor.doc["type"] == "totp":
        patch["_last_step"] = matching_step(factor.doc["_secret"], code, seconds_of(call.now), 0)
        is_right = patch["_last_step"] is not None
    else:
        is_right = is_same(code, factor.doc["_code"])
    if not is_right:
        call.records.note(factor, _tries=factor.doc["_tries"] + 1)
        raise refused("factor_code_wrong", "#/code", "is not the code of this moment", commits=True)
    return single.shown(call, _activated(call, factor, patch))


def _activated(context: Context, factor: Record, patch: Mapping[str, Any]) -> Record:
    """Change a factor to active; the first one becomes the default."""
    first = not usable(context, factor.doc["user_id"])
    with upkeep(context):
        return context.records.change(factor, {**patch, "is_default": first}, event=UPDATED)


@handles("updateMfaFactor")
def update(call: Call) -> Reply:
    """Rename a factor, or make it the default in place of the present one."""
    changed = call.records.change(call.found, call.body, event=UPDATED)
    if call.body.get("is_default"):
        for other in usable(call, call.identity.user):
            if other.id != changed.id and other.doc["is_default"]:
                with upkeep(call):
                    call.records.change(other, {"is_default": False}, event=UPDATED)
    return single.shown(call, changed)


@handles("deleteMfaFactor")
def delete(call: Call) -> Reply:
    """Remove a factor; another becomes the default, and codes on paper go with the last one."""
    factor = call.found
    if factor.doc["status"] == "active":
        demand_owner(call)
    remove(call, factor, "user")
    left = usable(call, call.identity.user)
    if factor.doc["type"] in PRIMARY and not left:
        for codes in call.records.find(FACTORS, user_id=call.identity.user, type="recovery_codes"):
            remove(call, codes, "user")
    elif left and not left[0].doc["is_default"]:
        with upkeep(call):
            call.records.change(left[0], {"is_default": True}, event=UPDATED)
    return Reply(204)


def remove(context: Context, factor: Record, cause: str, /, reason: str = "") -> None:
    """Remove a factor and tell it.

    :param cause: ``user``, ``administrator`` or ``replaced``.
    """
    record = context.records.public(factor)
    context.records.delete(factor)
    with upkeep(context):
        for challenge in context.records.find(CHALLENGES, factor_id=factor.id):
            context.records.delete(challenge)
    context.emit(REMOVED, factor.id, {"record": record, "cause": cause} | ({"reason": reason} if reason else {}))


@handles("regenerateRecoveryCodes")
def regenerate(call: Call) -> Reply:
    """Make ten codes in place of the former ones."""
    user_id = call.identity.user
    if not usable(call, user_id):
        raise Problem("no_active_factor", "Enrol and confirm a factor first; recovery codes stand in for one.")
    demand_owner(call)
    codes = list(_paper_codes(call))
    factor = replace_codes(call, user_id, "recovery_codes", "Recovery codes", [c.replace("-", "") for c in codes])
    body = {"factor": call.records.shown(factor), "codes": codes}
    return Reply(201, body, {"Location": f"/v1/mfa-factors/{factor.id}", **NO_STORE})


def _paper_codes(context: Context) -> Iterator[str]:
    for _ in range(10):
        raw = base64.urlsafe_b64decode(context.world.secret("recovery-code", 12))
        letters = "".join(_ALPHABET[byte & 31] for byte in raw)
        yield f"{letters[:4]}-{letters[4:8]}-{letters[8:]}"


def replace_codes(
    context: Context, user_id: str, type: str, name: str, codes: list[str], /, expires_at: str | None = None
) -> Record:
    """Write a set of codes in place of the user's former one of the same kind."""
    with upkeep(context):
        for former in context.records.find(FACTORS, user_id=user_id, type=type):
            remove(context, former, "replaced")
    doc = {**NEW, "user_id": user_id, "type": type, "name": name, "status": "active", "confirmed_at": context.now}
    doc |= {"expires_at": expires_at, "_codes": [hashed(c) for c in codes]}
    return context.records.create(FACTORS, doc, event=ENROLLED)


# -- for others -----------------------------------------------------------------------------------------------------------------


@handles("getUserMfaStatus")
def status(call: Call) -> Reply:
    """Show an administrator how a user can prove who they are."""
    user_id = _user(call).id
    factors = call.world.store.find(call.tenant, FACTORS, user_id=user_id)
    shown = [call.records.public(f) for f in reversed(factors)]
    answer = {"user_id": user_id, "is_required": is_required(call, user_id), "is_enrolled": bool(usable(call, user_id))}
    return Reply(200, {**answer, "factors": shown[:50]})


@handles("resetUserMfaFactors")
def reset(call: Call) -> Reply:
    """Remove every factor of a user."""
    user = _user(call)
    _demand_colleague(call, user)
    factors = call.records.find(FACTORS, user_id=user.id)
    with upkeep(call):
        for factor in factors:
            remove(call, factor, "administrator", call.body["reason"])
    send_mail(call, user.doc["email"], "mfa_reset", reason=call.body["reason"])
    due = is_required(call, user.id)
    return Reply(200, {"user_id": user.id, "removed_count": len(factors), "is_enrolment_due": due})


@handles("createMfaBypassCode")
def bypass(call: Call) -> Reply:
    """Make one code that stands in for a factor once."""
    user = _user(call)
    if not policy_of(call).doc["is_bypass_allowed"]:
        raise Problem("bypass_not_allowed", "The policy allows no bypass codes.")
    if not user.doc.get("is_active", True):
        raise Problem("mfa_user_inactive", "A deactivated user can't sign in by any code.")
    _demand_colleague(call, user)
    code = digits(call, "bypass-code", 8)
    ends = later(call, call.body.get("lifetime_seconds", 3600))
    factor = replace_codes(call, user.id, "bypass_code", "Bypass code", [code], ends)
    send_mail(call, user.doc["email"], "mfa_bypass_made", reason=call.body["reason"])
    return Reply(201, {"factor": call.records.public(factor), "bypass_code": code, "expires_at": ends}, NO_STORE)


def _user(call: Call) -> Record:
    """Return the user whom the path names.

    :raises Problem: ``not_found``.
    """
    user = call.records.peek("users", call.path["user_id"])
    if user is None:
        raise Problem("not_found", f"No user has the ID {call.path['user_id']}.")
    return user


def _demand_colleague(call: Call, user: Record) -> None:
    """Refuse help around a second factor on a session that was confirmed long ago, or to oneself.

    :raises Problem: ``step_up_required`` or ``own_account``.
    """
    sessions.demand_fresh(call)
    if user.id == call.identity.user:
        raise Problem("own_account", "Nobody helps themselves around the second factor. Ask another administrator.")


@handles("replaceMfaPolicy")
def replace_policy(call: Call) -> Reply:
    """Put another policy in the present one's place, on a session that was confirmed lately."""
    sessions.demand_fresh(call)
    policy = policy_of(call)
    wanted = call.headers.get("If-Match")
    if wanted not in (None, "*", policy.etag):
        raise Problem("version_mismatch", f"If-Match is {wanted}, and the policy's ETag is {policy.etag}.")
    kept = {k: v for k, v in policy.doc.items() if k in ("id", "object", "created_at", "created_by")}
    changed = call.records.replace(policy, {**kept, **call.body})
    fields = [k for k in (*SEEDED, "required_roles") if policy.doc.get(k) != changed.doc.get(k)]
    if fields:
        call.emit(POLICY_CHANGED, changed.id, {"record": call.records.public(changed), "changed_fields": fields})
    return single.shown(call, changed)


@hears("crm.user.deleted.v1")
def user_deleted(context: Context, event: Mapping[str, Any]) -> None:
    """Remove what a user proved identity with, and the links to accounts at providers."""
    user_id = event["data"]["record"]["id"]
    here = context.within("authentication")
    with upkeep(here):
        for factor in here.records.find(FACTORS, user_id=user_id):
            remove(here, factor, "administrator")
        for challenge in here.records.find(CHALLENGES, user_id=user_id):
            here.records.delete(challenge)
        for link in here.records.find("identity-links", user_id=user_id):
            here.records.delete(link, event="crm.identity_link.deleted.v1")
