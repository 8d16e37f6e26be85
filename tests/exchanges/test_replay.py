"""One exchange on a fresh world."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from crm_reference.contract import Contract, Exchange
from crm_reference.emulator import Engine
from crm_reference.emulator.call import Fault
from crm_reference.exchanges import ExchangeError, Replayer, compare

Project = Callable[[], tuple[Contract, Engine]]


@pytest.fixture
def replayer(project: Project) -> Replayer:
    return Replayer(*project())


def changed(replayer: Replayer, name: str, **parts: Any) -> Exchange:
    """Return an exchange with parts replaced, known to the contract under its name."""
    exchange = replace(replayer.contract.exchanges[name], **parts)
    replayer.contract.services["berths"].exchanges[name] = exchange
    replayer.contract.__dict__.pop("exchanges", None)
    return exchange


def run(replayer: Replayer, name: str) -> Any:
    return replayer.run(replayer.contract.exchanges[name])


def test_answer_has_request_answer_events_and_hits(replayer: Replayer) -> None:
    answer = run(replayer, "createBerth/every-field")

    assert (answer.sent.method, answer.sent.url, answer.status) == ("POST", "/v1/berths", 201)
    assert answer.body["id"] == "ber_01KDVDNA000000000000000101"
    assert [event["type"] for event in answer.events] == ["crm.berth.created.v1"]
    assert [(hit.operation, hit.status, hit.live) for hit in answer.hits] == [("createBerth", 201, True)]


def test_given_runs_first_with_its_own_given_each_once(replayer: Replayer) -> None:
    answer = run(replayer, "restoreBerth/name-taken")

    assert [hit.operation for hit in answer.hits] == ["getBerth", "deleteBerth", "createBerth", "restoreBerth"]


def test_events_of_given_are_not_its_own(replayer: Replayer) -> None:
    assert [event["type"] for event in run(replayer, "restoreBerth/deleted").events] == ["crm.berth.restored.v1"]


def test_every_run_is_the_same_whatever_ran_before(replayer: Replayer) -> None:
    first = run(replayer, "createBerth/every-field").entry()
    for name in replayer.contract.exchanges:
        run(replayer, name)

    assert run(replayer, "createBerth/every-field").entry() == first


def test_advance_moves_the_clock(replayer: Replayer) -> None:
    changed(replayer, "createBerth/name-alone", given=({"advance": "P1DT1H"},))

    assert run(replayer, "createBerth/name-alone").body["created_at"] == "2026-01-06T10:00:01Z"


def test_a_world_after_an_advance_takes_the_same_tokens(replayer: Replayer) -> None:
    changed(replayer, "createBerth/name-alone", given=({"advance": "P30D"},))

    assert [run(replayer, n).status for n in ("createBerth/name-alone", "getBerth/one")] == [201, 200]


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({}, Fault("down")),
        ({"kind": "down"}, Fault("down")),
        ({"kind": "error"}, Fault("error")),
        ({"kind": "slow", "seconds": 9}, Fault("slow", 9)),
    ],
)
def test_fault_lasts_as_long_as_the_world(replayer: Replayer, said: dict[str, Any], fault: Fault) -> None:
    changed(replayer, "getBerthsLiveness/alive", given=({"fault": {"dependency": "database", **said}},))
    run(replayer, "getBerthsLiveness/alive")
    found = dict(replayer.engine.world.faults)
    run(replayer, "getBerth/one")

    assert (found, replayer.engine.world.faults) == ({"database": fault}, {})


def test_deliver_hands_the_event_on(replayer: Replayer, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(replayer.engine, "deliver", heard.append)
    changed(replayer, "getBerth/one", given=({"deliver": {"type": "crm.ship.arrived.v1", "data": {}}},))
    run(replayer, "getBerth/one")

    assert heard == [{"type": "crm.ship.arrived.v1", "data": {}}]


def test_scripted_operation_answers_as_its_author_wrote(replayer: Replayer) -> None:
    answers = [run(replayer, f"reserveBerth/{name}") for name in ("free-one", "not-free")]

    assert [a.status for a in answers] == [200, 409]
    assert [a.hits[-1].live for a in answers] == [False, False]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"given": ("getBerth/none",)}, "there is no such exchange"),
        ({"given": ("createBerth/every-field",)}, "comes back to createBerth/every-field through given"),
        ({"given": ({"advance": "P1M"},)}, "advances by 'P1M'"),
        ({"given": ({"advance": "P"},)}, "advances by 'P'"),
        ({"given": ({"fault": {}},)}, "a fault without a dependency"),
        ({"given": ({"wait": 1},)}, "none of advance, fault and deliver"),
        ({"principal": "nemo"}, "called as nemo, and the world has only maya"),
        ({"operation": "sinkBerth"}, "an operation that no document has"),
    ],
)
def test_what_cannot_be_run_is_said_with_its_line(replayer: Replayer, parts: dict[str, Any], said: str) -> None:
    exchange = changed(replayer, "createBerth/every-field", **parts)

    with pytest.raises(ExchangeError, match=rf"^examples/berths\.yaml:2: .*{said}"):
        replayer.run(exchange)


def test_given_that_goes_wrong_is_named(replayer: Replayer) -> None:
    changed(replayer, "getBerth/one", expect={"status": 404})

    with pytest.raises(ExchangeError, match=r"builds on getBerth/one .* answered 200 and not 404"):
        run(replayer, "deleteBerth/one")


@pytest.mark.parametrize(
    ("error", "said"), [(KeyError("oops"), "fails with KeyError: 'oops'"), (AssertionError("x"), "AssertionError")]
)
def test_bug_in_a_handler_names_the_exchange(
    replayer: Replayer, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def handle(_: Any) -> None:
        raise error

    monkeypatch.setattr(replayer.engine, "handle", handle)
    with pytest.raises(ExchangeError, match=f"getBerth/one: the emulator {said}|{said}"):
        run(replayer, "getBerth/one")


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        ({"status": 201, "#/name": "South Pier", "#/tags/0": "tugs", "header:etag": '"1"'}, ""),
        ({"status": 201, "#/reserved_until": None, "header:Link": None}, ""),
        ({"status": 201, "events": ["crm.berth.created.v1"]}, ""),
        ({"status": 422}, "answers 201 and not 422"),
        ({"status": 201, "#/version": True}, "expects #/version to be True, and it is 1"),
        ({"status": 201, "#/version": 1.0}, "expects #/version to be 1.0, and it is 1"),
        ({"status": 201, "#/tags": ["tugs", "x"]}, "expects #/tags/1 to be 'x', and it is nothing"),
        ({"status": 201, "#/name": None}, "expects #/name to be None"),
        ({"status": 201, "header:Location": "/"}, "expects header:Location to be '/'"),
        ({"status": 201, "events": []}, "expects events/0 to be nothing"),
    ],
)
def test_expectations(replayer: Replayer, expect: dict[str, Any], said: str) -> None:
    findings = compare(run(replayer, "createBerth/every-field"), expect)

    assert len(findings) == bool(said)
    assert not findings or said in str(findings[0])


def test_wrong_status_says_what_the_problem_says(replayer: Replayer) -> None:
    (finding,) = compare(run(replayer, "createBerth/too-short"), {"status": 201})

    assert "validation_failed" in finding.message
    assert "#/length_metres must be at least" in finding.message


def test_expected_values_may_refer_to_what_came_before(replayer: Replayer) -> None:
    exchange = changed(replayer, "restoreBerth/deleted", expect={"status": 200, "#/id": "${getBerth/one#/id}"})
    answer = replayer.run(exchange)

    assert replayer.expected(exchange)["#/id"] == answer.body["id"]
