"""The Makefile: its help, and what it says where it can't go on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def make(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Return a folder with the Makefile and nothing installed."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_help_names_every_target_that_people_call() -> None:
    listed = re.findall(r"^\s+\S*?m?(\.?[a-z]+)\s*\S*\s", re.sub(r"\x1b\[\d*m", "", make("help").stdout), re.MULTILINE)
    wanted = {"html", "test", "doctest", "check", "record", "bundle", "pdf", "emulate", "serve", "bench", "judges", "clean", "help"}

    assert wanted <= set(listed)
    assert make().stdout == make("help").stdout


def test_old_python_is_refused_in_one_line(copy: Path) -> None:
    old = copy / "python3.9"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && { echo "Python 3.9.18"; exit 0; }\nexit 1\n')
    old.chmod(0o755)
    ran = make(f"PYTHON={old}", "html", folder=copy)

    assert ran.returncode != 0
    assert f"{old} is 3.9.18, and this needs 3.11 or newer; name one: make PYTHON=python3.12" in ran.stdout
    assert not (copy / ".venv").exists()


def test_missing_python_is_named(copy: Path) -> None:
    ran = make("PYTHON=python9", "html", folder=copy)

    assert "There is no python9; install Python 3.11 or newer" in ran.stdout


def test_clean_keeps_the_environment(copy: Path) -> None:
    for name in ("_build/html", ".cache/contract", ".venv"):
        (copy / name).mkdir(parents=True)
    make("clean", folder=copy)

    assert sorted(p.name for p in copy.iterdir() if p.is_dir()) == [".venv"]


def test_ci_runs_the_same_command() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")

    assert script.rstrip().endswith("exec make test")
    assert os.access(ROOT / ".ci/run", os.X_OK)
