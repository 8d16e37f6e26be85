"""Fixtures of the exchanges: the small project's contract, an engine on it, and its recorded answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from crm_reference.contract import Contract, load
from crm_reference.emulator import Engine
from crm_reference.emulator.registry import COMPUTATIONS
from crm_reference.exchanges import record


def fold(record: Mapping[str, Any]) -> dict[str, str]:
    return {"key": record["name"].casefold()}


@pytest.fixture(autouse=True)
def name_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the computation that the small project's vectors test."""
    monkeypatch.setitem(COMPUTATIONS, ("berths", "name_key"), fold)


@pytest.fixture
def project(harbour: Path) -> Callable[[], tuple[Contract, Engine]]:
    """Return a function that loads the small project, of which nothing is recorded at first, with a new engine."""
    (harbour / "examples/recorded/berths.json").unlink(missing_ok=True)

    def open_project() -> tuple[Contract, Engine]:
        contract = load(harbour, cache=False)
        return contract, Engine(contract)

    return open_project


@pytest.fixture
def recorded(project: Callable[[], tuple[Contract, Engine]]) -> tuple[Contract, Engine]:
    """Return the small project with all its answers recorded."""
    contract, engine = project()
    assert record(contract, engine).findings == ()
    return project()
