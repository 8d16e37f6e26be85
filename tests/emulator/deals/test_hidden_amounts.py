"""Hidden amounts: what follows from the amount of a deal is hidden with it, and has a right of its own again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from crm_reference.contract import Contract
from crm_reference.emulator import Engine, session

RETROFIT = "/v1/deals/dea_01KDVDNA000000000000000001"
AMOUNTS = {"amount", "amount_minor", "weighted_amount"}


@pytest.fixture(scope="module")
def _engine(contract: Contract) -> Iterator[Engine]:
    found = Engine(contract, limits=False)
    yield found
    found.close()


@pytest.fixture
def engine(_engine: Engine) -> Engine:
    _engine.reset()
    return _engine


def allow(engine: Engine, field: str, access: str) -> None:
    """Let everybody do something with a field of deals, as the security service is told to."""
    told: dict[str, Any] = {"default_access": access, "grants": []}
    answer = session(engine, "ines").put(f"/v1/field-security/by-field/deal/{field}", json=told)
    assert answer.status_code in (200, 201), answer.text


def shown(engine: Engine) -> set[str]:
    """Return which amounts of a deal Maya sees."""
    return AMOUNTS.intersection(session(engine, "maya").get(RETROFIT).json())


def test_what_follows_is_hidden_with_the_amount(engine: Engine) -> None:
    allow(engine, "amount", "hidden")
    assert not shown(engine)
    allow(engine, "amount", "read")
    assert shown(engine) == AMOUNTS


def test_a_right_of_its_own_is_kept_over_a_hidden_amount(engine: Engine) -> None:
    allow(engine, "weighted_amount", "hidden")
    allow(engine, "amount", "hidden")
    assert not shown(engine)
    allow(engine, "amount", "write")
    assert shown(engine) == {"amount", "amount_minor"}


def test_no_right_opens_what_follows_from_a_hidden_amount(engine: Engine) -> None:
    allow(engine, "amount", "hidden")
    allow(engine, "weighted_amount", "write")
    allow(engine, "amount_minor", "read")
    assert not shown(engine)


def test_history_tells_no_hidden_amount(engine: Engine) -> None:
    maya = session(engine, "maya")
    answer = maya.put(f"{RETROFIT}/probability", json={"probability": 70, "reason": "The board agreed"})
    assert answer.status_code == 200, answer.text
    allow(engine, "amount", "hidden")
    entries = maya.get(f"{RETROFIT}/history").json()["data"]
    assert not AMOUNTS & {change["field"] for entry in entries for change in entry["changes"]}
