"""Computations held against their vectors."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from crm_reference.contract import Contract
from crm_reference.emulator import Engine
from crm_reference.emulator.registry import COMPUTATIONS
from crm_reference.exchanges import check_vectors, run_vectors

Project = Callable[[], tuple[Contract, Engine]]


def test_every_case_is_run(project: Project) -> None:
    results = list(run_vectors(*project()))

    assert [r.id for r in results] == ["berths/name-key/plain", "berths/name-key/digits"]
    assert [r.finding for r in results] == [None, None]


def test_other_output_names_line_and_pointer(project: Project, edit: Callable[[str, str, str], int]) -> None:
    line = edit("examples/vectors/berths/name-key.yaml", "output: {key: boathouse}", "output: {key: Boathouse}")
    (finding,) = check_vectors(*project())

    assert str(finding.place) == f"examples/vectors/berths/name-key.yaml:{line}"
    assert "#/key is written as 'Boathouse', and the emulator computes 'boathouse'" in finding.message


@pytest.mark.parametrize("registered", [False, True])
def test_computation_that_fails_is_a_finding(project: Project, monkeypatch: pytest.MonkeyPatch, registered: bool) -> None:
    def fail(_: object) -> None:
        raise ValueError("no key")

    if registered:
        monkeypatch.setitem(COMPUTATIONS, ("berths", "name_key"), fail)
    else:
        monkeypatch.delitem(COMPUTATIONS, ("berths", "name_key"))
    findings = check_vectors(*project())

    assert len(findings) == 2
    assert all(("ValueError: no key" if registered else "KeyError") in f.message for f in findings)
