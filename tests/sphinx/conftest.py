"""Harbour as a built site, and parts of its pages."""

from __future__ import annotations

import importlib.util
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from bs4 import BeautifulSoup
from docutils import nodes

ROOT = Path(__file__).resolve().parents[2]


def _site_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("harbour_site", ROOT / "tests" / "projects" / "site.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def pages() -> ModuleType:
    """Return the module that writes and builds harbour's pages."""
    return _site_module()


@pytest.fixture
def project(harbour: Path, pages: ModuleType) -> Path:
    """Return the root of a fresh copy with all pages, not built."""
    pages.write_pages(harbour)
    return harbour


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, pages: ModuleType) -> Path:
    """Return the root of a copy that is built without warnings; don't change it."""
    root = tmp_path_factory.mktemp("site") / "harbour"
    shutil.copytree(ROOT / "tests" / "projects" / "harbour", root)
    shutil.copytree(ROOT / "source_specs" / "common", root / "source_specs" / "common")
    pages.write_pages(root)
    pages.build(root, "-E")
    return root


@pytest.fixture(scope="session")
def html(site: Path) -> Callable[[str], BeautifulSoup]:
    """Return a function that returns a built page."""

    def page(name: str) -> BeautifulSoup:
        text = (site / "_build/html" / f"{name}.html").read_text(encoding="utf-8")
        return BeautifulSoup(text.replace("<wbr>", ""), "html.parser")

    return page


@pytest.fixture(scope="session")
def doctree(site: Path) -> Callable[[str], nodes.document]:
    """Return a function that returns a page's doctree as it was read."""

    def tree(name: str) -> nodes.document:
        document = pickle.loads((site / "_build/doctrees" / f"{name}.doctree").read_bytes())
        assert isinstance(document, nodes.document)
        return document

    return tree
