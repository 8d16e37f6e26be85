"""Single sign-on by OpenID Connect: there, back, and out again."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import jwt

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication import sessions
from crm_reference.emulator.services.authentication.acting import acting
from crm_reference.emulator.services.authentication.sso_admission import (
    GRACE_SECONDS,
    START_PAGE,
    Refused,
    admit,
    begin,
    refuse,
    resume,
)
from crm_reference.emulator.services.authentication.sso_providers import PROVIDERS, enabled_provider
from crm_reference.emulator.services.authentication.sso_saml import request_url
from crm_reference.emulator.services.authentication.sso_simulation import NoTokens, trade, verified
from crm_reference.emulator.store import Record

#: The event of a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4).
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


@handles("startSso")
def start(call: Call) -> Reply:
    """Send a browser to a provider."""
    provider_id = call.path["identity_provider_id"]
    tenant = tenant_of(call, provider_id)
    context = acting(call.world, tenant)
    provider = enabled_provider(context, provider_id)
    hint = call.query.get("login_hint", "")
    attempt, state = begin(context, provider, call.query.get("return_to", START_PAGE), call.query.get("sign_in_id", ""))
    if provider.doc["kind"] == "saml":
        return Reply(303, None, {"Location": request_url(context, attempt, provider, state)})
    verifier = call.world.secret("sso-verifier")
    context.records.note(attempt, _verifier=verifier)
    oidc = provider.doc["oidc"]
    asked = {
        "response_type": "code",
        "client_id": oidc["external_client_id"],
        "redirect_uri": f"{call.world.site}/v1/sso/oidc/callback",
        "scope": " ".join(dict.fromkeys(("openid", *oidc["oidc_scopes"]))),
        "state": state,
        "nonce": attempt.doc["_nonce"],
        "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("="),
        "code_challenge_method": "S256",
    }
    query = urlencode(asked | ({"login_hint": hint} if hint else {}))
    return Reply(303, None, {"Location": f"{oidc['authorization_endpoint']}?{query}"})


def tenant_of(call: Call, provider_id: str, /) -> str:
    """Return the tenant of a provider.

    :raises Problem: ``not_found``.
    """
    for tenant in call.world.store.tenants(PROVIDERS):
        if call.world.store.get(tenant, PROVIDERS, provider_id) is not None:
            return tenant
    raise Problem("not_found", f"No identity provider has the ID {provider_id}.")


@handles("completeOidcSso")
def complete(call: Call) -> Reply:
    """Take a code back, and let in whom its ID token names."""
    context, attempt, provider = resume(call.world, call.query["state"], "oidc")
    try:
        claims = _claims(call, context, attempt, provider)
        return admit(context, attempt, provider, claims, handle=str(claims.get("sid", "")))
    except Refused as refused:
        return refuse(context, attempt, refused, call.query.get("error", ""))


def _claims(call: Call, context: Context, attempt: Record, provider: Record) -> dict[str, Any]:
    """Return the verified claims of the ID token that a code stands for."""
    oidc, query = provider.doc["oidc"], call.query
    if query.get("iss", oidc["issuer"]) != oidc["issuer"]:
        raise Refused("wrong_audience", "The answer comes from another issuer.")
    if query.get("error") or "code" not in query:
        raise Refused("refused_by_provider", f"The provider answers {query.get('error', 'without a code')}.")
    try:
        token = trade(call.world, provider.doc, query["code"], attempt.doc["_nonce"])
    except NoTokens as refused:
        raise Refused("refused_by_provider", str(refused)) from None
    try:
        claims = verified(call.world, oidc["issuer"], token, oidc["external_client_id"])
    except jwt.InvalidAudienceError:
        raise Refused("wrong_audience", "The ID token was made for another client.") from None
    except jwt.PyJWTError:
        raise Refused("signature_invalid", "No key of the provider verifies the ID token.") from None
    subject = str(claims.get("sub", ""))
    now = call.world.clock.time()
    if claims["exp"] + GRACE_SECONDS <= now or claims["iat"] - GRACE_SECONDS > now:
        raise Refused("expired", "The ID token holds at another time.", subject)
    if claims.get("nonce") != attempt.doc["_nonce"]:
        raise Refused("replayed", "The ID token answers another try.", subject)
    return claims


@handles("receiveOidcLogout")
def logout(call: Call) -> Reply:
    """End the sessions of somebody who signed out at a provider."""
    token = call.body["logout_token"]
    context, provider, claims = _logout_claims(call, token)
    now = call.world.clock.time()
    if abs(claims["iat"] - now) > 300 or "nonce" in claims or LOGOUT not in claims.get("events", {}):
        raise Problem("logout_token_refused", "The token is no fresh logout token.")
    if not (claims.get("sid") or claims.get("sub")):
        raise Problem("logout_token_refused", "The token names neither a session nor a subject.")
    for session in context.records.find("sessions", _identity_provider_id=provider.id, status="active"):
        if _is_meant(claims, session.doc):
            sessions.end(context, session, "logout")
    return Reply(204)


def _logout_claims(call: Call, token: str) -> tuple[Context, Record, dict[str, Any]]:
    """Return the verified claims of a logout token, with the provider that signed it."""
    try:
        issuer = str(jwt.decode(token, options={"verify_signature": False}).get("iss", ""))
    except jwt.PyJWTError:
        issuer = ""
    for tenant in call.world.store.tenants(PROVIDERS):
        for provider in call.world.store.find(tenant, PROVIDERS, kind="oidc"):
            oidc = provider.doc["oidc"]
            if oidc["issuer"] == issuer:
                try:
                    claims = verified(call.world, issuer, token, oidc["external_client_id"])
                except jwt.PyJWTError:
                    continue
                return acting(call.world, tenant), provider, claims
    raise Problem("logout_token_refused", "No key of a provider verifies the token.")


def _is_meant(claims: Mapping[str, Any], session: Mapping[str, Any]) -> bool:
    if claims.get("sid"):
        return bool(session.get("_provider_session") == claims["sid"])
    return bool(session.get("_external_subject") == claims["sub"])
