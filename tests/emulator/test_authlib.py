"""OAuth and OpenID Connect as a library sees them that is not ours: authlib completes each flow against the emulator over HTTP.

Signatures are verified by the keys that the server publishes, and by nothing else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import ClientSecretJWT, PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import KeySet, OKPKey

from crm_reference.contract import Contract
from crm_reference.emulator import Engine
from crm_reference.emulator.server import served
from crm_reference.emulator.services.authentication.oauth_clients import acting
from crm_reference.emulator.services.authentication.sessions import start

# RFC 9864 gives the algorithm a second name, Ed25519, which few libraries know yet: the platform stays with the first.
pytestmark = pytest.mark.filterwarnings("ignore:EdDSA is deprecated:joserfc.errors.SecurityWarning")

TENANT, MAYA = "ten_01KDVDNA000000000000000001", "usr_01KDVDNA000000000000000001"
HUB, PLANNER, DISPLAY, FLEET, DECK = (f"cli_01KDVDNA00000000000000000{n}" for n in (2, 4, 5, 6, 7))
PLANNER_SECRET = "tide-planner-secret-0000000000000000000001"
CALLBACK = "https://tideplanner.example/callback"
WHOLE = "openid profile email offline_access contacts.read"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


@pytest.fixture(scope="module")
def engine(contract: Contract) -> Iterator[Engine]:
    # The real clock: a library compares times with the machine's.
    found = Engine(contract, clock="real", limits=False)
    yield found
    found.close()


@pytest.fixture(scope="module")
def base(engine: Engine) -> Iterator[str]:
    """Return the address of a server on loopback, which is its issuer too."""
    with served(engine) as address:
        engine.world.site = address
        yield address


@pytest.fixture
def server(engine: Engine, base: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the configuration that the server publishes, in a fresh world."""
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # loopback has no TLS
    engine.reset()
    found: dict[str, Any] = requests.get(f"{base}/.well-known/openid-configuration", timeout=10).json()
    return found


@pytest.fixture
def keys(server: Mapping[str, Any]) -> KeySet:
    """Return the keys that the server publishes."""
    return KeySet.import_key_set(requests.get(server["jwks_uri"], timeout=10).json())


def _planner(**options: Any) -> OAuth2Session:
    return OAuth2Session(
        PLANNER,
        PLANNER_SECRET,
        token_endpoint_auth_method="client_secret_post",
        revocation_endpoint_auth_method="client_secret_post",
        redirect_uri=CALLBACK,
        code_challenge_method="S256",
        **options,
    )


def _browser(engine: Engine) -> dict[str, str]:
    """Return the cookie of a browser in which Maya is signed in."""
    context = acting(engine.world, TENANT, MAYA)
    with engine.world.store.transaction():
        _, cookie = start(context, MAYA, methods=["pwd", "otp"], acr="urn:crm:acr:mfa")
    return {"crm_session": cookie}


def _consent(engine: Engine, base: str, location: str, **body: Any) -> str:
    """Approve what waits behind a redirect to the consent page, and return where the browser goes next."""
    waiting = parse_qs(urlsplit(location).query)["authorization_id"][0]
    headers = {"Authorization": f"Bearer {engine.token('maya')}"}
    answer = requests.post(f"{base}/v1/authorizations/{waiting}/approve", json=body, headers=headers, timeout=10)
    assert answer.status_code == 200, answer.text
    redirect: str = answer.json()["redirect_to"]
    return redirect


def _sign_in(engine: Engine, base: str, server: Mapping[str, Any], client: OAuth2Session, scope: str = WHOLE) -> dict[str, Any]:
    """Take a user through the browser's part of the code flow, and return the tokens."""
    verifier = generate_token(48)
    url, state = client.create_authorization_url(
        server["authorization_endpoint"], code_verifier=verifier, scope=scope, nonce="n-0S6_WzA2Mj"
    )
    sent = requests.get(url, cookies=_browser(engine), allow_redirects=False, timeout=10)
    assert sent.status_code == 303, sent.text
    back = sent.headers["Location"]
    if "/consent?" in back:
        back = _consent(engine, base, back)
    answer = dict(parse_qsl(urlsplit(back).query))
    assert (answer["state"], answer["iss"]) == (state, server["issuer"])
    token: dict[str, Any] = client.fetch_token(server["token_endpoint"], authorization_response=back, code_verifier=verifier)
    return token


