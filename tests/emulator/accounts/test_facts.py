"""Figures that follow from events of deals and contacts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import requests

from crm_reference.emulator import Engine

Caller = Callable[..., requests.Response]

POLDER, SUNDIN = (f"acc_01KDVDNA00{n:0>16}" for n in (3, 8))
DEAL, PERSON = "dea_01KDVDNA0000000000000000Z1", "con_01KDVDNA0000000000000000Z1"


def _deal(status: str, amount: str = "1000.00", account: str = SUNDIN, **more: Any) -> dict[str, Any]:
    record = {"id": DEAL, "object": "deal", "account_id": account, "status": status, **more}
    stage = {"pipeline_id": "pip_01KDVDNA000000000000000001", "stage_id": "stg_01KDVDNA000000000000000001"}
    owner = {"owner_id": "usr_01KDVDNA000000000000000001", "created_at": "2026-01-04T08:00:00Z", "close_on": "2026-02-01"}
    return {"record": record | stage | owner | {"name": "Sounders", "amount": {"amount": amount, "currency": "SEK"}}}


def _hear(engine: Engine, type: str, data: dict[str, Any]) -> None:
    engine.deliver({"type": type, "subject": data["record"]["id"], "data": data})


def test_deal_moves_between_accounts(engine: Engine, call: Caller) -> None:
    """A deal that gets another account counts there and not at the former one."""
    _hear(engine, "crm.deal.created.v1", _deal("open"))
    _hear(engine, "crm.deal.updated.v1", _deal("open", account=POLDER))

    assert call("GET", f"/accounts/{SUNDIN}").json()["open_deal_count"] == 0
    assert {"amount": "1000.00", "currency": "SEK"} in call("GET", f"/accounts/{POLDER}").json()["open_deal_amounts"]


def test_won_then_deleted_keeps_the_type(engine: Engine, call: Caller) -> None:
    """Sums follow the deletion of a won deal, and the customer stays one."""
    _hear(engine, "crm.deal.won.v1", _deal("won", closed_on="2026-01-05"))
    assert call("GET", f"/accounts/{SUNDIN}").json()["won_deal_count"] == 1
    _hear(engine, "crm.deal.deleted.v1", {"record": {"id": DEAL, "object": "deal"}})
    account = call("GET", f"/accounts/{SUNDIN}").json()

    assert (account["won_deal_count"], account["type"], "first_won_on" in account) == (0, "customer", False)


def test_same_news_twice(engine: Engine, call: Caller) -> None:
    """An event that tells nothing new writes no version."""
    for _ in range(2):
        _hear(engine, "crm.contact.created.v1", {"record": {"id": PERSON, "object": "contact", "account_id": SUNDIN}})
    account = call("GET", f"/accounts/{SUNDIN}").json()

    assert (account["contact_count"], account["version"]) == (1, 3)
