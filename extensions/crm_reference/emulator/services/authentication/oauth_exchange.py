"""Tokens for tokens: on behalf of a user (RFC 8693), and for service accounts that sign assertions (RFC 7523, section 2.1)."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Call
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.services.authentication import issuing, oauth_scopes
from crm_reference.emulator.services.authentication.issuing import Order, Sign
from crm_reference.emulator.services.authentication.oauth_clients import Client, acting
from crm_reference.emulator.store import Record

ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
#: How many parties may stand behind each other in ``act``.
MAX_ACTORS = 4


def exchange(call: Call, client: Client, /) -> dict[str, Any]:
    """Return a token by which the client, or an actor whose token it has, acts on behalf of a user.

    :raises Problem: ``invalid_scope`` or ``validation_failed``, which the protocol calls invalid_request.
    """
    body = call.body
    if not client.is_confidential:
        raise Problem("unauthorized_client", "A public client can't act on behalf of somebody.")
    for name in ("subject_token", "subject_token_type"):
        if not body.get(name):
            raise Problem("validation_failed", f"{name} is missing; this grant type needs it.")
    for name in ("subject_token_type", "actor_token_type", "requested_token_type"):
        if body.get(name, ACCESS_TOKEN) != ACCESS_TOKEN:
            raise Problem("validation_failed", f"{name} must be {ACCESS_TOKEN}.")
    if ("actor_token" in body) != ("actor_token_type" in body):
        raise Problem("validation_failed", "actor_token and actor_token_type belong together.")
    subject = holding(call, str(body["subject_token"]), "subject_token", client.tenant)
    actor: dict[str, Any] = {"sub": client.id}
    if "actor_token" in body:
        actor = {"sub": holding(call, str(body["actor_token"]), "actor_token", client.tenant)["sub"]}
    if subject.get("act"):
        actor["act"] = subject["act"]
    if _depth(actor) > MAX_ACTORS:
        raise Problem("validation_failed", f"More than {MAX_ACTORS} parties act one for another.")
    present = tuple(s for s in str(subject.get("scope", "")).split(" ") if s in client.scopes)
    scopes = oauth_scopes.narrowed(present, body.get("scope"))
    if not scopes:
        raise Problem("invalid_scope", "The subject token holds none of the client's scopes.")
    context = acting(call.world, client.tenant, subject["sub"], client.id)
    sign = Sign(subject.get("sid", ""), subject.get("auth_time", 0), subject.get("acr", ""), tuple(subject.get("amr", ())))
    order = Order(client, subject["sub"], scopes, subject.get("grant_id", ""), sign, actor=actor, ends=subject["exp"])
    token, seconds = issuing.access_token(context, order)
    return {
        "access_token": token,
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": seconds,
        "scope": " ".join(scopes),
    }


def holding(call: Call, token: str, name: str, tenant: str, /) -> Mapping[str, Any]:
    """Return the claims of an access token that holds now, in a tenant.

    :param name: Of the parameter, for the message.
    :raises Problem: ``validation_failed``.
    """
    try:
        identity = call.world.tokens.verify(f"Bearer {token}", call.world.clock.time())
    except Problem:
        raise _unfit(name) from None
    if identity.tenant != tenant or "sub" not in identity.claims:
        raise _unfit(name)
    return {**identity.claims, "exp": int(min(identity.expires_at, 2**40))}


def _unfit(name: str) -> Problem:
    """Return the error of a token that can't be exchanged: invalid_request, as RFC 8693, section 2.2.2 has it."""
    return Problem("validation_failed", f"{name} doesn't hold: it is malformed, expired or revoked.")


def _depth(actor: Mapping[str, Any]) -> int:
    return 1 + (_depth(actor["act"]) if "act" in actor else 0)


def service_account(call: Call, /) -> dict[str, Any]:
    """Return a token of a service account that proves itself by an assertion of its key.

    :raises Problem: ``invalid_grant``.
    """
    assertion = str(call.body.get("assertion", ""))
    if not assertion:
        raise Problem("validation_failed", "assertion is missing; this grant type needs it.")
    # Service accounts are a part of their own, which a world may lack.
    proved = importlib.import_module("crm_reference.emulator.services.authentication.assertions")
    account: Mapping[str, Any] = proved.service_account_grant(call, assertion)
    tenant, id = str(account["tenant"]), str(account["service_account_id"])
    scopes = oauth_scopes.narrowed(account["scopes"], call.body.get("scope"))
    doc = {"id": id, "name": id, "scopes": list(account["scopes"]), "token_endpoint_auth_method": "private_key_jwt"}
    client = Client(tenant, Record("service-accounts", id, 1, doc))
    subject = str(account["user_id"] or id)
    context = acting(call.world, tenant, subject, id)
    return issuing.answer(context, Order(client, subject, oauth_scopes.grantable(context, subject, scopes)))
