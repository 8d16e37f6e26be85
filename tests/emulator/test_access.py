"""Who may see and change which record: roles, groups, teams, hierarchy, sharing, emergencies."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from crm_reference.contract import Contract
from crm_reference.emulator import Engine, Request, Response
from crm_reference.emulator.access import ASSIGNMENTS, ROLES, RULES, SETS, People
from crm_reference.emulator.store import Record

NOW = "2026-01-05T09:00:00Z"
MAYA, TOMAS, LENA = (f"usr_01KDVDNA00000000000000000{n}" for n in (1, 2, 6))
LUCIA, NOOR = (f"con_01KDVDNA00000000000000000{n}" for n in (3, 1))


def _entry(read: str, write: str = "none", delete: str = "none", object: str = "contact") -> dict[str, str]:
    return {"object_type": object, "read": read, "write": write, "delete": delete}


def _role(id: str, *entries: dict[str, str], above: str = "") -> dict[str, Any]:
    return {"id": id, "key": id, "name": id, "record_access": list(entries)} | ({"parent_role_id": above} if above else {})


def _given(principal: str, grant: str, **members: str) -> dict[str, str]:
    kind = "group" if principal.startswith("grp") else "user"
    name = "permission_set_id" if grant.startswith("pms") else "role_id"
    return {"id": f"ras_{principal}{grant}", "principal_type": kind, "principal_id": principal, name: grant, **members}


def _people(**collections: list[dict[str, Any]]) -> People:
    names = ("assignments", "roles", "sets", "teams", "groups", "users", "emergencies")
    return People(*([Record(n, doc["id"], 1, doc) for doc in collections.get(n, [])] for n in names))


USERS = [{"id": "ann"}, {"id": "ben"}, {"id": "cleo", "manager_id": "ben"}, {"id": "dora", "manager_id": "cleo"}]


class TestSubject:
    def test_levels_are_the_union_of_roles_and_sets(self) -> None:
        people = _people(
            users=USERS,
            roles=[_role("rol1", _entry("own", "own", "own")), _role("rol2", _entry("team"))],
            sets=[{"id": "pms1", "record_access": [_entry("all")]}],
            assignments=[_given("ann", "rol1"), _given("ann", "rol2"), _given("ann", "pms1")],
        )
        levels = people.subject("ann", NOW).levels

        assert levels == {("contact", "read"): "all", ("contact", "write"): "own", ("contact", "delete"): "own"}

    def test_groups_within_groups_give_roles(self) -> None:
        people = _people(
            users=USERS,
            roles=[_role("rol1")],
            groups=[{"id": "grp1", "_members": {"ann": {}}}, {"id": "grp2", "_members": {"grp1": {}}}],
            assignments=[_given("grp2", "rol1")],
        )

        assert people.subject("ann", NOW).role_keys == ("rol1",)
        assert people.holders("rol1", NOW) == ["ann"]
        assert ("group", "grp2") in people.subject("ann", NOW).targets

    def test_an_assignment_that_ran_out_gives_nothing(self) -> None:
        people = _people(
            users=USERS,
            roles=[_role("rol1"), _role("rol2")],
            assignments=[_given("ann", "rol1", expires_at=NOW), _given("ann", "rol2", expires_at="2026-01-06T00:00:00Z")],
        )
        subject = people.subject("ann", NOW)

        assert subject.role_keys == ("rol2",)
        assert subject.holds_until == "2026-01-06T00:00:00Z"

    def test_hierarchy_reaches_roles_below_and_reports_of_reports(self) -> None:
        people = _people(
            users=USERS,
            roles=[_role("rol1"), _role("rol2", above="rol1"), _role("rol3", above="rol2")],
            assignments=[_given("ben", "rol1"), _given("ann", "rol3")],
        )

        assert people.subject("ben", NOW).owners("hierarchy") == {"ann", "ben", "cleo", "dora"}
        assert people.subject("cleo", NOW).owners("hierarchy") == {"cleo", "dora"}
        assert people.subject("ann", NOW).owners("hierarchy") == {"ann"}

    def test_a_circle_of_roles_ends(self) -> None:
        people = _people(users=USERS, roles=[_role("rol1", above="rol2"), _role("rol2", above="rol1")])

        assert people.ancestors("rol1") == ["rol2"]

    def test_a_team_counts_its_lead(self) -> None:
        people = _people(users=USERS, teams=[{"id": "tea1", "lead_id": "ben", "_members": {"ann": {}}}])

        assert people.subject("ann", NOW).owners("team") == {"ann", "ben"}
        assert people.subject("cleo", NOW).owners("team") == {"cleo"}
        assert people.subject("cleo", NOW, teams=["tea1"]).owners("team") == {"ann", "ben", "cleo"}

    @pytest.mark.parametrize(
        ("status", "ends_at", "keys"),
        [("active", "2026-01-05T10:00:00Z", ("rol1",)), ("active", NOW, ()), ("approved", "2026-01-05T10:00:00Z", ())],
    )
    def test_emergency_access_gives_its_role_while_it_is_active(self, status: str, ends_at: str, keys: tuple[str, ...]) -> None:
        access = {"id": "brg1", "user_id": "ann", "role_id": "rol1", "status": status, "ends_at": ends_at}
        people = _people(users=USERS, roles=[_role("rol1")], emergencies=[access])

        assert people.subject("ann", NOW).role_keys == keys


class TestEnforcement:
    @pytest.fixture
    def engine(self, contract: Contract) -> Engine:
        engine = Engine(contract)
        store, tenant = engine.world.store, contract.principals["maya"].tenant
        for collection in (ROLES, SETS, RULES, ASSIGNMENTS):
            for record in store.select(tenant, collection):
                store.remove(tenant, collection, record.id)
        self._put(engine, ROLES, _role("rol1", _entry("all", "own", "none")), _role("rol2", _entry("own", "own", "own")))
        self._put(engine, ASSIGNMENTS, _given(MAYA, "rol1"), _given(LENA, "rol2"), _given(TOMAS, "rol3"))
        return engine

    def _put(self, engine: Engine, collection: str, *docs: dict[str, Any]) -> None:
        tenant = engine.contract.principals["maya"].tenant
        for doc in docs:
            engine.world.store.put(tenant, Record(collection, doc["id"], 1, doc))

    def _call(self, engine: Engine, who: str, method: str, path: str, body: Any = None, **headers: str) -> Response:
        token = engine.token(who, scopes=sorted(engine.contract.scopes))
        given = {"authorization": f"Bearer {token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        content = b""
        if body is not None:
            given["content-type"] = "application/merge-patch+json" if method == "PATCH" else "application/json"
            content = orjson.dumps(body)
        return engine.handle(Request(method, path, (), given, content))

    def test_what_may_be_seen_and_not_changed_is_403_before_412(self, engine: Engine) -> None:
        seen = self._call(engine, "maya", "GET", f"/v1/contacts/{LUCIA}")
        changed = self._call(engine, "maya", "PATCH", f"/v1/contacts/{LUCIA}", {"department": "Sales"}, if_match='"99"')

        assert seen.status == 200
        assert (changed.status, changed.json()["code"]) == (403, "record_read_only")

    def test_an_owner_may_do_everything_whatever_the_level_says(self, engine: Engine) -> None:
        changed = self._call(engine, "maya", "PATCH", f"/v1/contacts/{NOOR}", {"department": "Sales"})
        deleted = self._call(engine, "maya", "DELETE", f"/v1/contacts/{NOOR}")

        assert (changed.status, deleted.status) == (200, 204)

    def test_a_batch_refuses_only_the_record_of_somebody_else(self, engine: Engine) -> None:
        items = [{"id": id, "changes": {"department": "Fleet"}} for id in (NOOR, LUCIA)]
        answer = self._call(engine, "maya", "POST", "/v1/contacts/batch/update", {"items": items})

        assert [r["status"] for r in answer.json()["results"]] == [200, 403]

    def test_a_sharing_rule_opens_lists_and_records_at_once(self, engine: Engine) -> None:
        assert self._call(engine, "lena", "GET", f"/v1/contacts/{NOOR}").status == 404
        rule = {
            "id": "shl1",
            "object_type": "contact",
            "criteria": {"filter_groups": [{"filters": [{"field": "last_name", "operator": "eq", "value": "Haddad"}]}]},
            "share_with": {"type": "role", "id": "rol2"},
            "access": "read",
            "is_active": True,
        }
        self._put(engine, RULES, rule)

        assert self._call(engine, "lena", "GET", f"/v1/contacts/{NOOR}").status == 200
        assert self._call(engine, "lena", "DELETE", f"/v1/contacts/{NOOR}").status == 403
        listed = self._call(engine, "lena", "GET", "/v1/contacts").json()["data"]
        assert NOOR in {contact["id"] for contact in listed}

        self._put(engine, RULES, {**rule, "is_active": False})
        assert self._call(engine, "lena", "GET", f"/v1/contacts/{NOOR}").status == 404

    def test_whoever_lost_the_last_role_reaches_own_records_alone(self, engine: Engine) -> None:
        assert self._call(engine, "tomas", "GET", f"/v1/contacts/{LUCIA}").status == 200
        assert self._call(engine, "tomas", "GET", f"/v1/contacts/{NOOR}").status == 404
