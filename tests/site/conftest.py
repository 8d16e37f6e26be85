"""Harbour's built site in a real browser; skipped where there is no chromium."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of harbour's built pages."""
    spec = importlib.util.spec_from_file_location("harbour_site", ROOT / "tests" / "projects" / "site.py")
    assert spec is not None and spec.loader is not None
    pages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pages)
    root = tmp_path_factory.mktemp("site") / "harbour"
    shutil.copytree(ROOT / "tests" / "projects" / "harbour", root)
    shutil.copytree(ROOT / "source_specs" / "common", root / "source_specs" / "common")
    pages.write_pages(root)
    pages.build(root, "-E")
    return root / "_build" / "html"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing where a browser hangs up, as it does when its tab is closed."""


@pytest.fixture(scope="session")
def base(built: Path) -> Iterator[str]:
    """Return the address at which the pages are served."""
    server = _Server(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(built)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return a running chromium."""
    if not CHROMIUM.is_file():
        pytest.skip("there is no /usr/bin/chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Return an empty tab of its own, wide enough for two columns."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    yield context.new_page()
    context.close()
