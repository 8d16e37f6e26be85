"""Requests that schemathesis generates, sent to a service that listens on a port."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crm_reference.conformance import GeneratorError, run_generated, token_of
from crm_reference.contract import Contract
from crm_reference.emulator import Engine
from crm_reference.emulator.behaviours import BEHAVIOURS
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.server import served

pytestmark = pytest.mark.usefixtures("handlers")


def test_the_emulator_passes(full_contract: Contract) -> None:
    with served(Engine(full_contract, limits=False)) as base:
        found = run_generated(full_contract, base=base, token=token_of(base, ""), examples=3, only=("createBerth", "getBerth"))

        assert [str(finding) for finding in found] == []


def test_an_undocumented_answer_is_found_with_its_place(full_contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    usual: Callable[[Call], Reply] = BEHAVIOURS["create"]

    def carefree(call: Call) -> Reply:
        reply = usual(call)
        return Reply(reply.status, {**reply.body, "name": 7}, reply.headers)

    monkeypatch.setitem(BEHAVIOURS, "create", carefree)  # type: ignore[arg-type]  # a Mapping to its readers
    monkeypatch.setattr("crm_reference.emulator.engine.check", lambda *_: None)
    with served(Engine(full_contract, limits=False)) as base:
        found = list(run_generated(full_contract, base=base, token=token_of(base, ""), examples=3, only=("createBerth",)))

    assert [f.message for f in found] == ["createBerth: Response violates schema"]
    assert str(found[0].place).startswith("source_specs/berths/openapi.yaml:")


def test_without_a_token_it_says_so(full_contract: Contract) -> None:
    with pytest.raises(ConnectionError, match="nothing answers at"):
        token_of("http://127.0.0.1:9", "")
    assert token_of("http://127.0.0.1:9", "given") == "given"
    assert issubclass(GeneratorError, Exception)
