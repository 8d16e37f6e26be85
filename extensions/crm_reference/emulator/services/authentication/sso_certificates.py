"""Certificates by which assertions are verified, and descriptions that providers give of themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication.acting import refused

UPDATED = "crm.identity_provider.updated.v1"
MAX_CERTIFICATES = 5
MD = "{urn:oasis:names:tc:SAML:2.0:metadata}"
DS = "{http://www.w3.org/2000/09/xmldsig#}"
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
NAME_IDS = {
    "persistent": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
    "email_address": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
    "unspecified": "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
}
_HTTPS = re.compile(r"https://([A-Za-z0-9-]+\.)+[A-Za-z][A-Za-z0-9-]*(:[0-9]{1,5})?([/?#][^\s]*)?")


def instant(moment: datetime, /) -> str:
    """Return a certificate's date as the API writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def describe(pem: str, now: str, /) -> dict[str, Any]:
    """Return what a reader sees of a certificate.

    :raises ValueError: If it is no certificate in PEM.
    """
    certificate = x509.load_pem_x509_certificate(pem.encode())
    starts, ends = instant(certificate.not_valid_before_utc), instant(certificate.not_valid_after_utc)
    return {
        "fingerprint": certificate.fingerprint(SHA256()).hex(),
        "subject_name": certificate.subject.rfc4514_string() or "CN=unnamed",
        "valid_from_at": starts,
        "valid_until_at": ends,
        "is_current": starts <= now < ends,
    }


def described(pems: Iterable[str], now: str, /) -> list[dict[str, Any]]:
    """Return what readers see of certificates that are known to be readable."""
    return [describe(pem, now) for pem in pems]


def unusable(pem: str, now: str, /) -> str:
    """Return why a certificate can't be used; empty where it can."""
    try:
        seen = describe(pem, now)
    except ValueError:
        return "The text is no X.509 certificate in PEM."
    return "" if seen["is_current"] else f"The certificate holds from {seen['valid_from_at']} until {seen['valid_until_at']}."


def demand_saml(kind: str, /) -> None:
    """Refuse what only SAML has.

    :raises Problem: ``identity_provider_not_saml``.
    """
    if kind != "saml":
        raise Problem("identity_provider_not_saml", "The provider speaks OpenID Connect; its keys come from jwks_uri.")


@handles("addIdentityProviderCertificate")
def add(call: Call) -> Reply:
    """Accept another certificate beside the present ones."""
    provider, pem = call.found, call.body["certificate_pem"]
    demand_saml(provider.doc["kind"])
    if detail := unusable(pem, call.now):
        raise refused("certificate_unusable", "#/certificate_pem", detail)
    kept = provider.doc.get("_certificates", [])
    if describe(pem, call.now)["fingerprint"] in {describe(k, call.now)["fingerprint"] for k in kept}:
        raise Problem("certificate_known", "The provider accepts this certificate already.")
    if len(kept) >= MAX_CERTIFICATES:
        raise Problem("too_many_certificates", f"{MAX_CERTIFICATES} certificates are accepted at most. Remove one that has ended.")
    return single.shown(call, _write(call, [*kept, pem]), 201)


@handles("removeIdentityProviderCertificate")
def remove(call: Call) -> Reply:
    """Cease to accept a certificate."""
    provider = call.found
    seen = {describe(k, call.now)["fingerprint"]: k for k in provider.doc.get("_certificates", [])}
    if call.path["fingerprint"] not in seen:
        raise Problem("not_found", f"The provider has no certificate with the fingerprint {call.path['fingerprint']}.")
    left = [pem for fingerprint, pem in seen.items() if fingerprint != call.path["fingerprint"]]
    if provider.doc["is_enabled"] and not any(c["is_current"] for c in described(left, call.now)):
        raise Problem("last_certificate", "No certificate that holds now would be left. Add the new one first.")
    _write(call, left)
    return Reply(204)


def _write(call: Call, pems: list[str]) -> Any:
    """Write a provider's certificates and tell it: what readers see of them is a field like any other."""
    before = call.records.public(call.found)
    changed = call.records.change(call.found, {"_certificates": pems})
    data = {"record": call.records.public(changed), "changed_fields": ["certificates"]}
    call.emit(UPDATED, changed.id, {**data, "previous": {"name": before["name"]}})
    return changed


@handles("importIdentityProviderMetadata")
def import_metadata(call: Call) -> Reply:
    """Read a provider's description of itself; nothing is fetched and nothing kept."""
    text = call.body["metadata"].strip()
    try:
        draft = _from_configuration(text) if text.startswith("{") else _from_xml(text, call.now)
    except (ValueError, KeyError, TypeError, AttributeError):
        detail = "is neither SAML metadata of an identity provider nor an OpenID Connect configuration with https endpoints"
        raise refused("metadata_unreadable", "#/metadata", detail) from None
    return Reply(200, draft)


def _from_configuration(text: str) -> dict[str, Any]:
    said = orjson.loads(text)
    oidc: dict[str, Any] = {name: _https(said[name]) for name in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")}
    offered = [s for s in ("openid", "email", "profile", "groups") if s in said.get("scopes_supported", ["openid"])] or ["openid"]
    oidc |= {"external_client_id": "enter-your-client-id", "oidc_scopes": offered}
    return {"kind": "oidc", "oidc": oidc, "certificates": [], "missing": ["name", "oidc.external_client_id", "client_secret"]}


def _from_xml(text: str, now: str) -> dict[str, Any]:
    root = parsed(text.encode())
    descriptor = root.find(f"{MD}IDPSSODescriptor")
    if descriptor is None:
        raise ValueError
    url = next(s.get("Location") for s in descriptor.iter(f"{MD}SingleSignOnService") if s.get("Binding") == REDIRECT)
    formats = [(f.text or "").strip() for f in descriptor.iter(f"{MD}NameIDFormat")]
    known = next((name for name, uri in NAME_IDS.items() if uri in formats), "unspecified")
    keys = [k for k in descriptor.iter(f"{MD}KeyDescriptor") if k.get("use") != "encryption"]
    pems = [_pem(c.text or "") for k in keys for c in k.iter(f"{DS}X509Certificate")]
    seen = described(pems[:MAX_CERTIFICATES], now)
    current = next((pem for pem, c in zip(pems, seen, strict=False) if c["is_current"]), None)
    saml = {"external_entity_id": root.get("entityID"), "sso_url": _https(url), "name_id_format": known}
    draft = {"kind": "saml", "saml": saml, "certificates": seen, "missing": ["name"]}
    return draft | ({"certificate_pem": current} if current else {"missing": ["name", "certificate_pem"]})


def _pem(base64: str) -> str:
    body = "".join(base64.split())
    lines = "\n".join(body[i : i + 64] for i in range(0, len(body), 64))
    pem = f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.PEM).decode()


def _https(url: Any) -> str:
    if not isinstance(url, str) or not _HTTPS.fullmatch(url):
        raise ValueError
    return url


def parsed(xml: bytes, /) -> Any:
    """Parse XML of a stranger: no document type, no entities, no network, and no deeper or larger than is sane.

    :raises ValueError: If it isn't well-formed, or has a document type.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True)
    try:
        root = etree.fromstring(xml, parser)
    except etree.XMLSyntaxError:
        raise ValueError from None
    if root.getroottree().docinfo.doctype:
        raise ValueError
    return root
