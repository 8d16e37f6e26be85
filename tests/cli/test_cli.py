"""The command line: what people get for right and wrong usage."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

from crm_reference import __version__, cli
from crm_reference.contract import load
from crm_reference.emulator import Engine, registry
from crm_reference.emulator.server import ServerError
from crm_reference.emulator.store import StoreError
from crm_reference.exchanges import record

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(harbour: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command line in the small project: exit code, output, errors."""
    monkeypatch.chdir(harbour)
    monkeypatch.setitem(registry.COMPUTATIONS, ("berths", "name_key"), lambda r: {"key": r["name"].casefold()})
    monkeypatch.delenv("CRM_BASE", raising=False)
    monkeypatch.delenv("CRM_TOKEN", raising=False)

    def command(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["crm-reference", *arguments])
        code: Any = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Usage: crm-reference"),
        (("fly",), "No such command 'fly'"),
        (("--root", "nowhere", "check"), "'nowhere' does not exist"),
        (("--wings",), "No such option"),
        (("check", "--only"), "requires an argument"),
        (("check", "--only", "nope"), "nope is no service, operation or exchange; write contacts, createContact"),
        (("check", "--part", "spelling"), "'spelling' is not one of 'lint', 'vectors', 'exchanges', 'laws', 'trace'"),
        (("check", "berths"), "unexpected extra argument"),
        (("record", "--only", "getBerth/none"), "getBerth/none is no service"),
        (("emulate", "--port", "http"), "'http' is not a valid integer"),
        (("emulate", "--port", "70000"), "70000 is not in the range"),
        (("emulate", "--world", "moon"), "'moon' is not one of 'brightwater', 'empty'"),
        (("emulate", "--clock", "sun"), "'sun' is not one of 'real', 'world'"),
        (("emulate", "--site", "nowhere"), "'nowhere' does not exist"),
        (("conform",), "Missing option '--base'"),
        (("conform", "--base", "localhost:80"), "'localhost:80' is no base URL; write http://127.0.0.1:8640"),
        (("conform", "--base", "http://"), "'http://' is no base URL"),
        (("new-service",), "Missing argument 'SLUG'"),
        (("new-service", "Custom Objects"), "'Custom Objects' is no service name; write lower-case words with hyphens"),
        (("new-service", "9lives"), "'9lives' is no service name"),
        (("new-service", "../etc"), "'../etc' is no service name"),
    ],
)
def test_wrong_usage_is_told_and_is_exit_2(run: Run, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = run(*arguments)

    assert code == 2
    assert said in re.sub(r"\s+", " ", err)
    assert "Traceback" not in out + err


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"crm-reference, version {__version__}\n", "")


def test_help_lists_every_command(run: Run) -> None:
    code, out, _ = run("--help")

    assert code == 0
    assert all(f"\n  {name} " in out for name in ("emulate", "check", "record", "laws", "bundle", "conform", "new-service"))


def test_help_is_quick_because_nothing_is_imported() -> None:
    code = "import crm_reference.cli, sys; print([m for m in ('sphinx', 'uvicorn', 'jwt', 'yaml', 'requests') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout == "[]\n"


