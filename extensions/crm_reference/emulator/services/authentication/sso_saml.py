"""Single sign-on by SAML 2.0: the request, our description of ourselves, and the response."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import InvalidInput, SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import iso, seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication.sso_admission import GRACE_SECONDS, Refused, admit, refuse, resume
from crm_reference.emulator.services.authentication.sso_certificates import NAME_IDS, demand_saml, parsed, unusable
from crm_reference.emulator.services.authentication.sso_providers import PROVIDERS
from crm_reference.emulator.store import Record

SAML = "{urn:oasis:names:tc:SAML:2.0:assertion}"
SAMLP = "{urn:oasis:names:tc:SAML:2.0:protocol}"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
_ALLOWED = SignatureConfiguration(
    require_x509=True,
    expect_references=1,
    signature_methods=frozenset({SignatureMethod.RSA_SHA256, SignatureMethod.ECDSA_SHA256}),
    digest_algorithms=frozenset({DigestAlgorithm.SHA256}),
)


def entity_id(site: str, provider_id: str, /) -> str:
    """Return our entity ID for a provider: the URL of our metadata."""
    return f"{site}/v1/sso/{provider_id}/metadata"


def request_id(attempt: Record, /) -> str:
    """Return the ID of a try's request, which the response must name."""
    return f"_{attempt.id}"


def request_url(context: Context, attempt: Record, provider: Record, state: str, /) -> str:
    """Return where a browser goes with a request, by the HTTP-Redirect binding."""
    site, saml = context.world.site, provider.doc["saml"]
    xml = (
        '<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" '
        f'ID="{request_id(attempt)}" Version="2.0" IssueInstant="{context.now}" Destination="{_escaped(saml["sso_url"])}" '
        f'AssertionConsumerServiceURL="{site}/v1/sso/saml/acs"><saml:Issuer>{entity_id(site, provider.id)}</saml:Issuer>'
        f'<samlp:NameIDPolicy Format="{NAME_IDS[saml["name_id_format"]]}" AllowCreate="true"/></samlp:AuthnRequest>'
    )
    # Stored blocks: what a compressor makes of a text differs between versions of zlib, and the same request must stay the same.
    deflate = zlib.compressobj(0, zlib.DEFLATED, -15)
    packed = deflate.compress(xml.encode()) + deflate.flush()
    return f"{saml['sso_url']}?{urlencode({'SAMLRequest': base64.b64encode(packed).decode(), 'RelayState': state})}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


@handles("getSamlServiceProviderMetadata")
def metadata(call: Call) -> Reply:
    """Describe ourselves to a provider."""
    id = call.path["identity_provider_id"]
    for tenant in call.world.store.tenants(PROVIDERS):
        provider = call.world.store.get(tenant, PROVIDERS, id)
        if provider is not None:
            demand_saml(provider.doc["kind"])
            return Reply(200, _descriptor(call.world.site, provider), media_type="application/samlmetadata+xml")
    raise Problem("not_found", f"No identity provider has the ID {id}.")


def _descriptor(site: str, provider: Record) -> str:
    wanted = NAME_IDS[provider.doc["saml"]["name_id_format"]]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{entity_id(site, provider.id)}">\n'
        '  <md:SPSSODescriptor AuthnRequestsSigned="false" WantAssertionsSigned="true"\n'
        '      protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">\n'
        '    <md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"\n'
        f'        Location="{site}/v1/sso/saml/slo"/>\n'
        f"    <md:NameIDFormat>{wanted}</md:NameIDFormat>\n"
        '    <md:AssertionConsumerService index="0" isDefault="true"\n'
        f'        Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="{site}/v1/sso/saml/acs"/>\n'
        "  </md:SPSSODescriptor>\n"
        "</md:EntityDescriptor>\n"
    )


@handles("completeSamlSso")
def complete(call: Call) -> Reply:
    """Take a response, and let in whom its assertion names."""
    context, attempt, provider = resume(call.world, call.body["RelayState"], "saml")
    try:
        assertion = _assertion(context, provider, call.body["SAMLResponse"])
        claims = _checked(context, attempt, provider, assertion)
        statement = assertion.find(f"{SAML}AuthnStatement")
        handle = statement.get("SessionIndex", "") if statement is not None else ""
        return admit(context, attempt, provider, claims, handle=handle)
    except Refused as refused:
        return refuse(context, attempt, refused)


