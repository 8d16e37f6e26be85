"""The token endpoint: each grant type, with what makes it fail (RFC 6749, 7636, 8628, 7523)."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.authentication import grants, issuing, oauth_devices, oauth_scopes
from crm_reference.emulator.services.authentication import oauth_kept as kept
from crm_reference.emulator.services.authentication.clients import note_token
from crm_reference.emulator.services.authentication.issuing import Order, Sign
from crm_reference.emulator.services.authentication.oauth_clients import GRANT_TYPES, Client, acting, authenticate
from crm_reference.emulator.services.authentication.oauth_exchange import exchange, service_account
from crm_reference.emulator.store import Record

NO_STORE = {"Cache-Control": "no-store"}
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@handles("issueTokens")
def issue(call: Call) -> Reply:
    """Exchange a grant for tokens."""
    name = call.body["grant_type"]
    if name == JWT_BEARER:
        return Reply(200, service_account(call), NO_STORE)
    grant_type = GRANT_TYPES.get(name)
    if grant_type is None:
        raise Problem("unsupported_grant_type", f"{name[:80] or 'An empty grant_type'} is none of grant_types_supported.")
    client = authenticate(call)
    client.demand(grant_type)
    check_target(call)
    body = _EXCHANGES[grant_type](call, client)
    note_token(acting(call.world, client.tenant), client.record)
    return Reply(200, body, NO_STORE)


def check_target(call: Call, /) -> None:
    """Refuse a token for another API (RFC 8707, section 2; RFC 8693, section 2.1).

    :raises Problem: ``invalid_target``.
    """
    site = call.world.site
    for name in ("resource", "audience"):
        value = (call.body or {}).get(name) or call.query.get(name)
        if value is not None and value not in (site, f"{site}/v1"):
            raise Problem("invalid_target", f"{name} must be {site}, the only API that takes these tokens.")


# -- codes -----------------------------------------------------------------------------------------------------------------


@computes("code_challenge")
def challenge_of(verifier: str, /) -> str:
    """Return the S256 challenge of a code verifier (RFC 7636, section 4.2).

    >>> challenge_of("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    """
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _code(call: Call, client: Client) -> dict[str, Any]:
    text = _needed(call, "code")
    context = acting(call.world, client.tenant)
    key = kept.digest(text)
    code = kept.look(context, kept.CODES, key)
    if code is None or code["client_id"] != client.id:
        raise Problem("invalid_grant", "The code is unknown, or was given to another client.")
    context = acting(call.world, client.tenant, code["user_id"], client.id)
    if code.get("used"):
        _end(context, code["grant_id"], "code_reuse")
        detail = "The code was used before. The grant and every token that came of it are revoked."
        raise Problem("invalid_grant", detail, commits=True)
    if code["ends"] <= kept.epoch(context):
        raise Problem("invalid_grant", "The code has expired. It holds for 60 seconds.")
    if call.body.get("redirect_uri", "") != code["redirect_uri"] and (code["is_redirect_sent"] or "redirect_uri" in call.body):
        raise Problem("invalid_grant", "redirect_uri is not the one of the authorization request.")
    verifier = call.body.get("code_verifier", "")
    if not hmac.compare_digest(challenge_of(verifier), code["challenge"]):
        raise Problem("invalid_grant", "code_verifier doesn't fit the code_challenge of the authorization request.")
    kept.change(context, kept.CODES, key, used=True)
    grant = _holding(context, code["grant_id"])
    scopes = tuple(code["scopes"])
    order = Order(client, code["user_id"], scopes, grant.id, Sign.of(code["sign"]), code["nonce"])
    grants.used(context, grant)
    return issuing.answer(context, order, renewable=issuing.is_renewable(client, scopes))


def _needed(call: Call, name: str) -> str:
    value = str(call.body.get(name, ""))
    if not value:
        raise Problem("validation_failed", f"{name} is missing; this grant type needs it.")
    return value


def _holding(context: Context, grant_id: str) -> Record:
    grant = context.records.peek(grants.GRANTS, grant_id)
    if grant is None or grant.doc["status"] != "active":
        raise Problem("invalid_grant", "The grant was revoked. Ask the user anew.")
    return grant


def _end(context: Context, grant_id: str, reason: str) -> None:
    grant = context.records.peek(grants.GRANTS, grant_id)
    if grant is not None and grant.doc["status"] == "active":
        grants.end(context, grant, reason)


# -- renewal ---------------------------------------------------------------------------------------------------------------


def _refresh(call: Call, client: Client) -> dict[str, Any]:
    key = kept.digest(_needed(call, "refresh_token"))
    nobody = acting(call.world, client.tenant)
    token = kept.look(nobody, kept.REFRESH_TOKENS, key)
    if token is None or token["client_id"] != client.id:
        raise Problem("invalid_grant", "The refresh token is unknown, or was given to another client.")
    context = acting(call.world, client.tenant, token["user_id"], client.id)
    if token.get("used") and not token.get("revoked"):
        _end(context, token["grant_id"], "token_reuse")
        detail = "The refresh token was used before, so somebody else may have it. The grant and all its tokens are revoked."
        raise Problem("invalid_grant", detail, commits=True)
    if token.get("revoked") or token["ends"] <= kept.epoch(context):
        raise Problem("invalid_grant", "The refresh token was revoked or has expired. Send the user through the flow again.")
    grant = _holding(context, token["grant_id"])
    sign = Sign.of(token["sign"])
    if "offline_access" not in token["scopes"] and not issuing.session_holds(context, sign.session_id):
        raise Problem("invalid_grant", "The session has ended, and with it the refresh token.")
    whole = tuple(s for s in token["scopes"] if s in client.scopes)
    scopes = oauth_scopes.grantable(context, token["user_id"], oauth_scopes.narrowed(whole, call.body.get("scope")))
    kept.change(context, kept.REFRESH_TOKENS, key, used=True)
    grants.used(context, grant)
    # An ID token that comes with a renewal has no nonce (OpenID Connect Core, section 12.2).
    order = Order(client, token["user_id"], scopes, grant.id, sign)
    return issuing.answer(context, order, renewable=True, begun=token["begun"], scopes=whole)


# -- programs and devices --------------------------------------------------------------------------------------------------


def _credentials(call: Call, client: Client) -> dict[str, Any]:
    if not client.is_confidential:
        raise Problem("unauthorized_client", "A public client has no credentials, and gets no token of its own.")
    scopes = oauth_scopes.asked(client, call.body.get("scope"))
    if openid := [s for s in scopes if s in oauth_scopes.OPENID]:
        raise Problem("invalid_scope", f"{openid[0]} is about a user, and there is none.")
    subject = str(client.doc.get("user_id") or client.id)
    context = acting(call.world, client.tenant, "" if subject == client.id else subject, client.id)
    if subject != client.id:
        scopes = oauth_scopes.grantable(context, subject, scopes)
    return issuing.answer(context, Order(client, subject, scopes))


def _device(call: Call, client: Client) -> dict[str, Any]:
    key = kept.digest(_needed(call, "device_code"))
    context = acting(call.world, client.tenant)
    device = kept.look(context, kept.DEVICES, key)
    if device is None or device["client_id"] != client.id or device.get("used"):
        raise Problem("invalid_grant", "The device code is unknown, was used, or was given to another client.")
    status = oauth_devices.status_of(context, device)
    if status == "expired":
        raise Problem("expired_token", "Ten minutes are over. Begin anew with fresh codes.")
    if status == "pending":
        raise _waiting(context, key, device)
    if status == "denied":
        raise Problem("access_denied", "The user denied the device.")
    context = acting(call.world, client.tenant, device["user_id"], client.id)
    grant = _holding(context, device["grant_id"])
    kept.change(context, kept.DEVICES, key, used=True)
    grants.used(context, grant)
    scopes = tuple(device["granted"])
    order = Order(client, device["user_id"], scopes, grant.id, Sign.of(device["sign"]))
    return issuing.answer(context, order, renewable=issuing.is_renewable(client, scopes))


def _waiting(context: Context, key: str, device: Mapping[str, Any]) -> Problem:
    """Return what a device is told while its user has not decided; a question repeated within a second gets the same answer."""
    now, polled = kept.epoch(context), int(device.get("polled", 0))
    is_slow = bool(device.get("slowed")) if now == polled else now < polled + device["interval"]
    interval = int(device["interval"]) + (oauth_devices.INTERVAL if is_slow and now != polled else 0)
    kept.change(context, kept.DEVICES, key, polled=now, interval=interval, slowed=is_slow)
    if is_slow:
        return Problem("slow_down", f"Wait {interval} seconds between two questions.", commits=True)
    return Problem("authorization_pending", "The user has not decided yet. Ask again.", commits=True)


_EXCHANGES: Mapping[str, Callable[[Call, Client], dict[str, Any]]] = {
    "authorization_code": _code,
    "refresh_token": _refresh,
    "client_credentials": _credentials,
    "device_code": _device,
    "token_exchange": exchange,
}
