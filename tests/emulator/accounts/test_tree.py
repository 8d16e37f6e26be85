"""Trees of companies: whatever moves, they stay trees, and their sums stay whole."""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import requests

from crm_reference.emulator import Engine

Caller = Callable[..., requests.Response]

ACCOUNTS = [f"acc_01KDVDNA00{n:0>16}" for n in range(1, 9)]
ORCA, FEEDER, TIDEWATER = ACCOUNTS[3], ACCOUNTS[4], ACCOUNTS[0]


def _parents(call: Caller) -> dict[str, str | None]:
    return {a["id"]: a.get("parent_id") for a in call("GET", "/accounts?limit=200").json()["data"]}


def test_random_moves_keep_trees(call: Caller) -> None:
    """A hundred moves, allowed or not, leave no circle, and each answer agrees with the preview before it."""
    choice = random.Random(14)
    for _ in range(100):
        account, target = choice.choice(ACCOUNTS), choice.choice([*ACCOUNTS, None])
        body: dict[str, Any] = {"parent_id": target} if target else {}
        preview = call("POST", f"/accounts/{account}/move-preview", body).json()
        moved = call("POST", f"/accounts/{account}/move", body)

        assert preview["is_allowed"] is (moved.status_code == 200)
        parents = _parents(call)
        for id in parents:
            line = [id]
            while (above := parents[line[-1]]) is not None:
                assert above not in line
                line.append(above)
            assert len(line) <= 10


def test_roots_sum_to_everything(call: Caller) -> None:
    """The totals of all roots together count every company once."""
    call("POST", f"/accounts/{FEEDER}/move", {"parent_id": ORCA})
    roots = [id for id, above in _parents(call).items() if above is None]
    totals = [call("GET", f"/accounts/{id}/roll-up").json()["total"] for id in roots]

    assert sum(t["account_count"] for t in totals) == len(ACCOUNTS)
    listed = call("GET", "/accounts?limit=200").json()["data"]
    assert sum(t["employee_count"] for t in totals) == sum(a.get("employee_count", 0) for a in listed)
    euros = sum(Decimal(m["amount"]) for t in totals for m in t["open_deal_amounts"] if m["currency"] == "EUR")
    assert euros == sum(Decimal(m["amount"]) for a in listed for m in a["open_deal_amounts"] if m["currency"] == "EUR")


def test_sisters_move_together_or_not_at_all(call: Caller) -> None:
    """One subsidiary that can't move keeps all of them where they are."""
    before = _parents(call)
    refused = call("POST", f"/accounts/{TIDEWATER}/move-children", {"parent_id": FEEDER})

    assert refused.status_code == 422
    assert _parents(call) == before


def test_restoration_leaves_what_moved_on(call: Caller) -> None:
    """A subsidiary that found another parent meanwhile stays there when the former one comes back."""
    call("DELETE", f"/accounts/{TIDEWATER}")
    call("POST", f"/accounts/{FEEDER}/move", {"parent_id": ORCA})
    call("POST", f"/accounts/{TIDEWATER}/restore")

    assert _parents(call)[FEEDER] == ORCA
    assert _parents(call)[ACCOUNTS[5]] == TIDEWATER


def test_one_event_for_a_branch(engine: Engine, call: Caller) -> None:
    """A move tells of the company that moved and counts those below it."""
    call("POST", f"/accounts/{TIDEWATER}/move", {"parent_id": ORCA})
    events = [e for e in engine.outbox if e["type"] == "crm.account.parent_changed.v1"]

    assert [(e["subject"], e["data"]["moved_count"]) for e in events] == [(TIDEWATER, 3)]
