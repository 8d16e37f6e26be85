"""What a reader downloads stands beside the pages and is linked from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import yaml
from bs4 import BeautifulSoup


def test_every_link_leads_to_a_file(site: Path, html: Callable[[str], BeautifulSoup]) -> None:
    page = "services/berths/index"
    links = [str(a["href"]) for a in html(page).select(".downloads a")]
    files = [(site / "_build/html" / page).parent.joinpath(link).resolve() for link in links]

    assert [f.name for f in files][:4] == ["openapi.yaml", "openapi.json", "asyncapi.yaml", "postman.json"]
    assert any(f.parent.name == "vectors" for f in files)
    assert all(f.is_file() for f in files)
    assert "createBerth" in files[0].read_text(encoding="utf-8")
    assert yaml.safe_load(files[0].read_text(encoding="utf-8")) == json.loads(files[1].read_text(encoding="utf-8"))


def test_catalogue_links_the_document_of_all_services(site: Path, html: Callable[[str], BeautifulSoup]) -> None:
    link = html("catalogues/schemas").select_one(".downloads a")

    assert link is not None
    assert (site / "_build/html/catalogues" / str(link["href"])).resolve().is_file()


def test_llms_txt_lists_them(site: Path) -> None:
    assert "(_downloads/berths/openapi.yaml)" in (site / "_build/html/llms.txt").read_text(encoding="utf-8")


def test_changed_contract_writes_them_again(project: Path, pages: ModuleType) -> None:
    pages.build(project, "-E")
    written = project / "_build/html/_downloads/berths/openapi.json"
    manifest = project / "source_specs/berths/openapi.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("summary: Create a berth", "summary: Make a berth"), "utf-8")
    pages.build(project)

    assert "Make a berth" in written.read_text(encoding="utf-8")


def test_unknown_service_is_warned_about(harbour: Path, pages: ModuleType) -> None:
    pages.write_pages(harbour, {"index": "# Index\n\nAll.\n\n```{crm:downloads} boats\n```\n"})

    assert "there is no service boats" in pages.build(harbour, "-E", strict=False)
