"""Documented answers held against those of a live service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests_mock

from crm_reference import conformance
from crm_reference.contract import Contract, Recorded
from crm_reference.emulator import SITE, Engine, Request, Response, mount
from crm_reference.exchanges import Bindings, LiveAnswer, compare_live

A, B = "con_01KDVDNA000000000000000101", "con_01KDVDNA000000000000000102"
X, Y = "con_01JG3ZXCVBNM00000000000000", "con_01JG3ZXCVBNM00000000000001"


def documented(body: Any, headers: dict[str, str] | None = None, status: int = 200) -> Recorded:
    return Recorded("GET", "/v1/contacts", {}, None, status, headers or {}, body, ())


def compare(pairs: list[tuple[Any, Any]]) -> list[str]:
    bindings = Bindings()
    return [line for want, got in pairs for line in compare_live(documented(want), LiveAnswer(200, {}, got), bindings)]


@pytest.mark.parametrize(
    ("want", "got"),
    [
        ({"id": A}, {"id": X}),
        ({"id": A, "again": A}, {"id": X, "again": X}),
        ({"data": [{"id": A}, {"id": B}]}, {"data": [{"id": X}, {"id": Y}]}),
        ({"url": f"/v1/contacts/{A}/notes"}, {"url": f"/v1/contacts/{X}/notes"}),
        ({"at": "2026-01-05T09:00:01Z"}, {"at": "2027-11-30T12:34:56.789Z"}),
        ({"next_cursor": "eyJrIjoxfQ"}, {"next_cursor": "abc"}),
        ({"name": "Noor"}, {"name": "Noor", "added_later": 1}),
    ],
)
def test_same_but_for_what_a_service_makes(want: Any, got: Any) -> None:
    assert compare([(want, got)]) == []


@pytest.mark.parametrize(
    ("want", "got", "said"),
    [
        ({"name": "Noor"}, {"name": "Sven"}, "#/name: documented 'Noor', answered 'Sven'"),
        ({"name": "Noor"}, {}, "#/name: documented 'Noor', answered nothing"),
        ({"n": 1}, {"n": True}, "#/n"),
        ({"data": [1, 2]}, {"data": [1]}, "#/data: documented 2 entries, answered 1"),
        ({"id": A}, {"id": X.replace("con_", "acc_")}, "#/id"),
        ({"id": A, "again": A}, {"id": X, "again": Y}, "#/again"),
        ({"data": [{"id": A}, {"id": B}]}, {"data": [{"id": X}, {"id": X}]}, "#/data/1/id"),
        ({"at": "2026-01-05T09:00:01Z"}, {"at": "yesterday"}, "#/at"),
        ({"url": f"/v1/contacts/{A}"}, {"url": f"/v1/people/{X}"}, "#/url"),
    ],
)
def test_differences(want: Any, got: Any, said: str) -> None:
    (line,) = compare([(want, got)])

    assert said in line


def test_bindings_hold_over_answers_both_ways() -> None:
    assert compare([({"id": A}, {"id": X}), ({"id": A}, {"id": X})]) == []
    assert len(compare([({"id": A}, {"id": X}), ({"id": A}, {"id": Y})])) == 1
    assert len(compare([({"id": A}, {"id": X}), ({"id": B}, {"id": X})])) == 1


def test_status_comes_first() -> None:
    lines = compare_live(documented({"id": A}, status=201), LiveAnswer(409, {}, {"code": "x"}), Bindings())

    assert lines == ["#/status: documented 201, answered 409: {'code': 'x'}"]


def test_headers() -> None:
    want = documented(None, {"ETag": '"1"', "X-Request-Id": f"req_{A[4:]}", "Location": f"/v1/contacts/{A}", "RateLimit": "r=1"})
    got = LiveAnswer(200, {"etag": '"abc"', "x-request-id": "r-1", "location": f"/v1/contacts/{X}"}, None)

    assert compare_live(want, got, Bindings()) == ["header RateLimit: documented 'r=1', and it is absent"]


@pytest.fixture
def service(recorded: tuple[Contract, Engine]) -> Iterator[Engine]:
    """Return a service with real time and random IDs, at the documented host."""
    engine = Engine(recorded[0], clock="real")
    with requests_mock.Mocker() as mocker:
        mount(engine, mocker)
        yield engine


def test_every_exchange_passes_against_other_ids_and_times(recorded: tuple[Contract, Engine], service: Engine) -> None:
    assert [str(finding) for finding in conformance.run(recorded[0], base=SITE)] == []


def test_one_record_in_the_place_of_another_is_found(
    recorded: tuple[Contract, Engine], service: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Location and body name two records where the documents name one."""
    handle = service.handle

    def change(request: Request) -> Response:
        response = handle(request)
        if "Location" in response.headers:
            location = response.headers["Location"]
            response.headers["Location"] = location[:-1] + ("1" if location.endswith("0") else "0")
        return response

    monkeypatch.setattr(service, "handle", change)
    findings = list(conformance.run(recorded[0], base=SITE, only=["createBerth/name-alone"]))

    assert ["header Location" in finding.message or "#/id" in finding.message for finding in findings] == [True]


def test_bound_values_stand_in_later_requests() -> None:
    bindings = Bindings()
    compare_live(documented({"id": A, "next_cursor": "c1"}), LiveAnswer(200, {}, {"id": X, "next_cursor": "zz"}), bindings)

    assert bindings.live(f"/v1/contacts/{A}?limit=2") == f"/v1/contacts/{X}?limit=2"
    assert bindings.live("c1") == "zz"
    assert bindings.live_url(f"/v1/contacts/{A}/notes?limit=2&cursor=c1") == f"/v1/contacts/{X}/notes?limit=2&cursor=zz"
    assert bindings.live(B) == B
