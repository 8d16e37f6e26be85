"""What happens to a request before and around its behaviour: routes, bodies, precedence, filters, pages, keys and quotas."""

from __future__ import annotations

import pytest

from crm_reference.contract import load
from crm_reference.emulator import Engine, session

NORTH, SECOND, BOATHOUSE, FOREIGN = (f"ber_01KDVDNA0000000000000000{n}" for n in ("01", "02", "03", "11"))


def code(answer):
    return answer.status_code, answer.json()["code"]


def test_a_deprecated_operation_says_so_in_every_answer(harbour, edit):
    dates = "      x-deprecated-since: '2026-01-01'\n      x-sunset: '2026-12-31'\n"
    name = "      operationId: countBerths\n"
    edit("source_specs/berths/openapi.yaml", name, f"{name}      deprecated: true\n{dates}")
    engine = Engine(load(harbour))

    for body in ({}, {"colour": "red"}):
        headers = session(engine).post("/v1/berths/count", json=body).headers
        assert headers["Deprecation"] == "@1767225600"
        assert headers["Sunset"] == "Thu, 31 Dec 2026 00:00:00 GMT"
    assert "Deprecation" not in session(engine).get("/v1/berths").headers


class TestRoutes:
    def test_unknown_path_and_method(self, ask):
        assert code(ask("GET", "/piers")) == (404, "route_not_found")
        assert code(ask("PUT", "/berths")) == (405, "method_not_allowed")
        assert code(ask("PATCH", "/berths/search")) == (405, "method_not_allowed"), "a literal segment comes before an ID"
        assert ask("PUT", "/berths").headers["Allow"] == "GET, POST"

    def test_an_encoded_slash_stays_in_its_segment(self, ask):
        assert code(ask("GET", "/berths/..%2Fberths")) == (404, "not_found")

    def test_each_answer_has_an_id_and_the_quota(self, ask):
        answer = ask("GET", "/berths")

        assert answer.headers["X-Request-Id"].startswith("req_")
        assert answer.headers["RateLimit-Policy"] == '"list";q=300;w=60'


class TestBodies:
    @pytest.mark.parametrize(
        ("body", "status", "why"),
        [
            (b'{"name": "A"', 400, "malformed_json"),
            (b'{"name": "A", "name": "B"}', 400, "malformed_json"),
            (b"\xff\xfe", 400, "malformed_json"),
            (b"[" * 40 + b"]" * 40, 400, "malformed_json"),
            (b"", 400, "malformed_json"),
            (b'{"name": "A", "pad": "' + b"x" * 262_144 + b'"}', 413, "content_too_large"),
        ],
    )
    def test_bad_ones_are_told_apart(self, ask, body, status, why):
        assert (status, why) == code(ask("POST", "/berths", data=body, headers={"Content-Type": "application/json"}))

    def test_other_media_types_are_refused(self, ask):
        assert code(ask("POST", "/berths", data="name=A")) == (415, "unsupported_media_type")

    def test_every_breach_is_named(self, ask):
        answer = ask("POST", "/berths", json={"length_metres": "long", "colour": "red", "version": 3})

        found = {(e["pointer"], e["code"]) for e in answer.json()["errors"]}

        assert {
            ("#/name", "required"),
            ("#/length_metres", "wrong_type"),
            ("#/colour", "unknown_field"),
            ("#/version", "read_only"),
        } == found

    def test_a_secret_value_is_not_repeated(self, ask):
        assert "hunter2" not in ask("POST", "/berths", json={"name": "A", "contact_email": "hunter2"}).text


