"""Passkeys: made by a browser for a signed-in user, and used in place of name, password and second factor."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply, World
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication import sessions
from crm_reference.emulator.services.authentication.accounts import account_of, is_shut
from crm_reference.emulator.services.authentication.acting import NO_STORE, acting, refused
from crm_reference.emulator.services.authentication.factor_checks import (
    CHALLENGE_SECONDS,
    CHALLENGES,
    FACTORS,
    later,
    request_options,
    usable,
    used,
)
from crm_reference.emulator.services.authentication.factor_policy import demand_allowed
from crm_reference.emulator.services.authentication.factors import ENROLLED, NEW, demand_owner
from crm_reference.emulator.services.authentication.sso_routing import route
from crm_reference.emulator.services.authentication.webauthn_checks import (
    ALGORITHMS,
    RELYING_PARTY,
    Rejected,
    verify_assertion,
    verify_registration,
)
from crm_reference.emulator.store import Record

#: Seals challenges of sign-ins, which nobody keeps. It protects examples alone.
_SEAL = hashlib.sha256(b"the emulator's seal of passkey challenges, which protects nothing").digest()
_SEAL_BYTES = 16


@handles("startPasskeyRegistration")
def start_registration(call: Call) -> Reply:
    """Give out what a browser needs to make a passkey."""
    demand_allowed(call, "passkey")
    demand_owner(call)
    user = call.records.get("users", call.identity.user)
    challenge = call.world.secret("passkey-challenge")
    kept = {"purpose": "registration", "status": "pending", "user_id": user.id, "_tries": 0, "_challenge": challenge}
    record = call.records.create(CHALLENGES, {**kept, "expires_at": later(call, CHALLENGE_SECONDS)})
    known = [f.doc["_credential"] for f in call.records.find(FACTORS, user_id=user.id, type="passkey")]
    options = {
        "challenge_id": record.id,
        "challenge": challenge,
        "relying_party": RELYING_PARTY,
        "relying_party_name": "Brightwater CRM",
        "user_handle": _handle(user.id),
        "user_name": user.doc["email"],
        "user_display_name": user.doc["full_name"],
        "algorithms": [int(a) for a in ALGORITHMS],
        "exclude_credentials": known,
        "user_verification": "required",
        "timeout_seconds": CHALLENGE_SECONDS,
        "expires_at": record.doc["expires_at"],
    }
    return Reply(201, options, {"Location": f"/v1/mfa-challenges/{record.id}"})


@handles("registerPasskey")
def register(call: Call) -> Reply:
    """Keep a passkey's public key as a factor."""
    challenge = call.records.get(CHALLENGES, call.body["challenge_id"])
    if challenge.doc["purpose"] != "registration" or call.records.public(challenge)["status"] != "pending":
        raise Problem("challenge_closed", "The challenge was used, ran out, or is no challenge of a new passkey.")
    try:
        kept = verify_registration(challenge.doc["_challenge"], call.body)
    except Rejected:
        raise refused("passkey_rejected", "#/attestation_object", "doesn't verify for this challenge and our pages") from None
    if find_passkey(call.world, kept["_credential"]) is not None:
        raise Problem("passkey_registered", "The authenticator holds a passkey that a factor has already.")
    doc: dict[str, Any] = {**NEW, "type": "passkey", "name": call.body["name"], "status": "active", **kept}
    doc |= {"is_phishing_resistant": True, "transports": call.body.get("transports"), "confirmed_at": call.now}
    doc["is_default"] = not usable(call, call.identity.user)
    factor = call.records.create(FACTORS, doc, event=ENROLLED)
    with upkeep(call):
        call.records.change(challenge, {"status": "passed", "method": "passkey", "passed_at": call.now})
    return single.shown(call, factor, 201, Location=f"/v1/mfa-factors/{factor.id}")


def find_passkey(world: World, credential: str, /) -> tuple[str, Record] | None:
    """Return a passkey and its tenant, by the credential's ID, over all tenants."""
    for tenant in world.store.tenants(FACTORS):
        for factor in world.store.find(tenant, FACTORS, _credential=credential):
            return tenant, factor
    return None


@handles("startPasskeySignIn")
def start_sign_in(call: Call) -> Reply:
    """Give out a challenge that carries its own time and seal, so that nothing is kept for whoever asks."""
    ends = int(call.world.clock.time()) + CHALLENGE_SECONDS
    random = base64.urlsafe_b64decode(call.world.secret("passkey-sign-in", 16) + "==")
    content = random + ends.to_bytes(8, "big")
    sealed = base64.urlsafe_b64encode(content + _seal(content)).decode().rstrip("=")
    return Reply(200, {"passkey": request_options(sealed, []), "expires_at": later(call, CHALLENGE_SECONDS)})


@handles("finishPasskeySignIn")
def finish_sign_in(call: Call) -> Reply:
    """Begin a session for whoever a passkey belongs to."""
    rejected = refused("passkey_rejected", "#/signature", "doesn't verify, or is of a passkey that nobody has here")
    challenge = _challenge_of(call.body["client_data_json"])
    if challenge is None:
        raise rejected
    found = find_passkey(call.world, call.body["credential"])
    if found is None:
        raise rejected
    tenant, factor = found
    try:
        proof = verify_assertion(factor.doc, challenge, call.body, verify_user=True)
    except Rejected:
        raise rejected from None
    context = acting(call.world, tenant, factor.doc["user_id"])
    user = context.records.peek("users", factor.doc["user_id"])
    if user is None or not user.doc.get("is_active", True) or call.body["user_handle"] != _handle(factor.doc["user_id"]):
        raise rejected
    if is_shut(account_of(context, user.id)) or not route(context, str(user.doc.get("email", "")))["is_password_accepted"]:
        raise rejected
    if challenge in factor.doc.get("_seen", ()) or _ends_at(challenge) <= call.world.clock.time():
        raise Problem("passkey_sign_in_expired", "The challenge ran out or was used before. Get fresh options.")
    used(context, factor, _sign_count=proof.sign_count, _seen=[*factor.doc.get("_seen", ()), challenge][-20:])
    session, secret = sessions.start(context, user.id, methods=["hwk", "user"], acr="urn:crm:acr:mfa")
    body = {"session_id": session.id, "user_id": user.id, "factor_id": factor.id, "signed_in_at": call.now}
    return Reply(201, body, {"Set-Cookie": cookie(context, secret), **NO_STORE})


def cookie(context: Context, secret: str, /) -> str:
    """Return the cookie that signs a browser in."""
    seconds = sessions.rules(context)["maximum_lifetime_minutes"] * 60
    return f"crm_session={secret}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax"


def _handle(user_id: str) -> str:
    return base64.urlsafe_b64encode(user_id.encode()).decode().rstrip("=")


def _seal(content: bytes) -> bytes:
    return hmac.digest(_SEAL, content, "sha256")[:_SEAL_BYTES]


def _challenge_of(client_data: str) -> str | None:
    """Return the challenge that client data name, where it has our seal."""
    try:
        challenge = str(json.loads(base64.urlsafe_b64decode(client_data + "=="))["challenge"])
        content = base64.urlsafe_b64decode(challenge + "==")
    except (ValueError, KeyError, TypeError):
        return None
    return challenge if hmac.compare_digest(_seal(content[:-_SEAL_BYTES]), content[-_SEAL_BYTES:]) else None


def _ends_at(challenge: str) -> int:
    content = base64.urlsafe_b64decode(challenge + "==")
    return int.from_bytes(content[16:24], "big")
