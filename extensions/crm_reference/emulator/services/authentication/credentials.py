"""Long-lived credentials: how they are made, replaced, checked on each request, and what rules they share.

An API key and a personal token are opaque Bearer tokens. Their records keep hashes, so that no copy of the store gives them away.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from crm_reference.emulator.call import Call, Context, World
from crm_reference.emulator.clock import days_later, iso, seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, enforces
from crm_reference.emulator.services.authentication.acting import acting, hashed
from crm_reference.emulator.services.authentication.oauth_scopes import OPENID, grantable
from crm_reference.emulator.store import Record
from crm_reference.emulator.tokens import Identity, authenticates, refused

API_KEYS = "api-keys"
PERSONAL_TOKENS = "personal-tokens"
#: What a credential begins with, so that scanners for leaked secrets know it, and the collection of its record.
PREFIXES = {"crmk_": API_KEYS, "crmp_": PERSONAL_TOKENS}
_LONGEST_DAYS = 365


def new_secret(context: Context, prefix: str, /) -> tuple[str, dict[str, Any]]:
    """Return a new secret and the members that its record keeps of it: a hash and a hint."""
    secret = prefix + context.world.secret(prefix.rstrip("_"))
    return secret, {"_hash": hashed(secret), "hint": secret[-4:]}


def state_of(doc: Mapping[str, Any], now: str, /) -> str:
    """Return whether a credential is ``active``, ``expired`` or ``revoked``.

    >>> state_of({"expires_at": "2026-01-05T09:00:00Z"}, "2026-01-05T09:00:00Z")
    'expired'
    """
    if doc.get("revoked_at"):
        return "revoked"
    return "expired" if doc.get("expires_at", "9999") <= now else "active"


def require_living(context: Context, record: Record, /) -> None:
    """Refuse what can be done with a living credential only.

    :raises Problem: ``credential_ended``.
    """
    state = state_of(record.doc, context.now)
    if state != "active":
        raise Problem("credential_ended", f"{record.doc['name']} is {state}. Make another one.")


def rotated(call: Call, prefix: str, event: str, /) -> tuple[Record, str]:
    """Replace the value of the credential that the path names; the former one holds for the overlap.

    :return: The record and the new value.
    """
    record = call.found
    require_living(call, record)
    secret, kept = new_secret(call, prefix)
    until = iso(seconds_of(call.now) + call.body.get("overlap_seconds", 0))
    change = {**kept, "_former_hash": record.doc["_hash"], "_former_until": until, "rotated_at": call.now}
    if call.body.get("expires_at"):
        change["expires_at"] = call.body["expires_at"]
        require_ahead(call, change["expires_at"])
    changed = call.records.change(record, change)
    call.emit(event, changed.id, {"record": call.records.public(changed)})
    return changed, secret


def revoked(call: Call, event: str, /) -> Record:
    """End the credential that the path names, former values included, and return it."""
    require_living(call, call.found)
    change = {"revoked_at": call.now, "revocation_reason": call.body["reason"], "_former_hash": None, "_former_until": None}
    changed = call.records.change(call.found, change)
    call.emit(event, changed.id, {"record": call.records.public(changed)})
    return changed


def require_ahead(context: Context, instant: str, /, code: str = "expiry_in_past") -> None:
    """Refuse an end that is not ahead.

    :raises Problem: ``validation_failed`` at ``#/expires_at``.
    """
    if instant <= context.now:
        entry = {"pointer": "#/expires_at", "code": code, "detail": "must lie ahead"}
        raise Problem("validation_failed", "1 field breaks a rule; see errors.", [entry])


# -- rules -------------------------------------------------------------------------------------------------------------------


@enforces("scopes_known")
def scopes_known(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Compare scopes with the catalogue."""
    if old is not None and old.get("scopes") == new.get("scopes"):
        return ""
    known = context.world.contract.scopes.keys() | set(OPENID)
    for index, scope in enumerate(new.get("scopes", ())):
        if scope not in known:
            return f"{scope} is no scope of the platform", f"scopes.{index}"
    return ""


