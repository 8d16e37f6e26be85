"""A harbour with everything that a law can be about: ``more.yaml`` on top of the small project, and handlers for what it can do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from crm_reference.contract import Contract, load
from crm_reference.contract.yaml_source import parse
from crm_reference.emulator import Engine, Problem, registry
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.exchanges import record
from crm_reference.trace.baseline import write_baseline


def merged(below: Any, above: Any) -> Any:
    """Return two documents as one, as ``more.yaml`` says."""
    if isinstance(below, dict) and isinstance(above, dict):
        found = dict(below)
        for key, value in above.items():
            if value is None:
                found.pop(key, None)
            else:
                found[key] = merged(below[key], value) if key in below else value
        return found
    return [*below, *above] if isinstance(below, list) and isinstance(above, list) and isinstance(above[0], dict) else above


def reserve(call: Call) -> Reply:
    call.ask("tides", "getTidesHealth")
    if call.found.doc["status"] != "free":
        raise Problem("berth_not_free", f"The berth is {call.found.doc['status']}; choose another one.")
    patch = {"status": "reserved", "reservation_ends_at": call.body["ends_at"]}
    done = call.records.change(call.found, patch, event="crm.berth.updated.v1")
    return Reply(200, call.records.shown(done), {"ETag": done.etag})


def set_plan(call: Call) -> Reply:
    if b"EICAR" in call.body:
        raise Problem(
            "validation_failed", "The file has a virus.", [{"pointer": "#", "code": "invalid_format", "detail": "a virus"}]
        )
    return Reply(204)


def turn(context: Context, event: Any) -> None:
    berth = context.records.peek("berths", event["data"]["berth_id"])
    if berth is not None:
        context.records.change(berth, {"tags": [event["data"]["level"]]})


turn.__module__ = "crm_reference.emulator.services.berths.hearing"  # a listener's service is read off its module


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register what the berths service can do."""
    monkeypatch.setitem(registry.HANDLERS, "reserveBerth", reserve)
    monkeypatch.setitem(registry.HANDLERS, "setHarbourPlan", set_plan)
    monkeypatch.setitem(registry.LISTENERS, "crm.tide.turned.v1", [turn])
    monkeypatch.setitem(registry.COMPUTATIONS, ("berths", "name_key"), lambda r: {"key": r["name"].casefold()})


@pytest.fixture
def handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


@pytest.fixture(scope="session")
def full_root(harbour_original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of the full harbour, its exchanges recorded."""
    root = tmp_path_factory.mktemp("full") / "harbour"
    shutil.copytree(harbour_original, root)
    more = yaml.safe_load((Path(__file__).parent / "more.yaml").read_text(encoding="utf-8"))
    for name, above in more.items():
        path = root / name
        below = parse(path.read_bytes())[0] if path.is_file() else {}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.dump(merged(below, above), Dumper=_Dumper, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def full_contract(full_root: Path) -> Contract:
    """Return the full harbour's contract."""
    contract = load(full_root)
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        done = record(contract, Engine(contract))
    assert not done.findings, "\n".join(map(str, done.findings))
    contract = load(full_root)
    write_baseline(full_root, contract, "berths")
    return contract
