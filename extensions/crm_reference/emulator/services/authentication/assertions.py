"""Assertions by which a service account proves itself at the token endpoint (RFC 7523, sections 2.1 and 3)."""

from __future__ import annotations

from typing import Any

import jwt

from crm_reference.emulator.call import Call
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.services.authentication.acting import acting
from crm_reference.emulator.services.authentication.oauth_scopes import grantable
from crm_reference.emulator.services.authentication.service_accounts import ACCOUNTS, KEYS
from crm_reference.emulator.store import Record

#: Assertions that came before, by account and ``jti``; each is taken once.
USED = "used-assertions"
#: How far ahead an assertion may end.
LONGEST_SECONDS = 300
#: By how much clocks may differ.
_LEEWAY_SECONDS = 60


def service_account_grant(call: Call, assertion: str, /) -> dict[str, Any]:
    """Return as whom a service account gets a token.

    :param assertion: A JWT with ``iss`` and ``sub`` the account's ID, ``aud`` the issuer or the token endpoint, ``jti``, ``iat``,
        and ``exp`` at most five minutes ahead; its header's ``kid`` is the ID of the key that signed it.
    :return: ``tenant``, ``user_id``, ``scopes`` and ``service_account_id``.
    :raises Problem: ``invalid_grant``.
    """
    tenant, key = _key(call, assertion)
    account_id = key.doc["service_account_id"]
    claims = _claims(call, assertion, key)
    if claims["iss"] != account_id or claims["sub"] != account_id:
        raise _refused("iss and sub must be the service account whose key signed the assertion.")
    now = call.world.clock.time()
    if not now < claims["exp"] <= now + LONGEST_SECONDS + _LEEWAY_SECONDS or claims["iat"] > now + _LEEWAY_SECONDS:
        raise _refused(f"exp must lie ahead, by {LONGEST_SECONDS} seconds at most, and iat must not.")
    store = call.world.store
    account = store.get(tenant, ACCOUNTS, account_id)
    if account is None or not account.doc["is_enabled"]:
        raise _refused("The service account is turned off.")
    once = f"{account_id}/{claims['jti']}"
    if store.get(tenant, USED, once) is not None:
        raise _refused("The assertion came before. Sign a new one for each request.")
    store.put(tenant, Record(USED, once, 1, {"id": once, "expires_at": claims["exp"]}))
    store.put(tenant, Record(ACCOUNTS, account.id, account.version, {**account.doc, "last_used_at": call.now}))
    return {
        "tenant": tenant,
        "user_id": account.doc["user_id"],
        "scopes": list(grantable(acting(call.world, tenant), account.doc["user_id"], account.doc["scopes"])),
        "service_account_id": account.id,
    }


def _key(call: Call, assertion: str) -> tuple[str, Record]:
    """Return the key that an assertion names, whichever tenant's it is, with the tenant."""
    try:
        id = str(jwt.get_unverified_header(assertion).get("kid", ""))
    except jwt.PyJWTError:
        raise _refused("The assertion is no JWT.") from None
    store = call.world.store
    for tenant in store.tenants(KEYS) if store.has(KEYS) else ():
        key = store.get(tenant, KEYS, id)
        if key is not None and key.doc.get("expires_at", "9999") > call.now:
            return tenant, key
    raise _refused("The assertion's kid is no key of a service account that holds.")


def _claims(call: Call, assertion: str, key: Record) -> dict[str, Any]:
    """Return an assertion's claims once its signature and audience hold; the key decides the algorithm, never the header."""
    site, algorithm = call.world.site, key.doc["algorithm"]
    options: Any = {"verify_exp": False, "verify_iat": False, "require": ["iss", "sub", "aud", "exp", "iat", "jti"]}
    public = jwt.PyJWK(dict(key.doc["public_key"]), algorithm=algorithm).key
    try:
        claims: dict[str, Any] = jwt.decode(
            assertion, public, algorithms=[algorithm], audience=[site, f"{site}/v1/oauth/token"], options=options
        )
    except jwt.PyJWTError as error:
        raise _refused(f"The assertion doesn't hold: {error}.") from None
    if not all(isinstance(claims[name], int) for name in ("exp", "iat")):
        raise _refused("exp and iat must be whole numbers of seconds.")
    return claims


def _refused(detail: str) -> Problem:
    return Problem("invalid_grant", detail[:300])
