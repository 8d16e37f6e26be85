"""Single logout by SAML 2.0: a provider tells that somebody signed out there (SAML profiles, section 4.4)."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import quoteattr

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication import sessions
from crm_reference.emulator.services.authentication.acting import acting, refused
from crm_reference.emulator.services.authentication.sso_certificates import parsed, unusable
from crm_reference.emulator.services.authentication.sso_providers import PROVIDERS
from crm_reference.emulator.services.authentication.sso_saml import SAML, SAMLP, SUCCESS, covered, entity_id
from crm_reference.emulator.store import Record

SIGNED_OUT_PAGE = "https://app.crm.example/signed-out"
#: How old a request may be.
_FRESH_SECONDS = 300


@handles("receiveSamlLogout")
def logout(call: Call) -> Reply:
    """End the sessions that a signed request names, and send the browser back with our answer."""
    try:
        root = parsed(base64.b64decode("".join(call.body["SAMLRequest"].split()), validate=True))
    except (ValueError, binascii.Error):
        raise _refusal("is no XML") from None
    context, provider, request = _verified(call, root)
    issued = request.get("IssueInstant", "")
    try:
        age = seconds_of(call.now) - seconds_of(issued)
    except ValueError:
        raise _refusal("has no time") from None
    if request.tag != f"{SAMLP}LogoutRequest" or abs(age) > _FRESH_SECONDS:
        raise _refusal("is no fresh request for a logout")
    name = request.findtext(f"{SAML}NameID", "").strip()
    handles_of_sessions = {(i.text or "").strip() for i in request.iter(f"{SAMLP}SessionIndex")}
    for session in context.records.find("sessions", _identity_provider_id=provider.id, _external_subject=name, status="active"):
        if not handles_of_sessions or session.doc.get("_provider_session") in handles_of_sessions:
            sessions.end(context, session, "logout")
    return Reply(303, None, {"Location": _answer_url(call, provider, request.get("ID", ""))})


def _verified(call: Call, root: Any) -> tuple[Context, Record, Any]:
    """Return what an accepted key of the issuer signed, with the provider and a context of its tenant."""
    issuer = root.findtext(f"{SAML}Issuer", "").strip()
    for tenant in call.world.store.tenants(PROVIDERS):
        for provider in call.world.store.find(tenant, PROVIDERS, kind="saml"):
            if provider.doc["saml"]["external_entity_id"] != issuer:
                continue
            for pem in provider.doc.get("_certificates", ()):
                signed = None if unusable(pem, call.now) else covered(root, pem)
                if signed is not None:
                    return acting(call.world, tenant), provider, signed
    raise _refusal("is signed by no accepted key of its issuer")


def _refusal(detail: str) -> Problem:
    return refused("logout_request_refused", "#/SAMLRequest", detail)


def _answer_url(call: Call, provider: Record, request: str) -> str:
    """Return where the browser goes with our answer; the page for those who signed out, where the provider takes none."""
    target = provider.doc["saml"].get("slo_url")
    if not target:
        return SIGNED_OUT_PAGE
    xml = (
        '<samlp:LogoutResponse xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" '
        'xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" '
        f'ID="_{call.new_id("slr")}" Version="2.0" IssueInstant="{call.now}" Destination={quoteattr(target)} '
        f"InResponseTo={quoteattr(request)}><saml:Issuer>{entity_id(call.world.site, provider.id)}</saml:Issuer>"
        f'<samlp:Status><samlp:StatusCode Value="{SUCCESS}"/></samlp:Status></samlp:LogoutResponse>'
    )
    deflate = zlib.compressobj(0, zlib.DEFLATED, -15)
    packed = base64.b64encode(deflate.compress(xml.encode()) + deflate.flush()).decode()
    state = {"RelayState": call.body["RelayState"]} if "RelayState" in call.body else {}
    return f"{target}?{urlencode({'SAMLResponse': packed, **state})}"
