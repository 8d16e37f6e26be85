"""Dynamic registration of clients (RFC 7591) and their own management of it (RFC 7592)."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication import clients, grants, oauth_scopes
from crm_reference.emulator.services.authentication import oauth_kept as kept
from crm_reference.emulator.services.authentication.credentials import new_secret
from crm_reference.emulator.services.authentication.oauth_clients import (
    CLIENTS,
    GRANT_TYPES,
    SECRETS,
    acting,
    find_client,
    has_secret,
)
from crm_reference.emulator.services.authentication.oauth_token import NO_STORE
from crm_reference.emulator.store import Record
from crm_reference.emulator.tokens import refused

METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")
#: The form of a redirect: https, http on loopback alone, or a private scheme with a dot in it (RFC 8252, section 7).
_REDIRECT = re.compile(
    r"https://[^\s#@*]+|http://(127\.0\.0\.1|\[::1\])(:\d{1,5})?(/[^\s#@*]*)?|[a-z][a-z0-9-]*(\.[a-z0-9-]+)+:/[^\s#@*]*"
)
#: Members of the registration to members of the client.
_SAME: Mapping[str, str] = {
    "client_uri": "home_url",
    "logo_uri": "logo_url",
    "policy_uri": "policy_url",
    "tos_uri": "terms_url",
    "contacts": "contacts",
    "software_id": "software_id",
    "software_version": "software_version",
    "jwks": "jwks",
    "post_logout_redirect_uris": "post_logout_redirect_uris",
    "redirect_uris": "redirect_uris",
}
_NAMES = {ours: theirs for theirs, ours in GRANT_TYPES.items()}


@handles("registerClient")
def register(call: Call) -> Reply:
    """Register a client in the tenant of the caller, whose token is the initial access token."""
    body = _client(call, call.body, set(call.identity.scopes) | set(oauth_scopes.OPENID))
    token = "crmr_" + call.world.secret("registration-token")
    created = _written(
        lambda: call.records.create(CLIENTS, body | {"_registration_token_hash": kept.digest(token)}, event=_event("created"))
    )
    answer = information(call, created)
    if body["token_endpoint_auth_method"] in clients.BY_SECRET:
        secret, members = new_secret(call, "crms_")
        call.records.create(SECRETS, {**members, "client_id": created.id})
        answer |= {"client_secret": secret, "client_secret_expires_at": 0}
    return Reply(201, answer | {"registration_access_token": token}, NO_STORE)


def _event(word: str) -> str:
    return f"crm.oauth_client.{word}.v1"


def _written(write: Any) -> Record:
    """Return what was written; a rule that it breaks is told in the protocol's words."""
    try:
        record: Record = write()
    except Problem as problem:
        details = "; ".join(f"{e.get('pointer', '#')} {e['detail']}" for e in problem.errors) or problem.detail
        raise Problem("invalid_client_metadata", f"The client can't be registered like that: {details}"[:900]) from None
    return record


def _client(call: Call, sent: Mapping[str, Any], may_have: set[str]) -> dict[str, Any]:
    """Return the client that metadata describe.

    :param may_have: Scopes that it may be registered for.
    :raises Problem: ``invalid_redirect_uri`` or ``invalid_client_metadata``.
    """
    method = sent.get("token_endpoint_auth_method", "client_secret_basic")
    if method not in METHODS:
        raise _wrong("token_endpoint_auth_method", "is none of those in the metadata of the server")
    names = sent.get("grant_types", ["authorization_code"])
    unknown = [n for n in names if n not in GRANT_TYPES]
    if unknown:
        raise _wrong("grant_types", f"has {unknown[0]}, which is not offered to clients that register themselves")
    types = [GRANT_TYPES[n] for n in names]
    if sent.get("response_types", ["code"]) not in (["code"], []):
        raise _wrong("response_types", "may have code alone")
    redirects = [*sent.get("redirect_uris", ()), *sent.get("post_logout_redirect_uris", ())]
    for redirect in redirects:
        if not _REDIRECT.fullmatch(redirect):
            raise Problem(
                "invalid_redirect_uri", f"{redirect[:120]} is neither https, nor http on loopback, nor a private scheme with a dot."
            )
    if "authorization_code" in types and not sent.get("redirect_uris"):
        raise Problem("invalid_redirect_uri", "redirect_uris is missing; authorization_code needs it.")
    if (method == "private_key_jwt") != ("jwks" in sent):
        raise _wrong("jwks", "belongs to private_key_jwt, and to nothing else")
    scopes = str(sent.get("scope", "openid")).split(" ")
    known = set(oauth_scopes.listed(call))
    for name in scopes:
        if name not in known or name not in may_have:
            raise _wrong("scope", f"has {name[:60]}, which does not exist or which the caller does not hold")
    made: dict[str, Any] = {
        "name": sent.get("client_name") or sent.get("software_id") or "Registered client",
        "kind": _kind(method, types, sent.get("redirect_uris", [])),
        "token_endpoint_auth_method": method,
        "grant_types": types,
        "scopes": list(dict.fromkeys(scopes)),
        "is_par_required": bool(sent.get("require_pushed_authorization_requests", False)),
        "source": "dynamic",
    }
    return made | {ours: sent.get(theirs) for theirs, ours in _SAME.items()}