class TestDiscovery:
    def test_the_metadata_are_valid(self, base: str, server: Mapping[str, Any]) -> None:
        oauth = requests.get(f"{base}/.well-known/oauth-authorization-server", timeout=10).json()

        # Both classes demand https, which a server on loopback has not.
        AuthorizationServerMetadata(_secure(oauth)).validate()
        OpenIDProviderMetadata(_secure(server)).validate()

    def test_the_issuer_is_the_host_that_was_asked(self, base: str, server: Mapping[str, Any]) -> None:
        resource = requests.get(f"{base}/.well-known/oauth-protected-resource", timeout=10).json()

        assert server["issuer"] == base
        assert (resource["resource"], resource["authorization_servers"]) == (base, [base])


def _secure(document: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(dict(document)).replace("http://", "https://"))
    return found


class TestCodeFlow:
    def test_tokens_are_verified_by_the_published_keys(
        self, engine: Engine, base: str, server: Mapping[str, Any], keys: KeySet
    ) -> None:
        token = _sign_in(engine, base, server, _planner())

        access = jwt.decode(token["access_token"], keys, algorithms=["EdDSA"])
        assert access.header["typ"] == "at+jwt"
        assert (access.claims["sub"], access.claims["tenant"]) == (MAYA, TENANT)
        assert access.claims["aud"] == base
        identity = jwt.decode(token["id_token"], keys, algorithms=server["id_token_signing_alg_values_supported"])
        claims = CodeIDToken(
            identity.claims,
            identity.header,
            options={"iss": {"value": base}, "aud": {"value": PLANNER}, "nonce": {"value": "n-0S6_WzA2Mj"}},
            params={"nonce": "n-0S6_WzA2Mj", "client_id": PLANNER, "access_token": token["access_token"]},
        )
        claims.validate(leeway=5)
        assert (claims["acr"], claims["amr"]) == ("urn:crm:acr:mfa", ["pwd", "otp"])

    def test_a_second_sign_in_asks_nothing(self, engine: Engine, base: str, server: Mapping[str, Any]) -> None:
        _sign_in(engine, base, server, _planner())
        url, _ = _planner().create_authorization_url(
            server["authorization_endpoint"], code_verifier=generate_token(48), scope=WHOLE
        )

        sent = requests.get(url, cookies=_browser(engine), allow_redirects=False, timeout=10)

        assert sent.headers["Location"].startswith(f"{CALLBACK}?code=")

    def test_a_code_works_once(self, engine: Engine, base: str, server: Mapping[str, Any]) -> None:
        client, verifier = _planner(), generate_token(48)
        url, _ = client.create_authorization_url(server["authorization_endpoint"], code_verifier=verifier, scope=WHOLE)
        sent = requests.get(url, cookies=_browser(engine), allow_redirects=False, timeout=10)
        back = _consent(engine, base, sent.headers["Location"])
        client.fetch_token(server["token_endpoint"], authorization_response=back, code_verifier=verifier)

        with pytest.raises(OAuthError) as refused:
            _planner().fetch_token(server["token_endpoint"], authorization_response=back, code_verifier=verifier)

        assert refused.value.error == "invalid_grant"

    def test_a_pushed_request_of_a_native_app(self, engine: Engine, base: str, server: Mapping[str, Any]) -> None:
        redirect, verifier = "http://127.0.0.1:51004/callback", generate_token(48)
        client = OAuth2Session(DECK, token_endpoint_auth_method="none", redirect_uri=redirect, code_challenge_method="S256")
        url, state = client.create_authorization_url(
            server["authorization_endpoint"], code_verifier=verifier, scope="openid contacts.read"
        )
        pushed = requests.post(
            server["pushed_authorization_request_endpoint"], data=dict(parse_qsl(urlsplit(url).query)), timeout=10
        )
        assert pushed.status_code == 201, pushed.text

        sent = requests.get(
            server["authorization_endpoint"],
            params={"client_id": DECK, "request_uri": pushed.json()["request_uri"]},
            cookies=_browser(engine),
            allow_redirects=False,
            timeout=10,
        )
        back = _consent(engine, base, sent.headers["Location"])
        token = client.fetch_token(server["token_endpoint"], authorization_response=back, code_verifier=verifier, state=state)

        assert token["scope"] == "openid contacts.read"

    def test_the_user_information_follows_the_scopes(self, engine: Engine, base: str, server: Mapping[str, Any]) -> None:
        client = _planner()
        _sign_in(engine, base, server, client)

        for answer in (client.get(server["userinfo_endpoint"]), client.post(server["userinfo_endpoint"])):
            assert answer.json()["sub"] == MAYA
            assert answer.json()["email"] == "maya.okafor@brightwater.example"


