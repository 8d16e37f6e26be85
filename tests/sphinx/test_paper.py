"""Harbour on paper: typeset by xelatex, with working links and nothing that leaves its line."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from pypdf import PdfReader

#: Points by which a line may leave the measure; a letter has about five.
_TOLERANCE = 8.0


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory, harbour_original: Path, pages: ModuleType) -> Path:
    """Return the typeset volume of berths."""
    missing = [name for name in ("xelatex", "latexmk") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} can't be found; apt-get install texlive-xetex texlive-fonts-recommended latexmk")
    root = tmp_path_factory.mktemp("paper") / "harbour"
    shutil.copytree(harbour_original, root)
    pages.write_pages(root)
    pages.build(root, "-E", builder="latex")
    command = ["latexmk", "-xelatex", "-interaction=nonstopmode", "crm-berths.tex"]
    done = subprocess.run(command, cwd=root / "_build/latex", capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:]
    return root / "_build/latex/crm-berths.pdf"


def test_operations_stand_in_it_and_in_its_outline(volume: Path) -> None:
    reader = PdfReader(volume)
    text = "\n".join(page.extract_text() for page in reader.pages)
    titles = [str(item.title) for part in reader.outline if isinstance(part, list) for item in part if not isinstance(item, list)]

    assert "Create a berth" in text
    assert "berth_name_taken" in text
    assert any("Create a berth" in title for title in titles)


def test_pages_stand_beside_the_sections_of_the_first_one(volume: Path) -> None:
    top = [str(item.title) for item in PdfReader(volume).outline if not isinstance(item, list)]

    assert {"Berths", "Rules", "Build"} <= set(top)


def test_links_lead_to_places_of_the_volume(volume: Path) -> None:
    reader = PdfReader(volume)
    named = set(reader.named_destinations)
    targets = [
        str(note["/A"]["/D"])
        for page in reader.pages
        for note in (n.get_object() for n in page.get("/Annots") or ())
        if note.get("/Subtype") == "/Link" and "/D" in note.get("/A", {})
    ]

    assert len(targets) > 50
    assert {t for t in targets if t not in named} == set()


def test_nothing_leaves_its_line(volume: Path) -> None:
    log = volume.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
    wide = [float(n) for n in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]

    assert [n for n in wide if n > _TOLERANCE] == []
    assert "undefined references" not in log