@enforces("scopes_held")
def scopes_held(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Compare scopes with those of the caller's own token; what was given before stays."""
    before = old.get("scopes", ()) if old is not None else ()
    for index, scope in enumerate(new.get("scopes", ())):
        if scope not in before and scope not in context.identity.scopes:
            return f"your own token doesn't have {scope}", f"scopes.{index}"
    return ""


@enforces("addresses_readable")
def addresses_readable(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Read each address and range."""
    for index, text in enumerate(new.get("allowed_addresses", ())):
        try:
            ip_network(text)
        except ValueError as error:
            return f"{error}"[:200], f"allowed_addresses.{index}"
    return ""


@enforces("expiry_ahead")
def expiry_ahead(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare the end of a new credential with the present."""
    return "must lie ahead" if old is None and new.get("expires_at", "9999") <= context.now else ""


@enforces("expiry_within_year")
def expiry_within_year(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare the end of a personal token with the day a year ahead, when it is made and when it gets another end."""
    if old is not None and old["expires_at"] == new["expires_at"]:
        return ""
    return f"must lie within {_LONGEST_DAYS} days" if new["expires_at"] > days_later(context.now, _LONGEST_DAYS) else ""


@enforces("credential_living")
def credential_living(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Refuse changes of what has ended."""
    if old is not None and (state := state_of(old, context.now)) != "active":
        return f"{old['name']} is {state}. Make another one.", ""
    return ""


# -- use ---------------------------------------------------------------------------------------------------------------------


def _authenticate(world: World, credential: str, address: str) -> Identity | None:
    """Return as whom a credential acts, with those of its scopes that the user's roles still hold, and note its use."""
    collection = PREFIXES[credential[:5]]
    found = _find(world, collection, hashed(credential))
    if found is None:
        return None
    tenant, record = found
    doc, now = record.doc, world.clock.now()
    if (state := state_of(doc, now)) != "active":
        raise refused(f"The credential is {state}.")
    if doc["_hash"] != hashed(credential) and doc.get("_former_until", "") <= now:
        raise refused("The credential was replaced by another value.")
    if not _is_allowed(doc.get("allowed_addresses", ()), address):
        raise refused("The credential doesn't hold from this address.")
    user = world.store.get(tenant, "users", doc["user_id"])
    if user is None or not user.doc.get("is_active", True):
        raise refused("The user of the credential is deactivated.")
    used = {**doc, "last_used_at": now, "last_used_address": address}
    world.store.put(tenant, Record(collection, record.id, record.version, used))
    claims = {"sub": doc["user_id"], "jti": record.id, "client_id": record.id, "iat": 0}
    scopes = frozenset(grantable(acting(world, tenant), doc["user_id"], doc["scopes"]))
    return Identity(tenant, doc["user_id"], record.id, scopes, "all", record.id, float("inf"), claims)


for _prefix in PREFIXES:
    authenticates(_prefix)(_authenticate)


def _find(world: World, collection: str, hash: str) -> tuple[str, Record] | None:
    for tenant in world.store.tenants(collection) if world.store.has(collection) else ():
        where = "doc->>'$._hash' = ? or doc->>'$._former_hash' = ?"
        if records := world.store.select(tenant, collection, where, (hash, hash), limit=1):
            return tenant, records[0]
    return None


def _is_allowed(ranges: list[str] | tuple[str, ...], address: str) -> bool:
    """Tell whether an address lies in one of some ranges; every one does where there are none.

    >>> _is_allowed(["198.51.100.0/24", "2001:db8:7::/48"], "2001:db8:7::9")
    True
    """
    return not ranges or any(ip_address(address) in ip_network(text) for text in ranges)


# -- computations ------------------------------------------------------------------------------------------------------------


@computes("credential_state")
def credential_state(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Tell whether a credential is accepted, as a request with it is checked.

    :param asked: ``credential`` with the members that bound it, ``is_former_value``, ``address`` and ``now``.
    :return: ``is_accepted``, ``status`` and, where it is refused, ``reason``.
    """
    doc, now = asked["credential"], asked["now"]
    status = state_of(doc, now)
    reason = ""
    if status != "active":
        reason = status
    elif asked.get("is_former_value") and doc.get("former_until", "") <= now:
        reason = "replaced"
    elif not _is_allowed(doc.get("allowed_addresses", ()), asked["address"]):
        reason = "address"
    return {"is_accepted": not reason, "status": status, **({"reason": reason} if reason else {})}
