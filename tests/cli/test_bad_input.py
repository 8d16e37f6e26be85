"""Broken input: a clear message with its place, an exit code, no traceback, and nothing half written.

Every case is a real process on a copy of the small project that one thing was broken in.
"""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest
from broken_projects import (
    ASYNCAPI,
    EXAMPLES,
    LINT,
    MANIFEST,
    OPENAPI,
    RECORDED,
    REPLAY,
    WORLD,
    Break,
    add,
    contents,
    gone,
    judge,
    put,
    run,
    swap,
)


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


def twin(root: Path) -> None:
    """Copy the service under another name, operations and all."""
    shutil.copytree(root / "source_specs/berths", root / "source_specs/moorings")


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


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_broken_input(case: Case, harbour: Path) -> None:
    case.breaks(harbour)
    before = contents(harbour)
    ran = run(harbour, *case.command)

    judge(ran, case.code, case.says, case.lines)
    assert contents(harbour) == before
