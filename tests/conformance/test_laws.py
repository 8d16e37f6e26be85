from __future__ import annotations
import pytest
from crm_reference.conformance.laws import run_laws
from crm_reference.emulator import Engine

pytestmark = pytest.mark.usefixtures("handlers")

def test_all(full_contract):
    report = run_laws(Engine(full_contract), full_contract)
    import collections
    print(collections.Counter(e.law for e in report.entries))
    assert "\n".join(f"{e.law} {e.subject} {e.message}" for e in report.entries if e.outcome != "passed") == ""
