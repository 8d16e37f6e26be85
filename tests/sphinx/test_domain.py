"""References: those that hold, those that don't, and those to what is still to come."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from bs4 import BeautifulSoup

_OPERATIONS = "```{openapi} ../source_specs/berths/openapi.yaml\n:operations: createBerth\n```\n"


def _build(root: Path, pages: ModuleType, **texts: str) -> str:
    index = "# Index\n\nAll.\n\n```{toctree}\n" + "\n".join(texts) + "\n```\n"
    pages.write_pages(root, {"index": index, **texts})
    return str(pages.build(root, "-E", strict=False))


def test_operation_that_stands_twice(harbour: Path, pages: ModuleType) -> None:
    log = _build(harbour, pages, one=f"# One\n\n{_OPERATIONS}", two=f"# Two\n\n{_OPERATIONS}")

    assert "the operation createBerth is described twice, in one and here" in log
    assert "[crm.duplicate]" in log


def test_operation_that_stands_twice_in_two_processes(harbour: Path, pages: ModuleType) -> None:
    texts = {f"p{n}": f"# P{n}\n\nText.\n" for n in range(6)}
    _build(harbour, pages, one=f"# One\n\n{_OPERATIONS}", **texts, two=f"# Two\n\n{_OPERATIONS}")
    log = pages.build(harbour, "-E", "-j", "2", strict=False)

    assert "createBerth is described twice" in log


def test_unknown_operation(harbour: Path, pages: ModuleType) -> None:
    log = _build(harbour, pages, one="# One\n\nSee {crm:operation}`createBoat`.\n")

    assert "crm:operation reference target not found: createBoat" in log


def test_service_that_is_still_to_come(harbour: Path, pages: ModuleType) -> None:
    catalogue = harbour / "source_specs/requirements.yaml"
    text = catalogue.read_text(encoding="utf-8")
    catalogue.write_text(
        text + "REQ-2:\n  title: More\n  text: More.\n  criteria:\n    REQ-2.1:\n      title: Ships\n      text: Ships.\n"
        "      service: ships\n      facets:\n        crud: {title: Ships, text: Make ships.}\n",
        encoding="utf-8",
    )
    log = _build(harbour, pages, one="# One\n\nSee {crm:service}`ships` and {crm:scope}`ships.read`.\n")

    assert "WARNING" not in log, log


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```{openapi} ../source_specs/berths/openapi.yaml\n:tag: boats\n```", "has no operation with the tag boats"),
        ("```{openapi} ../source_specs/berths/openapi.yaml\n:operations: createBoat\n```", "has no operation createBoat"),
        ("```{openapi} ../source_specs/boats/openapi.yaml\n```", "no service of the contract has the document"),
        ("```{crm:rules} boats\n```", "there is no service boats"),
        ("```{crm:fields} Boat\n```", "no resource has the schema or the collection Boat"),
        ("```{crm:vectors} berths/none\n```", "berths has no vectors none"),
    ],
)
def test_directive_about_what_is_not_there(harbour: Path, pages: ModuleType, text: str, said: str) -> None:
    if "boats/openapi" in text:
        folder = harbour / "source_specs/common/boats"
        folder.mkdir()
        (folder / "openapi.yaml").write_text("openapi: 3.1.0\n", encoding="utf-8")
        text = text.replace("source_specs/boats", "source_specs/common/boats")
    log = _build(harbour, pages, one=f"# One\n\nText.\n\n{text}\n")

    assert said in log
    assert "[crm.unknown]" in log
    assert "one.md:5" in log


def test_broken_contract_stops_the_build_with_its_place(project: Path, pages: ModuleType) -> None:
    spec = project / "source_specs/berths/openapi.yaml"
    spec.write_text(spec.read_text(encoding="utf-8").replace("schemas/BerthPage'}", "schemas/BerthSheet'}", 1), encoding="utf-8")
    log = pages.build(project, "-E", strict=False)

    assert "BerthSheet" in log
    assert "source_specs/berths/openapi.yaml:" in log


def test_deprecated_operation_names_its_replacement_and_its_end(harbour: Path, pages: ModuleType) -> None:
    spec = harbour / "source_specs/berths/openapi.yaml"
    text = spec.read_text(encoding="utf-8")
    marked = "operationId: createBerth\n      deprecated: true\n      x-replaced-by: reserveBerth\n      x-sunset: '2027-03-01'\n"
    spec.write_text(text.replace("operationId: createBerth\n", marked, 1), encoding="utf-8")
    operations = _OPERATIONS.replace("createBerth", "createBerth reserveBerth")
    _build(harbour, pages, one=f"# One\n\n{operations}")
    page = BeautifulSoup((harbour / "_build/html/one.html").read_text(encoding="utf-8"), "html.parser")
    said = page.select_one("#createBerth .op-deprecated")

    assert said is not None
    assert said.get_text() == "Deprecated: it stops answering on 2027-03-01. Use reserveBerth instead."
    assert said.select_one('a[href="#reserveBerth"]') is not None
    assert page.select_one("#createBerth .b-deprecated") is not None


def test_section_says_which_facets_it_covers(harbour: Path, pages: ModuleType) -> None:
    _build(harbour, pages, one="# One\n\n```{crm:covers} REQ-1.1-crud REQ-1.1-search\n```\n\nText.\n")
    page = BeautifulSoup((harbour / "_build/html/one.html").read_text(encoding="utf-8"), "html.parser")
    said = page.select_one("p.crm-covers")

    assert said is not None
    assert said.get_text() == "Covers REQ-1.1-crud \N{MIDDLE DOT} REQ-1.1-search"
