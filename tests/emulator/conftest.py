"""Emulators with a fresh world for each test: of the small harbour project, and of Brightwater Marine with all services."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from crm_reference.contract import Contract, load
from crm_reference.emulator import Engine, session

Caller = Callable[..., requests.Response]

_ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def harbour_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of a copy of harbour that no test changes."""
    root = tmp_path_factory.mktemp("projects") / "harbour"
    shutil.copytree(_ROOT / "tests" / "projects" / "harbour", root)
    shutil.copytree(_ROOT / "source_specs" / "common", root / "source_specs" / "common")
    return root


@pytest.fixture(scope="session")
def _harbour_engine(harbour_root: Path) -> Engine:
    return Engine(load(harbour_root))


@pytest.fixture
def port(_harbour_engine: Engine) -> Engine:
    """Return harbour's emulator with a fresh world."""
    _harbour_engine.reset()
    return _harbour_engine


@pytest.fixture
def ask(port: Engine) -> Callable[..., requests.Response]:
    """Return a function that calls harbour: ``ask("POST", "/berths", json={...}, by="tomas")``."""

    def send(method: str, path: str, *, by: str = "maya", token: Any = None, **options: Any) -> requests.Response:
        if method == "PATCH" and "json" in options:
            options.setdefault("headers", {}).setdefault("Content-Type", "application/merge-patch+json")
        return session(port, by, **(token or {})).request(method, f"/v1{path}", **options)

    return send


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
    """Return a function that calls an operation by method and path: ``call("POST", "/contacts", {...}, by="ines")``."""
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
        place = accepted.headers["Location"]
        assert place.endswith(f"-jobs/{accepted.json()['id']}")
        engine.advance(60)
        job: dict[str, Any] = call("GET", place.removeprefix("/v1"), by=by).json()
        return job

    return start


@pytest.fixture
def types(engine: Engine) -> Callable[[], list[str]]:
    """Return a function that gives the middle of the type of each event that requests and jobs emitted: ``contact.merged``."""
    return lambda: [event["type"].removeprefix("crm.").removesuffix(".v1") for event in engine.emitted]
