"""The gate in real builds of harbour."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from crm_reference.contract import load
from crm_reference.trace import write_laws
from crm_reference.trace.evidence import LAWS, RESULTS

pytestmark = [
    pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning"),  # sphinxcontrib-openapi imports it
]

CONF = """
project = "Harbour"
version = "1.0"
extensions = ["myst_parser", "sphinxcontrib.httpdomain", "crm_reference.sphinx"]
html_theme = "basic"
"""
PAGES = {
    "index": "# Harbour\n\n```{toctree}\nberths\nrequirements\n```\n",
    "berths": "# Berths\n\nA berth is a place.\n\n## Keep berths\n\n```{crm:covers} REQ-1.1-crud REQ-1.1-search\n```\n\n"
    "```{crm:covers}\nREQ-1.1-reservation\nREQ-8.5-health REQ-8.5-monitoring\n```\n",
    "requirements": "# Requirements\n\n```{crm:summary}\n```\n\n```{crm:open}\n```\n\n```{crm:by-service}\n```\n\n"
    "```{crm:matrix} REQ-1\n```\n\n```{crm:matrix} REQ-8\n```\n",
}


#: Fields of needs.json that hold texts.
LISTS = ("sections_told", "operations", "exchanges", "capabilities", "awaits", "gaps")


@dataclass
class Site:
    """A project that is built again and again."""

    root: Path

    def page(self, name: str, text: str) -> None:
        (self.root / "docs" / f"{name}.md").write_text(text, encoding="utf-8")

    def results(self, **changes: dict[str, Any]) -> None:
        """Write results in which every exchange passed live, but for changes by exchange ID."""
        entries = []
        for exchange in load(self.root).exchanges.values():
            hits = [{"operation": exchange.operation, "status": exchange.status, "live": True}]
            entry = {
                "example": exchange.id,
                "place": str(exchange.place),
                "outcome": "passed",
                "kind": "exchange",
                "hits": hits,
                "hash": "",
            }
            entries.append({**entry, **changes.get(exchange.id, {})})
        path = self.root / RESULTS
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(entries), encoding="utf-8")

    def build(self, builder: str = "html", *, parallel: int = 0, **settings: Any) -> list[str]:
        """Build, and return the trace's warnings."""
        warnings, out = io.StringIO(), self.root / "_build"
        places = (self.root / "docs", self.root, out / builder, out / "doctrees", builder)
        with patch_docutils(str(self.root)), docutils_namespace():
            app = Sphinx(*places, confoverrides=settings, status=None, warning=warnings, parallel=parallel)
            app.build()
        return [line for line in re.sub(r"\x1b\[[\d;]*m", "", warnings.getvalue()).splitlines() if "[trace." in line]

    def html(self, name: str) -> str:
        return (self.root / "_build" / "html" / f"{name}.html").read_text(encoding="utf-8")

    @property
    def needs(self) -> dict[str, Any]:
        data = json.loads((self.root / "_build" / "html" / "needs.json").read_text(encoding="utf-8"))
        return data["versions"]["1.0"]["needs"]


@pytest.fixture
def site(harbour: Path, evidence: Any) -> Site:
    """Return harbour with pages and evidence that cover everything."""
    made = Site(harbour)
    (harbour / "conf.py").write_text(CONF, encoding="utf-8")
    for name, text in PAGES.items():
        made.page(name, text)
    made.results()
    write_laws(harbour / LAWS, load(harbour), [entry for entries in evidence.laws.values() for entry in entries])
    return made


