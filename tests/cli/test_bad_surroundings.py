"""What the machine refuses, what looks broken and isn't, and broken pages: real processes, as in ``test_bad_input``."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from broken_projects import BIN, EXAMPLES, LINT, OPENAPI, RECORDED, add, contents, judge, put, run, swap


def every_cache_file_cut(root: Path) -> None:
    """Cut the files of the parse cache in half."""
    for path in (root / ".cache").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class TestSystem:
    """What the machine refuses."""

    def test_port_in_use(self, harbour: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            ran = run(harbour, "emulate", "--port", str(port))

        judge(ran, 1, rf"crm-reference: port {port} is in use; choose another one with --port, or 0 for any that is free", lines=1)

    def test_privileged_port(self, harbour: Path) -> None:
        first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
        if first <= 81:
            pytest.skip("this system lets everybody use low ports")
        ran = run(harbour, "emulate", "--port", "81", prefix=without("net_bind_service"))

        judge(ran, 1, r"crm-reference: port 81 may not be used by this user; choose one above 1023 with --port", lines=1)

    @pytest.mark.parametrize(
        ("folder", "command"),
        [(".", ("bundle", "--out", "out")), ("examples/recorded", ("record",)), ("docs", ("new-service", "harbour-lights"))],
    )
    def test_read_only_folder(self, folder: str, command: tuple[str, ...], harbour: Path) -> None:
        add("source_specs/requirements.yaml", LIGHTS)(harbour)
        swap(EXAMPLES, "status: 200, '#/count': 1", "status: 200, '#/count': 1, '#/total': null")(harbour)
        shutil.rmtree(harbour / "docs")
        (harbour / "docs").mkdir()
        (harbour / RECORDED).write_text("{}")
        before = contents(harbour)
        (harbour / folder).chmod(0o500)
        (harbour / RECORDED).chmod(0o400)
        ran = run(harbour, *command, prefix=without("dac_override"))
        (harbour / folder).chmod(0o700)

        judge(ran, 1, r"crm-reference: \S+: Permission denied")
        assert contents(harbour) == before

    def test_database_in_a_read_only_folder(self, harbour: Path) -> None:
        (harbour / "docs").chmod(0o500)
        ran = run(harbour, "emulate", "--port", "0", "--db", "docs/world.db", prefix=without("dac_override"))

        judge(ran, 1, r"crm-reference: docs/world\.db: can't be used as a database", lines=1)

    def test_cache_that_cannot_be_written_is_done_without(self, harbour: Path) -> None:
        shutil.rmtree(harbour / ".cache")
        harbour.chmod(0o500)
        ran = run(harbour, "check", "--part", "vectors", prefix=without("dac_override"))
        harbour.chmod(0o700)

        assert "Traceback" not in ran.stderr
        assert "vectors: " in ran.stdout

    def test_reader_that_goes_away(self, harbour: Path) -> None:
        command = f"{BIN / 'crm-reference'} check | head -1"
        ran = subprocess.run(command, shell=True, cwd=harbour, capture_output=True, text=True, timeout=120, check=False)

        assert len(ran.stdout.splitlines()) == 1
        assert "Traceback" not in ran.stderr


LIGHTS = """REQ-2:
  title: Lights
  text: Lights.
  criteria:
    REQ-2.1:
      title: Lights
      text: The reference documents lights.
      service: harbour-lights
      facets:
        crud: {title: Lights, text: Make and change lights.}
"""


def without(capability: str) -> tuple[str, ...]:
    """Return the beginning of a command that runs without a capability of the superuser; nothing for other users."""
    if os.geteuid():
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("the superuser may do everything, and setpriv isn't there to take it away")
    return ("setpriv", f"--bounding-set=-{capability}")


class TestGoodInput:
    """What looks broken and isn't."""

    def test_cyclic_schema(self, harbour: Path) -> None:
        swap(
            OPENAPI,
            "    BerthReservation:\n",
            "    Pier:\n      type: object\n      description: A pier.\n      properties:\n"
            "        piers: {type: array, description: Its piers., maxItems: 9, items: {$ref: '#/components/schemas/Pier'}}\n"
            "    BerthReservation:\n",
        )(harbour)
        swap(
            OPENAPI,
            "      required: [ends_at]\n      properties:\n",
            "      required: [ends_at]\n      properties:\n        pier: {$ref: '#/components/schemas/Pier'}\n",
        )(harbour)
        linted, bundled = run(harbour, *LINT), run(harbour, "bundle", "--out", "out")

        assert "Traceback" not in linted.stderr + bundled.stderr
        assert bundled.returncode == 0
        assert list((harbour / "out").rglob("*openapi*"))

    def test_corrupt_cache(self, harbour: Path) -> None:
        every_cache_file_cut(harbour)
        ran = run(harbour, "bundle", "--out", "out")

        assert (ran.returncode, ran.stderr) == (0, "")
        assert re.fullmatch(r"\d+ files in out\n", ran.stdout)

    def test_corrupt_results_are_none(self, harbour: Path) -> None:
        for name in ("_build/laws/results.json", "_build/laws/services.json", "_build/doctest/results.json"):
            put(name, b'{"key": "')(harbour)
        gate = run(harbour, "check", "--part", "trace")
        laws = run(harbour, "laws")

        judge(gate, 1, r"_build/doctest/results\.json:1: the examples weren't run")
        assert "Traceback" not in laws.stderr
        assert re.search(r"laws: \d+ problems in \d+", laws.stdout)


class TestPages:
    """Broken pages, told by sphinx-build."""

    @pytest.fixture
    def site(self, harbour: Path) -> Path:
        (harbour / "conf.py").write_text('extensions = ["myst_parser", "crm_reference.sphinx"]\nexclude_patterns = ["_build"]\n')
        return harbour

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("```{crm:covers} REQ-9.9-nothing\n```", r"docs/berths\.md:5: WARNING: REQ-9\.9-nothing is no requirement"),
            ("```{openapi} ../source_specs/ships/openapi.yaml\n```", r"docs/berths\.md:5: .*source_specs/ships/openapi\.yaml"),
            ("```{openapi} ../source_specs/berths/openapi.yaml\n:operations: sinkBerth\n```", r"docs/berths\.md:5: .*sinkBerth"),
            ("```{crm:charter} ships\n```", r"docs/berths\.md:5: .*ships"),
            ("See {crm:operation}`sinkBerth`.", r"docs/berths\.md:5: .*sinkBerth"),
        ],
        ids=["facet", "document", "operation", "service", "role"],
    )
    def test_broken_page(self, site: Path, text: str, says: str) -> None:
        add("docs/berths.md", f"\n{text}\n")(site)
        ran = run(site, "-c", ".", "-b", "html", "-q", "docs", "_build/html", program="sphinx-build")

        assert "Traceback" not in ran.stderr
        assert re.search(rf"^\S*{says}", ran.stderr, re.MULTILINE), ran.stderr

    def test_broken_contract(self, site: Path) -> None:
        swap(EXAMPLES, "createBerth:\n", "createBerth: {\n")(site)
        ran = run(site, "-c", ".", "-b", "html", "-q", "docs", "_build/html", program="sphinx-build")

        assert ran.returncode != 0
        assert "Traceback" not in ran.stderr
        assert re.search(rf"{EXAMPLES}:\d+: ERROR: is not YAML: ", ran.stderr), ran.stderr
        assert not list((site / "_build").rglob("*.html"))
