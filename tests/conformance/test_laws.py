"""Every law holds of the emulator, and each finds a fault that was planted for it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from crm_reference.conformance.laws import LAST, Trial, names, run_laws
from crm_reference.contract import Contract
from crm_reference.emulator import Engine

pytestmark = pytest.mark.usefixtures("handlers")


def _faults() -> ModuleType:
    """Import ``faults.py``, which lies beside this file and in no package."""
    spec = importlib.util.spec_from_file_location("planted_faults", Path(__file__).parent / "faults.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


faults = _faults()
#: Laws that need a service which defines custom fields; test_custom_field_laws.py has them.
WITH_DEFINITIONS = {"custom-field-values", "custom-field-changed"}


def test_every_law_has_subjects_and_holds(full_contract: Contract) -> None:
    report = run_laws(Engine(full_contract), full_contract)

    assert [f"{e.law} {e.subject}: {e.message}" for e in report.entries if e.outcome != "passed"] == [
        "dependency-down tides needs database: no exchange of tides needs its store"
    ]
    assert {e.law for e in report.entries} == set(names()) - WITH_DEFINITIONS


def test_every_law_has_a_fault() -> None:
    assert set(faults.FAULTS) == set(names()) - WITH_DEFINITIONS


@pytest.mark.parametrize("law", faults.FAULTS)
def test_law_finds_the_fault(law: str, full_contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    faults.FAULTS[law](monkeypatch, full_contract)
    trial = Trial(Engine(full_contract), full_contract)
    entries = [
        entry for name in (["null-value", LAST] if law == LAST else [law]) for entry in trial.run(name, trial.subjects(name))
    ]
    broken = [entry for entry in entries if entry.law == law and entry.outcome == "failed"]

    assert broken
    assert all(entry.message for entry in broken)
    assert not [entry.message for entry in broken if ".py:" in entry.message]


def test_unknown_law_is_refused(full_contract: Contract) -> None:
    with pytest.raises(KeyError):
        run_laws(Engine(full_contract), full_contract, only=["gravity"])
