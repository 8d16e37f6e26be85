"""The doctest builder: what it runs, what it says, and what it leaves out the second time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crm_reference.contract import Exchange
from crm_reference.emulator import Problem
from crm_reference.exchanges import Replayer, doctests, stage, stamps

Build = Callable[..., Any]
Page = Callable[..., int]
Edit = Callable[[str, str, str], int]


def test_every_exchange_and_vector_has_a_result(build: Build) -> None:
    done = build()

    assert (done.code, done.warnings) == (0, "")
    assert {r["kind"]: sum(x["kind"] == r["kind"] for x in done.results) for r in done.results} == {"exchange": 32, "vector": 2}
    assert "32 exchanges, 0 narratives, 2 vectors: 34 ran, 0 unchanged, 0 failed" in done.status
    assert "running examples... [100%]" in done.status


def test_result_has_place_hits_and_hash_and_no_date(build: Build) -> None:
    result = next(r for r in build().results if r["example"] == "deleteBerth/one")

    assert result["place"].startswith("examples/berths.yaml:")
    assert result["hits"] == [
        {"operation": "getBerth", "status": 200, "live": True},
        {"operation": "deleteBerth", "status": 204, "live": True},
    ]
    assert list(result) == ["example", "place", "outcome", "kind", "hits", "hash"]


def test_scripted_operation_is_hit_and_not_live(build: Build) -> None:
    result = next(r for r in build().results if r["example"] == "reserveBerth/free-one")

    assert (result["outcome"], result["hits"][-1]["live"]) == ("passed", False)


class TestNarrative:
    def test_page_is_one_world_and_each_block_a_result(self, build: Build, page: Page) -> None:
        page(
            '>>> made = crm.post("/v1/berths", json={"name": "Dry Dock"})\n>>> made.status_code\n201',
            '>>> crm.get(made.headers["Location"]).json()["id"]\n\'ber_01KDVDNA000000000000000101\'',
        )
        done = build()

        assert done.warnings == ""
        assert [r["example"] for r in done.results if r["kind"] == "narrative"] == ["berths#1", "berths#2"]
        assert [r["hits"][0]["operation"] for r in done.results if r["kind"] == "narrative"] == ["createBerth", "getBerth"]

    def test_each_page_has_a_world_of_its_own(self, build: Build, page: Page) -> None:
        text = '>>> crm.post("/v1/berths", json={"name": "Dry Dock"}).json()["id"]\n\'ber_01KDVDNA000000000000000101\''
        page(text, name="berths")
        page(text, name="index")

        assert build().warnings.count("failed") == 0

    def test_bare_requests_and_other_callers(self, build: Build, page: Page) -> None:
        page(
            '>>> requests.get(os.environ["CRM_BASE"] + "/v1/berths").status_code\n401\n'
            '>>> jun = Crm(os.environ["CRM_BASE"], os.environ["CRM_TOKEN_JUN"])\n'
            '>>> jun.post("/v1/berths", json={"name": "X"}).status_code\n403'
        )

        assert build().warnings == ""

    def test_no_other_host_is_reached(self, build: Build, page: Page) -> None:
        page('>>> requests.get("http://127.0.0.1:9/")\n<Response [200]>')

        assert "NoMockAddress" in build().warnings

    def test_time_stands_still_for_libraries_and_moves_with_the_world(self, build: Build, page: Page) -> None:
        page(
            ">>> import datetime, time, jwt\n"
            ">>> datetime.datetime.now(datetime.UTC).isoformat()\n'2026-01-05T09:00:00+00:00'\n"
            '>>> answer = crm.get("/v1/berths")\n'
            '>>> answer = crm.post("/_emulator/clock/advance", json={"seconds": 3600})\n'
            ">>> time.gmtime().tm_hour, time.gmtime().tm_sec\n(10, 1)\n"
            '>>> jwt.decode(jwt.encode({"exp": 1767607202}, "k" * 32), "k" * 32, algorithms=["HS256"])\n'
            "{'exp': 1767607202}\n"
            '>>> jwt.decode(jwt.encode({"exp": 1767607200}, "k" * 32), "k" * 32, algorithms=["HS256"])\n'
            "Traceback (most recent call last):\njwt.exceptions.ExpiredSignatureError: Signature has expired"
        )
        before = time.time()

        assert build().warnings == ""
        assert abs(time.time() - before) < 60, "the machine's clock goes on after the run"

    def test_surroundings_end_with_the_run(self, build: Build, page: Page) -> None:
        page(">>> 1\n1")
        before = dict(os.environ)
        build()

        assert dict(os.environ) == before

    @pytest.mark.parametrize(
        ("text", "option", "passes"),
        [
            (">>> print('abcdef')\nab...", "", False),
            (">>> print('abcdef')  # doctest: +ELLIPSIS\nab...", "", True),
            (">>> print('abcdef')\nab...", ":options: +ELLIPSIS", True),
            (">>> 1\nTrue", "", False),
            (">>> 1 / 0\nTraceback (most recent call last):\nZeroDivisionError: other words", "", False),
            (">>> 1\n2", ":hide:", False),
        ],
    )
    def test_output_is_literal(self, build: Build, page: Page, text: str, option: str, passes: bool) -> None:
        page(text, option=option)

        assert build().outcome("berths#1") == ("passed" if passes else "failed")

    def test_failure_names_file_line_and_what_came(self, build: Build, page: Page) -> None:
        line = page(">>> 1 + 1\n2\n>>> 1 + 1\n3")
        done = build()

        assert done.code == 1
        assert f"docs/berths.md:{line}: WARNING: berths#1 failed" in done.warnings
        assert f'File "docs/berths.md", line {line + 2}, in berths#1' in done.warnings
        assert "Expected:\n    3\nGot:\n    2" in done.warnings

    def test_group_is_a_world_of_its_own(self, build: Build, page: Page) -> None:
        page(">>> x = 1", ">>> x\n1", group="second")

        assert build().outcome("berths:second#2") == "passed"

    def test_other_test_blocks_are_refused(self, build: Build, harbour: Path) -> None:
        (harbour / "docs/berths.md").write_text("# Berths\n\n```{testcode}\nprint(1)\n```\n", encoding="utf-8")
        done = build()

        assert done.code == 1
        assert "docs/berths.md:3: WARNING: {testcode} blocks aren't run" in done.warnings


class TestExchanges:
    def test_answer_other_than_recorded_fails_at_its_pointer(self, build: Build, harbour: Path) -> None:
        path = harbour / "examples/recorded/berths.json"
        path.write_text(path.read_text(encoding="utf-8").replace('"Dry Dock"', '"Wet Dock"', 2), encoding="utf-8")
        done = build()

        assert "WARNING: createBerth/name-alone failed" in done.warnings
        assert done.code == 1

    def test_expectation_that_the_recording_breaks_fails(self, build: Build, edit: Edit) -> None:
        edit("examples/berths.yaml", "expect: {status: 201, '#/status': free,", "expect: {status: 201, '#/status': reserved,")

        assert "expects #/status to be 'reserved', and it is 'free'" in build().warnings

    def test_expectation_may_refer_to_the_answer_itself(self, build: Build, edit: Edit) -> None:
        edit(
            "examples/berths.yaml",
            "'#/name': South Pier, '#/version': 1",
            "'#/created_at': '${createBerth/every-field#/updated_at}'",
        )

        assert build().warnings == ""

    def test_error_of_the_emulator_fails_one_example(self, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        def prepare(self: Replayer, exchange: Exchange) -> None:
            if exchange.id == "getBerth/one":
                raise Problem("not_found", "an error that can't be pickled")
            original(self, exchange)

        original = Replayer.prepare
        monkeypatch.setattr(Replayer, "prepare", prepare)
        monkeypatch.setattr(doctests, "_WORTH_FORKING", 1)
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        done = build()

        assert "34 ran, 0 unchanged, 1 failed" in done.status
        assert "getBerth/one failed\nProblem: not_found" in done.warnings

    def test_events_other_than_recorded_fail(self, build: Build, harbour: Path) -> None:
        path = harbour / "examples/recorded/berths.json"
        data = json.loads(path.read_text(encoding="utf-8"))
        data["createBerth/name-alone"]["events"][0]["type"] = "crm.berth.sunk.v1"
        path.write_text(json.dumps(data), encoding="utf-8")

        assert "recorded 'crm.berth.sunk.v1' at #/events/0/type" in build().warnings

    def test_exchange_that_was_never_recorded_fails(self, build: Build, harbour: Path) -> None:
        (harbour / "examples/recorded/berths.json").unlink()

        assert build().warnings.count("has no recorded answer") == 32


class TestSecondRun:
    def test_nothing_changed_runs_nothing(self, build: Build, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
        page('>>> crm.get("/v1/berths").status_code\n200')
        first = build()
        monkeypatch.setattr(stage, "Stage", None)
        second = build()

        assert second.results == first.results
        assert "35 unchanged" in second.status

    def test_file_is_not_touched(self, build: Build, harbour: Path) -> None:
        build()
        before = (harbour / "_build/doctest/results.json").stat().st_mtime_ns
        build()

        assert (harbour / "_build/doctest/results.json").stat().st_mtime_ns == before

    def test_failure_runs_again(self, build: Build, page: Page) -> None:
        page(">>> 1\n2")
        build()
        second = build()

        assert (second.code, second.outcome("berths#1")) == (1, "failed")
        assert "1 ran, 34 unchanged, 1 failed" in second.status

    def test_changed_page_runs_alone(self, build: Build, page: Page) -> None:
        page(">>> 1\n1")
        build()
        page(">>> 2\n2")

        assert "1 ran, 34 unchanged" in build().status

    @pytest.mark.parametrize(
        ("name", "old", "new", "ran"),
        [
            ("examples/world/harbour.yaml", "length_metres: 120", "length_metres: 121", 35),
            ("source_specs/berths/openapi.yaml", "openapi: 3.1.0", "openapi: 3.1.0  # changed", 35),
            ("examples/vectors/berths/name-key.yaml", "Letters are", "All letters are", 2),
        ],
    )
    def test_changed_document_runs_what_reads_it(
        self, build: Build, page: Page, edit: Edit, name: str, old: str, new: str, ran: int
    ) -> None:
        page('>>> crm.get("/v1/berths").status_code\n200')
        build()
        edit(name, old, new)

        assert f"{ran} ran, " in build().status

    def test_changed_code_runs_everything(self, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
        build()
        monkeypatch.setattr(stamps, "code_digest", lambda: "other code")

        assert "34 ran, 0 unchanged" in build().status

    @pytest.mark.parametrize("text", ["", "{", "[1]", '[{"example": 1}]', '{"a": 1}'])
    def test_broken_results_are_none(self, build: Build, harbour: Path, text: str) -> None:
        build()
        (harbour / "_build/doctest/results.json").write_text(text, encoding="utf-8")

        assert "34 ran, 0 unchanged, 0 failed" in build().status


def test_forked_processes_come_to_the_same_results(
    build: Build, page: Page, harbour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page('>>> crm.get("/v1/berths").status_code\n200', ">>> 1\n2")
    serial = build()
    (harbour / "_build/doctest/results.json").unlink()
    monkeypatch.setattr(doctests, "_WORTH_FORKING", 1)
    monkeypatch.setattr(doctests, "_CHUNK", 3)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    forked = build()

    assert forked.results == serial.results
    assert "36 ran, 0 unchanged, 1 failed" in forked.status
    assert "berths#2 failed" in forked.warnings


def test_parallel_reading_notes_the_same(build: Build, page: Page, harbour: Path) -> None:
    for number in range(6):
        page(f">>> {number}\n{number}", name=f"page{number}")
    (harbour / "docs/index.md").write_text("# Harbour\n\n```{toctree}\n:glob:\n*\n```\n", encoding="utf-8")

    assert sum(r["kind"] == "narrative" for r in build(parallel=2).results) == 6
