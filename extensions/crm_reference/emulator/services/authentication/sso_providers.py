"""Identity providers: their rules, what is computed when one is shown, and the checks of a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import derives, enforces, handles, presents
from crm_reference.emulator.services.authentication.sso_certificates import described, unusable
from crm_reference.emulator.services.authentication.sso_mapping import DEMANDED
from crm_reference.emulator.services.authentication.sso_simulation import simulated
from crm_reference.emulator.store import Record

PROVIDERS = "identity-providers"
DOMAINS = "sso-domains"
Doc = Mapping[str, Any]


@derives(PROVIDERS)
def keep_secrets(context: Context | None, doc: Doc) -> Doc:
    """Put what is never shown where no answer takes it from."""
    found: dict[str, Any] = {}
    if "client_secret" in doc:
        found |= {"_client_secret": doc["client_secret"], "client_secret": None}
    if "certificate_pem" in doc:
        found |= {"_certificates": [*doc.get("_certificates", ()), doc["certificate_pem"]], "certificate_pem": None}
    return found


@presents(PROVIDERS)
def present(context: Context, provider: Record) -> Doc:
    """Show the certificates that are kept, and the URLs of this service."""
    site = context.world.site
    return {
        "has_client_secret": "_client_secret" in provider.doc,
        "certificates": described(provider.doc.get("_certificates", ()), context.now),
        "start_url": f"{site}/v1/sso/{provider.id}/start",
        "callback_url": f"{site}/v1/sso/{'oidc/callback' if provider.doc['kind'] == 'oidc' else 'saml/acs'}",
    }


@enforces("settings_fit_kind")
def settings_fit_kind(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Refuse settings of the other protocol."""
    if new["kind"] == "oidc" and ("saml" in new or "_certificates" in new):
        return "A provider that speaks OpenID Connect has neither SAML settings nor certificates.", "saml"
    if new["kind"] == "saml" and ("oidc" in new or "_client_secret" in new):
        return "A provider that speaks SAML has neither settings of OpenID Connect nor a client secret.", "oidc"
    return ""


@enforces("mapping_names_subject")
def mapping_names_subject(context: Context, new: Doc, old: Doc | None) -> str:
    """Demand rules for subject and address."""
    targets = {rule["target"] for rule in new["attribute_mapping"]}
    return "" if targets.issuperset(DEMANDED) else "The mapping needs a rule for external_subject and one for email."


@enforces("certificate_readable")
def certificate_readable(context: Context, new: Doc, old: Doc | None) -> str:
    """Check a certificate that came with a new provider."""
    return unusable(new["_certificates"][0], context.now) if old is None and new.get("_certificates") else ""


@enforces("enabled_provider_ready")
def enabled_provider_ready(context: Context, new: Doc, old: Doc | None) -> str:
    """Keep a provider off while nothing that comes from it could be verified."""
    if not new.get("is_enabled"):
        return ""
    if new["kind"] == "oidc":
        return "" if "_client_secret" in new else "Send the client secret before the provider is enabled."
    if old is not None and any(unusable(pem, context.now) == "" for pem in new.get("_certificates", ())):
        return ""
    if old is None and new.get("_certificates"):
        return ""
    return "Add a certificate that holds now before the provider is enabled."


@handles("updateIdentityProvider")
def update(call: Call) -> Reply:
    """Change a provider; settings and provisioning are replaced as a whole."""
    doc = {k: v for k, v in {**call.found.doc, **call.body}.items() if v is not None}
    return single.shown(call, call.records.replace(call.found, doc, event="crm.identity_provider.updated.v1"))


@handles("deleteIdentityProvider")
def delete(call: Call) -> Reply:
    """Delete a provider: its domains lead nowhere then, and demand nothing; its links go."""
    provider = call.found
    for domain in call.records.find(DOMAINS, identity_provider_id=provider.id):
        patch = {"identity_provider_id": None, "is_sso_required": False}
        call.records.change(domain, patch, event="crm.sso_domain.updated.v1")
    for link in call.records.find("identity-links", identity_provider_id=provider.id):
        call.records.delete(link, event="crm.identity_link.deleted.v1")
    call.records.delete(provider, event="crm.identity_provider.deleted.v1")
    return Reply(204)


# -- test -----------------------------------------------------------------------------------------------------------------------


@handles("testIdentityProvider")
def test(call: Call) -> Reply:
    """Check a provider without a person."""
    checks = [{"check": name, "outcome": outcome, "detail": detail} for name, outcome, detail in _checks(call, call.found)]
    outcomes = {c["outcome"] for c in checks}
    worst = next(o for o in ("failed", "warning", "passed") if o in outcomes)
    return Reply(200, {"outcome": worst, "checks": checks})


def _checks(context: Context, provider: Record) -> Iterator[tuple[str, str, str]]:
    doc = provider.doc
    ready = str(enabled_provider_ready(context, {**doc, "is_enabled": True}, doc))
    yield "settings", "failed" if ready else "passed", ready or "The settings are whole."
    yield _endpoints(doc)
    yield _keys(context, doc)
    yield "mapping", "passed", "The mapping gives subject and address."
    domains = context.records.find(DOMAINS, identity_provider_id=provider.id, status="verified")
    names = ", ".join(d.doc["domain"] for d in domains)
    yield "domains", "passed" if names else "warning", f"{names or 'No verified domain'} leads to the provider."
    on = doc["is_enabled"]
    yield "enabled", "passed" if on else "warning", "People can sign in." if on else "The provider is turned off."


def _endpoints(doc: Doc) -> tuple[str, str, str]:
    if doc["kind"] == "saml":
        return "endpoints", "passed", f"Browsers go to {urlsplit(doc['saml']['sso_url']).hostname}."
    hosts = {urlsplit(doc["oidc"][n]).hostname or "" for n in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")}
    sites = {".".join(host.split(".")[-2:]) for host in hosts}
    if len(sites) == 1:
        return "endpoints", "passed", f"All endpoints are below {sites.pop()}."
    return "endpoints", "warning", f"The endpoints are below {' and '.join(sorted(sites))}; make sure that all are the provider's."


def _keys(context: Context, doc: Doc) -> tuple[str, str, str]:
    if doc["kind"] == "oidc":
        there = simulated(context.world, doc["oidc"]["issuer"]) is not None
        return "keys", "passed" if there else "failed", "Keys were read." if there else "No keys can be read at jwks_uri."
    ends = max((c["valid_until_at"] for c in described(doc.get("_certificates", ()), context.now) if c["is_current"]), default="")
    if not ends:
        return "keys", "failed", "No certificate holds now."
    soon = ends <= days_later(context.now, 30)
    return "keys", "warning" if soon else "passed", f"The last certificate holds until {ends}."


def enabled_provider(context: Context, id: str, /) -> Record:
    """Return a provider by which people can sign in.

    :raises Problem: ``not_found`` or ``sso_not_available``.
    """
    provider = context.records.get(PROVIDERS, id)
    if not provider.doc["is_enabled"]:
        raise Problem("sso_not_available", f"{provider.doc['name']} is turned off.")
    return provider