class TestPrecedence:
    """The first check that fails answers, in the contract's order."""

    def test_from_the_route_to_the_rule(self, ask):
        bad = {"data": b"{", "headers": {"Content-Type": "text/plain"}}
        missing, stale = NORTH[:-1] + "Z", {"If-Match": '"7"', "Content-Type": "application/merge-patch+json"}

        assert ask("PATCH", "/nowhere", by="", **bad).status_code == 404
        assert ask("PATCH", f"/berths/{missing}", by="", **bad).status_code == 401
        assert ask("PATCH", f"/berths/{missing}", by="jun", **bad).status_code == 403
        assert ask("PATCH", f"/berths/{missing}", **bad).status_code == 415
        broken = {"data": b"{", "headers": stale}
        assert ask("PATCH", f"/berths/{missing}", **broken).status_code == 400
        assert ask("PATCH", f"/berths/{missing}", json={"length_metres": 1}, headers=dict(stale)).status_code == 404
        assert ask("PATCH", f"/berths/{NORTH}", json={"length_metres": 1}, headers=dict(stale)).status_code == 412
        assert ask("PATCH", f"/berths/{NORTH}", json={"length_metres": 1, "name": "Boathouse"}).status_code == 422
        assert ask("PATCH", f"/berths/{NORTH}", json={"name": "Boathouse"}).status_code == 409

    def test_tokens(self, ask):
        assert code(ask("GET", "/berths", by="")) == (401, "missing_token")
        assert code(ask("GET", "/berths", token={"expires_in": -1})) == (401, "invalid_token")
        forged = ask("GET", "/berths", by="", headers={"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."})
        assert code(forged) == (401, "invalid_token")
        assert 'error="invalid_token"' in forged.headers["WWW-Authenticate"]

    def test_another_tenant_is_as_good_as_nowhere(self, ask):
        assert code(ask("GET", f"/berths/{FOREIGN}")) == (404, "not_found")
        assert (
            (answer := ask("POST", "/berths", json={"name": "A", "neighbour_id": FOREIGN})).status_code,
            answer.json()["errors"][0]["pointer"],
        ) == (422, "#/neighbour_id")


class TestFilters:
    def names(self, answer):
        return [b["name"] for b in answer.json()["data"]]

    def test_typed_parameters(self, ask):
        assert self.names(ask("GET", "/berths?status=free&length_metres_gte=40")) == ["North Quay 1"]
        assert self.names(ask("GET", "/berths?sort=name")) == ["Boathouse", "North Quay 1", "North Quay 2"]
        assert ask("GET", "/berths?limit=1&sort=-name&fields=name&status=free").json()["data"] == [
            {"id": NORTH, "object": "berth", "name": "North Quay 1"}
        ]

    @pytest.mark.parametrize("query", ["colour=red", "limit=0", "limit=many", "sort=colour", "limit=1&limit=2", "cursor=abcdefgh"])
    def test_what_can_not_be_read(self, ask, query):
        assert ask("GET", f"/berths?{query}").status_code == 400

    @pytest.mark.parametrize(
        ("filter_", "found"),
        [
            ({"field": "name", "operator": "eq", "value": "north quay 1"}, ["North Quay 1"]),
            ({"field": "name", "operator": "contains", "value": "%"}, []),
            ({"field": "name", "operator": "starts_with", "value": "north"}, ["North Quay 1", "North Quay 2"]),
            ({"field": "status", "operator": "ne", "value": "free"}, ["North Quay 2"]),
            ({"field": "status", "operator": "not_in", "values": ["free"]}, ["North Quay 2"]),
            ({"field": "length_metres", "operator": "between", "from": 18, "to": 85}, ["Boathouse", "North Quay 2"]),
            ({"field": "is_covered", "operator": "eq", "value": True}, ["Boathouse"]),
            ({"field": "neighbour_id", "operator": "is_not_set"}, ["Boathouse", "North Quay 1"]),
        ],
    )
    def test_operators(self, ask, filter_, found):
        groups = [{"filters": [filter_]}]

        assert found == self.names(ask("POST", "/berths/search", json={"filter_groups": groups, "sorts": [{"field": "name"}]}))
        assert len(found) == ask("POST", "/berths/count", json={"filter_groups": groups}).json()["count"]

    def test_sql_in_a_value_is_a_value(self, ask):
        evil = "x' or 1=1 --"
        assert self.names(ask("POST", "/berths/search", json={"query": evil})) == []
        assert (
            ask(
                "POST", "/berths/search", json={"filter_groups": [{"filters": [{"field": "a.b", "operator": "is_set"}]}]}
            ).status_code
            == 422
        )