def _assertion(context: Context, provider: Record, response: str) -> Any:
    """Return the assertion that a verified signature covers, and nothing else of the response."""
    try:
        root = parsed(base64.b64decode("".join(response.split()), validate=True))
    except (ValueError, binascii.Error):
        raise Refused("signature_invalid", "The response isn't XML.") from None
    code = root.find(f"{SAMLP}Status/{SAMLP}StatusCode")
    if root.tag == f"{SAMLP}Response" and code is not None and code.get("Value") != SUCCESS:
        raise Refused("refused_by_provider", f"The provider answers {str(code.get('Value')).rpartition(':')[2]}.")
    # One assertion, wherever it stands: a second one is there for a program that reads another than the signed one.
    if (number := sum(1 for _ in root.iter(f"{SAML}Assertion"))) > 1:
        raise Refused("signature_invalid", f"The response has {number} assertions where there must be one.")
    pems = [pem for pem in provider.doc.get("_certificates", ()) if not unusable(pem, context.now)]
    for pem in pems:
        signed = covered(root, pem)
        if signed is not None:
            return signed if signed.tag == f"{SAML}Assertion" else _only_assertion(signed)
    raise Refused("signature_invalid", f"None of {len(pems)} accepted certificates verifies the signature.")


def covered(root: Any, pem: str, /) -> Any:
    """Return what the signature covers, as it was signed; ``None`` where the certificate doesn't verify it."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        found: Any = XMLVerifier().verify(etree.tostring(root), x509_cert=certificate, expect_config=_ALLOWED)
    except (SignXMLException, InvalidInput, ValueError):
        return None
    return found.signed_xml


def _only_assertion(signed: Any) -> Any:
    found = signed.findall(f"{SAML}Assertion")
    if len(found) != 1:
        raise Refused("signature_invalid", f"The response has {len(found)} assertions where there must be one.")
    return found[0]


def _checked(context: Context, attempt: Record, provider: Record, assertion: Any) -> dict[str, Any]:
    """Check whom an assertion is from, for whom, when and in answer to what; return its attributes with NameID."""
    site, now = context.world.site, context.now
    issuer, name = assertion.findtext(f"{SAML}Issuer", "").strip(), assertion.findtext(f"{SAML}Subject/{SAML}NameID", "").strip()
    if issuer != provider.doc["saml"]["external_entity_id"]:
        raise Refused("wrong_audience", "The assertion has another issuer.")
    audiences = [(a.text or "").strip() for a in assertion.iter(f"{SAML}Audience")]
    if entity_id(site, provider.id) not in audiences:
        raise Refused("wrong_audience", f"The audience is {', '.join(audiences)[:200] or 'missing'}.", name)
    confirmed = assertion.find(f"{SAML}Subject/{SAML}SubjectConfirmation/{SAML}SubjectConfirmationData")
    if confirmed is None or confirmed.get("Recipient") != f"{site}/v1/sso/saml/acs":
        raise Refused("wrong_audience", "The assertion is for another recipient.", name)
    if confirmed.get("InResponseTo") != request_id(attempt):
        raise Refused("replayed", "The assertion answers another request.", name)
    conditions = assertion.find(f"{SAML}Conditions")
    ends = [e.get("NotOnOrAfter") for e in (conditions, confirmed) if e is not None and e.get("NotOnOrAfter")]
    starts = conditions.get("NotBefore", "") if conditions is not None else ""
    grace = iso(seconds_of(now) - GRACE_SECONDS), iso(seconds_of(now) + GRACE_SECONDS)
    if not ends or min(ends) <= grace[0] or starts > grace[1]:
        raise Refused("expired", f"The assertion holds from {starts or 'ever'} until {min(ends) if ends else 'ever'}.", name)
    claims: dict[str, Any] = {"NameID": name}
    for attribute in assertion.iter(f"{SAML}Attribute"):
        claims[attribute.get("Name", "")] = [(v.text or "").strip() for v in attribute.iter(f"{SAML}AttributeValue")]
    return claims
