"""A build of the small project's doctests, in this process."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from crm_reference.contract import load
from crm_reference.emulator import Engine
from crm_reference.emulator.registry import COMPUTATIONS
from crm_reference.exchanges import record

_EXTENSION = """
from crm_reference.sphinx import doctests, state


def setup(app):
    state.setup_state(app)
    doctests.setup_doctests(app)
    return {"parallel_read_safe": True}
"""

_CONF = """
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
extensions = ["myst_parser", "harbour_extension"]
"""


@dataclass(frozen=True)
class Build:
    """What a build said and left."""

    code: int
    status: str
    warnings: str
    results: list[dict[str, Any]]

    def outcome(self, example: str) -> str:
        return str(next(r["outcome"] for r in self.results if r["example"] == example))


@pytest.fixture(autouse=True)
def name_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMPUTATIONS, ("berths", "name_key"), lambda r: {"key": r["name"].casefold()})


@pytest.fixture
def page(harbour: Path) -> Callable[..., int]:
    """Return a function that writes a page of doctest blocks and returns the line of the first example."""

    def write(*blocks: str, name: str = "berths", option: str = "", group: str = "") -> int:
        parts = ["# Berths", "", "A page that runs.", ""]
        for block in blocks:
            parts += [f"```{{doctest}} {group}".rstrip(), *filter(None, [option]), *block.strip("\n").split("\n"), "```", ""]
        (harbour / "docs" / f"{name}.md").write_text("\n".join(parts), encoding="utf-8")
        return 6 + bool(option)

    return write


@pytest.fixture
def build(harbour: Path) -> Callable[..., Build]:
    """Return a function that runs the doctest builder."""
    (harbour / "conf.py").write_text(_CONF, encoding="utf-8")
    (harbour / "harbour_extension.py").write_text(_EXTENSION, encoding="utf-8")
    (harbour / "docs/berths.md").write_text("# Berths\n\nNothing runs here.\n", encoding="utf-8")
    contract = load(harbour, cache=False)
    record(contract, Engine(contract))

    def run(parallel: int = 1) -> Build:
        status, warnings = io.StringIO(), io.StringIO()
        out = harbour / "_build/doctest"
        with patch_docutils(harbour), docutils_namespace():
            app = Sphinx(
                harbour / "docs", harbour, out, harbour / "_build/doctrees", "doctest",
                status=status, warning=warnings, parallel=parallel,
            )  # fmt: skip
            app.build()
        results = json.loads((out / "results.json").read_text(encoding="utf-8"))
        return Build(app.statuscode, status.getvalue(), warnings.getvalue(), results)

    return run
