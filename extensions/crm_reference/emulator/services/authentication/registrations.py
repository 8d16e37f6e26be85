"""Registrations of companies: nothing exists until the code from the mail comes back."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply, World
from crm_reference.emulator.clock import days_later, iso
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication.accounts import (
    CHANGED,
    account_by_email,
    assess,
    demand_good,
    give_first_password,
    hash_password,
)
from crm_reference.emulator.services.authentication.acting import (
    NO_STORE,
    acting,
    hashed,
    is_same,
    keep,
    kept,
    mail_hint,
    refused,
    send_mail,
    shown,
)
from crm_reference.emulator.services.authentication.bot_proofs import demand_proof
from crm_reference.emulator.services.authentication.password_strength import breached_range
from crm_reference.emulator.store import Record

REGISTRATIONS = "registrations"
STARTED, VERIFIED = "crm.registration.started.v1", "crm.registration.verified.v1"
MAX_TRIES, MAX_RESENDS, RESEND_SECONDS = 5, 3, 60


@handles("checkPassword")
def check_password(call: Call) -> Reply:
    """Judge a password by the platform's rules."""
    body = call.body
    return Reply(200, assess(call, body["password"], body.get("email", ""), body.get("full_name", "")), dict(NO_STORE))


@handles("getBreachedPasswordRange")
def read_range(call: Call) -> Reply:
    """Return the breached passwords of one range."""
    prefix = call.path["hash_prefix"]
    return Reply(200, {"hash_prefix": prefix, "suffixes": breached_range(prefix)}, dict(NO_STORE))


# -- beginning -----------------------------------------------------------------------------------------------------------------


@handles("startRegistration")
def start(call: Call) -> Reply:
    """Begin a registration; an address that has an account gets another mail and the same answer."""
    body = call.body
    demand_good(call, body["password"], "#/password", body["email"], body["full_name"])
    demand_proof(call, body["bot_proof"])
    is_known = account_by_email(call.world, body["email"]) is not None
    doc: dict[str, Any] = {
        "id": call.new_id("rgs"),
        "status": "pending",
        "company_name": body["company_name"],
        "email_hint": mail_hint(body["email"].lower()),
        "created_at": call.now,
        "expires_at": days_later(call.now, 1),
        "_tenant": call.new_id("ten"),
        "_email": body["email"].lower(),
        "_is_known": is_known,
        "_hash": hash_password(call.world, body["password"]),
        "_person": {k: body[k] for k in ("full_name", "language", "time_zone", "terms_version") if k in body},
    }
    registration = _send_code(call, doc, resends=MAX_RESENDS)
    if not is_known:
        told = {"registration_id": registration.id, "tenant_id": doc["_tenant"], "company_name": body["company_name"]}
        told |= {"language": body["language"]} if "language" in body else {}
        acting(call.world, doc["_tenant"]).emit(STARTED, registration.id, told)
    return Reply(201, shown(registration), {"Location": f"/v1/registrations/{registration.id}"})


def _send_code(call: Call, doc: Mapping[str, Any], /, *, resends: int) -> Record:
    """Send a code, or the news that there is an account already, and keep the registration."""
    code = new_code(call.world)
    available = iso(call.world.clock.time() + RESEND_SECONDS)
    registration = keep(
        call.world,
        REGISTRATIONS,
        {**doc, "resends_left": resends, "resend_available_at": available, "_code": hashed(code), "_tries": doc.get("_tries", 0)},
    )
    if doc["_is_known"]:
        send_mail(call, doc["_email"], "registration_address_known")
    else:
        send_mail(call, doc["_email"], "registration_code", code=code)
    return registration


def new_code(world: World, /) -> str:
    """Return a code of eight digits."""
    random = base64.urlsafe_b64decode(world.secret("registration-code", 15))
    return f"{int.from_bytes(random) % 10**8:08d}"


# -- going on ------------------------------------------------------------------------------------------------------------------


