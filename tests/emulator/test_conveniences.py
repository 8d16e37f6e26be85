"""What makes the emulator handy: a clock that stands still, batches judged by item, titles in other languages."""

from __future__ import annotations

import json

import pytest

from crm_reference.emulator import Request, registry, services
from crm_reference.emulator.languages import LANGUAGES, chosen
from crm_reference.emulator.store import Record

NORTH = "ber_01KDVDNA000000000000000001"
TENANT = "ten_01KDVDNA000000000000000001"


def control(engine, method, path, body=None):
    answer = engine.handle(Request(method, f"/_emulator{path}", body=json.dumps(body).encode() if body else b""))
    return answer.status, answer.json()


class TestPausedClock:
    def test_a_quota_of_a_minute_can_be_used_up(self, port, ask):
        assert control(port, "POST", "/clock/pause") == (200, {"clock": "2026-01-05T09:00:00Z", "is_paused": True})
        quota = port.contract.policies["list"].requests
        statuses = {ask("GET", "/berths").status_code for _ in range(quota)}
        refused = ask("GET", "/berths")

        assert statuses == {200}
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "60")
        assert control(port, "POST", "/clock/resume")[1]["is_paused"] is False
        ask("GET", "/berths")
        assert port.clock.now() == "2026-01-05T09:00:01Z"

    def test_a_fresh_world_goes_on(self, port):
        control(port, "POST", "/clock/pause")
        port.reset()

        assert not port.clock.paused

    def test_a_snapshot_knows_it(self, port):
        port.clock.paused = True
        snapshot = port.snapshot()
        port.reset()
        port.restore(snapshot)

        assert port.clock.paused

    def test_time_ends(self, port):
        status, said = control(port, "POST", "/clock/advance", {"seconds": 10**12})

        assert (status, "9892" in said["error"]) == (400, True)


class TestBatchByItem:
    @pytest.fixture
    def contacts(self, contract):
        from crm_reference.emulator import Engine, session

        engine = Engine(contract)
        yield engine, session(engine)
        engine.close()

    def test_an_item_that_breaks_its_schema_stops_nobody(self, contacts):
        engine, crm = contacts
        items = [{"first_name": "Nameless"}, {"last_name": "Brouwer"}, 7, {"last_name": "Moe", "id": "x", "email": "no"}]
        answer = crm.post("/v1/contacts/batch/create", json={"items": items})
        results = answer.json()["results"]

        assert (answer.status_code, [r["status"] for r in results]) == (207, [422, 201, 422, 422])
        assert results[0]["problem"]["errors"][0]["pointer"] == "#/last_name"
        assert results[2]["problem"]["errors"] == [{"pointer": "#", "code": "wrong_type", "detail": "must be an object"}]
        assert {(e["pointer"], e["code"]) for e in results[3]["problem"]["errors"]} == {
            ("#/id", "read_only"),
            ("#/email", "too_short"),
        }
        assert (answer.json()["succeeded_count"], len(engine.outbox)) == (1, 1)

    @pytest.mark.parametrize(
        "body",
        [
            {"atomic": True, "items": [{"last_name": "A"}, {}]},
            {"items": []},
            {"items": [{"last_name": "A"}, {}], "more": 1},
            {"items": [{}], "atomic": "no"},
            {"items": [{"last_name": "A"}] * 101},
            [],
        ],
    )
    def test_all_or_nothing_and_a_wrong_frame_are_refused_as_a_whole(self, contacts, body):
        engine, crm = contacts

        assert crm.post("/v1/contacts/batch/create", json=body).status_code == 422
        assert engine.outbox == []

    def test_pointers_of_rules_lead_into_the_item(self, contacts):
        _, crm = contacts
        item = {"id": "con_01KDVDNA000000000000000001", "changes": {"email": "sven.aalto@kestrel.example"}}
        one = crm.post("/v1/contacts/batch/update", json={"items": [item]}).json()["results"][0]["problem"]
        whole = crm.post("/v1/contacts/batch/update", json={"atomic": True, "items": [item]}).json()

        assert one["errors"][0]["pointer"] == "#/changes/email"
        assert whole["errors"][0]["pointer"] == "#/items/0/changes/email"

    def test_what_was_undone_is_never_delivered(self, contacts):
        engine, crm = contacts
        nobodys = {"last_name": "B", "owner_id": "usr_01KDVDNA00000000000000ZZZZ"}
        crm.post("/v1/contacts/batch/create", json={"atomic": True, "items": [{"last_name": "A"}, nobodys]})
        assert engine.deliveries == []
        crm.post("/v1/contacts", json={"last_name": "C"})

        assert [json.loads(d["body"])["data"]["record"]["last_name"] for d in engine.deliveries] == ["C"]