class TestRenewal:
    def test_a_refresh_token_is_replaced(self, engine: Engine, base: str, server: Mapping[str, Any], keys: KeySet) -> None:
        client = _planner()
        first = _sign_in(engine, base, server, client)

        second = client.refresh_token(server["token_endpoint"], refresh_token=first["refresh_token"])

        assert second["refresh_token"] != first["refresh_token"]
        assert jwt.decode(second["access_token"], keys, algorithms=["EdDSA"]).claims["sub"] == MAYA

    def test_a_stolen_refresh_token_ends_the_grant(self, engine: Engine, base: str, server: Mapping[str, Any]) -> None:
        client = _planner()
        first = _sign_in(engine, base, server, client)
        second = client.refresh_token(server["token_endpoint"], refresh_token=first["refresh_token"])

        for stolen in (first["refresh_token"], second["refresh_token"]):
            with pytest.raises(OAuthError) as refused:
                _planner().refresh_token(server["token_endpoint"], refresh_token=stolen)
            assert refused.value.error == "invalid_grant"
        assert client.get(server["userinfo_endpoint"]).status_code == 401


class TestPrograms:
    def test_a_secret(self, base: str, server: Mapping[str, Any], keys: KeySet) -> None:
        client = OAuth2Session(HUB, "harbour-bridge-secret-000000000000000000001", scope="contacts.read")

        token = client.fetch_token(server["token_endpoint"], grant_type="client_credentials")

        assert jwt.decode(token["access_token"], keys, algorithms=["EdDSA"]).claims["client_id"] == HUB
        assert client.get(f"{base}/v1/contacts?limit=1").status_code == 200

    def test_a_signature(self, server: Mapping[str, Any], keys: KeySet) -> None:
        private = OKPKey.import_key(Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"fleet reports key 1").digest()))
        client = OAuth2Session(FLEET, private, token_endpoint_auth_method="private_key_jwt", scope="contacts.read")
        headers = {"kid": "fleet-1"}
        client.register_client_auth_method(PrivateKeyJWT(server["token_endpoint"], headers=headers, alg="EdDSA"))

        token = client.fetch_token(server["token_endpoint"], grant_type="client_credentials")

        assert jwt.decode(token["access_token"], keys, algorithms=["EdDSA"]).claims["client_id"] == FLEET

    def test_a_signature_by_the_secret_is_refused(self, server: Mapping[str, Any]) -> None:
        client = OAuth2Session(HUB, "harbour-bridge-secret-000000000000000000001", token_endpoint_auth_method="client_secret_jwt")
        client.register_client_auth_method(ClientSecretJWT(server["token_endpoint"]))

        with pytest.raises(OAuthError) as refused:
            client.fetch_token(server["token_endpoint"], grant_type="client_credentials")

        assert refused.value.error == "invalid_client"

    def test_a_token_on_behalf_of_a_user(self, engine: Engine, base: str, server: Mapping[str, Any], keys: KeySet) -> None:
        user = _sign_in(engine, base, server, _planner())
        client = OAuth2Session(HUB, "harbour-bridge-secret-000000000000000000001")

        token = client.fetch_token(
            server["token_endpoint"],
            grant_type=EXCHANGE,
            subject_token=user["access_token"],
            subject_token_type=ACCESS_TOKEN,
            scope="contacts.read",
        )

        claims = jwt.decode(token["access_token"], keys, algorithms=["EdDSA"]).claims
        assert (claims["sub"], claims["act"]) == (MAYA, {"sub": HUB})
        assert token["issued_token_type"] == ACCESS_TOKEN


