"""Mergers of companies: what they keep, and that an undo gives back what nobody changed since."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from crm_reference.emulator import Engine

Caller = Callable[..., requests.Response]

KESTREL, DOUBLE = (f"acc_01KDVDNA00{n:0>16}" for n in (2, 7))
TIDEWATER, FEEDER, INLAND = (f"acc_01KDVDNA00{n:0>16}" for n in (1, 5, 6))
#: Members that every write changes.
_COUNTED = ("version", "updated_at", "updated_by")


def _said(call: Caller, id: str) -> dict[str, Any]:
    return {k: v for k, v in call("GET", f"/accounts/{id}").json().items() if k not in _COUNTED}


def _merge(call: Caller, target: str, *sources: str, **more: Any) -> dict[str, Any]:
    merged = call("POST", "/accounts/merge", {"target_id": target, "source_ids": list(sources), **more})
    assert merged.status_code == 201, merged.text
    found: dict[str, Any] = merged.json()
    return found


@pytest.mark.parametrize(("target", "sources"), [(KESTREL, [DOUBLE]), (TIDEWATER, [FEEDER, INLAND]), (INLAND, [FEEDER])])
def test_undo_gives_everything_back(call: Caller, target: str, sources: list[str]) -> None:
    """After an undo every account of the merger says what it said before."""
    before = {id: _said(call, id) for id in (target, *sources)}
    merge = _merge(call, target, *sources)
    undone = call("POST", f"/account-merges/{merge['id']}/undo")

    assert undone.json()["status"] == "undone"
    assert {id: _said(call, id) for id in before} == before


def test_undo_keeps_what_was_written_since(call: Caller) -> None:
    """A field that somebody changed after the merger stays as it is."""
    merge = _merge(call, KESTREL, DOUBLE)
    call("PATCH", f"/accounts/{KESTREL}", {"tier": "occasional"})
    call("POST", f"/account-merges/{merge['id']}/undo")

    assert _said(call, KESTREL)["tier"] == "occasional"
    assert "other_domains" not in _said(call, KESTREL)


def test_preview_writes_nothing(engine: Engine, call: Caller) -> None:
    """A preview leaves accounts, change log and outbox as they were, and tells what the merger makes."""
    told = len(engine.outbox)
    body = {"target_id": KESTREL, "source_ids": [DOUBLE]}
    preview = call("POST", "/accounts/merge-preview", body).json()

    assert len(engine.outbox) == told
    assert _said(call, DOUBLE)["name"] == "Kestral Shipping"
    assert _merge(call, KESTREL, DOUBLE)["outcomes"] == preview["outcomes"]


def test_parent_into_child(call: Caller) -> None:
    """A subsidiary that swallows its parent takes the parent's place, with its sisters below it."""
    _merge(call, FEEDER, TIDEWATER)

    assert "parent_id" not in _said(call, FEEDER)
    assert _said(call, INLAND)["parent_id"] == FEEDER


def test_dismissed_pair_comes_back_after_a_change(engine: Engine, call: Caller) -> None:
    """A scan passes over a dismissed pair until one of the two changes its name."""

    def groups() -> int:
        job = call("POST", "/account-duplicates/scan", {}).headers["Location"].removeprefix("/v1")
        engine.advance(10)
        return int(call("GET", job).json()["result"]["group_count"])

    assert groups() == 1
    group = call("GET", "/account-duplicates").json()["data"][0]
    call("POST", f"/account-duplicates/{group['id']}/dismiss", {})
    assert groups() == 0
    call("PATCH", f"/accounts/{DOUBLE}", {"name": "Kestral Shiping"})
    assert groups() == 1
