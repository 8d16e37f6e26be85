"""Rights: groups in groups, assignments that end, and the administrator whom a tenant must keep."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from crm_reference.contract import Contract
from crm_reference.emulator import Engine, session

INES, MAYA, JUN = (f"usr_01KDVDNA00000000000000000{n}" for n in (3, 1, 4))
SALES, BOARD, CREW = (f"grp_01KDVDNA00000000000000000{n}" for n in (1, 2, 3))
ADMINISTRATOR = "rol_01KDVDNA000000000000000001"
Call = Callable[..., requests.Response]


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
def call(engine: Engine) -> Call:
    """Return a function that calls as Ines, or as somebody else: ``call("POST", "/groups", {...}, by="tomas")``."""
    sessions: dict[str, Any] = {}

    def send(method: str, path: str, body: Any = None, *, by: str = "ines") -> requests.Response:
        known = sessions.setdefault(by, session(engine, by))
        media = "application/merge-patch+json" if method == "PATCH" else "application/json"
        options = {"json": body, "headers": {"Content-Type": media}} if body is not None else {}
        answer: requests.Response = known.request(method, f"/v1{path}", **options)
        return answer

    return send


def _group(call: Call, name: str, *members: str) -> str:
    id: str = call("POST", "/groups", {"name": name}).json()["id"]
    if members:
        call("POST", f"/groups/{id}/members", {"member_ids": list(members)})
    return id


class TestNesting:
    def test_ten_groups_in_each_other(self, call: Call) -> None:
        inner = _group(call, "Level 0", JUN)
        outcomes = []
        for level in range(1, 12):
            outer = _group(call, f"Level {level}")
            result = call("POST", f"/groups/{outer}/members", {"member_ids": [inner]}).json()["results"][0]
            outcomes.append(result["status"])
            inner = outer

        assert outcomes == [201] * 9 + [409, 201]

    def test_shortest_way_counts(self, call: Call) -> None:
        far = _group(call, "Far", CREW, SALES)

        way = call("GET", f"/groups/{far}/members/{MAYA}").json()

        assert [g["id"] for g in way["path"]] == [SALES]

    def test_a_circle_in_the_data_ends(self, engine: Engine, call: Call) -> None:
        store = engine.world.store
        sales = store.get("ten_01KDVDNA000000000000000001", "groups", SALES)
        assert sales is not None
        sales.doc["_members"][CREW] = {}
        store.put("ten_01KDVDNA000000000000000001", sales)

        reached = call("GET", f"/groups/{CREW}/members?is_nested=true").json()["data"]

        assert len({m["member_id"] for m in reached}) == len(reached) == 4

    def test_deleted_group_gives_nothing(self, call: Call) -> None:
        call("DELETE", f"/groups/{CREW}")

        scopes = call("GET", f"/users/{MAYA}/effective-permissions?scope=contacts.export").json()["scopes"]

        assert scopes == []


class TestLastAdministrator:
    def test_temporary_one_does_not_count(self, call: Call) -> None:
        heir = {"principal_id": MAYA, "role_id": ADMINISTRATOR, "expires_at": "2027-01-01T00:00:00Z"}
        assert call("POST", "/role-assignments", heir).status_code == 201

        answer = call("DELETE", "/role-assignments/ras_01KDVDNA000000000000000003")

        assert answer.json()["code"] == "last_administrator"

    def test_deactivated_one_does_not_count(self, call: Call) -> None:
        call("POST", "/role-assignments", {"principal_id": "usr_01KDVDNA000000000000000007", "role_id": ADMINISTRATOR})

        answer = call("DELETE", "/role-assignments/ras_01KDVDNA000000000000000003")

        assert answer.json()["code"] == "last_administrator"

    def test_one_in_a_nested_group_counts(self, call: Call) -> None:
        outer = _group(call, "Operators", BOARD)
        call("POST", "/role-assignments", {"principal_id": outer, "role_id": ADMINISTRATOR})

        answer = call("DELETE", "/role-assignments/ras_01KDVDNA000000000000000003")

        assert answer.status_code == 204

    def test_removal_is_undone_as_a_whole(self, call: Call) -> None:
        call("POST", "/role-assignments", {"principal_id": BOARD, "role_id": ADMINISTRATOR})
        call("DELETE", "/role-assignments/ras_01KDVDNA000000000000000003")
        both = {"member_ids": ["usr_01KDVDNA000000000000000005", INES]}

        answer = call("POST", f"/groups/{BOARD}/members/remove", both)

        assert answer.json()["code"] == "last_administrator"
        assert call("GET", f"/groups/{BOARD}").json()["member_count"] == 2


class TestGrantingNoMoreThanOwn:
    def test_permission_sets_take_an_administrator(self, call: Call) -> None:
        given = {"principal_id": MAYA, "permission_set_id": "pms_01KDVDNA000000000000000002"}

        assert call("POST", "/role-assignments", given, by="tomas").json()["code"] == "role_above_own"

    def test_own_role_may_be_given(self, call: Call) -> None:
        given = {"principal_id": JUN, "role_id": "rol_01KDVDNA000000000000000002"}

        assert call("POST", "/role-assignments", given, by="tomas").status_code == 201

    def test_role_beside_the_own_may_not(self, call: Call) -> None:
        given = {"principal_id": JUN, "role_id": "rol_01KDVDNA000000000000000004"}

        assert call("POST", "/role-assignments", given, by="tomas").json()["code"] == "role_above_own"
