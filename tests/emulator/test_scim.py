"""A directory's view of users: scim2-tester, a checker of SCIM servers that is not ours, runs against the emulator over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
import uvicorn
from scim2_client.client import BaseSyncSCIMClient
from scim2_tester import Status, check_server

from crm_reference.contract import Contract
from crm_reference.emulator import Engine
from crm_reference.emulator.server import asgi


class _Client(BaseSyncSCIMClient):
    """A SCIM client over requests, which the project has, in place of the library's own HTTP library."""

    def __init__(self, base: str, token: str) -> None:
        super().__init__()
        self._base = base
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {token}"

    def _stays_under_base_url(self, endpoint: str) -> bool:
        return self._url(endpoint).startswith(self._base)

    def _parse_json(self, response: Any) -> Any:
        return response.json()

    def _url(self, endpoint: str) -> str:
        return urljoin(self._base, endpoint.lstrip("/")) if "://" not in endpoint else endpoint

    def request(self, method: str, url: str, **options: Any) -> Any:
        return self._session.request(method, self._url(url), timeout=30, **options)


@pytest.fixture(scope="module")
def engine(contract: Contract) -> Iterator[Engine]:
    found = Engine(contract, limits=False)
    yield found
    found.close()


@pytest.fixture(scope="module")
def base(engine: Engine) -> Iterator[str]:
    """Return the URL of the SCIM root of a server on loopback."""
    config = uvicorn.Config(
        asgi(engine), host="127.0.0.1", port=0, http="httptools", ws="none", loop="asyncio", log_level="critical", lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    engine.world.site = f"http://{host}:{port}"
    yield f"{engine.world.site}/v1/scim/v2/"
    server.should_exit = True
    thread.join(5)


@pytest.fixture
def directory(engine: Engine, base: str) -> Iterator[requests.Session]:
    """Return a session of the directory's client, in a fresh world."""
    engine.reset()
    with requests.Session() as found:
        found.headers["Authorization"] = f"Bearer {engine.token('hub')}"
        yield found


def test_the_tester_finds_nothing(engine: Engine, base: str) -> None:
    engine.reset()

    results = check_server(_Client(base, engine.token("hub")))

    failed = [r for r in results if r.status not in (Status.SUCCESS, Status.SKIPPED)]
    assert failed == [], "\n".join(f"{r.title} {r.resource_type}: {r.reason}" for r in failed)
    assert len([r for r in results if r.status == Status.SUCCESS]) > 60
