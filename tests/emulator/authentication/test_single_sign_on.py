"""Single sign-on under attack: forged, wrapped, replayed and misdirected assertions and tokens sign nobody in."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner

from crm_reference.contract import Contract
from crm_reference.emulator import Engine, session
from crm_reference.emulator.services.authentication.sso_simulation import verified

ISSUER = "https://idp.attack.example/saml"
MAYA = "usr_01KDVDNA000000000000000001"
_ASSERTION = """<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="{id}" Version="2.0"
 IssueInstant="2026-01-05T09:00:00Z"><saml:Issuer>{issuer}</saml:Issuer><saml:Subject><saml:NameID>{name}</saml:NameID>
 <saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData InResponseTo="{request}"
 Recipient="https://api.crm.example/v1/sso/saml/acs" NotOnOrAfter="2026-01-05T09:30:00Z"/></saml:SubjectConfirmation></saml:Subject>
 <saml:Conditions NotBefore="2026-01-05T08:59:00Z" NotOnOrAfter="2026-01-05T09:30:00Z"><saml:AudienceRestriction><saml:Audience>
 https://api.crm.example/v1/sso/{provider}/metadata</saml:Audience></saml:AudienceRestriction></saml:Conditions>
 <saml:AttributeStatement><saml:Attribute Name="mail"><saml:AttributeValue>{mail}</saml:AttributeValue></saml:Attribute>
 </saml:AttributeStatement></saml:Assertion>"""
_LOGOUT = """<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"
 xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="l1" Version="2.0" IssueInstant="2026-01-05T09:00:00Z">
 <saml:Issuer>{issuer}</saml:Issuer><saml:NameID>{name}</saml:NameID></samlp:LogoutRequest>"""
_RESPONSE = """<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="r" Version="2.0"><samlp:Status>
<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>{content}</samlp:Response>"""


class Provider:
    """A SAML provider that a tenant's administrator has set up, whose key the test holds."""

    def __init__(self, engine: Engine, by: str, mode: str) -> None:
        self.engine, self.admin = engine, session(engine, by)
        self.key = generate_private_key(public_exponent=65537, key_size=2048)
        self.certificate = _certificate(self.key)
        body = {
            "name": "Attacked login",
            "kind": "saml",
            "is_enabled": True,
            "saml": {"external_entity_id": ISSUER, "sso_url": "https://idp.attack.example/sso", "name_id_format": "persistent"},
            "certificate_pem": self.certificate,
            "attribute_mapping": [{"source": "NameID", "target": "external_subject"}, {"source": "mail", "target": "email"}],
            "provisioning": {"mode": mode, **({} if mode == "none" else {"default_role_key": "viewer"})},
        }
        answer = self.admin.post("/v1/identity-providers", json=body)
        assert answer.status_code == 201, answer.text
        self.id = answer.json()["id"]

    def begin(self) -> tuple[str, str]:
        """Return the ID of a request and the state that goes with it."""
        answer = self.admin.get(f"/v1/sso/{self.id}/start", allow_redirects=False)
        state = parse_qs(urlsplit(answer.headers["Location"]).query)["RelayState"][0]
        return f"_{self.tries()[0]['id']}", state

    def tries(self) -> list[dict[str, Any]]:
        """Return the log of tries, newest first."""
        asked = {"identity_provider_id": self.id, "sort": "-created_at"}
        found: list[dict[str, Any]] = self.admin.get("/v1/sso-attempts", params=asked).json()["data"]
        return sorted(found, key=lambda t: str(t["id"]), reverse=True)

    def assertion(self, request: str, **values: str) -> Any:
        """Return an assertion without a signature."""
        filled = {"id": "a1", "issuer": ISSUER, "name": "n-1", "mail": "ann@attack.example", **values}
        return etree.fromstring(_ASSERTION.format(request=request, provider=self.id, **filled).encode())

    def signed(self, element: Any, key: RSAPrivateKey | None = None) -> Any:
        """Return an element with the provider's signature in it."""
        signer = XMLSigner(
            signature_algorithm=SignatureMethod.RSA_SHA256,
            digest_algorithm=DigestAlgorithm.SHA256,
            c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
        )
        pem = (key or self.key).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return signer.sign(element, key=pem, cert=self.certificate, reference_uri=element.get("ID"))

    def post(self, content: str, state: str) -> requests.Response:
        """Post a response to the assertion consumer service, as a browser would."""
        form = {"SAMLResponse": base64.b64encode(content.encode()).decode(), "RelayState": state}
        return requests.Session.post(self.admin, "/v1/sso/saml/acs", data=form, allow_redirects=False)