class TestDevices:
    def test_a_device_is_approved_elsewhere(self, engine: Engine, base: str, server: Mapping[str, Any]) -> None:
        client = OAuth2Session(DISPLAY, token_endpoint_auth_method="none")
        codes = requests.post(
            server["device_authorization_endpoint"],
            data={"client_id": DISPLAY, "scope": "openid offline_access contacts.read"},
            timeout=10,
        ).json()
        with pytest.raises(OAuthError) as waiting:
            client.fetch_token(server["token_endpoint"], grant_type=DEVICE, device_code=codes["device_code"])
        assert waiting.value.error == "authorization_pending"

        headers = {"Authorization": f"Bearer {engine.token('maya')}"}
        page = f"{base}/v1/device-verifications/{codes['user_code']}"
        assert requests.post(f"{page}/approve", json={}, headers=headers, timeout=10).status_code == 200
        engine.advance(codes["interval"])
        token = client.fetch_token(server["token_endpoint"], grant_type=DEVICE, device_code=codes["device_code"])

        assert token["scope"] == "openid offline_access contacts.read"
        assert "refresh_token" in token


class TestEnd:
    def test_a_revoked_token_holds_nowhere(self, engine: Engine, base: str, server: Mapping[str, Any]) -> None:
        client = _planner()
        token = _sign_in(engine, base, server, client)
        assert client.introspect_token(server["introspection_endpoint"], token=token["access_token"]).json()["active"]

        assert client.revoke_token(server["revocation_endpoint"], token=token["refresh_token"]).status_code == 200

        asked = client.introspect_token(server["introspection_endpoint"], token=token["access_token"]).json()
        assert asked == {"active": False}
        assert client.get(server["userinfo_endpoint"]).status_code == 401

    def test_a_sign_out_ends_the_session(self, engine: Engine, base: str, server: Mapping[str, Any]) -> None:
        client, cookies = _planner(), _browser(engine)
        verifier = generate_token(48)
        url, _ = client.create_authorization_url(server["authorization_endpoint"], code_verifier=verifier, scope="openid")
        sent = requests.get(url, cookies=cookies, allow_redirects=False, timeout=10)
        back = _consent(engine, base, sent.headers["Location"])
        token = client.fetch_token(server["token_endpoint"], authorization_response=back, code_verifier=verifier)

        left = requests.get(
            server["end_session_endpoint"],
            params={
                "id_token_hint": token["id_token"],
                "post_logout_redirect_uri": "https://tideplanner.example/bye",
                "state": "x",
            },
            cookies=cookies,
            allow_redirects=False,
            timeout=10,
        )

        assert left.headers["Location"] == "https://tideplanner.example/bye?state=x"
        again = requests.get(url, cookies=cookies, allow_redirects=False, timeout=10)
        assert "/sign-in?" in again.headers["Location"]


class TestRegistration:
    def test_a_tool_registers_and_manages_itself(self, engine: Engine, server: Mapping[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {engine.token('ines')}"}
        body = {"client_name": "Fleet board", "redirect_uris": ["https://fleetboard.example/back"], "scope": "openid contacts.read"}
        made = requests.post(server["registration_endpoint"], json=body, headers=headers, timeout=10).json()
        mine = {"Authorization": f"Bearer {made['registration_access_token']}"}

        read = requests.get(made["registration_client_uri"], headers=mine, timeout=10).json()
        gone = requests.delete(made["registration_client_uri"], headers=mine, timeout=10)

        assert read["client_name"] == "Fleet board"
        assert "client_secret" not in read
        assert gone.status_code == 204
        assert requests.get(made["registration_client_uri"], headers=mine, timeout=10).status_code == 401