def _present(call: Call) -> Record:
    """Return the registration that the path names, as it is now.

    :raises Problem: ``not_found``.
    """
    registration = kept(call.world, REGISTRATIONS, call.path["registration_id"])
    if registration is None:
        raise Problem("not_found", f"No registration has the ID {call.path['registration_id']}.")
    if registration.doc["status"] == "pending" and (registration.doc["expires_at"] <= call.now or _is_tried_out(registration)):
        registration.doc["status"] = "expired"
    return registration


def _is_tried_out(registration: Record) -> bool:
    return bool(registration.doc["_tries"] >= MAX_TRIES)


def _pending(call: Call) -> Record:
    registration = _present(call)
    if registration.doc["status"] != "pending":
        raise Problem("registration_closed", f"The registration is {registration.doc['status']}.")
    return registration


@handles("getRegistration")
def read(call: Call) -> Reply:
    """Return how a registration stands."""
    return Reply(200, shown(_present(call)))


@handles("resendRegistrationCode")
def resend(call: Call) -> Reply:
    """Send a new code, which takes the former one's place."""
    registration = _pending(call)
    left = registration.doc["resends_left"]
    if not left or registration.doc["resend_available_at"] > call.now:
        when = f"from {registration.doc['resend_available_at']} on" if left else "no more"
        raise Problem("resend_too_early", f"Another code can be sent {when}.")
    return Reply(200, shown(_send_code(call, registration.doc, resends=left - 1)))


@handles("verifyRegistration")
def verify(call: Call) -> Reply:
    """End a registration by its code: tenant, user and account exist from now on."""
    registration = _pending(call)
    doc = registration.doc
    if doc["_is_known"] or not is_same(call.body["code"], doc["_code"]):
        keep(call.world, REGISTRATIONS, {**doc, "_tries": doc["_tries"] + 1})
        # The count of wrong codes stays although the answer is an error: guessing must come to an end.
        raise refused("registration_code_wrong", "#/code", "is not the code of the last mail", commits=True)
    person = doc["_person"]
    context = acting(call.world, doc["_tenant"])
    user = create_user(context, doc["_email"], person["full_name"], person)
    own = acting(call.world, doc["_tenant"], user)
    give_first_password(own, user, doc["_email"], doc["_hash"])
    verified = {**doc, "status": "verified", "verified_at": call.now, "tenant_id": doc["_tenant"], "user_id": user}
    for name in ("resend_available_at", "resends_left"):
        verified.pop(name, None)
    told = {"registration_id": doc["id"], "tenant_id": doc["_tenant"], "user_id": user, "company_name": doc["company_name"]}
    told |= {k: v for k, v in person.items() if k != "full_name"}
    own.emit(VERIFIED, doc["id"], told)
    return Reply(200, shown(keep(call.world, REGISTRATIONS, verified)))


def create_user(context: Context, email: str, full_name: str, said: Mapping[str, Any], /) -> str:
    """Have users create the first administrator of a tenant, and return the user's ID."""
    first, _, last = full_name.rpartition(" ")
    body = {"last_name": last, "email": email, "source": "registration"} | ({"first_name": first} if first else {})
    body |= {k: said[k] for k in ("language", "time_zone") if k in said}
    made = context.call("users", "createUser", body)
    id = str(made["id"]) if made else new_user(context, email, full_name)
    user = context.world.store.get(context.tenant, "users", id)
    if user is not None:  # tenants seeds the assignment of the first role when it hears of the registration
        context.world.store.put(context.tenant, Record("users", id, user.version, {**user.doc, "_role": "administrator"}))
    return id


def new_user(context: Context, email: str, full_name: str, /) -> str:
    """Write a user where the users service isn't part of the contract, and return its ID."""
    id = context.new_id("usr")
    doc = {"id": id, "full_name": full_name, "email": email, "is_active": True}
    context.world.store.put(context.tenant, Record("users", id, 1, doc))
    return id


def tell_first_password(context: Context, user_id: str, cause: str, /) -> None:
    """Tell that a user has a first password."""
    context.emit(CHANGED, user_id, {"user_id": user_id, "cause": cause, "changed_at": context.now})
