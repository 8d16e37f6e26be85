"""The small harbour project behind an emulator, with a fresh world for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from crm_reference.contract import load
from crm_reference.emulator import Engine, session

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
