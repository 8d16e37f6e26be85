"""The Run button: a sample is really sent, where the emulator serves the pages, and only there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Page, expect

from crm_reference.contract import Contract, load
from crm_reference.emulator import Engine
from crm_reference.emulator.server import asgi

BERTHS = "services/berths/berths.html"


@pytest.fixture(scope="module")
def berths(built: Path) -> Contract:
    """Return the contract of the built pages."""
    return load(built.parents[1])


@pytest.fixture
def served(built: Path, berths: Contract) -> Iterator[str]:
    """Return the address at which an emulator with a fresh world serves the pages."""
    app = asgi(Engine(berths), site=built)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_documented_request_is_sent(page: Page, served: str) -> None:
    page.goto(f"{served}/{BERTHS}")
    page.locator("#createBerth .crm-run").click()
    answer = page.locator('[id="createBerth.every-field"] .xr-live')

    expect(answer.locator("b").first).to_have_text("201 Created")
    expect(answer.locator("pre")).to_contain_text('"object": "berth"')
    kept = page.request.get(f"{served}/_emulator/events").json()["data"]
    assert [e["type"] for e in kept] == ["crm.berth.created.v1"]


def test_caller_is_the_documented_one(page: Page, served: str, berths: Contract) -> None:
    on_page = (e for e in berths.exchanges.values() if berths.operations[e.operation].tag == "berths")
    exchange = next(e for e in on_page if e.principal != "maya")
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.goto(f"{served}/{BERTHS}#{exchange.operation}.{exchange.name}")
    page.locator(f"#{exchange.operation} .crm-run").click()

    expect(page.locator(f'[id="{exchange.operation}.{exchange.name}"] .xr-live b').first).to_be_visible()
    assert f"{served}/_emulator/token?principal={exchange.principal}" in asked


def test_request_that_fails_says_so(page: Page, served: str) -> None:
    page.goto(f"{served}/{BERTHS}")
    page.route("**/_emulator/token*", lambda route: route.abort())
    page.locator("#createBerth .crm-run").click()

    expect(page.locator("#createBerth .xr-live")).to_contain_text("couldn't be sent")


def test_static_host_has_no_button_and_is_asked_nothing(page: Page, base: str) -> None:
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.goto(f"{base}/{BERTHS}")

    expect(page.locator("#createBerth .crm-copy").first).to_be_visible()
    expect(page.locator(".crm-run")).to_have_count(0)
    assert not [u for u in asked if "_emulator" in u]
