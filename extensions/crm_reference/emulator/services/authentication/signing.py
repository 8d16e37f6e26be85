"""Sign-ins: the address first, then what the company demands, and a session at the end."""

from __future__ import annotations

import ipaddress
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply, World
from crm_reference.emulator.clock import iso
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication import factor_policy, sessions
from crm_reference.emulator.services.authentication.accounts import (
    ACCOUNTS,
    DEVICES,
    account_by_email,
    check_password,
    fail,
    is_password_due,
    is_shut,
    present,
    set_password,
)
from crm_reference.emulator.services.authentication.acting import NO_STORE, acting, hashed, is_same, keep, kept, refused, shown
from crm_reference.emulator.services.authentication.factor_checks import PRIMARY
from crm_reference.emulator.services.authentication.sso_providers import PROVIDERS
from crm_reference.emulator.services.authentication.sso_routing import is_exempt, verified_claim
from crm_reference.emulator.store import Record

SIGN_INS, CHALLENGES, FACTORS, NETWORKS = "sign-ins", "mfa-challenges", "mfa-factors", "sign-in-networks"
DEVICE_CREATED = "crm.sign_in_device.created.v1"
LIFETIME_SECONDS = 600
MAX_TRIES = 5
#: The method that a factor's type is used by.
_METHODS = {
    "totp": "totp",
    "passkey": "passkey",
    "email": "email_code",
    "recovery_codes": "recovery_code",
    "bypass_code": "bypass_code",
}
_CLOSED = ("completed", "blocked", "expired")


# -- beginning -----------------------------------------------------------------------------------------------------------------


@handles("startSignIn")
def start(call: Call) -> Reply:
    """Begin a sign-in by an address; unknown ones are answered like those with a password."""
    email = call.body["email"].lower()
    domain = verified_claim(call.world, email.rpartition("@")[2])
    found = account_by_email(call.world, email)
    tenant = found[0] if found else domain[0] if domain else ""
    if tenant and is_shut_out(acting(call.world, tenant), call.request.address):
        raise Problem("address_blocked", "Your company shuts this network out. Sign in from another one.")
    device = _device(call, found)
    secret = call.world.secret("sign-in", 16)
    doc: dict[str, Any] = {
        "id": call.new_id("sgi"),
        "status": "password_required",
        "methods": ["password", "passkey"],
        "tries_left": MAX_TRIES,
        "is_device_known": device is not None,
        "created_at": call.now,
        "expires_at": iso(call.world.clock.time() + LIFETIME_SECONDS),
        "_secret": hashed(secret),
        "_tenant": tenant,
        "_user_id": found[1].doc["user_id"] if found else "",
        "_account": found[1].id if found else "",
        "_device": device.id if device is not None else "",
        "_methods": [],
        "_return_to": call.body.get("return_to", "/"),
    }
    if domain:
        doc |= _by_provider(call.world, *domain, doc["id"])
    if doc["status"] == "redirect_required":
        del doc["tries_left"]
    record = keep(call.world, SIGN_INS, doc)
    headers = {"Location": f"/v1/sign-ins/{record.id}", **NO_STORE}
    return Reply(201, {"sign_in": shown(record), "sign_in_secret": secret}, headers)


def _by_provider(world: World, tenant: str, claim: Record, id: str) -> dict[str, Any]:
    """Return what a domain's provider changes in a sign-in: it is offered beside the password, or stands in its place."""
    provider = world.store.get(tenant, PROVIDERS, str(claim.doc.get("identity_provider_id", "")))
    if provider is None or not provider.doc["is_enabled"]:
        return {}
    if not claim.doc.get("is_sso_required"):
        return {"identity_provider_id": provider.id, "methods": ["password", "passkey", "sso"]}
    url = f"{world.site}/v1/sso/{provider.id}/start?sign_in_id={id}"
    return {"status": "redirect_required", "methods": ["sso"], "identity_provider_id": provider.id, "redirect_url": url}


def _device(call: Call, found: tuple[str, Record] | None) -> Record | None:
    token = call.body.get("device_token")
    if not token or found is None:
        return None
    tenant, account = found
    known = call.world.store.find(tenant, DEVICES, user_id=account.doc["user_id"], _token=hashed(token))
    return known[0] if known else None


def is_shut_out(context: Context, address: str, /) -> bool:
    """Tell whether a rule of the tenant shuts a network address out."""
    rules = [r.doc for r in context.world.store.select(context.tenant, NETWORKS)]
    return any(r["effect"] == "deny" and r.get("is_enabled", True) and _within(address, r["network"]) for r in rules)