class TestLanguages:
    @pytest.mark.parametrize(
        ("asked", "language", "title"),
        [
            ("de", "de", "Diesen Datensatz gibt es nicht"),
            ("nl-BE", "nl", "Dit record bestaat niet"),
            ("fr, nl;q=0.5, de;q=0.8", "de", "Diesen Datensatz gibt es nicht"),
            ("fr", "en", "There is no such record"),
            ("de;q=0", "en", "There is no such record"),
        ],
    )
    def test_titles(self, ask, asked, language, title):
        answer = ask("GET", "/berths/ber_01KDVDNA0000000000000000ZZ", headers={"Accept-Language": asked})

        assert (answer.headers["Content-Language"], answer.json()["title"]) == (language, title)
        assert answer.json()["detail"].startswith("No berth has")

    def test_without_a_wish_the_header_is_absent(self, ask):
        assert "Content-Language" not in ask("GET", "/berths/ber_01KDVDNA0000000000000000ZZ").headers

    def test_codes_of_a_service_are_english(self, ask):
        answer = ask("POST", "/berths", json={"name": "Boathouse"}, headers={"Accept-Language": "de"})

        assert (answer.status_code, answer.headers["Content-Language"]) == (409, "en")

    def test_each_code_at_the_top_has_every_language(self, contract):
        tops = [e for e in contract.standard_errors.values() if not e.field]

        assert [e.code for e in tops if {"en", *e.titles} != set(LANGUAGES)] == []
        assert all(len(title) <= 120 for e in tops for title in e.titles.values())

    @pytest.mark.parametrize("header", ["", ",", ";", "de;q=", "de;q=nan", "*;q=1", "\xff" * 1000, "de" * 100_000])
    def test_what_can_not_be_read_is_english(self, header):
        assert chosen(header) == "en"


class TestWords:
    def test_one_and_many(self, ask):
        one = ask("GET", "/berths?a=1").json()["detail"]
        many = ask("GET", "/berths?a=1&b=2").json()["detail"]

        assert (one.split()[:3], many.split()[:3]) == (["1", "query", "parameter"], ["2", "query", "parameters"])

    def test_an_empty_text_is_too_short_and_nothing_else(self, ask):
        errors = ask("POST", "/berths", json={"name": ""}).json()["errors"]

        assert errors == [{"pointer": "#/name", "code": "too_short", "detail": "must have at least 1 character"}]


class TestServices:
    def test_only_those_of_the_contract_are_imported(self, monkeypatch, tmp_path):
        (tmp_path / "half_written.py").write_text("this is no Python")
        monkeypatch.setattr(services, "__path__", [*services.__path__, str(tmp_path)])
        registry.load_services(["berths", "custom-objects"])

        with pytest.raises(SyntaxError):
            registry.load_services(["half-written"])


class TestRemembered:
    def test_until_it_is_written_to_or_undone(self, port):
        store = port.world.store

        def names():
            return store.remembered("notes", TENANT, lambda: [r.id for r in store.select(TENANT, "notes")])

        assert names() == []
        store.put(TENANT, Record("notes", "a", 1, {}))
        assert names() == ["a"]
        with pytest.raises(KeyError), store.transaction():
            store.put(TENANT, Record("notes", "b", 1, {}))
            assert names() == ["a", "b"]
            raise KeyError
        assert names() == ["a"]
        store.remove(TENANT, "notes", "a")
        assert names() == []
