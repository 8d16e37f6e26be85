"""Sign-out that an app asks for (OpenID Connect RP-Initiated Logout 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import jwt

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication import sessions
from crm_reference.emulator.services.authentication.oauth_clients import Client, acting, find_client
from crm_reference.emulator.services.authentication.oauth_devices import PAGES
from crm_reference.emulator.services.authentication.oauth_token import NO_STORE
from crm_reference.emulator.store import Record


def _given(call: Call) -> Mapping[str, Any]:
    """Return the parameters, which stand in the query or in a form."""
    return call.body or call.query


@handles("submitLogout")
def submit(call: Call) -> Reply:
    """Do the same for a browser that posts a form."""
    return logout(call)


@handles("requestLogout")
def logout(call: Call) -> Reply:
    """End the browser's session where the hint names it; ask the user first where nothing proves that it is meant."""
    hint = _hint(call)
    client = _client(call, hint)
    target = _target(call, client)
    cookie = call.headers.get("crm_session")
    found = sessions.find(call.world, str(cookie)) if cookie else None
    if found is not None and not _names(hint, found[1]):
        asked: dict[str, str] = {}
        for name in ("client_id", "post_logout_redirect_uri", "state", "logout_hint"):
            if name in _given(call):
                asked[name] = str(_given(call)[name])
        return Reply(303, None, {"Location": f"{PAGES}/sign-out?{urlencode(asked)}".rstrip("?"), **NO_STORE})
    if found is not None:
        tenant, session = found
        sessions.end(acting(call.world, tenant, session.doc["user_id"]), session, "logout")
    return Reply(303, None, {"Location": target, **NO_STORE})


def _names(hint: dict[str, Any] | None, session: Record) -> bool:
    """Tell whether a hint is of this very session, or of its user where it names no session."""
    return hint is not None and hint.get("sub") == session.doc["user_id"] and hint.get("sid", session.id) == session.id


def _hint(call: Call) -> dict[str, Any] | None:
    """Return the claims of the ID token, which may have expired; ``None`` where there is none that is ours."""
    token = _given(call).get("id_token_hint")
    if token is None:
        return None
    try:
        audience = str(jwt.decode(token, options={"verify_signature": False}).get("aud", ""))
        return call.world.tokens.claims(token, type="JWT", audience=audience)
    except (jwt.PyJWTError, Problem):
        raise Problem("malformed_parameter", "id_token_hint is no ID token of this provider.") from None


def _client(call: Call, hint: dict[str, Any] | None) -> Client | None:
    named = _given(call).get("client_id")
    audience = hint["aud"] if hint else None
    if named and audience and named != audience:
        raise Problem("malformed_parameter", "client_id names another client than the hint.")
    id = named or audience
    return find_client(call.world, str(id)) if id else None


def _target(call: Call, client: Client | None) -> str:
    """Return where the browser goes afterwards.

    :raises Problem: ``invalid_redirect_uri`` for an address that the client didn't register.
    """
    wanted = _given(call).get("post_logout_redirect_uri")
    if wanted is None:
        return f"{PAGES}/signed-out"
    if client is None or wanted not in client.doc.get("post_logout_redirect_uris", ()):
        raise Problem("invalid_redirect_uri", "post_logout_redirect_uri is none of those that the client registered.")
    if "state" not in _given(call):
        return str(wanted)
    return f"{wanted}{'&' if urlsplit(str(wanted)).query else '?'}{urlencode({'state': _given(call)['state']})}"