def _within(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:  # an address of another transport, a socket's name for instance
        return False


# -- steps ---------------------------------------------------------------------------------------------------------------------


def sign_in_of(world: World, id: str, secret: str, /) -> Record:
    """Return a sign-in to whoever has its secret.

    :raises Problem: ``not_found``, also where the secret is another one.
    """
    record = kept(world, SIGN_INS, id)
    if record is None or not is_same(secret, record.doc["_secret"]):
        raise Problem("not_found", f"No sign-in has the ID {id}.")
    return _now(world, record)


def _now(world: World, record: Record) -> Record:
    if record.doc["status"] not in _CLOSED and record.doc["expires_at"] <= world.clock.now():
        record.doc |= {"status": "expired", "methods": []}
    return record


def _step(call: Call, *statuses: str) -> Record:
    """Return the sign-in that the path names, where it waits for this step.

    :raises Problem: ``not_found``, ``sign_in_closed`` or ``sign_in_step_wrong``.
    """
    record = sign_in_of(call.world, call.path["sign_in_id"], call.body["sign_in_secret"])
    if record.doc["status"] in _CLOSED:
        raise Problem("sign_in_closed", f"The sign-in is {record.doc['status']}. Begin another one.")
    if statuses and record.doc["status"] not in statuses:
        raise Problem("sign_in_step_wrong", f"The sign-in is at {record.doc['status']}.")
    return record


@handles("getSignIn")
def read(call: Call) -> Reply:
    """Return how a sign-in stands."""
    record = kept(call.world, SIGN_INS, call.path["sign_in_id"])
    if record is None:
        raise Problem("not_found", f"No sign-in has the ID {call.path['sign_in_id']}.")
    return Reply(200, shown(_now(call.world, record)))


@handles("submitSignInPassword")
def give_password(call: Call) -> Reply:
    """Check the password; a wrong one is counted and told, and is no error of the request."""
    doc = _step(call, "password_required", "redirect_required").doc
    context = acting(call.world, doc["_tenant"], doc["_user_id"])
    account = _account(context, doc)
    # Where the provider is required, administrators alone keep their password; nobody else learns that one was right.
    counts = doc["status"] == "password_required" or is_exempt(context, doc["_user_id"])
    if check_password(context, account, call.body["password"]) and account is not None and counts:
        patch = {**_next(context, doc, account), "last_outcome": "accepted", "tries_left": None}
        patch |= {"identity_provider_id": None, "redirect_url": None}
        patch["_methods"] = ["password"]
    else:
        left = doc.get("tries_left", MAX_TRIES) - 1
        patch = {"last_outcome": "credentials_wrong", "tries_left": left}
        if left == 0:
            patch |= {"status": "blocked", "methods": []}
        if account is not None:
            fail(context, account, call.request.address)
    return _answer(call, doc, patch)


def _account(context: Context, doc: dict[str, Any]) -> Record | None:
    account = context.records.peek(ACCOUNTS, doc["_account"]) if doc["_account"] else None
    return present(context, account) if account is not None else None


def _answer(call: Call, doc: dict[str, Any], patch: dict[str, Any]) -> Reply:
    changed = {k: v for k, v in {**doc, **patch}.items() if v is not None}
    return Reply(200, shown(keep(call.world, SIGN_INS, changed)), dict(NO_STORE))


def _next(context: Context, doc: dict[str, Any], account: Record) -> dict[str, Any]:
    """Return what a sign-in waits for once the password was right."""
    if is_password_due(context, account):
        return {"status": "password_change_required", "methods": ["password"]}
    return _factor_or_ready(context, doc)


def _factor_or_ready(context: Context, doc: dict[str, Any]) -> dict[str, Any]:
    """Ask for a factor where the user has one that can be asked, the policy doesn't say off, and the device isn't trusted."""
    factors = context.world.store.find(context.tenant, FACTORS, user_id=doc["_user_id"], status="active")
    known = [
        {"factor_id": f.id, "method": _METHODS[f.doc["type"]], "name": f.doc.get("name")}
        for f in factors
        if f.doc.get("type") in _METHODS
    ]
    methods = sorted({str(f["method"]) for f in known})
    device = context.records.peek(DEVICES, doc["_device"]) if doc["_device"] else None
    is_trusted = device is not None and device.doc.get("trust_ends_at", "") > context.now
    can_be_asked = any(f.doc["type"] in PRIMARY for f in factors)
    if can_be_asked and not is_trusted and not factor_policy.is_off(context):
        return {"status": "factor_required", "methods": methods, "factors": [_named(f) for f in known]}
    return {"status": "ready", "methods": []}


def _named(factor: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in factor.items() if v is not None}


@handles("submitSignInNewPassword")
def give_new_password(call: Call) -> Reply:
    """Set the new password that the sign-in demands, and go on."""
    doc = _step(call, "password_change_required").doc
    context = acting(call.world, doc["_tenant"], doc["_user_id"])
    account = _account(context, doc)
    if account is None:
        raise Problem("sign_in_closed", "The account is gone. Begin another sign-in.")
    set_password(context, account, call.body["new_password"], "sign_in", "#/new_password")
    return _answer(call, doc, _factor_or_ready(context, doc))


# -- the end -------------------------------------------------------------------------------------------------------------------


@handles("completeSignIn")
def complete(call: Call) -> Reply:
    """Begin a session once everything was given."""
    doc = _step(call).doc
    context = acting(call.world, doc["_tenant"], doc["_user_id"])
    if is_shut(_account(context, doc)):
        raise Problem("sign_in_closed", "The account was locked meanwhile. An administrator can lift the lock.")
    methods = _proven(call, context, doc)
    device, token = _remembered(call, context, doc)
    acr = "urn:crm:acr:mfa" if len(methods) > 1 or methods == ["passkey"] else "urn:crm:acr:pwd"
    session, secret = sessions.start(
        context,
        doc["_user_id"],
        methods=[sessions.AMR[m] for m in methods],
        acr=acr,
        device_id=device,
        ip=call.request.address,
    )
    account = _account(context, doc)
    if account is not None:
        context.records.change(account, {"last_sign_in_at": call.now, "_failed_at": []})
    keep(call.world, SIGN_INS, {**doc, "status": "completed", "methods": [], "factors": None})
    seconds = sessions.rules(context)["maximum_lifetime_minutes"] * 60
    cookie = f"crm_session={secret}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax"
    answer = {"session": context.records.shown(session), "session_secret": secret, **sessions.tokens(context, session)}
    answer |= {"device_token": token} if token else {}
    return Reply(201, answer, {"Location": f"/v1/sessions/{session.id}", "Set-Cookie": cookie, **NO_STORE})


def _proven(call: Call, context: Context, doc: dict[str, Any]) -> list[str]:
    """Return the methods by which the user proved to be the user.

    :raises Problem: ``sign_in_not_ready`` or ``factor_not_passed``.
    """
    challenge_id = call.body.get("challenge_id")
    given: list[str] = doc["_methods"]
    if doc["status"] == "factor_required":
        return [*given, use_challenge(context, challenge_id, "sign_in_id", doc["id"], doc["_user_id"])]
    if doc["status"] == "password_required" and challenge_id and doc["_user_id"]:
        return [use_challenge(context, challenge_id, "sign_in_id", doc["id"], doc["_user_id"], alone=True)]
    if doc["status"] != "ready":
        raise Problem("sign_in_not_ready", f"The sign-in is at {doc['status']}.")
    return given


def use_challenge(context: Context, id: str | None, member: str, of: str, user_id: str, /, *, alone: bool = False) -> str:
    """Use a passed challenge up and return its method.

    :param member: What it must have been made for: ``sign_in_id`` or ``session_id``.
    :param alone: Whether it must be worth two factors, as a passkey that verified its user is.
    :raises Problem: ``factor_not_passed``.
    """
    challenge = context.world.store.get(context.tenant, CHALLENGES, id) if id else None
    doc = challenge.doc if challenge is not None else {}
    # A challenge that a program's token asked for belongs to no session, and counts for any of its user's.
    wanted = (of,) if member == "sign_in_id" else (of, "", None)
    fits = doc.get("status") == "passed" and doc.get(member) in wanted and doc.get("user_id") == user_id and not doc.get("_used")
    if challenge is None or not fits or (alone and not doc.get("is_user_verified")):
        raise refused("factor_not_passed", "#/challenge_id", "is missing, or leads to no challenge that was passed for this")
    context.world.store.put(context.tenant, Record(CHALLENGES, challenge.id, challenge.version, {**challenge.doc, "_used": True}))
    return str(doc["method"])


def _remembered(call: Call, context: Context, doc: dict[str, Any]) -> tuple[str, str]:
    """Return the ID of the device of a sign-in, and its token where it is a new one."""
    seen = {"last_seen_at": call.now, "last_ip_address": call.request.address}
    known = context.records.peek(DEVICES, doc["_device"]) if doc["_device"] else None
    if known is not None:
        context.records.change(known, seen)
        return known.id, ""
    described = call.body.get("remember_device")
    if described is None:
        return "", ""
    token = call.world.secret("device", 24)
    new = {**described, **seen, "user_id": doc["_user_id"], "is_trusted": False, "_token": hashed(token)}
    return context.records.create(DEVICES, new, event=DEVICE_CREATED).id, token
