"""Fixtures that the tests of all packages share: a small project to change, and the real one to read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from crm_reference.contract import Contract, Library, load
from crm_reference.contract.build import CACHE

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def harbour_original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the root of a copy of harbour that nobody changes, its documents parsed into its cache."""
    root = tmp_path_factory.mktemp("original") / "harbour"
    shutil.copytree(ROOT / "tests" / "projects" / "harbour", root)
    shutil.copytree(ROOT / "source_specs" / "common", root / "source_specs" / "common")
    for path in [*root.glob("source_specs/**/*.yaml"), *root.glob("examples/**/*.yaml")]:
        document = Library(root, root / CACHE).open(path.relative_to(root).as_posix())
        _ = document.data, document.lines
    return root


@pytest.fixture
def harbour(tmp_path: Path, harbour_original: Path) -> Path:
    """Return the root of a copy of ``tests/projects/harbour`` with the real ``source_specs/common``, to be changed at will."""
    root = tmp_path / "harbour"
    shutil.copytree(harbour_original, root)
    return root


@pytest.fixture(scope="session")
def contract() -> Contract:
    """Return the real project's contract."""
    return load(ROOT)


@pytest.fixture
def edit(harbour: Path) -> Callable[[str, str, str], int]:
    """Return a function that replaces text in one of harbour's files.

    Its parameters are the file's name below the root, the old text (which must stand there once) and the new one. It returns the
    1-based line on which the change begins.
    """

    def change(name: str, old: str, new: str) -> int:
        path = harbour / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name} has the text {text.count(old)} times: {old!r}"
        path.write_text(text.replace(old, new), encoding="utf-8")
        return text[: text.index(old)].count("\n") + 1

    return change


@pytest.fixture
def read_only() -> Callable[[Path], None]:
    """Return a function that makes a folder refuse writes, and skips the test where the user may write anyway."""

    def refuse(folder: Path) -> None:
        folder.chmod(0o500)
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write everywhere")

    return refuse
