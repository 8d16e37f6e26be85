"""The documented exchanges against a service that listens on a port."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from crm_reference import conformance
from crm_reference.contract import Contract
from crm_reference.emulator import Engine
from crm_reference.emulator.behaviours import BEHAVIOURS
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.server import served

pytestmark = pytest.mark.usefixtures("handlers")


def line_of(root: Path, exchange: str) -> int:
    """Return the line of an exchange in its file."""
    lines = (root / "examples/berths.yaml").read_text(encoding="utf-8").splitlines()
    operation, name = exchange.split("/")
    start = lines.index(f"{operation}:")
    return lines.index(f"  {name}:", start) + 1


def test_the_emulator_conforms_over_http(full_contract: Contract) -> None:
    with served(Engine(full_contract, limits=False)) as base:
        assert [str(finding) for finding in conformance.run(full_contract, base=base)] == []


def test_wrong_answer_is_found_with_its_place(full_contract: Contract, full_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual: Callable[[Call], Reply] = BEHAVIOURS["count"]

    def miscount(call: Call) -> Reply:
        return Reply(200, {"count": usual(call).body["count"] + 1})

    monkeypatch.setitem(BEHAVIOURS, "count", miscount)  # type: ignore[arg-type]  # a Mapping to its readers
    with served(Engine(full_contract, limits=False)) as base:
        found = [str(finding) for finding in conformance.run(full_contract, base=base, only=["countBerths", "getBerth"])]

    assert len(found) == 1
    assert found[0].startswith(
        f"examples/berths.yaml:{line_of(full_root, 'countBerths/free')}: countBerths/free: #/count: documented 1"
    )
    assert found[0].endswith("answered 2 [conform.difference]")


def test_wrong_status_of_what_is_given_is_told(full_contract: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BEHAVIOURS, "delete", lambda call: Reply(204))  # type: ignore[arg-type]  # deletes nothing
    with served(Engine(full_contract, limits=False)) as base:
        found = [str(finding) for finding in conformance.run(full_contract, base=base, only=["createBerth/name-of-the-deleted"])]

    assert found
    assert all(re.match(r"examples/berths\.yaml:\d+: createBerth/name-of-the-deleted: ", line) for line in found)


def test_nothing_listens(full_contract: Contract) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"

        with pytest.raises(ConnectionError, match=f"nothing answers at {base}; start the service, or correct --base"):
            list(conformance.run(full_contract, base=base))