def _certificate(key: RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp.attack.example")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(7)
    builder = builder.not_valid_before(datetime(2025, 1, 1, tzinfo=UTC)).not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
    return builder.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


def _response(*parts: Any) -> str:
    return _RESPONSE.format(content="".join(etree.tostring(p).decode() for p in parts))


@pytest.fixture(scope="module")
def _engine(contract: Contract) -> Iterator[Engine]:
    found = Engine(contract, limits=False)
    yield found
    found.close()


@pytest.fixture
def engine(_engine: Engine) -> Engine:
    _engine.reset()
    return _engine


@pytest.fixture
def provider(engine: Engine) -> Provider:
    """Return a provider of Brightwater Marine that creates whom it doesn't find."""
    return Provider(engine, "ines", "create")


def _let_in(answer: requests.Response) -> bool:
    return answer.status_code == 303 and "Set-Cookie" in answer.headers


class TestAssertion:
    """A SAML response."""

    def test_signed_assertion(self, provider: Provider) -> None:
        request, state = provider.begin()

        answer = provider.post(_response(provider.signed(provider.assertion(request))), state)

        assert _let_in(answer), (answer.text, provider.tries()[0])
        assert provider.tries()[0]["is_user_created"]

    def test_signed_response(self, provider: Provider) -> None:
        request, state = provider.begin()
        whole = etree.fromstring(_response(provider.assertion(request)).encode())

        answer = provider.post(etree.tostring(provider.signed(whole)).decode(), state)

        assert _let_in(answer), provider.tries()[0]

    def test_no_signature(self, provider: Provider) -> None:
        request, state = provider.begin()

        answer = provider.post(_response(provider.assertion(request)), state)

        assert not _let_in(answer)
        assert provider.tries()[0]["failure"] == "signature_invalid"

    def test_changed_after_signing(self, provider: Provider) -> None:
        request, state = provider.begin()
        text = _response(provider.signed(provider.assertion(request))).replace("ann@attack", "eve@attack")

        assert not _let_in(provider.post(text, state))

    def test_key_of_the_response_itself(self, provider: Provider) -> None:
        request, state = provider.begin()
        stranger = generate_private_key(public_exponent=65537, key_size=2048)
        own, provider.certificate = provider.certificate, _certificate(stranger)
        forged = provider.signed(provider.assertion(request, mail="maya.okafor@brightwater.example"), stranger)
        provider.certificate = own

        assert not _let_in(provider.post(_response(forged), state))

    @pytest.mark.parametrize("order", ["forged first", "forged last", "forged around"])
    def test_wrapped(self, provider: Provider, order: str) -> None:
        request, state = provider.begin()
        honest = provider.signed(provider.assertion(request))
        forged = provider.assertion(request, id="a2", name="n-maya", mail="maya.okafor@brightwater.example")
        parts = {"forged first": [forged, honest], "forged last": [honest, forged], "forged around": [forged]}[order]
        if order == "forged around":
            forged.append(honest)

        provider.post(_response(*parts), state)

        # The honest one may sign Ann in; nothing signs Maya in.
        assert provider.tries()[0].get("user_id") != MAYA
        assert provider.tries()[0].get("external_subject") != "n-maya"

    def test_comment_in_the_name(self, provider: Provider) -> None:
        request, state = provider.begin()
        text = _response(provider.signed(provider.assertion(request, name="n-maya.attack")))

        # Canonicalization drops comments, so the signature still holds; a reader that stops at one would see n-maya.
        answer = provider.post(text.replace("n-maya.attack", "n-maya<!-- -->.attack"), state)

        assert provider.tries()[0].get("external_subject") in (None, "n-maya.attack")
        assert not _let_in(answer) or provider.tries()[0]["external_subject"] == "n-maya.attack"

    def test_used_for_another_try(self, provider: Provider) -> None:
        request, state = provider.begin()
        text = _response(provider.signed(provider.assertion(request)))
        assert _let_in(provider.post(text, state))
        _, second = provider.begin()

        assert not _let_in(provider.post(text, second))
        assert provider.tries()[0]["failure"] == "replayed"

    def test_entities(self, provider: Provider) -> None:
        request, state = provider.begin()
        bomb = '<!DOCTYPE r [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>'

        answer = provider.post(bomb + _response(provider.signed(provider.assertion(request, name="&amp;c;"))), state)

        assert not _let_in(answer)
        assert "root:" not in json.dumps(provider.tries())


class TestLogout:
    """A SAML request for a logout."""

    def _signed_in(self, provider: Provider) -> str:
        request, state = provider.begin()
        assert _let_in(provider.post(_response(provider.signed(provider.assertion(request))), state))
        return str(provider.tries()[0]["session_id"])

    def _post(self, provider: Provider, element: Any) -> requests.Response:
        form = {"SAMLRequest": base64.b64encode(etree.tostring(element)).decode()}
        return requests.Session.post(provider.admin, "/v1/sso/saml/slo", data=form, allow_redirects=False)

    def _status(self, provider: Provider, session_id: str) -> str:
        record = provider.engine.world.store.get("ten_01KDVDNA000000000000000001", "sessions", session_id)
        assert record is not None
        return str(record.doc["status"])

    def test_signed(self, provider: Provider) -> None:
        session_id = self._signed_in(provider)

        answer = self._post(provider, provider.signed(etree.fromstring(_LOGOUT.format(issuer=ISSUER, name="n-1").encode())))

        assert answer.status_code == 303, answer.text
        assert self._status(provider, session_id) == "ended"

    def test_no_signature(self, provider: Provider) -> None:
        session_id = self._signed_in(provider)

        answer = self._post(provider, etree.fromstring(_LOGOUT.format(issuer=ISSUER, name="n-1").encode()))

        assert (answer.status_code, answer.json()["code"]) == (422, "logout_request_refused")
        assert self._status(provider, session_id) == "active"

    def test_name_beside_the_signature(self, provider: Provider) -> None:
        session_id = self._signed_in(provider)
        signed = provider.signed(etree.fromstring(_LOGOUT.format(issuer=ISSUER, name="n-2").encode()))
        around = etree.fromstring(_LOGOUT.format(issuer=ISSUER, name="n-1").replace('ID="l1"', 'ID="l2"').encode())
        around.append(signed)

        self._post(provider, around)

        assert self._status(provider, session_id) == "active"


class TestTenants:
    """A provider of one company, and the people of another."""

    @pytest.mark.parametrize("mode", ["none", "create"])
    def test_address_of_another_tenant(self, engine: Engine, mode: str) -> None:
        provider = Provider(engine, "otto", mode)
        request, state = provider.begin()
        claimed = provider.assertion(request, mail="maya.okafor@brightwater.example")

        answer = provider.post(_response(provider.signed(claimed)), state)

        assert _let_in(answer) is (mode == "create")
        assert provider.tries()[0].get("user_id") != MAYA

    def test_address_below_no_verified_domain(self, engine: Engine, provider: Provider) -> None:
        store = engine.world.store
        maya = store.get("ten_01KDVDNA000000000000000001", "users", MAYA)
        assert maya is not None
        maya.doc["email"] = "maya@private-mail.example"
        store.put("ten_01KDVDNA000000000000000001", maya)
        request, state = provider.begin()
        claimed = provider.assertion(request, mail="maya@private-mail.example")

        provider.post(_response(provider.signed(claimed)), state)

        assert provider.tries()[0].get("user_id") != MAYA


class TestIdToken:
    """A token of an OpenID provider."""

    @pytest.fixture
    def check(self, engine: Engine) -> Callable[[str], Any]:
        """Return a function that verifies a token as the callback does."""
        return lambda token: verified(engine.world, "https://login.brightwater.example", token, "brightwater-crm")

    def _claims(self) -> dict[str, Any]:
        now = 1_767_603_600
        return {
            "iss": "https://login.brightwater.example",
            "aud": "brightwater-crm",
            "sub": "s",
            "iat": now,
            "exp": now + 300,
        }

    def test_no_algorithm(self, check: Callable[[str], Any]) -> None:
        with pytest.raises(jwt.PyJWTError):
            check(jwt.encode(self._claims(), "", algorithm="none"))

    def test_public_key_as_secret(self, engine: Engine, check: Callable[[str], Any]) -> None:
        from crm_reference.emulator.services.authentication import sso_simulation

        found = sso_simulation.simulated(engine.world, "https://login.brightwater.example")
        assert found is not None
        public = sso_simulation._key(found).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

        with pytest.raises(jwt.PyJWTError):
            check(jwt.encode(self._claims(), base64.b64encode(public), algorithm="HS256"))

    def test_key_of_a_stranger(self, check: Callable[[str], Any]) -> None:
        stranger = generate_private_key(public_exponent=65537, key_size=2048)

        with pytest.raises(jwt.PyJWTError):
            check(jwt.encode(self._claims(), stranger, algorithm="RS256"))
