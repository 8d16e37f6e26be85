"""Broken input: a clear message with its place, an exit code, no traceback, and nothing half written.

Every case is a real process on a copy of the small project that one thing was broken in.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
OPENAPI, ASYNCAPI = "source_specs/berths/openapi.yaml", "source_specs/berths/asyncapi.yaml"
MANIFEST, EXAMPLES = "source_specs/berths/service.yaml", "examples/berths.yaml"
WORLD, RECORDED = "examples/world/harbour.yaml", "examples/recorded/berths.json"

#: Breaks a project.
Break = Callable[[Path], object]
LINT, REPLAY = ("check", "--part", "lint"), ("check", "--part", "exchanges")


@dataclass(frozen=True)
class Case:
    """Something broken.

    :param command: Arguments of ``crm-reference``; ``{root}`` stands for the project.
    :param says: Pattern of a line of the message.
    :param lines: How many lines the message has; 0 where others than ours write some of it.
    """

    name: str
    breaks: Break
    command: tuple[str, ...]
    says: str
    code: int = 1
    lines: int = 1


def put(name: str, content: bytes | str) -> Break:
    """Return a break that writes a file."""
    data = content.encode() if isinstance(content, str) else content

    def write(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    return write


def swap(name: str, old: str, new: str) -> Break:
    """Return a break that replaces text which stands once in a file."""

    def replace(root: Path) -> None:
        text = (root / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name} has the text {text.count(old)} times: {old!r}"
        (root / name).write_text(text.replace(old, new), encoding="utf-8")

    return replace


def add(name: str, text: str) -> Break:
    """Return a break that appends text to a file."""
    return lambda root: (root / name).write_text((root / name).read_text(encoding="utf-8") + text, encoding="utf-8")


def gone(name: str) -> Break:
    """Return a break that removes a file or a folder."""
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def twin(root: Path) -> None:
    """Copy the service under another name, operations and all."""
    shutil.copytree(root / "source_specs/berths", root / "source_specs/moorings")


def every_cache_file_cut(root: Path) -> None:
    """Cut the files of the parse cache in half."""
    for path in (root / ".cache").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other_database(root: Path) -> None:
    """Write a database of another program."""
    with sqlite3.connect(root / "world.db") as db:
        db.execute("create table changes (what text)")
    db.close()


def nothing(root: Path) -> None:
    """Break nothing: the command is what's wrong."""


