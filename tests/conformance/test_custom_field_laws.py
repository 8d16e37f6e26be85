"""The laws of custom fields, on the real contract: harbour has no service that defines fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crm_reference.conformance.laws import Trial
from crm_reference.contract import Contract
from crm_reference.emulator import Engine, custom_fields

LAWS = ("custom-field-values", "custom-field-changed")


@pytest.fixture
def outcome(contract: Contract) -> Callable[[str], str]:
    """Return a function that runs a law on deals and gives its outcome."""
    trial = Trial(Engine(contract), contract)
    return lambda law: next(iter(trial.run(law, ("deals",)))).outcome


@pytest.mark.parametrize("law", LAWS)
def test_law_holds(law: str, outcome: Callable[[str], str]) -> None:
    assert outcome(law) == "passed"


@pytest.mark.parametrize("law", LAWS)
def test_law_finds_a_service_that_takes_any_value(
    law: str, outcome: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def accept(*_: Any, **__: Any) -> list[Any]:
        return []

    monkeypatch.setattr(custom_fields, "check", accept)

    assert outcome(law) == "failed"
