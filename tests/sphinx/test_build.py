"""Builds: clean, parallel, and quick where nothing or little changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote, urldefrag

import pytest
from bs4 import BeautifulSoup


def _stamps(root: Path) -> dict[str, int]:
    """Return when each page and twin was written; index and search pages are Sphinx's, written every time."""
    out = root / "_build/html"
    found = [*out.glob("services/**/*.*"), *out.glob("catalogues/*.*"), out / "errors.html", out / "llms.txt"]
    return {p.relative_to(out).as_posix(): p.stat().st_mtime_ns for p in found}


def _read(log: str) -> set[str]:
    return {line.split("] ")[1].strip() for line in log.splitlines() if line.startswith("reading sources...") and "] " in line}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, harbour_original: Path, pages: ModuleType) -> Path:
    """Return the root of a built project that the tests of this module change one after the other.

    Each brings it to rest first, which is quick.
    """
    root = tmp_path_factory.mktemp("kept") / "harbour"
    shutil.copytree(harbour_original, root)
    index = pages.PAGES["index"].replace("errors\n", "errors\nplain\n", 1)
    pages.write_pages(root, {**pages.PAGES, "plain": "# Plain\n\nNothing of the contract.\n", "index": index})
    pages.build(root, "-E")
    return root


def test_two_processes_write_the_same_pages(project: Path, pages: ModuleType, site: Path) -> None:
    pages.build(project, "-E", "-j", "2")

    for name in ("services/berths/berths", "errors", "services/berths/events"):
        for ending in ("html", "md"):
            mine, theirs = (r / "_build/html" / f"{name}.{ending}" for r in (project, site))

            assert mine.read_text(encoding="utf-8") == theirs.read_text(encoding="utf-8"), name


def test_unchanged_project_reads_and_writes_nothing(kept: Path, pages: ModuleType) -> None:
    before = _stamps(kept)
    log = pages.build(kept)

    assert _read(log) == set()
    assert _stamps(kept) == before


def test_changed_page_alone_is_read(kept: Path, pages: ModuleType) -> None:
    page = kept / "docs/services/berths/run.md"
    page.write_text(page.read_text(encoding="utf-8") + "\nMore.\n", encoding="utf-8")

    assert _read(pages.build(kept)) == {"services/berths/run"}


def test_changed_exchange_rebuilds_pages_of_its_service(kept: Path, pages: ModuleType) -> None:
    recorded = kept / "examples/recorded/berths.json"
    recorded.write_text(recorded.read_text(encoding="utf-8").replace("South Pier", "West Pier"), encoding="utf-8")
    read = _read(pages.build(kept))

    assert "services/berths/berths" in read
    assert "plain" not in read
    assert "West Pier" in (kept / "_build/html/services/berths/berths.html").read_text(encoding="utf-8")


def test_new_file_of_examples_outdates_the_chapter(kept: Path, pages: ModuleType) -> None:
    folder = kept / "examples/vectors/berths"
    text = (folder / "name-key.yaml").read_text(encoding="utf-8")
    (folder / "another.yaml").write_text(text.replace("Key of a", "Another key of a"), encoding="utf-8")

    assert "services/berths/build" in _read(pages.build(kept))


def test_new_results_write_pages_and_read_none(kept: Path, pages: ModuleType) -> None:
    page = kept / "_build/html/services/berths/reservations.html"
    assert "b-executed" not in page.read_text(encoding="utf-8")

    entries = ", ".join(
        f'{{"example": "{name}", "outcome": "passed"}}'
        for name in json.loads((kept / "examples/recorded/berths.json").read_text(encoding="utf-8"))
    )
    results = kept / "_build/doctest/results.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(f"[{entries}]", encoding="utf-8")
    log = pages.build(kept)

    assert _read(log) <= {"index"}, log
    assert "b-executed" in page.read_text(encoding="utf-8")


def test_every_link_of_every_page_leads_somewhere(site: Path) -> None:
    out = site / "_build/html"
    soups = {p: BeautifulSoup(p.read_text(encoding="utf-8"), "html.parser") for p in out.rglob("*.html")}
    anchors = {p: {e["id"] for e in s.find_all(id=True)} for p, s in soups.items()}
    broken = []
    for path, soup in soups.items():
        for link in soup.select("article a[href]"):
            address, fragment = urldefrag(unquote(str(link["href"])))
            if "://" in address or address.startswith(("mailto:", "/")):
                continue
            target = (path.parent / address).resolve() if address else path
            if target.suffix == ".html" and (not target.is_file() or (fragment and fragment not in anchors[target])):
                broken.append(f"{path.relative_to(out)}: {link['href']}")

    assert broken == []


def test_no_anchor_stands_twice_on_a_page(site: Path) -> None:
    for path in (site / "_build/html").rglob("*.html"):
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        found = [e["id"] for e in soup.select("article [id]")]

        assert len(found) == len(set(found)), (path.name, {i for i in found if found.count(i) > 1})


def test_paper_has_every_operation_and_its_links(project: Path, pages: ModuleType) -> None:
    pages.build(project, "-E", builder="latex")
    text = (project / "_build/latex/crm-berths.tex").read_text(encoding="utf-8")

    assert r"\label{\detokenize{services/berths/berths:createBerth}}" in text
    assert r"\hyperref[\detokenize{services/berths/schemas:Berth}]" in text
    assert r"\begin{longtable}" in text
    assert r"\begin{sphinxVerbatim}" in text


def test_twin_holds_what_the_page_holds(site: Path, html: Callable[[str], BeautifulSoup]) -> None:
    twin = (site / "_build/html/services/berths/berths.md").read_text(encoding="utf-8")

    for words in ("## Create a berth", "`POST /berths`", "`name` (string", "berth_name_taken", "curl -i", "300 requests a minute"):
        assert words in twin, words
    link = html("services/berths/berths").find("link", rel="alternate", type="text/markdown")
    assert link is not None
    assert link["href"] == "berths.md"


def test_llms_txt_lists_pages_and_whole_services(site: Path) -> None:
    text = (site / "_build/html/llms.txt").read_text(encoding="utf-8")

    assert "(services/berths/rules.md)" in text
    assert "(services/berths.md)" in text
    whole = (site / "_build/html/services/berths.md").read_text(encoding="utf-8")
    assert "## Create a berth" in whole and "# Rules" in whole


def test_what_a_section_called_is_drawn_on_paper_too(project: Path, pages: ModuleType) -> None:
    section = '\n## {0}\n\n```{{doctest}}\n>>> crm.get("/v1/berths{1}").status_code\n200\n```\n\n```{{crm:called}} {0} drawn\n```\n'
    story = "# Looking\n\nA page of its own.\n" + section.format("Many", "") + section.format("Few", "?limit=1")
    pages.write_pages(project, {"index": "# Harbour\n\n```{toctree}\nstory\n```\n", "story": story})
    pages.build(project, "-E", builder="doctest", strict=False)  # the recorded answers are made up, and the story's are not
    pages.build(project, "-E", builder="latex")
    text = next((project / "_build/latex").glob("*.tex")).read_text(encoding="utf-8")

    assert "drawing of these calls" not in text
    assert text.count("{GET /berths \N{RIGHTWARDS ARROW} 200}") == 2
