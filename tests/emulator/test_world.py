"""The world around the calls: its clock and control API, webhooks, faults, files, and the server over HTTP."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime

import pytest
import requests
import uvicorn
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from crm_reference.contract import load
from crm_reference.emulator import Engine, Request, Session, StoreError, session
from crm_reference.emulator.server import asgi
from crm_reference.emulator.store import Record

TENANT = "ten_01KDVDNA000000000000000001"
SECRET = "whsec_" + "QnJpZ2h0d2F0ZXIgTWFyaW5lIHRlc3Qgc2VjcmV0"


def control(engine, method, path, body=None):
    answer = engine.handle(Request(method, f"/_emulator{path}", body=json.dumps(body).encode() if body else b""))
    return answer.status, answer.json()


class TestDeterminism:
    def test_the_same_calls_get_the_same_answers(self, port, ask):
        def play():
            return ask("POST", "/berths", json={"name": "A"}).text, dict(ask("GET", "/berths").headers), port.token("maya")

        first = play()
        port.reset()

        assert first == play()
        assert json.loads(first[0])["created_at"] == "2026-01-05T09:00:01Z"

    def test_a_snapshot_brings_everything_back(self, port, ask):
        snapshot = port.snapshot()
        made = ask("POST", "/berths", json={"name": "A"}).json()["id"]
        port.restore(snapshot)

        assert ask("GET", f"/berths/{made}").status_code == 404
        assert made == ask("POST", "/berths", json={"name": "B"}).json()["id"]


class TestWebhooks:
    @pytest.fixture
    def endpoint(self, port):
        doc = {"id": "whk_1", "url": "https://hooks.example/crm", "secret": SECRET, "event_types": ["crm.berth.created.v1"]}
        port.world.store.put(TENANT, Record("webhook-endpoints", "whk_1", 1, doc))

    @pytest.mark.usefixtures("endpoint")
    def test_are_signed_over_id_time_and_body(self, port, ask):
        ask("POST", "/berths", json={"name": "A"})
        (delivery,) = port.deliveries
        headers = delivery["headers"]
        instant = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)

        assert json.loads(delivery["body"]) == port.outbox[0]
        assert Webhook(SECRET).sign(headers["webhook-id"], instant, delivery["body"]) == headers["webhook-signature"]

    def test_verify_with_the_library_while_they_are_fresh(self, harbour_root):
        engine = Engine(load(harbour_root), clock="real")
        doc = {"id": "whk_1", "url": "https://hooks.example", "secret": SECRET, "event_types": ["*"]}
        engine.world.store.put(TENANT, Record("webhook-endpoints", "whk_1", 1, doc))
        session(engine).post("/v1/berths", json={"name": "A"})
        (delivery,) = engine.deliveries

        assert Webhook(SECRET).verify(delivery["body"], delivery["headers"])["type"] == "crm.berth.created.v1"
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(delivery["body"].replace("crm.", "CRM."), delivery["headers"])
        engine.close()

    @pytest.mark.usefixtures("endpoint")
    def test_only_what_was_asked_for_comes(self, port, ask):
        ask("DELETE", "/berths/ber_01KDVDNA000000000000000001", by="tomas")

        assert port.deliveries == []


class TestControl:
    def test_tells_and_moves_the_world(self, port, ask):
        ask("POST", "/berths", json={"name": "A"})

        assert control(port, "GET", "")[1]["events"] == 1
        assert control(port, "POST", "/clock/advance", {"seconds": 3600})[1]["clock"] == "2026-01-05T10:00:01Z"
        assert [e["type"] for e in control(port, "GET", "/events")[1]["data"]] == ["crm.berth.created.v1"]
        assert "access_token" in control(port, "GET", "/token")[1]
        assert control(port, "POST", "/reset")[0] == 200
        assert port.outbox == []

    def test_says_what_is_wrong(self, port):
        assert (control(port, "POST", "/clock/advance", {"seconds": -1})[0], control(port, "GET", "/nope")[0]) == (400, 404)


class TestFaults:
    @pytest.mark.parametrize(
        ("kind", "status", "code"), [("down", 503, "unavailable"), ("error", 500, "internal_error"), ("slow", 503, "timeout")]
    )
    def test_of_the_store(self, port, ask, kind, status, code):
        port.fault("database", kind, seconds=60)
        answer = ask("POST", "/berths", json={"name": "A"})
        ready = ask("GET", "/berths/health/ready", by="")
        port.heal()

        assert (status, code) == (answer.status_code, answer.json()["code"])
        assert ask("GET", "/berths/health/live", by="").status_code == 200
        assert ready.status_code in (200, 503)
        assert len(port.outbox) == 0


class TestFiles:
    def test_a_world_goes_on_where_it_stopped(self, harbour_root, tmp_path):
        contract, file = load(harbour_root), tmp_path / "world.db"
        first = Engine(contract, database=file)
        made = session(first).post("/v1/berths", json={"name": "A"}).json()["id"]
        first.close()

        again = Engine(contract, database=file)

        assert session(again).get(f"/v1/berths/{made}").json()["name"] == "A"
        assert made < session(again).post("/v1/berths", json={"name": "B"}).json()["id"]
        with pytest.raises(StoreError):
            again.reset()
        again.close()

    def test_another_file_is_refused(self, harbour_root, tmp_path):
        file = tmp_path / "notes.txt"
        file.write_text("no database" * 100)

        with pytest.raises(StoreError, match="can't be used as a database"):
            Engine(load(harbour_root), database=file)


def test_over_http(port):
    server = uvicorn.Server(uvicorn.Config(asgi(port), host="127.0.0.1", port=0, log_level="critical", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    base = "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
    try:
        with Session(base, port.token("maya")) as crm:
            made = crm.post("/v1/berths", json={"name": "Über/Pier"})
            assert (made.status_code, crm.get(made.headers["Location"]).json()["name"]) == (201, "Über/Pier")
            assert made.headers["Access-Control-Allow-Origin"] == "*"
            assert crm.get("/v1/nowhere").status_code == 404
            assert crm.post("/v1/berths", data=b"x" * (16 * 1024 * 1024 + 1)).status_code == 413
            assert "berths" in crm.get("/_emulator").json()["services"]
        assert requests.options(f"{base}/v1/berths", timeout=5).status_code == 204
    finally:
        server.should_exit = True
        thread.join(5)
