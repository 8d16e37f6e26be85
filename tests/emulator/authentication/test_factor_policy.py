"""The policy for second factors: who has to enrol before anything else, and what that takes."""

from __future__ import annotations

from collections.abc import Iterator

import pyotp
import pytest
import requests

from crm_reference.contract import Contract
from crm_reference.emulator import Engine, session
from crm_reference.emulator.store import Record

TOMAS = "usr_01KDVDNA000000000000000002"
TENANT = "ten_01KDVDNA000000000000000001"
PASSWORD = "correct-horse-tomas-7"


@pytest.fixture(scope="module")
def _engine(contract: Contract) -> Iterator[Engine]:
    found = Engine(contract, limits=False)
    yield found
    found.close()


@pytest.fixture
def engine(_engine: Engine) -> Engine:
    """Return a world in which Tomás, a manager, was created today: policy and role demand a factor of him in a week."""
    _engine.reset()
    user = _engine.world.store.get(TENANT, "users", TOMAS)
    assert user is not None
    user.doc["created_at"] = _engine.clock.now()
    _engine.world.store.put(TENANT, user)
    return _engine


def _sign_in(engine: Engine, app: pyotp.TOTP | None = None) -> str:
    """Return an access token of Tomás, by password and, where he has one, by his app."""
    crm = session(engine, "maya")
    begun = crm.post("/v1/sign-ins", json={"email": "tomas.rivera@brightwater.example"}).json()
    path, secret = f"/v1/sign-ins/{begun['sign_in']['id']}", {"sign_in_secret": begun["sign_in_secret"]}
    step = crm.post(path + "/password", json={**secret, "password": PASSWORD}).json()
    end: dict[str, str] = dict(secret)
    if app is not None:
        asked = {"sign_in_id": begun["sign_in"]["id"], **secret, "factor_id": step["factors"][0]["factor_id"]}
        challenge = crm.post("/v1/sign-in-challenges", json=asked).json()["id"]
        passed = crm.post(f"/v1/sign-in-challenges/{challenge}/verify", json={"method": "code", "code": _code(engine, app)})
        assert passed.status_code == 200, passed.text
        end["challenge_id"] = challenge
    return str(crm.post(path + "/complete", json=end).json()["access_token"])


def _code(engine: Engine, app: pyotp.TOTP) -> str:
    return str(app.at(int(engine.clock.time())))


def _call(engine: Engine, token: str, method: str, path: str, **options: object) -> requests.Response:
    crm = session(engine, "tomas")
    crm.headers["Authorization"] = f"Bearer {token}"
    return crm.request(method, path, **options)


def test_grace(engine: Engine) -> None:
    token = _sign_in(engine)

    assert _call(engine, token, "GET", "/v1/contacts").status_code == 200


def test_overdue(engine: Engine) -> None:
    engine.advance(8 * 86_400)
    token = _sign_in(engine)

    refused = _call(engine, token, "GET", "/v1/contacts")

    assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert _call(engine, token, "GET", "/v1/mfa-policies/current").status_code == 200


def test_enrolled(engine: Engine) -> None:
    engine.advance(8 * 86_400)
    token = _sign_in(engine)
    enrolment = _call(engine, token, "POST", "/v1/mfa-enrolments", json={"type": "totp", "name": "Telephone"})
    app = pyotp.parse_uri(enrolment.json()["totp"]["otpauth_uri"])
    assert isinstance(app, pyotp.TOTP)
    confirm = enrolment.headers["Location"] + "/confirm"
    assert _call(engine, token, "POST", confirm, json={"code": _code(engine, app)}).status_code == 200
    engine.advance(60)

    token = _sign_in(engine, app)

    assert _call(engine, token, "GET", "/v1/contacts").status_code == 200


@pytest.mark.parametrize("linked", [True, False])
def test_provider_stands_for_a_factor(engine: Engine, linked: bool) -> None:
    if linked:
        doc = {"user_id": TOMAS, "identity_provider_id": "idp_01KDVDNA000000000000000001", "external_subject": "s"}
        id = "idl_01KDVDNA000000000000000009"
        engine.world.store.put(TENANT, Record("identity-links", id, 1, {"id": id, "object": "identity_link", **doc}))
    engine.advance(8 * 86_400)
    token = _sign_in(engine)

    assert _call(engine, token, "GET", "/v1/contacts").status_code == (200 if linked else 403)
