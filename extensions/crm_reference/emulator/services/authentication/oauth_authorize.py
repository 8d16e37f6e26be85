"""The authorization endpoint and pushed requests (RFC 6749, 7636, 9126, 9207; OpenID Connect Core, section 3.1.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.authentication import consents, grants, oauth_scopes
from crm_reference.emulator.services.authentication import oauth_kept as kept
from crm_reference.emulator.services.authentication.issuing import Sign
from crm_reference.emulator.services.authentication.oauth_clients import Client, acting, authenticate, find_client
from crm_reference.emulator.services.authentication.oauth_codes import address, new_code
from crm_reference.emulator.services.authentication.oauth_devices import PAGES
from crm_reference.emulator.services.authentication.oauth_token import NO_STORE, check_target
from crm_reference.emulator.services.authentication.sessions import find as find_session
from crm_reference.emulator.store import Record

#: Seconds that a pushed request holds.
PUSH_LIFETIME = 60
URN = "urn:ietf:params:oauth:request_uri:"
_LOOPBACK = re.compile(r"^http://(127\.0\.0\.1|\[::1\])(:\d{1,5})?(?=/|$)")
#: Parameters that are kept with a request.
_KEPT = (
    *("response_type", "redirect_uri", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "response_mode"),
    *("prompt", "max_age", "acr_values", "login_hint", "ui_locales", "resource"),
)


class Redirected(Exception):
    """An error that the client is told by way of the browser."""

    def __init__(self, error: str, description: str) -> None:
        self.error = error
        self.description = description
        super().__init__(f"{error}: {description}")


@handles("pushAuthorizationRequest")
def push(call: Call) -> Reply:
    """Check and keep an authorization request."""
    client = authenticate(call)
    client.demand("authorization_code")
    if "request_uri" in call.body:
        raise Problem("validation_failed", "A pushed request can't name a request_uri (RFC 9126, section 2.1).")
    asked = {name: call.body[name] for name in _KEPT if name in call.body}
    redirect_of(client, asked)
    if asked["response_type"] != "code":
        raise Problem("unsupported_response_type", "response_type must be code; the implicit and hybrid flows are not offered.")
    check_target(call)
    try:
        check(client, asked)
    except Redirected as wrong:
        code = wrong.error if wrong.error in ("invalid_scope", "unauthorized_client") else "validation_failed"
        raise Problem(code, wrong.description) from None
    context = acting(call.world, client.tenant)
    members = {"client_id": client.id, "asked": asked, "ends": kept.epoch(context) + PUSH_LIFETIME}
    secret = kept.make(context, kept.PUSHED, "request-uri", members)
    return Reply(201, {"request_uri": URN + secret, "expires_in": PUSH_LIFETIME}, NO_STORE)


@handles("submitAuthorization")
def submit(call: Call) -> Reply:
    """Send a browser on that posts its request."""
    return authorize(call)


@handles("requestAuthorization")
def authorize(call: Call) -> Reply:
    """Send a browser on: back to its client, or to where the user signs in and consents."""
    given: Mapping[str, Any] = call.body or call.query
    client = find_client(call.world, str(given["client_id"]))
    if client is None:
        raise Problem("unauthorized_client", "No client has this ID, or it is turned off. The browser is not sent on.")
    is_pushed = "request_uri" in given
    asked = _pushed(call, client, str(given["request_uri"])) if is_pushed else {n: given[n] for n in _KEPT if n in given}
    redirect = redirect_of(client, asked)
    try:
        _refuse_unsupported(call)
        if client.doc.get("is_par_required") and not is_pushed:
            raise Redirected("invalid_request", "The client must push its authorization requests.")
        if asked.get("response_type") != "code":
            raise Redirected("unsupported_response_type", "response_type must be code.")
        _check_resource(call, asked)
        check(client, asked)
        return _decide(call, client, asked, redirect)
    except Redirected as wrong:
        return back(call, redirect, asked, error=wrong.error, error_description=wrong.description)


def _refuse_unsupported(call: Call) -> None:
    """Refuse what OpenID Connect lets a provider leave out (Core, sections 6 and 7.2.1), rather than ignore it silently.

    :raises Redirected: With the error for the client.
    """
    names = {name for name, _ in call.request.query} | set(call.body or ())
    for name in ("request", "registration"):
        if name in names:
            raise Redirected(f"{name}_not_supported", f"The parameter {name} is not supported. Push the request in its place.")


def _pushed(call: Call, client: Client, uri: str) -> dict[str, Any]:
    """Take a pushed request, which works once."""
    context = acting(call.world, client.tenant)
    key = kept.digest(uri.removeprefix(URN))
    pushed = kept.look(context, kept.PUSHED, key)
    if pushed is None or pushed["client_id"] != client.id or pushed.get("used") or pushed["ends"] <= kept.epoch(context):
        raise Problem(
            "invalid_request_uri", "The request_uri is unknown, expired, used, or another client's. Push the request again."
        )
    kept.change(context, kept.PUSHED, key, used=True)
    return dict(pushed["asked"])


@computes("redirect_matches")
def redirect_matches(input: Mapping[str, str], /) -> bool:
    """Tell whether the redirect ``given`` is the registered one ``known``."""
    return is_same_redirect(input["given"], input["known"])


def redirect_of(client: Client, asked: Mapping[str, Any], /) -> str:
    """Return where the answer goes.

    :raises Problem: ``invalid_redirect_uri``: the browser must not be sent where nobody registered it.
    """
    known = list(client.doc.get("redirect_uris", ()))
    given = asked.get("redirect_uri")
    if given is None and len(known) == 1:
        return str(known[0])
    if given is None:
        raise Problem("invalid_redirect_uri", "redirect_uri is missing, and the client has registered more than one.")
    if not any(is_same_redirect(str(given), str(k)) for k in known):
        raise Problem("invalid_redirect_uri", "redirect_uri is none of those that the client registered, character by character.")
    return str(given)


def is_same_redirect(given: str, known: str, /) -> bool:
    """Tell whether a redirect is a registered one; on loopback the port doesn't count (RFC 8252, section 7.3).

    >>> is_same_redirect("http://127.0.0.1:51004/callback", "http://127.0.0.1/callback")
    True
    >>> is_same_redirect("https://tideplanner.example/callback/", "https://tideplanner.example/callback")
    False
    """
    return given == known or (
        bool(_LOOPBACK.match(known)) and _LOOPBACK.sub(r"http://\1", given) == _LOOPBACK.sub(r"http://\1", known)
    )


def check(client: Client, asked: Mapping[str, Any], /) -> None:
    """Refuse what no user needs to be bothered with.

    :raises Redirected: With the error for the client.
    """
    if "authorization_code" not in client.doc.get("grant_types", ()):
        raise Redirected("unauthorized_client", "The client is not registered for authorization_code.")
    if asked.get("response_mode", "query") != "query":
        raise Redirected("invalid_request", "response_mode must be query.")
    if "code_challenge" not in asked:
        raise Redirected("invalid_request", "code_challenge is missing; every client must use PKCE.")
    if asked.get("code_challenge_method") != "S256":
        raise Redirected("invalid_request", "code_challenge_method must be S256.")
    try:
        oauth_scopes.asked(client, asked.get("scope"))
    except Problem as problem:
        raise Redirected("invalid_scope", problem.detail) from None


def _check_resource(call: Call, asked: Mapping[str, Any]) -> None:
    site = call.world.site
    if asked.get("resource", site) not in (site, f"{site}/v1"):
        raise Redirected("invalid_target", f"resource must be {site}.")


# -- who is there, and what was granted ------------------------------------------------------------------------------------


def _decide(call: Call, client: Client, asked: Mapping[str, Any], redirect: str) -> Reply:
    prompts = set(str(asked.get("prompt", "")).split())
    session = _session(call, client)
    fresh = session is not None and _is_fresh(call, session, asked) and not prompts & {"login", "select_account"}
    if not fresh and "none" in prompts:
        raise Redirected("login_required", "Nobody is signed in, or not as recently or as well as is asked.")
    user = session.doc["user_id"] if session else ""
    context = acting(call.world, client.tenant, user, client.id)
    scopes = oauth_scopes.asked(client, asked.get("scope"))
    if session is not None and fresh:
        scopes = oauth_scopes.grantable(context, user, scopes)
        first_party = bool(client.doc.get("is_first_party"))
        granted = first_party or grants.covers(grants.active(context, user, client.id), scopes)
        if granted and "consent" not in prompts:
            origin = "first_party" if first_party else "browser"
            grant = grants.give(context, client, scopes, origin=origin, session_id=session.id)
            code = new_code(context, client, asked, scopes, grant, Sign.of_session(session))
            return back(call, redirect, asked, code=code)
        if "none" in prompts:
            raise Redirected("consent_required", "The user has not granted these scopes.")
    waiting = consents.wait(context, client, asked, scopes, redirect, session if fresh else None, is_sign_in_required=not fresh)
    page = "consent" if fresh else "sign-in"
    return _see(f"{PAGES}/{page}?{urlencode({'authorization_id': waiting.id})}")


def _session(call: Call, client: Client) -> Record | None:
    """Return the browser's session, where it is one of the client's tenant."""
    cookie = call.headers.get("crm_session")
    found = find_session(call.world, str(cookie)) if cookie else None
    return found[1] if found is not None and found[0] == client.tenant else None


def _is_fresh(call: Call, session: Record, asked: Mapping[str, Any]) -> bool:
    sign = Sign.of_session(session)
    if "max_age" in asked and kept.epoch(call) - sign.at > int(asked["max_age"]):
        return False
    wanted = str(asked.get("acr_values", "")).split()
    return not wanted or sign.acr in wanted


def back(call: Call, redirect: str, asked: Mapping[str, Any], /, **answer: str) -> Reply:
    """Send the browser back to its client."""
    return _see(address(call.world.site, redirect, asked, **answer))


def _see(url: str) -> Reply:
    return Reply(303, None, {"Location": url, **NO_STORE})
