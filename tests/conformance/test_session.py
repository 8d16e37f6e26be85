"""A run of the laws runs what it must, and keeps the rest."""

from __future__ import annotations

import shutil
from pathlib import Path

import orjson
import pytest

from crm_reference.conformance.session import KEYS, service_keys, service_of, try_laws
from crm_reference.contract import Contract, load
from crm_reference.emulator.limits import Limits
from crm_reference.trace.evidence import LAWS, read_laws

pytestmark = pytest.mark.usefixtures("handlers")


@pytest.fixture
def root(full_contract: Contract, full_root: Path, tmp_path: Path) -> Path:
    """Return the root of a copy of the full harbour, to be changed at will."""
    return Path(shutil.copytree(full_root, tmp_path / "full"))


def test_nothing_runs_where_nothing_changed(root: Path) -> None:
    first = try_laws(load(root))
    again = try_laws(load(root))
    forced = try_laws(load(root), force=True)

    assert forced.ran == first.ran == len(first.entries) > 400
    assert again.ran == 0
    assert sorted(map(repr, again.entries)) == sorted(map(repr, first.entries))
    assert read_laws(root / LAWS, load(root)) is not None


def test_results_of_a_service_stand_while_another_one_changes(root: Path) -> None:
    try_laws(load(root))
    before = service_keys(load(root))
    shutil.copytree(root / "source_specs/tides", root / "source_specs/alone")
    for path in (root / "source_specs/alone").iterdir():
        path.write_text(path.read_text(encoding="utf-8").replace("tides", "alone").replace("Tide", "Alone"), encoding="utf-8")
    contract = load(root)
    session = try_laws(contract)
    here = [e for e in session.entries if service_of(contract, e.subject) == "alone"]

    assert {slug: key for slug, key in service_keys(contract).items() if slug != "alone"} == before
    assert here
    assert len(here) <= session.ran < len(here) + 20  # and what belongs to no service


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("source_specs/tides/service.yaml", {"tides", "berths"}),
        ("examples/world/harbour.yaml", {"tides", "berths"}),
        ("source_specs/common/errors.yaml", {"tides", "berths"}),
        ("examples/recorded/berths.json", {"tides", "berths"}),  # which is a neighbour of tides
    ],
)
def test_key_of_a_service_covers_what_decides_it(root: Path, name: str, changed: set[str]) -> None:
    before = service_keys(load(root))
    (root / name).write_bytes((root / name).read_bytes() + b"\n")
    after = service_keys(load(root))

    assert {slug for slug in before if before[slug] != after[slug]} == changed


def test_some_laws_are_not_written(root: Path) -> None:
    session = try_laws(load(root), only=["no-token"])

    assert {e.law for e in session.entries} == {"no-token"}
    assert not (root / LAWS).exists()


def test_what_failed_runs_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Limits.spend
    monkeypatch.setattr("crm_reference.emulator.limits.Limits.spend", lambda self, policy, *_: self.headers(policy, 1, 1))
    first = try_laws(load(root))
    monkeypatch.setattr("crm_reference.emulator.limits.Limits.spend", usual)
    (root / LAWS).write_bytes((root / LAWS).read_bytes().replace(b'"key": "', b'"key": "0'))  # as if something far away changed
    again = try_laws(load(root))

    assert {e.law for e in first.those("failed")} == {"rate-limit"}
    assert again.those("failed") == ()
    assert len(first.those("failed")) <= again.ran < len(again.entries) / 4


@pytest.mark.parametrize("content", [b"", b"[]", b'{"berths": 1}', b"\xff"])
def test_broken_file_of_keys_is_no_key(root: Path, content: bytes) -> None:
    count = try_laws(load(root), only=["no-token"]).ran
    (root / KEYS).parent.mkdir(parents=True, exist_ok=True)
    (root / KEYS).write_bytes(content)
    (root / LAWS).write_bytes(orjson.dumps({"key": "old", "entries": []}))

    assert try_laws(load(root), only=["no-token"]).ran == count
    assert try_laws(load(root)).ran > count


def test_two_processes_find_the_same(root: Path) -> None:
    laws = ["no-token", "metrics-parse", "tenant-query", "declared-status"]
    progress: list[tuple[str, int, int]] = []
    one = try_laws(load(root), only=laws, processes=1)
    two = try_laws(load(root), only=laws, processes=2, progress=lambda *step: progress.append(step))

    assert two.ran == one.ran
    assert {(e.law, e.subject) for e in two.entries} == {(e.law, e.subject) for e in one.entries}
    assert progress[-1] == ("", one.ran, one.ran)
