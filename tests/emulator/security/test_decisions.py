"""Decisions: which step stands against an access, and what changes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crm_reference.contract import Contract
from crm_reference.emulator import Engine, session

MAYA, TOMAS, INES, JUN, LENA = (f"usr_01KDVDNA00000000000000000{n}" for n in (1, 2, 3, 4, 6))
NOOR, HANA = (f"con_01KDVDNA00000000000000000{n}" for n in (1, 5))
JUNIOR = "rol_01KDVDNA000000000000000009"
TIDEWATER = "/v1/sharing-rules/shl_01KDVDNA000000000000000001"
MERGE = {"Content-Type": "application/merge-patch+json"}
Decide = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def _engine(contract: Contract) -> Iterator[Engine]:
    found = Engine(contract, limits=False)
    yield found
    found.close()


@pytest.fixture
def engine(_engine: Engine) -> Engine:
    _engine.reset()
    return _engine


@pytest.fixture
def decide(engine: Engine) -> Decide:
    """Return a function that asks as Ines whether a user may do something, and returns the explanation."""

    def ask(user: str, action: str, **members: Any) -> dict[str, Any]:
        body = {"user_id": user, "action": action, "object_type": "contact", **members}
        answer = session(engine, "ines").post("/v1/access-checks/explain", json=body)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    return ask


def _outcomes(explanation: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["outcome"] for step in explanation["steps"]}


class TestSteps:
    def test_every_step_is_told_behind_the_one_that_decides(self, decide: Decide) -> None:
        told = decide(JUN, "write", record_id=NOOR)

        assert told["decision"]["reason"] == "scope_missing"
        assert list(_outcomes(told)) == ["user", "scope", "record_access", "sharing", "field_security", "policy"]

    def test_a_record_of_nobody_and_of_a_colleague_are_denied_alike(self, decide: Decide) -> None:
        colleague = decide(LENA, "read", record_id=NOOR)["decision"]
        nobody = decide(LENA, "read", record_id=NOOR[:-2] + "ZZ")["decision"]

        same = ("is_allowed", "reason", "detail")
        assert [colleague[k] for k in same] == [nobody[k] for k in same]

    def test_an_owner_needs_no_level(self, decide: Decide) -> None:
        assert decide(LENA, "delete", record_id=HANA)["decision"]["reason"] == "owner"

    def test_decisions_agree_with_what_the_service_answers(self, engine: Engine, decide: Decide) -> None:
        lena = session(engine, "lena")
        for record in (NOOR, HANA):
            allowed = decide(LENA, "read", record_id=record)["decision"]["is_allowed"]

            assert (lena.get(f"/v1/contacts/{record}").status_code == 200) is allowed


class TestSharing:
    def test_a_rule_opens_reading_and_neither_changing_nor_deleting(self, engine: Engine, decide: Decide) -> None:
        session(engine, "ines").patch(TIDEWATER, json={"is_active": True}, headers=MERGE)

        assert decide(LENA, "read", record_id=NOOR)["decision"]["reason"] == "sharing_rule"
        assert decide(LENA, "write", record_id=NOOR)["decision"]["reason"] == "record_read_only"
        assert decide(LENA, "delete", record_id=NOOR)["decision"]["reason"] == "record_read_only"

    def test_a_rule_ends_with_the_role_that_it_shares_with(self, engine: Engine, decide: Decide) -> None:
        ines = session(engine, "ines")
        ines.patch(TIDEWATER, json={"is_active": True}, headers=MERGE)
        ines.delete(f"/v1/roles/{JUNIOR}")

        assert decide(LENA, "read", record_id=NOOR)["decision"]["is_allowed"] is False


class TestFields:
    def test_a_role_that_is_deleted_leaves_no_grant(self, engine: Engine) -> None:
        ines = session(engine, "ines")
        path = "/v1/field-security/by-field/contact/website"
        ines.put(path, json={"default_access": "write", "grants": [{"role_id": JUNIOR, "access": "hidden"}]})
        ines.delete(f"/v1/roles/{JUNIOR}")

        assert ines.get(path).json()["grants"] == []

    def test_a_copy_of_a_role_has_its_grants(self, engine: Engine) -> None:
        ines = session(engine, "ines")
        path = "/v1/field-security/by-field/contact/website"
        ines.put(path, json={"default_access": "write", "grants": [{"role_id": JUNIOR, "access": "hidden"}]})
        copy = ines.post(f"/v1/roles/{JUNIOR}/clone", json={"key": "trainee", "name": "Trainee"}).json()["id"]

        assert {g["role_id"]: g["access"] for g in ines.get(path).json()["grants"]} == {JUNIOR: "hidden", copy: "hidden"}


class TestWhoCanAccess:
    def test_the_list_is_what_single_decisions_say(self, engine: Engine, decide: Decide) -> None:
        answer = session(engine, "ines").get(f"/v1/record-access/contact/{NOOR}", params={"limit": 200}).json()
        listed = {entry["user_id"] for entry in answer["data"]}

        for user in (MAYA, TOMAS, INES, JUN, LENA):
            sees = _outcomes(decide(user, "read", record_id=NOOR))
            assert (user in listed) is ("passed" in (sees["record_access"], sees["sharing"]))
