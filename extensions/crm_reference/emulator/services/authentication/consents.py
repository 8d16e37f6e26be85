"""Authorization requests that wait for their user: what the consent page shows, and what the user decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import iso
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, presents, sees
from crm_reference.emulator.services.authentication import grants, oauth_scopes
from crm_reference.emulator.services.authentication import oauth_kept as kept
from crm_reference.emulator.services.authentication.issuing import SESSIONS, Sign
from crm_reference.emulator.services.authentication.oauth_clients import Client, acting, find_client
from crm_reference.emulator.services.authentication.oauth_codes import address, new_code
from crm_reference.emulator.services.authentication.oauth_devices import LIFETIME, NO_STORE, asking, chosen
from crm_reference.emulator.store import Record

AUTHORIZATIONS = "authorizations"


@sees(AUTHORIZATIONS)
def visible(context: Context, record: Record) -> bool:
    """Show a request to the user whose browser brought it; one that nobody was signed in for to whoever takes it up."""
    return bool(record.doc.get("user_id", context.identity.user) == context.identity.user)


@presents(AUTHORIZATIONS)
def present(context: Context, record: Record) -> Mapping[str, Any]:
    """Show that a request waits no longer, and its scopes as this user could grant them."""
    doc = record.doc
    before = grants.active(context, context.identity.user, doc["client"]["client_id"])
    names = oauth_scopes.grantable(context, context.identity.user, doc["_scopes"])
    return {
        "status": _status(context, doc),
        "scopes": oauth_scopes.explained(context, names, before.doc["scopes"] if before else ()),
        "is_sign_in_required": bool(doc.get("_needs_sign_in")) and _sign_of(context, doc) is None,
    }


def _status(context: Context, doc: Mapping[str, Any]) -> str:
    return "expired" if doc["status"] == "pending" and doc["expires_at"] <= context.now else str(doc["status"])


def wait(
    context: Context,
    client: Client,
    asked: Mapping[str, Any],
    scopes: tuple[str, ...],
    redirect: str,
    session: Record | None,
    /,
    *,
    is_sign_in_required: bool,
) -> Record:
    """Keep a request until its user decides.

    :param session: The session of the browser; ``None`` where the user has to sign in first.
    """
    parts = urlsplit(redirect)
    body: dict[str, Any] = {
        "status": "pending",
        "client": asking(client),
        "redirect_host": parts.hostname or parts.scheme,
        "user_id": session.doc["user_id"] if session else None,
        "login_hint": asked.get("login_hint") or None,
        "ui_locales": str(asked["ui_locales"]).split() if asked.get("ui_locales") else None,
        "expires_at": iso(kept.epoch(context) + LIFETIME),
        "_asked": dict(asked),
        "_scopes": list(scopes),
        "_redirect": redirect,
        "_session_id": session.id if session else "",
        "_needs_sign_in": is_sign_in_required,
    }
    if session is None:
        context = acting(context.world, client.tenant, "", client.id)
    return context.records.create(AUTHORIZATIONS, body)


@handles("getAuthorization")
def read(call: Call) -> Reply:
    """Return what a client asks for."""
    return single.read(call)


@handles("approveAuthorization")
def approve(call: Call) -> Reply:
    """Grant a client what it asks for, or some of it, and say where the browser goes."""
    doc, client = _open(call)
    sign = _sign_of(call, doc)
    if sign is None:
        raise Problem("sign_in_required", "The client asks for a later or better sign-in than yours. Sign in, and approve then.")
    body = call.body or {}
    offered = oauth_scopes.grantable(call, call.identity.user, doc["_scopes"])
    scopes = chosen(body.get("scopes"), offered)
    remembered = bool(body.get("is_remembered", True))
    grant = grants.give(call, client, scopes, origin="browser", session_id=sign.session_id, remembered=remembered)
    code = new_code(call, client, doc["_asked"], scopes, grant, sign)
    decided = {"status": "approved", "decided_at": call.now, "grant_id": grant.id, "user_id": call.identity.user}
    call.records.change(call.found, decided)
    url = address(call.world.site, doc["_redirect"], doc["_asked"], code=code)
    return _decided(call, "approved", url, grant.id)


def _sign_of(context: Context, doc: Mapping[str, Any]) -> Sign | None:
    """Return the sign-in on which a decision rests: that of the browser, or the caller's own, made after the request."""
    session = context.records.peek(SESSIONS, doc["_session_id"]) if doc["_session_id"] else None
    if session is not None:
        return Sign.of_session(session) if session.doc.get("status") == "active" else None
    mine = context.records.peek(SESSIONS, str(context.identity.claims.get("sid", "")))
    if mine is not None:
        sign = Sign.of_session(mine)
    else:  # a token without a session: its time of issue stands for the sign-in
        sign = Sign(at=int(context.identity.claims.get("auth_time", context.identity.claims.get("iat", 0))))
    asked = doc["_asked"]
    if {"login", "select_account"} & set(str(asked.get("prompt", "")).split()) and sign.at < kept.epoch_of(doc["created_at"]):
        return None
    if "max_age" in asked and kept.epoch_of(doc["created_at"]) - sign.at > int(asked["max_age"]):
        return None
    wanted = str(asked.get("acr_values", "")).split()
    return sign if not wanted or sign.acr in wanted else None


@handles("denyAuthorization")
def deny(call: Call) -> Reply:
    """Refuse a client, and say where the browser goes."""
    doc, _ = _open(call)
    call.records.change(call.found, {"status": "denied", "decided_at": call.now, "user_id": call.identity.user})
    description = "The user refused."
    url = address(call.world.site, doc["_redirect"], doc["_asked"], error="access_denied", error_description=description)
    return _decided(call, "denied", url, "")


def _open(call: Call) -> tuple[Mapping[str, Any], Client]:
    doc = call.found.doc
    client = find_client(call.world, doc["client"]["client_id"])
    if _status(call, doc) != "pending" or client is None:
        raise Problem(
            "authorization_closed", "The request was decided before, or waited longer than ten minutes. Begin anew in the client."
        )
    return doc, client


def _decided(call: Call, status: str, url: str, grant_id: str) -> Reply:
    body = {"authorization_id": call.found.id, "status": status, "redirect_to": url, "grant_id": grant_id or None}
    return Reply(200, {n: v for n, v in body.items() if v is not None}, NO_STORE)
