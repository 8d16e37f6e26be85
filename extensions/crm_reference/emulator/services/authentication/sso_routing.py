"""Domains of addresses: whose they are, and where their people sign in."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply, World
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, derives, enforces, handles
from crm_reference.emulator.services.authentication.factor_policy import roles_of
from crm_reference.emulator.services.authentication.sso_providers import DOMAINS, PROVIDERS
from crm_reference.emulator.store import Record

#: Domains under which anybody can have an address.
PUBLIC = frozenset({"gmail.com", "outlook.com", "yahoo.com", "icloud.com", "proton.me", "gmx.net", "web.de", "mail.example"})
#: Names that an emulator's resolver knows.
ZONES = "dns-records"
#: Makes the values of DNS records. It protects examples alone.
_KEY = b"the emulator's key of domains, which protects nothing"
Doc = Mapping[str, Any]


@computes("domain_record")
def domain_record(asked: Mapping[str, str]) -> dict[str, str]:
    """Return the DNS record that proves a domain.

    :param asked: ``tenant_id`` and ``domain``.
    :return: ``record_name`` and ``record_value``: the first 16 bytes of HMAC-SHA256 over tenant, line feed and domain, in
        hexadecimal digits.
    """
    digest = hmac.digest(_KEY, f"{asked['tenant_id']}\n{asked['domain']}".encode(), "sha256")[:16]
    return {"record_name": f"_crm-challenge.{asked['domain']}", "record_value": f"crm-domain-verification={digest.hex()}"}


@derives(DOMAINS)
def new_claim(context: Context | None, doc: Doc) -> Doc:
    """Give a new claim its record and its status."""
    if context is None or "record_name" in doc:
        return {}
    record = domain_record({"tenant_id": context.tenant, "domain": doc["domain"]})
    return {"status": "pending", "is_sso_required": False, **record}


@enforces("domain_not_public")
def domain_not_public(context: Context, new: Doc, old: Doc | None) -> str:
    """Refuse domains that are nobody's own."""
    return f"Anybody can have an address of {new['domain']}." if old is None and new["domain"] in PUBLIC else ""


@enforces("required_sso_verified")
def required_sso_verified(context: Context, new: Doc, old: Doc | None) -> str:
    """Require single sign-on only where it works."""
    if not new.get("is_sso_required"):
        return ""
    provider = context.records.peek(PROVIDERS, new.get("identity_provider_id", ""))
    if new["status"] == "verified" and provider is not None and provider.doc["is_enabled"]:
        return ""
    return "Verify the domain and let it lead to a provider that is enabled first."


@handles("verifySsoDomain")
def verify(call: Call) -> Reply:
    """Look for the record of a claim."""
    claim = call.found
    domain = claim.doc["domain"]
    if owner_of(call.world, domain) not in (None, call.tenant):
        raise Problem("domain_verified_elsewhere", f"{domain} is verified by another tenant.")
    if claim.doc["record_value"] not in _texts(call.world, claim.doc["record_name"]):
        raise Problem("domain_record_missing", f"{claim.doc['record_name']} has no TXT record with the value.")
    patch = {"status": "verified", "verified_at": claim.doc.get("verified_at", call.now), "last_checked_at": call.now}
    was = claim.doc["status"]
    verified = call.records.change(claim, patch)
    if was == "pending":
        call.emit("crm.sso_domain.verified.v1", verified.id, {"record": call.records.public(verified)})
    return single.shown(call, verified)


def _texts(world: World, name: str) -> list[str]:
    """Return the TXT records of a name, as the resolver of the world has them."""
    for tenant in world.store.tenants(ZONES) if world.store.has(ZONES) else ():
        for record in world.store.find(tenant, ZONES, name=name):
            return list(record.doc["values"])
    return []


def verified_claim(world: World, domain: str, /) -> tuple[str, Record] | None:
    """Return the claim of whoever verified a domain, with the tenant."""
    for tenant in world.store.tenants(DOMAINS) if world.store.has(DOMAINS) else ():
        for claim in world.store.find(tenant, DOMAINS, domain=domain, status="verified"):
            return tenant, claim
    return None


def owner_of(world: World, domain: str, /) -> str | None:
    """Return the tenant that verified a domain."""
    found = verified_claim(world, domain)
    return found[0] if found else None


def route(context: Context, email: str, /) -> dict[str, Any]:
    """Return how somebody with an address signs in.

    :param context: Of the tenant; its own verified domains count alone.
    """
    domain = email.lower().rpartition("@")[2]
    claims = context.records.find(DOMAINS, domain=domain, status="verified")
    password = {"method": "password", "domain": domain, "is_password_accepted": True}
    if not claims:
        return {**password, "reason": "domain_unknown"}
    provider = context.records.peek(PROVIDERS, claims[0].doc.get("identity_provider_id", ""))
    if provider is None or not provider.doc["is_enabled"]:
        return {**password, "reason": "provider_disabled"}
    known = {"identity_provider_id": provider.id, "domain": domain}
    if not claims[0].doc["is_sso_required"]:
        return {"method": "sso", "reason": "domain_offered", **known, "is_password_accepted": True}
    user = user_by_email(context, email)
    if user is not None and is_exempt(context, user.id):
        return {"method": "sso", "reason": "administrator_exempt", **known, "is_password_accepted": True}
    return {"method": "sso", "reason": "domain_required", **known, "is_password_accepted": False}


def is_exempt(context: Context, user_id: str, /) -> bool:
    """Tell whether a user keeps a password whatever a domain requires. Administrators do: a broken provider locks nobody out."""
    return bool(user_id) and "administrator" in roles_of(context, user_id)


def user_by_email(context: Context, email: str, /) -> Record | None:
    """Return the tenant's user with an address, in any case of letters."""
    found = context.world.store.select(context.tenant, "users", "lower(json_extract(doc, '$.email')) = ?", [email.lower()], limit=1)
    return found[0] if found else None


@handles("previewSsoRoute")
def preview(call: Call) -> Reply:
    """Show how somebody would sign in, and why."""
    return Reply(200, route(call, call.body["email"]))
