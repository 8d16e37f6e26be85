"""What attackers try at the protocol's endpoints, and what tokens say in rare cases."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crm_reference.contract import Contract
from crm_reference.emulator import Engine, Request, Response
from crm_reference.emulator.services.authentication.oauth_clients import acting
from crm_reference.emulator.services.authentication.sessions import end

MAYA, TENANT = "usr_01KDVDNA000000000000000001", "ten_01KDVDNA000000000000000001"
CRM, HUB, PLANNER, DISPLAY, FLEET = (f"cli_01KDVDNA00000000000000000{n}" for n in (1, 2, 4, 5, 6))
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
COOKIE = "crm_session=maya-browser-session-00000000000000000001"
PLANNER_FORM = {"client_id": PLANNER, "client_secret": "tide-planner-secret-0000000000000000000001"}
HUB_BASIC = "Basic Y2xpXzAxS0RWRE5BMDAwMDAwMDAwMDAwMDAwMDAyOmhhcmJvdXItYnJpZGdlLXNlY3JldC0wMDAwMDAwMDAwMDAwMDAwMDAwMDE="
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

Form = Callable[..., Response]


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
def post(engine: Engine) -> Form:
    """Return a function that posts a form below ``/v1/oauth``."""

    def send(endpoint: str, form: Mapping[str, str], **headers: str) -> Response:
        headers = {"content-type": "application/x-www-form-urlencoded", **headers}
        return engine.handle(Request("POST", f"/v1/oauth/{endpoint}", (), headers, urlencode(form).encode()))

    return send


def _authorize(engine: Engine, client: str, scope: str, cookie: str = COOKIE, **more: str) -> str:
    query = {
        "client_id": client,
        "response_type": "code",
        "scope": scope,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    answer = engine.handle(Request("GET", "/v1/oauth/authorize", tuple({**query, **more}.items()), {"cookie": cookie}))
    assert answer.status == 303, answer.body
    return answer.headers["Location"]


def _approve(engine: Engine, location: str, by: str = "maya") -> str:
    waiting = parse_qs(urlsplit(location).query)["authorization_id"][0]
    headers = {"authorization": f"Bearer {engine.token(by)}", "content-type": "application/json"}
    answer = engine.handle(Request("POST", f"/v1/authorizations/{waiting}/approve", (), headers, b"{}"))
    assert answer.status == 200, answer.body
    redirect: str = answer.json()["redirect_to"]
    return redirect


def _code(location: str) -> str:
    return parse_qs(urlsplit(location).query)["code"][0]


def _claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def _tokens(engine: Engine, post: Form, scope: str = "openid offline_access contacts.read") -> dict[str, Any]:
    code = _code(_approve(engine, _authorize(engine, PLANNER, scope)))
    answer = post("token", {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, **PLANNER_FORM})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


class TestCodes:
    def test_a_code_is_of_no_use_to_another_client(self, engine: Engine, post: Form) -> None:
        code = _code(_approve(engine, _authorize(engine, PLANNER, "openid")))
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "client_id": CRM}

        assert post("token", form).json()["error"] == "invalid_grant"

    def test_a_colleague_can_not_approve(self, engine: Engine) -> None:
        location = _authorize(engine, PLANNER, "openid")

        with pytest.raises(AssertionError, match="not_found"):
            _approve(engine, location, by="tomas")

    def test_the_session_of_another_tenant_counts_for_nothing(self, engine: Engine) -> None:
        location = _authorize(engine, "cli_01KDVDNA000000000000000003", "openid")

        assert location.startswith("https://app.crm.example/sign-in?")

    def test_scopes_end_where_the_role_does(self, engine: Engine, post: Form) -> None:
        jun = "crm_session=jun-browser-session-000000000000000000001"
        code = _code(_authorize(engine, CRM, "openid contacts.read contacts.write", cookie=jun))
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "client_id": CRM}

        assert post("token", form).json()["scope"] == "openid contacts.read"

    def test_a_request_object_is_refused_and_not_ignored(self, engine: Engine) -> None:
        assert "error=request_not_supported" in _authorize(engine, PLANNER, "openid", request="e30.e30.e30")


class TestSessions:
    def test_a_first_party_refresh_token_ends_with_the_session(self, engine: Engine, post: Form) -> None:
        code = _code(_authorize(engine, CRM, "openid contacts.read"))
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "client_id": CRM}
        token = post("token", form).json()
        renewal = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"], "client_id": CRM}
        _end_session(engine)

        assert post("token", renewal).json()["error"] == "invalid_grant"

    def test_offline_access_outlives_it_without_a_sid(self, engine: Engine, post: Form) -> None:
        token = _tokens(engine, post)
        assert _claims(token["access_token"])["sid"] == "ses_01KDVDNA000000000000000001"
        _end_session(engine)

        renewed = post("token", {"grant_type": "refresh_token", "refresh_token": token["refresh_token"], **PLANNER_FORM}).json()

        assert "sid" not in _claims(renewed["access_token"])
        assert "nonce" not in _claims(renewed["id_token"])
        headers = {"authorization": f"Bearer {renewed['access_token']}"}
        assert engine.handle(Request("GET", "/v1/oauth/userinfo", (), headers)).status == 200
        headers = {"authorization": f"Bearer {token['access_token']}"}
        assert engine.handle(Request("GET", "/v1/oauth/userinfo", (), headers)).status == 401

    def test_refresh_tokens_end_after_ninety_days_however_often_they_are_used(self, engine: Engine, post: Form) -> None:
        token = _tokens(engine, post)["refresh_token"]
        errors = []
        for _ in range(4):
            engine.advance(25 * 86_400)
            answer = post("token", {"grant_type": "refresh_token", "refresh_token": token, **PLANNER_FORM}).json()
            errors.append(answer.get("error", ""))
            token = answer.get("refresh_token", token)

        assert errors == ["", "", "", "invalid_grant"]


def _end_session(engine: Engine) -> None:
    context = acting(engine.world, TENANT, MAYA)
    session = context.records.peek("sessions", "ses_01KDVDNA000000000000000001")
    assert session is not None
    with engine.world.store.transaction():
        end(context, session, "logout")


class TestClients:
    @pytest.mark.parametrize(
        ("changes", "seed"),
        [
            ({}, "fleet reports key 2"),
            ({"aud": "https://login.other.example"}, "fleet reports key 1"),
            ({"iss": HUB}, "fleet reports key 1"),
            ({"exp": 1_767_603_600 - 120}, "fleet reports key 1"),
            ({"exp": 1_767_603_600 + 86_400}, "fleet reports key 1"),
            ({"jti": None}, "fleet reports key 1"),
        ],
        ids=["another key", "another server", "another issuer", "expired", "for a day", "without jti"],
    )
    def test_an_assertion_that_does_not_hold(self, post: Form, changes: dict[str, Any], seed: str) -> None:
        assert post("token", _assertion(changes, seed)).status == 401

    def test_an_assertion_by_the_public_key_as_secret(self, post: Form) -> None:
        form = _assertion({}, "fleet reports key 1")
        public = "W9WicoOSOz0JczBJE9yLJ2JGD5wQrbSo4A6xhA3qtM8"
        claims = _claims(form["client_assertion"])
        forged = jwt.encode(claims, public + "0" * 32, algorithm="HS256", headers={"kid": "fleet-1"})

        assert post("token", {**form, "client_assertion": forged}).json()["error"] == "invalid_client"

    def test_a_secret_that_has_expired(self, engine: Engine, post: Form) -> None:
        old = {"client_id": PLANNER, "client_secret": "tide-planner-secret-0000000000000000000002", "token": "some-token"}
        assert post("introspect", old).status == 200

        engine.advance(28 * 86_400)

        assert post("introspect", old).json()["error"] == "invalid_client"

    def test_refusals_take_as_long_for_unknown_clients(self, post: Form) -> None:
        known = post("token", {"grant_type": "client_credentials", **PLANNER_FORM, "client_secret": "x"})
        unknown = post("token", {"grant_type": "client_credentials", "client_id": "cli_nobody", "client_secret": "x"})

        assert known.json()["error_description"] == unknown.json()["error_description"]


def _assertion(changes: Mapping[str, Any], seed: str) -> dict[str, str]:
    start = 1_767_603_600
    claims = {"iss": FLEET, "sub": FLEET, "aud": "https://api.crm.example", "jti": "a-1", "iat": start, "exp": start + 300}
    body = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())
    signed = jwt.encode(body, key, algorithm="EdDSA", headers={"kid": "fleet-1"})
    return {"grant_type": "client_credentials", "client_assertion_type": JWT_BEARER, "client_assertion": signed}


class TestExchange:
    def test_an_exchanged_token_ends_with_the_first(self, engine: Engine, post: Form) -> None:
        subject = _tokens(engine, post)["access_token"]
        engine.advance(300)

        token = post("token", _exchange(subject), authorization=HUB_BASIC).json()["access_token"]

        assert _claims(token)["exp"] == _claims(subject)["exp"]

    def test_and_with_its_grant(self, engine: Engine, post: Form) -> None:
        granted = _tokens(engine, post)
        token = post("token", _exchange(granted["access_token"]), authorization=HUB_BASIC).json()["access_token"]
        post("revoke", {"token": granted["refresh_token"], **PLANNER_FORM})

        assert post("introspect", {"token": token}, authorization=HUB_BASIC).json() == {"active": False}

    def test_parties_are_counted(self, engine: Engine, post: Form) -> None:
        token, errors = engine.token("maya"), []
        for _ in range(5):
            answer = post("token", _exchange(token), authorization=HUB_BASIC).json()
            errors.append(answer.get("error", ""))
            token = answer.get("access_token", token)

        assert errors == ["", "", "", "", "invalid_request"]

    def test_a_token_of_another_tenant_is_none(self, engine: Engine, post: Form) -> None:
        answer = post("token", _exchange(engine.token("otto")), authorization=HUB_BASIC)

        assert answer.json()["error"] == "invalid_request"


def _exchange(subject: str) -> dict[str, str]:
    return {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": ACCESS_TOKEN, "scope": "contacts.read"}


class TestAnswers:
    def test_a_token_of_another_tenant_is_not_active(self, engine: Engine, post: Form) -> None:
        assert post("introspect", {"token": engine.token("otto")}, authorization=HUB_BASIC).json() == {"active": False}

    def test_an_id_token_opens_nothing(self, engine: Engine, post: Form) -> None:
        headers = {"authorization": f"Bearer {_tokens(engine, post)['id_token']}"}

        assert engine.handle(Request("GET", "/v1/contacts", (), headers)).status == 401

    def test_no_answer_of_the_key_set_is_private(self, engine: Engine) -> None:
        keys = engine.handle(Request("GET", "/v1/oauth/jwks")).json()["keys"]

        assert all(not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(key) for key in keys)

    def test_the_store_has_no_secret_in_the_clear(self, engine: Engine, post: Form) -> None:
        token = _tokens(engine, post)

        content = engine.world.store.snapshot()

        assert token["refresh_token"].encode() not in content
        assert token["access_token"].encode() not in content

    def test_it_is_quick(self, engine: Engine, post: Form) -> None:
        form = {"grant_type": "client_credentials", "scope": "contacts.read"}
        begin = time.perf_counter()
        for _ in range(50):
            assert post("token", form, authorization=HUB_BASIC).status == 200

        assert time.perf_counter() - begin < 5