SECURITY = "    oauth2: {$ref: '../common/security.yaml#/oauth2'}"
GIVEN = "    given: [deleteBerth/one]\n    request:\n      body: {name: North Quay 1}"
CIRCLE = "    A: {$ref: '#/components/schemas/B'}\n    B: {$ref: '#/components/schemas/A'}\n"
MAYA = "    - {id: usr_01KDVDNA000000000000000001, object: user, name: Maya Okafor}"
CASES = [
    # YAML
    Case("yaml-syntax", swap(EXAMPLES, "createBerth:\n", "createBerth: {\n"), LINT, rf"{EXAMPLES}:\d+: is not YAML: "),
    Case(
        "tab",
        swap(MANIFEST, "boundary:\n  owns", "boundary:\n\towns"),
        LINT,
        rf"{MANIFEST}:7: is not YAML: .*tab|{MANIFEST}:7: is not YAML: .*token",
    ),
    Case(
        "duplicate-key",
        swap(MANIFEST, "title: Berths\n", "title: Berths\ntitle: Berth\n"),
        LINT,
        rf"{MANIFEST}:3: has the key 'title' twice in one mapping",
    ),
    Case("not-utf-8", put(ASYNCAPI, b"asyncapi: \xff\xfe\n"), LINT, rf"{ASYNCAPI}:1: is not UTF-8 text"),
    Case("empty-file", put(MANIFEST, ""), LINT, rf"{MANIFEST}:1: is empty"),
    Case("comment-only", put(EXAMPLES, "# nothing\n"), LINT, rf"{EXAMPLES}:1: is empty"),
    Case("list-for-mapping", put(OPENAPI, "- a\n- b\n"), LINT, rf"{OPENAPI}:1: is a list, and must be a mapping"),
    Case("text-for-mapping", put(MANIFEST, "berths\n"), LINT, rf"{MANIFEST}:1: is a single value, and must be a mapping"),
    Case(
        "list-of-exchanges",
        put(EXAMPLES, "createBerth:\n  - one\n"),
        LINT,
        rf'{EXAMPLES}:1: /createBerth: \["one"\] is not of type "object"',
        lines=0,
    ),
    Case(
        "exchange-without-request",
        put(EXAMPLES, "createBerth:\n  one:\n    summary: Create\n"),
        LINT,
        rf'{EXAMPLES}:2: /createBerth/one: "request" is a required property',
        lines=0,
    ),
    Case(
        "paths-are-a-list",
        swap(OPENAPI, "paths:\n", "paths: []\nx-paths:\n"),
        LINT,
        rf"{OPENAPI}:27: paths must be a mapping",
    ),
    Case(
        "requirements-are-a-list",
        put("source_specs/requirements.yaml", "- REQ-1\n"),
        LINT,
        r"source_specs/requirements\.yaml:1: is a list, and must be a mapping",
    ),
    Case(
        "number-for-list",
        swap(MANIFEST, "operations: [searchBerths, countBerths]", "operations: 7"),
        LINT,
        rf"{MANIFEST}:\d+: .*: 7 is not of type \"array\"",
        lines=0,
    ),
    Case(
        "text-for-exchange",
        put(EXAMPLES, "getBerth:\n  one: {summary: Get a berth, request: text, expect: {status: 200}}\n"),
        REPLAY,
        rf"{EXAMPLES}:2: /getBerth/one/request: \"text\" is not of type \"object\"",
    ),
    Case(
        "list-for-record", swap(WORLD, MAYA, "    - [usr_01KDVDNA000000000000000001]"), REPLAY, rf"{WORLD}:\d+: /records/users/0: "
    ),
    # references
    Case(
        "dangling-file",
        swap(OPENAPI, SECURITY, SECURITY.replace("security", "safety")),
        LINT,
        rf"{OPENAPI}:438: \$ref names \.\./common/safety\.yaml#/oauth2; there is no such file",
        lines=2,
    ),
    Case(
        "dangling-pointer",
        swap(OPENAPI, SECURITY, SECURITY.replace("/oauth2", "/oauth3")),
        LINT,
        rf"{OPENAPI}:438: \$ref names \S+#/oauth3; source_specs/common/security\.yaml has no 'oauth3' there",
        lines=2,
    ),
    Case(
        "circular-reference",
        swap(OPENAPI, "    BerthStatus:\n", CIRCLE + "    BerthStatus:\n"),
        LINT,
        rf"{OPENAPI}:\d+: .*(circle|itself|comes back)",
        lines=0,
    ),
    # names
    Case(
        "unknown-requirement",
        swap(OPENAPI, "x-requirements: [REQ-1.1-reservation]", "x-requirements: [REQ-1.1-parking]"),
        LINT,
        rf"{OPENAPI}:\d+: .*REQ-1\.1-parking",
        lines=0,
    ),
    Case(
        "unknown-facet-in-covers",
        add("docs/berths.md", "\n```{crm:covers} REQ-9.9-nothing\n```\n"),
        ("check", "--part", "trace"),
        r"docs/berths\.md:5: .*REQ-9\.9-nothing",
        lines=0,
    ),
    Case("duplicate-operation-id", twin, LINT, r"source_specs/moorings/openapi\.yaml:\d+: .*createBerth", lines=0),
    Case(
        "unknown-operation",
        add(EXAMPLES, "sinkBerth:\n  one: {summary: Sink a berth, request: {}, expect: {status: 200}}\n"),
        REPLAY,
        rf"{EXAMPLES}:277: .*sinkBerth",
        lines=0,
    ),
    Case(
        "expect-not-met",
        swap(EXAMPLES, "'#/status': free, '#/owner_id'", "'#/status': sunk, '#/owner_id'"),
        (*REPLAY, "--only", "createBerth/name-alone"),
        rf"{EXAMPLES}:16: createBerth/name-alone expects #/status to be 'sunk', and it is 'free'",
        lines=2,
    ),
    Case(
        "given-loops",
        swap(EXAMPLES, GIVEN, GIVEN.replace("deleteBerth/one", "createBerth/name-of-the-deleted")),
        REPLAY,
        rf"{EXAMPLES}:\d+: createBerth/name-of-the-deleted comes back to .* through given",
        lines=0,
    ),
    Case(
        "given-nothing",
        swap(EXAMPLES, GIVEN, GIVEN.replace("/one", "/two")),
        REPLAY,
        rf"{EXAMPLES}:\d+: createBerth/name-of-the-deleted names deleteBerth/two in its given, and there is no such exchange",
        lines=0,
    ),
    Case(
        "unknown-principal",
        swap(
            EXAMPLES,
            "    summary: Bring a deleted berth back\n    as: tomas",
            "    summary: Bring a deleted berth back\n    as: thomas",
        ),
        (*REPLAY, "--only", "restoreBerth/deleted"),
        rf"{EXAMPLES}:\d+: restoreBerth/deleted is called as thomas, and the world has only maya, ",
        lines=2,
    ),
    Case(
        "unknown-reference",
        swap(EXAMPLES, "cursor: '${listBerths/first-page#/next_cursor}'", "cursor: '${listBerths/first-page#/next}'"),
        (*REPLAY, "--only", "listBerths/last-page"),
        rf"{EXAMPLES}:59: listBerths/last-page refers to \$\{{listBerths/first-page#/next\}}, and that answer has no such member",
        lines=2,
    ),
    Case(
        "unknown-vector",
        swap("examples/vectors/berths/name-key.yaml", "computation: name_key", "computation: name_lock"),
        ("check", "--part", "vectors"),
        r"examples/vectors/berths/name-key\.yaml:\d+: .*name_lock",
        lines=0,
    ),
    # files
    Case(
        "missing-service-file",
        gone(ASYNCAPI),
        LINT,
        rf"{ASYNCAPI}:1: the service berths lacks asyncapi\.yaml; `crm-reference new-service berths` writes them",
    ),
    Case(
        "missing-source-specs",
        gone("source_specs"),
        LINT,
        r"source_specs/common/:1: \S+ has no such folder; run this in the project's root, or name the root",
    ),
    Case(
        "missing-common-file",
        gone("source_specs/common/errors.yaml"),
        LINT,
        r"source_specs/common/errors\.yaml:1: can't be read: No such file or directory",
    ),
    Case("folder-for-file", lambda root: (gone(WORLD)(root), (root / WORLD).mkdir()), ("check", "--part", "vectors"), rf"{WORLD}"),
    Case("recorded-is-no-json", put(RECORDED, b'{"createBerth/every-field": '), REPLAY, rf"{RECORDED}:1: is not JSON: "),
    Case("recorded-is-a-list", put(RECORDED, b"[1, 2]"), REPLAY, rf"{RECORDED}:1: is a list, and must be a mapping"),
    Case(
        "database-is-no-database",
        put("world.db", b"a text that is no database" * 99),
        ("emulate", "--port", "0", "--db", "world.db"),
        r"crm-reference: world\.db: can't be used as a database \(.*\); name another file, or remove this one",
    ),
    Case(
        "database-of-another-program",
        other_database,
        ("emulate", "--port", "0", "--db", "world.db"),
        r"crm-reference: world\.db: can't be used as a database \(it belongs to another program\)",
    ),
    Case(
        "database-is-a-folder",
        nothing,
        ("emulate", "--port", "0", "--db", "docs"),
        r"Error: Invalid value for '--db': File 'docs' is a directory",
        2,
        0,
    ),
    Case(
        "database-in-no-folder",
        nothing,
        ("emulate", "--port", "0", "--db", "no/world.db"),
        r"crm-reference: no/world\.db: can't be used as a database",
    ),
    Case(
        "output-below-a-file",
        nothing,
        ("bundle", "--out", "docs/index.md/bundle"),
        r"crm-reference: docs/index\.md/bundle.*: Not a directory",
    ),
    Case("output-is-a-file", nothing, ("bundle", "--out", "docs/index.md"), r"'--out': Directory 'docs/index\.md' is a file", 2, 0),
    # wrong commands
    Case("wrong-flag", nothing, ("check", "--fast"), r"Error: No such option", 2, 0),
    Case("wrong-command", nothing, ("fly",), r"Error: No such command 'fly'", 2, 0),
    Case("wrong-world", nothing, ("emulate", "--world", "moon"), r"'moon' is not one of 'brightwater', 'empty'", 2, 0),
    Case("wrong-port", nothing, ("emulate", "--port", "http"), r"'http' is not a valid integer", 2, 0),
    Case(
        "wrong-host",
        nothing,
        ("emulate", "--host", "no such host", "--port", "0"),
        r"crm-reference: can't listen on no such host port 0: ",
    ),
    Case("unknown-only", nothing, ("check", "--only", "ships"), r"--only: ships is no service, operation or exchange", 2, 0),
    Case(
        "unknown-law",
        nothing,
        ("laws", "--only", "gravity"),
        r"--only: gravity is no law; there are baseline-exchange, batch-agrees, ",
        2,
        0,
    ),
    Case(
        "bad-base",
        nothing,
        ("conform", "--base", "localhost:8640"),
        r"'localhost:8640' is no base URL; write http://127\.0\.0\.1:8640",
        2,
        0,
    ),
    Case(
        "nobody-at-base",
        nothing,
        ("conform", "--base", "http://127.0.0.1:1"),
        r"crm-reference: nothing answers at http://127\.0\.0\.1:1; start the service, or correct --base",
    ),
    Case(
        "base-of-no-host",
        nothing,
        ("conform", "--base", "http://no-such-host.invalid"),
        r"crm-reference: nothing answers at http://no-such-host\.invalid",
    ),
    Case(
        "new-service-twice",
        nothing,
        ("new-service", "berths"),
        r"source_specs/requirements\.yaml:1: source_specs/berths/openapi\.yaml exists already",
    ),
    Case(
        "new-service-of-nothing",
        nothing,
        ("new-service", "ships"),
        r"source_specs/requirements\.yaml:1: no criterion of \S+ is about ships; it knows berths",
    ),
    Case("site-is-missing", nothing, ("emulate", "--site", "_build/html"), r"'_build/html' does not exist", 2, 0),
]


