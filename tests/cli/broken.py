"""Projects that something was broken in, and the processes that are told to work on them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

BIN = Path(sys.executable).parent
OPENAPI, ASYNCAPI = "source_specs/berths/openapi.yaml", "source_specs/berths/asyncapi.yaml"
MANIFEST, EXAMPLES = "source_specs/berths/service.yaml", "examples/berths.yaml"
WORLD, RECORDED = "examples/world/harbour.yaml", "examples/recorded/berths.json"

#: Breaks a project.
Break = Callable[[Path], object]
LINT, REPLAY = ("check", "--part", "lint"), ("check", "--part", "exchanges")


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
