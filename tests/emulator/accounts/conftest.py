"""A world of Brightwater Marine for each test, and the people and calls that the tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from crm_reference.contract import Contract
from crm_reference.emulator import Engine, session

Caller = Callable[..., requests.Response]


@pytest.fixture(scope="module")
def _engine(contract: Contract) -> Engine:
    return Engine(contract, limits=False)


@pytest.fixture
def engine(_engine: Engine) -> Iterator[Engine]:
    """Return the emulator with a fresh world; afterwards every event of the test is held against its AsyncAPI schema."""
    _engine.reset()
    yield _engine
    events = _engine.contract.events
    for event in _engine.outbox:
        assert _engine.world.validators.errors(events[event["type"]].payload, event) == [], event["type"]


@pytest.fixture
def call(engine: Engine) -> Caller:
    """Return a function that calls an operation by method and path: ``call("POST", "/accounts", {...}, by="ines")``."""
    sessions: dict[str, Any] = {}

    def send(
        method: str, path: str, body: Any = None, *, by: str = "ines", scopes: Any = None, **headers: str
    ) -> requests.Response:
        key = f"{by} {scopes}"
        if key not in sessions:
            sessions[key] = session(engine, by, **({"scopes": scopes} if scopes is not None else {}))
        media = "application/merge-patch+json" if method == "PATCH" else "application/json"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is None:
            return sessions[key].request(method, f"/v1{path}", headers=named)
        return sessions[key].request(method, f"/v1{path}", json=body, headers={"Content-Type": media, **named})

    return send


@pytest.fixture
def run(engine: Engine, call: Caller) -> Callable[..., dict[str, Any]]:
    """Return a function that starts a job and returns it once it has ended."""

    def start(path: str, body: Any, *, by: str = "ines") -> dict[str, Any]:
        accepted = call("POST", path, body, by=by)
        assert accepted.status_code == 202, accepted.text
        assert f"/v1/contact-jobs/{accepted.json()['id']}" == accepted.headers["Location"]
        engine.advance(60)
        job: dict[str, Any] = call("GET", f"/contact-jobs/{accepted.json()['id']}", by=by).json()
        return job

    return start


@pytest.fixture
def types(engine: Engine) -> Callable[[], list[str]]:
    """Return a function that gives the middle of every event's type so far: ``contact.merged``."""
    return lambda: [event["type"].removeprefix("crm.").removesuffix(".v1") for event in engine.outbox]
