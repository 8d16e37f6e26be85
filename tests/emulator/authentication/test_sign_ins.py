"""Sign-ins and sessions: what no answer may tell apart, and what ends with a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from crm_reference.contract import Contract
from crm_reference.emulator import Engine, session

Caller = Callable[..., requests.Response]

MAYA, TOMAS = "maya.okafor@brightwater.example", "tomas.rivera@brightwater.example"


@pytest.fixture(scope="module")
def _engine(contract: Contract) -> Engine:
    return Engine(contract, limits=False)


@pytest.fixture
def engine(_engine: Engine) -> Engine:
    """Return the emulator with a fresh world."""
    _engine.reset()
    return _engine


@pytest.fixture
def call(engine: Engine) -> Caller:
    """Return a function that calls an operation: ``call("POST", "/sign-ins", {...})``, as somebody or with a token."""

    def send(method: str, path: str, body: Any = None, *, by: str = "maya", token: str = "") -> requests.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return session(engine, by).request(method, f"/v1{path}", json=body, headers=headers)

    return send


@pytest.fixture
def sign_in(call: Caller) -> Callable[[str, str], dict[str, Any]]:
    """Return a function that gives an address and passwords, and returns the last answer with what a further step needs."""

    def steps(email: str, *passwords: str) -> dict[str, Any]:
        begun = call("POST", "/sign-ins", {"email": email}).json()
        path, secret = f"/sign-ins/{begun['sign_in']['id']}", begun["sign_in_secret"]
        last = begun["sign_in"]
        for password in passwords:
            last = call("POST", f"{path}/password", {"sign_in_secret": secret, "password": password}).json()
        return {"path": path, "body": {"sign_in_secret": secret}, **last}

    return steps


def _plain(answer: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in answer.items() if k not in ("id", "path", "body", "created_at", "expires_at")}


class TestWhatAnswersTell:
    @pytest.mark.parametrize("passwords", [(), ("wrong-1",), ("wrong-1", "wrong-2", "wrong-3", "wrong-4", "wrong-5")])
    def test_unknown_addresses_look_like_known_ones(self, sign_in: Any, passwords: tuple[str, ...]) -> None:
        assert _plain(sign_in("nobody@brightwater.example", *passwords)) == _plain(sign_in(TOMAS, *passwords))

    def test_disabled_accounts_look_like_wrong_passwords(self, sign_in: Any) -> None:
        right = sign_in("bram.dewit@brightwater.example", "correct-horse-bram-7")

        assert _plain(right) == _plain(sign_in("bram.dewit@brightwater.example", "correct-horse-bram"))

    def test_a_locked_account_looks_like_a_wrong_password(self, call: Caller, sign_in: Any) -> None:
        account = "/sign-in-accounts/sac_01KDVDNA000000000000000002"
        assert call("POST", f"{account}/lock", {"lock_reason": "policy"}, by="ines").status_code == 200

        assert _plain(sign_in(TOMAS, "correct-horse-tomas-7")) == _plain(sign_in(TOMAS, "something else"))

    def test_no_secret_is_in_an_event(self, engine: Engine, call: Caller, sign_in: Any) -> None:
        ready = sign_in(TOMAS, "wrong", "correct-horse-tomas-7")
        done = call("POST", f"{ready['path']}/complete", ready["body"]).json()
        told = str(engine.outbox)

        assert [s for s in (done["session_secret"], done["access_token"], "correct-horse-tomas-7", "_hash") if s in told] == []


class TestLocks:
    def test_right_passwords_wait_for_the_end_of_the_lock(self, engine: Engine, sign_in: Any) -> None:
        sign_in(TOMAS, *["wrong"] * 5)
        assert sign_in(TOMAS, "correct-horse-tomas-7")["last_outcome"] == "credentials_wrong"
        engine.advance(900)

        assert sign_in(TOMAS, "correct-horse-tomas-7")["status"] == "ready"

    def test_wrong_passwords_of_a_change_count_too(self, call: Caller, sign_in: Any) -> None:
        body = {"current_password": "wrong", "new_password": "kelp forest under nine fathoms"}
        for _ in range(5):
            assert call("POST", "/passwords/change", body, by="tomas").status_code == 422

        assert sign_in(TOMAS, "correct-horse-tomas-7")["last_outcome"] == "credentials_wrong"

    def test_a_reset_lifts_the_lock(self, call: Caller, engine: Engine, sign_in: Any) -> None:
        sign_in(TOMAS, *["wrong"] * 5)
        call("POST", "/password-resets", {"email": TOMAS})
        mails = [m.doc for m in engine.world.store.select("ten_01KDVDNA000000000000000001", "outgoing-mails")]
        token, password = mails[-1]["variables"]["token"], "kelp forest under nine fathoms"
        call("POST", "/password-resets/complete", {"reset_token": token, "new_password": password})

        assert sign_in(TOMAS, password)["status"] == "ready"


class TestSessions:
    def test_ended_sessions_end_their_tokens(self, call: Caller, sign_in: Any) -> None:
        ready = sign_in(TOMAS, "correct-horse-tomas-7")
        done = call("POST", f"{ready['path']}/complete", ready["body"]).json()
        assert call("GET", "/sessions", token=done["access_token"]).status_code == 200
        call("POST", "/user-sessions/revoke", {"user_id": done["session"]["user_id"], "reason": "Lost bag"}, by="ines")

        assert call("GET", "/sessions", token=done["access_token"]).json()["code"] == "invalid_token"
        assert call("POST", "/sessions/renew", {"session_secret": done["session_secret"]}).json()["code"] == "session_over"

    def test_a_sign_in_serves_its_beginner_alone(self, call: Caller, sign_in: Any) -> None:
        one, other = sign_in(TOMAS, "correct-horse-tomas-7"), sign_in(MAYA)

        assert call("POST", f"{one['path']}/complete", other["body"]).status_code == 404

    def test_cookies_are_new_each_time(self, call: Caller, sign_in: Any) -> None:
        secrets = set()
        for _ in range(3):
            ready = sign_in(TOMAS, "correct-horse-tomas-7")
            secrets.add(call("POST", f"{ready['path']}/complete", ready["body"]).json()["session_secret"])

        assert len(secrets) == 3

    def test_users_see_their_own_sessions_alone(self, call: Caller) -> None:
        for name, count in (("maya", 2), ("tomas", 1), ("ines", 1), ("priya", 0)):
            assert len(call("GET", "/sessions", by=name).json()["data"]) == count
