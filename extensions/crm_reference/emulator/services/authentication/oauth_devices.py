"""Sign-in on a device without a keyboard (RFC 8628): the codes, and what the user decides about them elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import iso
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.authentication import grants, oauth_scopes
from crm_reference.emulator.services.authentication import oauth_kept as kept
from crm_reference.emulator.services.authentication.issuing import SESSIONS, Sign
from crm_reference.emulator.services.authentication.oauth_clients import Client, acting, authenticate, find_client

#: Seconds that both codes hold, and between two questions of a device.
LIFETIME, INTERVAL = 600, 5
#: Letters of a user code: no vowels, so that no word comes of it (RFC 8628, section 6.1).
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
PAGES = "https://app.crm.example"
NO_STORE = {"Cache-Control": "no-store"}


@computes("user_code")
def user_code(random: str, /) -> str:
    """Return the code for a user that follows from a random text.

    The text's SHA-256, taken as a number, is written in base 20; its last eight digits make the code.

    >>> user_code("harbour")
    'WLFL-RVSP'
    """
    number = int.from_bytes(hashlib.sha256(random.encode()).digest(), "big")
    letters = ""
    for _ in range(8):
        number, digit = divmod(number, len(LETTERS))
        letters = LETTERS[digit] + letters
    return f"{letters[:4]}-{letters[4:]}"


@handles("startDeviceAuthorization")
def start(call: Call) -> Reply:
    """Give a device its codes."""
    client = authenticate(call)
    client.demand("device_code")
    scopes = oauth_scopes.asked(client, call.body.get("scope"))
    context = acting(call.world, client.tenant)
    code = user_code(call.world.secret("user-code"))
    now = kept.epoch(context)
    members = {
        "user_code": code,
        "client_id": client.id,
        "scopes": list(scopes),
        "status": "pending",
        "requested": now,
        "ends": now + LIFETIME,
        "interval": INTERVAL,
        "ip_address": call.request.address,
    }
    device_code = kept.make(context, kept.DEVICES, "device-code", members)
    body = {
        "device_code": device_code,
        "user_code": code,
        "verification_uri": f"{PAGES}/device",
        "verification_uri_complete": f"{PAGES}/device?user_code={code}",
        "expires_in": LIFETIME,
        "interval": INTERVAL,
    }
    return Reply(200, body, NO_STORE)


def status_of(context: Context, device: Mapping[str, Any], /) -> str:
    """Return what became of a device's request: one that nobody decided in time has expired."""
    if device["status"] == "pending" and device["ends"] <= kept.epoch(context):
        return "expired"
    return str(device["status"])


# -- the user's part -------------------------------------------------------------------------------------------------------


def _found(call: Call) -> tuple[str, dict[str, Any], Client]:
    """Return key, members and client of the request behind the code in the path.

    :raises Problem: ``not_found`` for a code of nobody, of another tenant, or whose time is over.
    """
    letters = call.path["user_code"].replace("-", "").upper()
    code = f"{letters[:4]}-{letters[4:]}"
    for key, device in kept.every(call, kept.DEVICES, user_code=code):
        client = find_client(call.world, device["client_id"])
        if client is not None and status_of(call, device) != "expired":
            return key, device, client
    raise Problem("not_found", "No device shows this code now.")


def _shown(call: Call, device: Mapping[str, Any], client: Client) -> Reply:
    scopes = device.get("granted") or oauth_scopes.grantable(call, call.identity.user, device["scopes"])
    before = grants.active(call, call.identity.user, client.id)
    body = {
        "user_code": device["user_code"],
        "status": status_of(call, device),
        "client": asking(client),
        "scopes": oauth_scopes.explained(call, scopes, before.doc["scopes"] if before else ()),
        "ip_address": device["ip_address"],
        "requested_at": iso(device["requested"]),
        "expires_at": iso(device["ends"]),
        "decided_at": device.get("decided_at"),
        "grant_id": device.get("grant_id"),
    }
    return Reply(200, {n: v for n, v in body.items() if v is not None}, NO_STORE)


def asking(client: Client, /) -> dict[str, Any]:
    """Return a client as the user sees it who is asked."""
    doc = client.doc
    shown = {n: doc.get(n) for n in ("name", "home_url", "logo_url", "policy_url", "terms_url")}
    shown |= {"client_id": client.id, "is_first_party": bool(doc.get("is_first_party"))}
    return {n: v for n, v in shown.items() if v is not None}


@handles("getDeviceVerification")
def read(call: Call) -> Reply:
    """Return what a device asks for."""
    _, device, client = _found(call)
    return _shown(call, device, client)


@handles("approveDeviceVerification")
def approve(call: Call) -> Reply:
    """Grant a device what it asks for, or some of it."""
    key, device, client = _open(call)
    offered = oauth_scopes.grantable(call, call.identity.user, device["scopes"])
    scopes = chosen((call.body or {}).get("scopes"), offered)
    session = call.records.peek(SESSIONS, str(call.identity.claims.get("sid", "")))
    sign = Sign.of_session(session) if session else Sign(at=int(call.identity.claims.get("auth_time", kept.epoch(call))))
    grant = grants.give(call, client, scopes, origin="device")
    decided: dict[str, Any] = {"status": "approved", "granted": list(scopes), "grant_id": grant.id, "decided_at": call.now}
    # What the device may do doesn't end with the session in which it was approved.
    decided |= {"user_id": call.identity.user, "sign": {**sign.members(), "session_id": ""}}
    kept.change(call, kept.DEVICES, key, **decided)
    return _shown(call, {**device, **decided}, client)


@handles("denyDeviceVerification")
def deny(call: Call) -> Reply:
    """Refuse a device."""
    key, device, client = _open(call)
    decided = {"status": "denied", "decided_at": call.now}
    kept.change(call, kept.DEVICES, key, **decided)
    return _shown(call, {**device, **decided}, client)


def _open(call: Call) -> tuple[str, dict[str, Any], Client]:
    key, device, client = _found(call)
    if device["status"] != "pending":
        raise Problem("authorization_closed", "The device was approved or denied before. It has to begin anew.")
    return key, device, client


def chosen(wanted: list[str] | None, offered: tuple[str, ...], /) -> tuple[str, ...]:
    """Return the scopes that a user grants.

    :param wanted: Those that the user named; all offered ones where ``None``.
    :raises Problem: ``scope_not_requested`` for one that isn't offered.
    """
    if wanted is None:
        return offered
    for index, name in enumerate(wanted):
        if name not in offered:
            detail = f"{name} is none of the scopes that are asked for and that you can grant"
            entry = {"pointer": f"#/scopes/{index}", "code": "scope_not_requested", "detail": detail}
            raise Problem("scope_not_requested", "A scope can't be granted; see errors.", [entry])
    return tuple(name for name in offered if name in wanted)