def contents(root: Path) -> dict[str, bytes]:
    """Return every file of a project but those of the parse cache."""
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file() and ".cache" not in p.parts}


def run(
    root: Path, *command: str, prefix: tuple[str, ...] = (), program: str = "crm-reference"
) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("CRM_", "PYTEST"))} | {"COLUMNS": "200"}
    return subprocess.run(
        [*prefix, str(BIN / program), *command], cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def judge(ran: subprocess.CompletedProcess[str], code: int, says: str, lines: int = 0) -> None:
    said = ran.stdout + ran.stderr
    assert "Traceback" not in said
    assert "a bug," not in said
    assert ran.returncode == code, said
    assert re.search(rf"^.*{says}", said, re.MULTILINE), said
    assert not lines or len(said.splitlines()) == lines, said


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_broken_input(case: Case, harbour: Path) -> None:
    case.breaks(harbour)
    before = contents(harbour)
    ran = run(harbour, *case.command)

    judge(ran, case.code, case.says, case.lines)
    assert contents(harbour) == before


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
    def site(self, harbour: Path) -> Iterator[Path]:
        (harbour / "conf.py").write_text('extensions = ["myst_parser", "crm_reference.sphinx"]\nexclude_patterns = ["_build"]\n')
        yield harbour

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
        assert re.search(rf"{EXAMPLES}:\d+: is not YAML: ", ran.stderr), ran.stderr
        assert not list((site / "_build").rglob("*.html"))
