"""Fixtures for people who test a client or a service against the emulator; installed with the package.

``crm_emulator`` is an engine with a fresh world for each test, ``crm`` a :class:`requests.Session` that calls it as Maya. The root
of the project is named by ``--crm-root`` and is the current folder by default.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from crm_reference.emulator import Engine, Session


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--crm-root``."""
    parser.addoption("--crm-root", type=Path, default=Path(), help="root of the CRM reference whose contract is emulated")


@pytest.fixture(scope="session")
def _crm_engine(request: pytest.FixtureRequest) -> Engine:
    from crm_reference.contract import load
    from crm_reference.emulator import Engine

    return Engine(load(request.config.getoption("--crm-root")))


@pytest.fixture
def crm_emulator(_crm_engine: Engine) -> Engine:
    """Return the emulator with a fresh world."""
    _crm_engine.reset()
    return _crm_engine


@pytest.fixture
def crm(crm_emulator: Engine) -> Session:
    """Return a session that calls the emulator as Maya."""
    from crm_reference.emulator import session

    return session(crm_emulator)