class TestGate:
    def test_covered_build_says_nothing_and_is_not_repeated(self, site: Site) -> None:
        assert site.build() == []
        page = site.root / "_build" / "html" / "requirements.html"
        before = page.stat().st_mtime_ns

        assert site.build() == []
        assert before == page.stat().st_mtime_ns

    def test_gap_is_said_at_its_place_in_every_build(self, site: Site) -> None:
        site.page("berths", PAGES["berths"].replace(" REQ-1.1-search", ""))

        for _ in range(2):
            (warning,) = site.build()
            assert "no section tells REQ-1.1-search" in warning
            assert warning.startswith("source_specs/requirements.yaml:")
            assert warning.endswith("[trace.no_chapter]")

    def test_changed_evidence_alone_reaches_the_pages(self, site: Site) -> None:
        site.build()
        assert "1 of 1 capabilities proved" in site.html("requirements")
        site.results(**{"countBerths/free": {"hits": [{"operation": "countBerths", "status": 200, "live": False}]}})

        (warning,) = site.build()

        assert warning.endswith("[trace.scripted_only]")
        assert "0 of 1 capabilities proved" in site.html("requirements")

        site.results()
        assert site.build() == []
        assert "0 of 1 capabilities proved" not in site.html("requirements")

    def test_unknown_id_is_said_at_its_line_with_what_is_near(self, site: Site) -> None:
        site.page("berths", PAGES["berths"].replace("REQ-1.1-search", "REQ-1.1-search REQ-1.1-serch"))

        (warning,) = site.build()

        assert "docs/berths.md:7: WARNING: REQ-1.1-serch is no requirement; near it are REQ-1.1-search" in warning
        assert warning.endswith("[trace.unknown_id]")

    @pytest.mark.parametrize(
        ("subtype", "file", "old", "new"),
        [
            (
                "no_operation",
                "source_specs/berths/openapi.yaml",
                "x-requirements: [REQ-8.5-monitoring]",
                "x-requirements: [REQ-8.5-health]",
            ),
            ("no_capability", "source_specs/berths/service.yaml", "  REQ-1.1-reservation:", "  REQ-1.1-search-too:"),
            (
                "unnamed_facet",
                "source_specs/berths/openapi.yaml",
                "x-requirements: [REQ-1.1-search]",
                "x-requirements: [REQ-1.1-crud]",
            ),
            ("unproved_capability", RESULTS, '"example": "countBerths/free"', '"example": "countBerths/none"'),
            ("failed_example", RESULTS, '"outcome": "passed"', '"outcome": "failed"'),
            ("wrong_hit", RESULTS, '"operation": "countBerths"', '"operation": "searchBerths"'),
            ("too_few_subjects", "source_specs/requirements.yaml", "floor: 10", "floor: 99"),
            ("unknown_rule", "source_specs/requirements.yaml", "rule: grouping", "rule: groping"),
            ("violation", "source_specs/berths/openapi.yaml", "tags: [berths]", "tags: [berths, operate]"),
            ("law_not_run", "examples/berths.yaml", "summary: Probe readiness", "summary: Probe whether it is ready"),
        ],
    )
    def test_each_level_fails_the_build(self, site: Site, subtype: str, file: str, old: str, new: str) -> None:
        path = site.root / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

        assert any(warning.endswith(f"[trace.{subtype}]") for warning in site.build())

    def test_subtype_can_be_suppressed(self, site: Site) -> None:
        site.page("berths", PAGES["berths"].replace(" REQ-1.1-search", ""))

        assert site.build(suppress_warnings=["trace.no_chapter"]) == []

    def test_other_builders_keep_silent(self, site: Site) -> None:
        site.page("berths", PAGES["berths"].replace(" REQ-1.1-search", ""))

        assert site.build("text") == []
        assert len(site.build("html")) == 1

    def test_page_that_goes_takes_its_sections_along(self, site: Site) -> None:
        site.build()
        (site.root / "docs" / "berths.md").unlink()
        site.page("index", PAGES["index"].replace("berths\n", ""))

        assert len(site.build()) == 5

    def test_parallel_build_finds_the_same(self, site: Site) -> None:
        site.page("berths", PAGES["berths"].replace(" REQ-1.1-search", ""))
        first, needs = site.build(), site.needs
        for path in (site.root / "_build" / "doctrees").glob("*"):
            path.unlink()

        assert first == site.build(parallel=2)
        assert needs == site.needs


class TestPages:
    def test_each_level_has_its_anchor(self, site: Site) -> None:
        site.build()
        html = site.html("requirements")

        for requirement in load(site.root).requirements.values():
            assert f'id="{requirement.anchor}"' in html

    def test_facets_lead_to_their_section_and_back(self, site: Site) -> None:
        site.build()

        assert 'href="berths.html#keep-berths"' in site.html("requirements")
        assert 'href="requirements.html#req-1-1-crud"' in site.html("berths")

    def test_open_page_says_why(self, site: Site) -> None:
        site.page("berths", PAGES["berths"].replace(" REQ-1.1-search", ""))
        site.build()

        assert "no section tells REQ-1.1-search" in site.html("requirements")

    def test_nothing_open(self, site: Site) -> None:
        site.build()

        assert "Every facet is covered." in site.html("requirements")

    def test_matrix_of_no_requirement(self, site: Site, caplog: Callable[..., Any]) -> None:
        site.page("requirements", "# Requirements\n\n```{crm:matrix} REQ-1.1\n```\n")

        site.build()

        assert "crm-table" not in site.html("requirements")


class TestNeeds:
    def test_has_every_requirement_with_its_evidence(self, site: Site) -> None:
        site.build()
        facet = site.needs["REQ-1_1-crud"]

        assert set(load(site.root).requirements) == {n["requirement"] for n in site.needs.values()}
        assert (facet["status"], facet["links"], facet["sections_told"]) == ("covered", ["REQ-1_1"], ["berths#keep-berths"])
        assert "createBerth/every-field" in facet["exchanges"]

    def test_sphinx_needs_imports_it(self, site: Site, tmp_path: Path) -> None:
        site.build()
        other = tmp_path / "other"
        other.mkdir()
        (other / "needs.json").write_bytes((site.root / "_build" / "html" / "needs.json").read_bytes())
        texts = {"type": "array", "items": {"type": "string"}}
        fields: dict[str, Any] = {name: {"description": name, "schema": texts} for name in LISTS}
        fields["requirement"] = {"description": "ID in the catalogue", "schema": {"type": "string"}}
        fields["subject_count"] = {"description": "Subjects of the rule", "schema": {"type": "integer"}}
        types = [{"directive": d, "title": d, "prefix": "", "color": "", "style": "node"} for d in ("req", "criterion", "facet")]
        (other / "conf.py").write_text(
            f'extensions = ["sphinx_needs"]\nneeds_fields = {fields!r}\nneeds_types = {types!r}\nneeds_id_regex = "^REQ-.*"\n',
            encoding="utf-8",
        )
        (other / "index.rst").write_text("Other\n=====\n\n.. needimport:: needs.json\n   :version: 1.0\n", encoding="utf-8")
        # A process of its own: sphinx-needs uses what Sphinx warns about, and keeps what it knows in module state.
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "needs", str(other), str(other / "out")]
        run = subprocess.run(command, capture_output=True, text=True, check=False)

        assert (run.returncode, run.stderr) == (0, "")
        imported = json.loads((other / "out" / "needs.json").read_text(encoding="utf-8"))
        shelf = imported["versions"][imported["current_version"]]["needs"]
        assert set(site.needs) == set(shelf)
        assert shelf["REQ-1_1-crud"]["links"] == ["REQ-1_1"]
        assert (shelf["REQ-1_1-crud"]["type"], shelf["REQ-1_1-crud"]["requirement"]) == ("facet", "REQ-1.1-crud")