class TestErrors:
    def test_folder_that_is_no_project(self, run: Run, tmp_path: Path) -> None:
        code, out, err = run("--root", str(tmp_path), "check")

        assert (code, out) == (1, "")
        assert err.count("\n") == 1
        assert "has no such folder" in err

    def test_document_that_cannot_be_parsed(self, run: Run, harbour: Path) -> None:
        (harbour / "examples/berths.yaml").write_text("createBerth: {\n  - x", encoding="utf-8")
        code, _, err = run("record")

        assert code == 1
        assert re.match(r"examples/berths\.yaml:\d+: is not YAML", err)
        assert err.count("\n") == 1

    @pytest.mark.parametrize(
        ("error", "code", "said"),
        [
            (ServerError("port 8640 is in use; choose another one"), 1, "crm-reference: port 8640 is in use"),
            (StoreError("x.db: can't be used as a database"), 1, "crm-reference: x.db: can't be used"),
            (PermissionError(13, "Permission denied", "x.db"), 1, "crm-reference: x.db: Permission denied"),
            (ConnectionError("nothing answers at http://x"), 1, "crm-reference: nothing answers at http://x"),
            (KeyboardInterrupt(), 130, "crm-reference: interrupted"),
            (click.Abort(), 130, "crm-reference: interrupted"),
            (ZeroDivisionError("oops"), 1, "crm-reference: a bug, ZeroDivisionError: oops (test_cli.py:"),
        ],
    )
    def test_error_is_one_line(self, run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str) -> None:
        def serve(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("crm_reference.emulator.server.serve", serve)
        found, out, err = run("emulate")

        assert (found, out) == (code, "")
        assert err.lstrip("\n").startswith(said)  # click ends the line on which ^C was typed
        assert err.strip().count("\n") == 0

    def test_traceback_on_request(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def serve(*_: object, **__: object) -> None:
            raise ZeroDivisionError("oops")

        monkeypatch.setattr("crm_reference.emulator.server.serve", serve)
        monkeypatch.setenv(cli.TRACEBACK, "1")

        assert "Traceback" in run("emulate")[2]

    def test_part_that_is_not_installed(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "crm_reference.contract.bundle", None)
        code, _, err = run("bundle")

        assert (code, err.count("\n")) == (1, 1)
        assert "crm_reference.contract.bundle can't be used without" in err


class TestCheckAndRecord:
    def test_record_then_check(self, run: Run, harbour: Path) -> None:
        (harbour / "examples/recorded/berths.json").unlink(missing_ok=True)

        assert run("record") == (0, "wrote examples/recorded/berths.json\n32 exchanges ran, 1 file changed\n", "")
        assert run("record") == (0, "32 exchanges ran, 0 files changed\n", "")
        assert run("check", "--part", "exchanges", "--part", "vectors") == (
            0, "vectors: 0 problems in 2\nexchanges: 0 problems in 32\n", "",
        )  # fmt: skip

    def test_problem_is_a_line_with_its_place_and_exit_1(self, run: Run, edit: Callable[[str, str, str], int]) -> None:
        edit("examples/berths.yaml", "'#/status': free, '#/owner_id'", "'#/status': sunk, '#/owner_id'")
        code, out, err = run("check", "--part", "exchanges", "--only", "createBerth/name-alone")

        assert (code, err) == (1, "")
        assert re.match(r"examples/berths\.yaml:\d+: createBerth/name-alone expects #/status to be 'sunk', and it is 'free'", out)
        assert out.endswith("exchanges: 1 problem in 1\n")

    def test_record_keeps_what_is_wrong_out(self, run: Run, edit: Callable[[str, str, str], int]) -> None:
        edit("examples/berths.yaml", "'#/status': free, '#/owner_id'", "'#/status': sunk, '#/owner_id'")
        code, out, _ = run("record")

        assert code == 1
        assert "1 problem: those keep the recording that they had" in out

    def test_gaps_of_the_trace_are_exit_1(self, run: Run) -> None:
        code, out, _ = run("check", "--part", "trace")

        assert code == 1
        assert "[trace." in out

    def test_only_leaves_the_trace_out(self, run: Run, harbour: Path) -> None:
        contract = load(harbour)
        record(contract, Engine(contract))
        _, out, _ = run("check", "--only", "berths")

        assert [line.partition(":")[0] for line in out.splitlines()[-3:]] == ["lint", "vectors", "exchanges"]

    def test_root_is_found_from_a_folder_below(self, run: Run, harbour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(harbour / "docs")

        assert run("check", "--part", "vectors")[0] == 0


class TestCalls:
    def test_emulate_passes_every_option(self, run: Run, harbour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        got: dict[str, Any] = {}
        monkeypatch.setattr("crm_reference.emulator.server.serve", lambda root, **options: got.update(root=root, **options))
        run(
            "emulate",
            "--host",
            "::1",
            "--port",
            "0",
            "--db",
            "x.db",
            "--world",
            "empty",
            "--clock",
            "world",
            "--no-limits",
            "--site",
            "docs",
        )

        assert got.pop("announce") is click.echo
        assert got == {
            "root": harbour, "host": "::1", "port": 0, "database": Path("x.db"), "world": "empty", "clock": "world",
            "limits": False, "site": Path("docs"),
        }  # fmt: skip

    def test_conform_takes_base_and_token_from_the_environment(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        got: dict[str, Any] = {}

        def conform(contract: object, **options: Any) -> list[str]:
            got.update(options)
            return ["getBerth/one: #/name: documented 'a', answered 'b'"]

        monkeypatch.setitem(sys.modules, "crm_reference.conformance", SimpleNamespace(run=conform))
        monkeypatch.setenv("CRM_BASE", "http://127.0.0.1:1/v1/")
        monkeypatch.setenv("CRM_TOKEN", "t")
        code, out, _ = run("conform", "--only", "getBerth")

        assert got == {"base": "http://127.0.0.1:1", "token": "t", "only": ("getBerth",)}
        assert (code, out.splitlines()[-1]) == (1, "http://127.0.0.1:1: 1 difference")

    def test_bundle_writes_files(self, run: Run, tmp_path: Path) -> None:
        code, out, _ = run("bundle", "--out", str(tmp_path / "out"))

        assert code == 0
        assert list((tmp_path / "out").rglob("*.*"))
        assert re.match(r"\d+ files in ", out)

    def test_bundle_counts_figures(self, run: Run, tmp_path: Path) -> None:
        code, out, _ = run("bundle", "--out", str(tmp_path / "out"), "--figures")

        assert re.search(r"policy class +100\.0%", out)
        assert re.search(r"operations that examples reached live +0\.0%", out)
        assert "  createBerth: none" in out
        assert code == 1

    def test_new_service_names_what_it_wrote(self, run: Run, harbour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def create(root: Path, slug: str, *, title: str) -> list[str]:
            return [f"{root.name} {slug} {title}"]

        monkeypatch.setitem(sys.modules, "crm_reference.scaffold", SimpleNamespace(new_service=create))

        assert run("new-service", "custom-objects") == (0, "wrote harbour custom-objects Custom objects\n", "")


class TestLaws:
    def test_broken_law_is_a_line_with_its_place(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        def verify(*_: object) -> None:
            raise ZeroDivisionError("oops")

        monkeypatch.setattr("crm_reference.emulator.tokens.Tokens.verify", verify)
        code, out, err = run("laws", "--only", "no-token")

        assert (code, err) == (1, "")
        place = "source_specs/berths/openapi.yaml:29"
        assert f"{place}: createBerth: createBerth makes the emulator fail: ZeroDivisionError: oops [law.no-token]\n" in out
        assert out.endswith("laws: 11 problems in 11\n")

    def test_results_are_kept_for_the_trace(self, run: Run, harbour: Path) -> None:
        first, again, forced = run("laws"), run("laws"), run("laws", "--force")

        assert (harbour / "_build/laws/results.json").is_file()
        assert forced == first
        assert again[1] == first[1].rstrip("\n") + f" ({first[1].split()[-1]} of them unchanged since an earlier run)\n"

    def test_results_of_some_laws_are_not(self, run: Run, harbour: Path) -> None:
        assert run("laws", "--only", "no-token", "--only", "public-without-token") == (0, "laws: 0 problems in 13\n", "")
        assert not (harbour / "_build").exists()

    def test_check_runs_them_before_the_trace(self, run: Run) -> None:
        _, out, _ = run("check", "--part", "laws", "--part", "trace")

        assert "laws: " in out.partition("REQ-1: ")[0]
        assert "law_not_run" not in out
