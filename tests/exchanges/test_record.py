"""Recorded answers: written, kept, and held against what is answered now."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crm_reference.contract import Contract, ContractError, load
from crm_reference.emulator import Engine
from crm_reference.exchanges import check, record

Project = Callable[[], tuple[Contract, Engine]]
Edit = Callable[[str, str, str], int]
FILE = "examples/recorded/berths.json"


def content(harbour: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((harbour / FILE).read_text(encoding="utf-8"))
    return data


class TestRecord:
    def test_file_is_sorted_and_shows_no_token(self, harbour: Path, recorded: object) -> None:
        names = list(content(harbour))

        assert names == sorted(names)
        assert content(harbour)["createBerth/name-alone"]["request"] == {
            "method": "POST",
            "url": "/v1/berths",
            "headers": {"Authorization": "Bearer $CRM_TOKEN", "Content-Type": "application/json"},
            "body": {"name": "Dry Dock"},
        }
        assert "eyJ" not in (harbour / FILE).read_text(encoding="utf-8")

    def test_second_run_writes_nothing(self, harbour: Path, recorded: tuple[Contract, Engine]) -> None:
        before = (harbour / FILE).stat().st_mtime_ns

        assert record(*recorded).written == ()
        assert (harbour / FILE).stat().st_mtime_ns == before

    def test_new_engine_records_the_same_bytes(self, harbour: Path, recorded: object, project: Project) -> None:
        first = (harbour / FILE).read_bytes()
        (harbour / FILE).unlink()

        assert record(*project()).written == (FILE,)
        assert (harbour / FILE).read_bytes() == first

    def test_answer_that_is_not_expected_keeps_its_recording(
        self, harbour: Path, recorded: object, project: Project, edit: Edit
    ) -> None:
        line = edit("examples/berths.yaml", "{name: Puddle, length_metres: 2}", "{name: Puddle, length_metres: 20}")
        before = content(harbour)["createBerth/too-short"]
        done = record(*project())

        assert [str(f.place) for f in done.findings] == [f"examples/berths.yaml:{line - 3}"]
        assert content(harbour)["createBerth/too-short"] == before

    def test_answer_with_a_member_that_nothing_declares(self, recorded: object, project: Project, edit: Edit) -> None:
        schema = "{}:\n          $ref: '../common/schemas.yaml#/Timestamp'\n          description: When the reservation ends. Ab"
        edit("source_specs/berths/openapi.yaml", schema.format("reservation_ends_at"), schema.format("ends_at"))
        found = [f for f in check(*project()) if f.rule == "exchange.undeclared"]

        assert "is answered with #/reservation_ends_at, which the schema at source_specs/berths/openapi.yaml:" in found[0].message

    def test_only_leaves_the_others_alone(self, harbour: Path, project: Project) -> None:
        assert record(*project(), only=["getBerth/one", "countBerths"]).count == 2
        assert list(content(harbour)) == ["countBerths/free", "getBerth/one"]

        record(*project(), only=["getBerth/unchanged"])

        assert list(content(harbour)) == ["countBerths/free", "getBerth/one", "getBerth/unchanged"]

    def test_recording_of_an_exchange_that_is_gone_goes_too(
        self, harbour: Path, recorded: object, project: Project, edit: Edit
    ) -> None:
        edit("examples/berths.yaml", "  too-short:\n", "  much-too-short:\n")
        record(*project())

        assert "createBerth/too-short" not in content(harbour)
        assert "createBerth/much-too-short" in content(harbour)

    def test_folder_that_cannot_be_made(self, harbour: Path, project: Project) -> None:
        contract, engine = project()
        shutil.rmtree(harbour / "examples/recorded", ignore_errors=True)
        (harbour / "examples/recorded").write_text("in the way")

        with pytest.raises(OSError, match="recorded"):
            record(contract, engine)

    def test_interrupted_replacement_leaves_the_old_file(
        self, harbour: Path, recorded: object, project: Project, edit: Edit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = (harbour / FILE).read_bytes()
        edit("examples/berths.yaml", "body: {name: Dry Dock}", "body: {name: Wet Dock}")

        def replace(self: Path, target: Path) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Path, "replace", replace)
            record(*project())

        assert (harbour / FILE).read_bytes() == before
        assert [p.name for p in (harbour / FILE).parent.iterdir()] == ["berths.json"]

    def test_progress_is_told(self, project: Project) -> None:
        told: list[tuple[int, int]] = []
        contract, engine = project()
        record(contract, engine, only=["getBerth"], progress=lambda _, done, total: told.append((done, total)))

        assert told == [(1, 3), (2, 3), (3, 3)]

    def test_name_of_nothing(self, project: Project) -> None:
        with pytest.raises(ContractError, match="nope is no service, operation or exchange"):
            record(*project(), only=["nope"])


class TestCheck:
    def test_nothing_to_say(self, recorded: tuple[Contract, Engine]) -> None:
        assert check(*recorded) == []

    def test_difference_is_named_by_file_line_and_pointer(self, harbour: Path, recorded: object, project: Project) -> None:
        data = content(harbour)
        data["createBerth/every-field"]["response"]["body"]["tags"][0] = "barges"
        (harbour / FILE).write_text(json.dumps(data), encoding="utf-8")
        (finding,) = check(*project())

        assert str(finding).startswith("examples/berths.yaml:2: createBerth/every-field differs from examples/recorded/berths.json")
        assert "at #/response/body/tags/0: recorded 'barges', answered 'tugs'" in finding.message

    @pytest.mark.parametrize(
        ("member", "value"),
        [("version", True), ("version", 1.0), ("version", "1"), ("extra", None)],
    )
    def test_types_count(self, harbour: Path, recorded: object, project: Project, member: str, value: Any) -> None:
        data = content(harbour)
        data["createBerth/every-field"]["response"]["body"][member] = value
        (harbour / FILE).write_text(json.dumps(data), encoding="utf-8")

        assert [f.rule for f in check(*project())] == ["exchange.recorded"]

    def test_events_count(self, harbour: Path, recorded: object, project: Project) -> None:
        data = content(harbour)
        del data["deleteBerth/one"]["events"]
        (harbour / FILE).write_text(json.dumps(data), encoding="utf-8")
        (finding,) = check(*project())

        assert "at #/events" in finding.message

    def test_exchange_without_recording(self, project: Project) -> None:
        findings = check(*project(), only=["getBerth/one"])

        assert [f.rule for f in findings] == ["exchange.unrecorded"]
        assert "crm-reference record --only getBerth/one" in findings[0].message

    def test_recording_without_exchange(self, harbour: Path, recorded: object, project: Project) -> None:
        (harbour / FILE).write_text(json.dumps({**content(harbour), "getBerth/gone": content(harbour)["getBerth/one"]}))
        (finding,) = check(*project())

        assert (str(finding.place.document.name), finding.rule) == (FILE, "exchange.orphan")

    def test_what_breaks_many_is_said_once(self, recorded: object, project: Project, edit: Edit) -> None:
        edit(
            "examples/berths.yaml",
            "    given: [getBerth/one]\n    request:\n      path: {berth_id: ber_01KDVDNA000000000000000001}\n"
            "      headers: {If-Match: '${getBerth/one@ETag}'}\n    expect: {status: 204}",
            "    request:\n      path: {berth_id: ber_01KDVDNA000000000000000001}\n"
            "      headers: {If-Match: '${getBerth/one@ETag}'}\n    expect: {status: 204}",
        )
        findings = check(*project())

        assert [f.rule for f in findings] == ["exchange.reference"]


def test_recorded_file_is_valid_json_after_load(harbour: Path, recorded: object) -> None:
    exchange = load(harbour).exchanges["createBerth/every-field"]

    assert exchange.recorded is not None
    assert exchange.recorded.body["name"] == "South Pier"