def _wrong(member: str, what: str) -> Problem:
    return Problem("invalid_client_metadata", f"{member} {what}.")


def _kind(method: str, types: list[str], redirects: list[str]) -> str:
    if "authorization_code" not in types:
        return "device" if "device_code" in types else "machine"
    if method != "none":
        return "web"
    return "browser" if all(r.startswith("https://") for r in redirects) else "native"


def information(context: Context, client: Record, /) -> dict[str, Any]:
    """Return a client as the protocol shows it."""
    doc = client.doc
    body: dict[str, Any] = {
        "client_id": client.id,
        "client_id_issued_at": seconds_of(doc["created_at"]),
        "registration_client_uri": f"{context.world.site}/v1/oauth/register/{client.id}",
        "client_name": doc.get("name"),
        "token_endpoint_auth_method": doc["token_endpoint_auth_method"],
        "grant_types": [_NAMES[n] for n in doc["grant_types"]],
        "response_types": ["code"] if "authorization_code" in doc["grant_types"] else [],
        "scope": " ".join(doc["scopes"]),
        "require_pushed_authorization_requests": bool(doc.get("is_par_required")),
        **{theirs: doc.get(ours) for theirs, ours in _SAME.items()},
    }
    return {name: value for name, value in body.items() if value is not None}


# -- the client's own management -------------------------------------------------------------------------------------------


def _own(call: Call) -> tuple[Context, Record]:
    """Return the client that the path names, once the registration token opens it.

    :raises Problem: ``missing_token`` or ``invalid_token``; an unknown client is answered alike.
    """
    scheme, _, token = call.request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        header = {"WWW-Authenticate": 'Bearer realm="crm"'}
        raise Problem("missing_token", "Send the registration access token with the scheme Bearer.", headers=header)
    client = find_client(call.world, call.path["client"])
    known = str(client.doc.get("_registration_token_hash", "")) if client else ""
    if client is None or not known or not hmac.compare_digest(known, kept.digest(token.strip())):
        raise refused("The registration access token doesn't open this client.")
    return acting(call.world, client.tenant, "", client.id), client.record


@handles("getClientRegistration")
def read(call: Call) -> Reply:
    """Return the registration as it is now."""
    context, client = _own(call)
    return Reply(200, information(context, client), NO_STORE)


@handles("replaceClientRegistration")
def replace(call: Call) -> Reply:
    """Put new metadata in the place of the old."""
    context, client = _own(call)
    sent = call.body
    if sent["client_id"] != client.id:
        raise _wrong("client_id", "must be the client's own")
    if "client_secret" in sent:
        present = find_client(call.world, client.id)
        if present is None or not has_secret(call.world, present, sent["client_secret"]):
            raise _wrong("client_secret", "is not the present one, and can't be chosen")
    body = _client(call, sent, set(client.doc["scopes"]))
    widened = sorted(set(body["grant_types"]) - set(client.doc["grant_types"]))
    if widened:
        raise _wrong("grant_types", f"has {widened[0]}, for which the client was not registered")
    changed = _written(lambda: context.records.change(client, body, event=_event("updated")))
    return Reply(200, information(context, changed), NO_STORE)


@handles("deleteClientRegistration")
def delete(call: Call) -> Reply:
    """Remove the client with all that it holds."""
    context, client = _own(call)
    context.records.delete(client, event=_event("deleted"))
    clients.end_tokens(context, client.id)
    grants.revoke_grants(context, client_id=client.id, reason="client_deleted")
    return Reply(204)