class TestPages:
    def test_a_walk_meets_each_once_while_others_write(self, ask):
        for n in range(5):
            ask("POST", "/berths", json={"name": f"Pier {n}", **({"length_metres": 50} if n % 2 else {})})
        seen, query = [], "limit=2&sort=-length_metres"
        while query:
            page = ask("GET", f"/berths?{query}")
            seen += [b["name"] for b in page.json()["data"]]
            ask("POST", "/berths", json={"name": f"New {len(seen)}", "length_metres": 499})
            query = page.headers["Link"].partition("?")[2].partition(">")[0] if page.json()["has_more"] else ""

        assert 8 == len(seen) == len(set(seen))
        assert seen[:2] == ["North Quay 1", "North Quay 2"]

    def test_a_cursor_fits_its_list_only(self, ask, port):
        cursor = ask("GET", "/berths?limit=1").json()["next_cursor"]

        assert code(ask("GET", f"/berths?limit=1&sort=name&cursor={cursor}")) == (400, "invalid_cursor")
        assert code(ask("GET", f"/berths?limit=1&cursor={cursor}", by="otto")) == (400, "invalid_cursor")
        port.advance(86_401)
        assert code(ask("GET", f"/berths?limit=1&cursor={cursor}")) == (400, "invalid_cursor")


class TestKeys:
    def test_the_first_answer_is_given_again(self, ask, port):
        key = {"Idempotency-Key": "berth-0001"}
        first = ask("POST", "/berths", json={"name": "A"}, headers=key)
        again = ask("POST", "/berths", json={"name": "A"}, headers=key)

        assert (first.json(), "true") == (again.json(), again.headers["Idempotency-Replayed"])
        assert code(ask("POST", "/berths", json={"name": "B"}, headers=key)) == (422, "idempotency_key_reused")
        assert len(port.outbox) == 1
        port.advance(86_401)
        assert ask("POST", "/berths", json={"name": "A"}, headers=key).status_code == 409


class TestQuotas:
    def test_are_counted_by_client_and_begin_anew(self, ask, port):
        for _ in range(121):
            last = ask("POST", "/berths/search", json={})
            port.clock.seconds -= 1  # each request takes a second, and the window would end before the quota does

        assert code(last) == (429, "rate_limited")
        assert ask("POST", "/berths/search", json={}, by="hub").status_code == 200
        port.advance(int(last.headers["Retry-After"]))
        assert ask("POST", "/berths/search", json={}).status_code == 200

    def test_failed_tokens_are_limited_by_address(self, ask, port):
        for _ in range(20):
            ask("GET", "/berths", by="")

        assert ask("GET", "/berths").status_code == 429


class TestRules:
    def test_by_kind(self, ask):
        assert code(ask("POST", "/berths", json={"name": "BOATHOUSE"})) == (409, "berth_name_taken")
        assert code(ask("POST", "/berths", json={"name": "A", "status": "reserved"})) == (409, "berth_status_jump")
        assert code(ask("PATCH", f"/berths/{SECOND}", json={"status": "reserved"})) == (409, "berth_status_jump")

    def test_a_deleted_neighbour_is_cleared_and_put_back(self, ask):
        ask("DELETE", f"/berths/{NORTH}", by="tomas")
        assert "neighbour_id" not in ask("GET", f"/berths/{SECOND}").json()
        ask("POST", f"/berths/{NORTH}/restore", by="tomas")

        assert ask("GET", f"/berths/{SECOND}").json()["neighbour_id"] == NORTH

    def test_a_change_of_nothing_writes_nothing(self, ask, port):
        answer = ask("PATCH", f"/berths/{NORTH}", json={"name": "North Quay 1"})

        assert (answer.headers["ETag"], port.outbox) == ('"1"', [])
        assert ask("GET", f"/berths/{NORTH}", headers={"If-None-Match": '"1"'}).status_code == 304
