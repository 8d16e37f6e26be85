"""Passkeys, with an authenticator in software that makes what a browser would: a key of its own, a counter, signatures."""

from __future__ import annotations

import hashlib
import json
import struct
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Any

import cbor2
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256

from crm_reference.contract import Contract
from crm_reference.emulator import Engine, session

ORIGIN = "https://app.crm.example"
PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


class Authenticator:
    """A security key with one ES256 credential."""

    def __init__(self, relying_party: str = "app.crm.example") -> None:
        self._key = generate_private_key(SECP256R1())
        self._relying_party = hashlib.sha256(relying_party.encode()).digest()
        self.credential = b"a credential of a test, 32 bytes"
        self.counter = 0

    def create(self, options: Any, /, *, origin: str = ORIGIN, flags: int = PRESENT | VERIFIED) -> dict[str, str]:
        """Return what a browser gives for a new passkey."""
        point = self._key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}
        credential = struct.pack(">H", len(self.credential)) + self.credential + cbor2.dumps(cose)
        data = self._data(flags | ATTESTED) + bytes(16) + credential
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        return {
            "client_data_json": _text(_client_data("webauthn.create", options["challenge"], origin)),
            "attestation_object": _text(attestation),
        }

    def get(self, challenge: str, /, *, origin: str = ORIGIN, flags: int = PRESENT | VERIFIED, step: int = 1) -> dict[str, str]:
        """Return what a browser gives for a use of the passkey."""
        self.counter += step
        client, data = _client_data("webauthn.get", challenge, origin), self._data(flags)
        signature = self._key.sign(data + hashlib.sha256(client).digest(), ECDSA(SHA256()))
        return {
            "credential": _text(self.credential),
            "client_data_json": _text(client),
            "authenticator_data": _text(data),
            "signature": _text(signature),
        }

    def _data(self, flags: int) -> bytes:
        return self._relying_party + bytes([flags]) + struct.pack(">I", self.counter)


def _client_data(kind: str, challenge: str, origin: str) -> bytes:
    return json.dumps({"type": kind, "challenge": challenge, "origin": origin, "crossOrigin": False}).encode()


def _text(content: bytes) -> str:
    return urlsafe_b64encode(content).decode().rstrip("=")


@pytest.fixture(scope="module")
def _engine(contract: Contract) -> Iterator[Engine]:
    found = Engine(contract, limits=False)
    yield found
    found.close()


@pytest.fixture
def crm(_engine: Engine) -> requests.Session:
    """Return Maya's session in a fresh world."""
    _engine.reset()
    return session(_engine, "maya")


def _registered(crm: requests.Session, key: Authenticator) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a new passkey's factor and the options that it was made with."""
    options = crm.post("/v1/passkeys/options").json()
    made = {"challenge_id": options["challenge_id"], "name": "Key of a test", **key.create(options)}
    answer = crm.post("/v1/passkeys", json=made)
    assert answer.status_code == 201, answer.text
    return answer.json(), options


def _sign_in(crm: requests.Session, key: Authenticator, handle: str, **how: Any) -> requests.Response:
    challenge = crm.post("/v1/passkey-sign-ins/options").json()["passkey"]["challenge"]
    return crm.post("/v1/passkey-sign-ins", json={**key.get(challenge, **how), "user_handle": handle})


class TestRegistration:
    """A new passkey."""

    def test_elliptic_curve(self, crm: requests.Session) -> None:
        factor, _ = _registered(crm, Authenticator())

        assert (factor["type"], factor["status"], factor["is_phishing_resistant"]) == ("passkey", "active", True)

    @pytest.mark.parametrize("origin", ["https://evil.example", "http://app.crm.example", "https://app.crm.example.evil.example"])
    def test_other_origin(self, crm: requests.Session, origin: str) -> None:
        options = crm.post("/v1/passkeys/options").json()
        made = Authenticator().create(options, origin=origin)

        answer = crm.post("/v1/passkeys", json={"challenge_id": options["challenge_id"], "name": "Elsewhere", **made})

        assert (answer.status_code, answer.json()["code"]) == (422, "passkey_rejected")

    def test_other_relying_party(self, crm: requests.Session) -> None:
        options = crm.post("/v1/passkeys/options").json()
        made = Authenticator("evil.example").create(options)

        answer = crm.post("/v1/passkeys", json={"challenge_id": options["challenge_id"], "name": "Elsewhere", **made})

        assert answer.json()["code"] == "passkey_rejected"

    def test_user_not_verified(self, crm: requests.Session) -> None:
        options = crm.post("/v1/passkeys/options").json()
        made = Authenticator().create(options, flags=PRESENT)

        answer = crm.post("/v1/passkeys", json={"challenge_id": options["challenge_id"], "name": "No PIN", **made})

        assert answer.json()["code"] == "passkey_rejected"

    def test_challenge_of_another_page(self, crm: requests.Session) -> None:
        first, second = (crm.post("/v1/passkeys/options").json() for _ in range(2))
        made = Authenticator().create(first)

        answer = crm.post("/v1/passkeys", json={"challenge_id": second["challenge_id"], "name": "Mixed up", **made})

        assert answer.json()["code"] == "passkey_rejected"

    @pytest.mark.parametrize("content", [b"", b"\xff" * 60, cbor2.dumps({"fmt": "none"}) + bytes(60), cbor2.dumps([1] * 60)])
    def test_no_attestation(self, crm: requests.Session, content: bytes) -> None:
        options = crm.post("/v1/passkeys/options").json()
        made = {**Authenticator().create(options), "attestation_object": _text(content or b"nothing that a parser could read....")}

        answer = crm.post("/v1/passkeys", json={"challenge_id": options["challenge_id"], "name": "Broken", **made})

        assert (answer.status_code, answer.json()["code"]) == (422, "passkey_rejected")


class TestSignIn:
    """A passkey in place of name, password and second factor."""

    def test_session(self, crm: requests.Session) -> None:
        key = Authenticator()
        factor, options = _registered(crm, key)

        answer = _sign_in(crm, key, options["user_handle"])

        assert answer.status_code == 201, answer.text
        assert answer.json()["factor_id"] == factor["id"]
        assert answer.headers["Set-Cookie"].startswith("crm_session=")

    def test_copied_key(self, crm: requests.Session) -> None:
        key = Authenticator()
        _, options = _registered(crm, key)
        assert _sign_in(crm, key, options["user_handle"], step=5).status_code == 201

        answer = _sign_in(crm, key, options["user_handle"], step=-1)

        assert answer.json()["code"] == "passkey_rejected"

    def test_handle_of_somebody_else(self, crm: requests.Session) -> None:
        key = Authenticator()
        _registered(crm, key)

        answer = _sign_in(crm, key, _text(b"usr_01KDVDNA000000000000000003"))

        assert answer.json()["code"] == "passkey_rejected"

    def test_challenge_of_the_caller(self, crm: requests.Session) -> None:
        key = Authenticator()
        _, options = _registered(crm, key)
        own = _text(b"a challenge that nobody sealed, of 40 byte")

        answer = crm.post("/v1/passkey-sign-ins", json={**key.get(own), "user_handle": options["user_handle"]})

        assert answer.json()["code"] == "passkey_rejected"

    def test_removed_passkey(self, crm: requests.Session) -> None:
        key = Authenticator()
        factor, options = _registered(crm, key)
        assert crm.delete(f"/v1/mfa-factors/{factor['id']}").status_code == 204

        assert _sign_in(crm, key, options["user_handle"]).json()["code"] == "passkey_rejected"
