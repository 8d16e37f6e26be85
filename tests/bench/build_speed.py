"""Building pages: CPU seconds a thousand operations, of this renderer and of sphinxcontrib-openapi's own httpdomain renderer.

Both build the same synthetic corpus of 33 services. The stock renderer gets the bundle, whose parts are inlined, since it hangs on
references between files, and shows one example an operation; ours shows everything that the contract says, writes a Markdown twin
of each page, and makes that bundle as well.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from crm_reference.contract import load
from crm_reference.contract.bundle import write_bundle

sys.path.insert(0, str(Path(__file__).parent))
import corpus

SERVICES = 33

_OURS = """
project = "corpus"
extensions = ["myst_parser", "sphinx_design", "sphinxcontrib.openapi", "crm_reference.sphinx"]
html_theme = "furo"
crm_root = {root!r}
"""

_STOCK = """
project = "corpus"
extensions = ["sphinxcontrib.openapi"]
html_theme = "furo"
openapi_default_renderer = "httpdomain"
"""


def main() -> None:
    """Print CPU seconds of each build, of a rebuild without a change, and the ratio."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        root = corpus.write(base / "corpus", SERVICES)
        contract = load(root)
        write_bundle(contract, base / "bundle")
        count = len(contract.operations)
        ours = _ours(base, root, list(contract.services))
        stock = _stock(base, list(contract.services))
        rows = {
            "stock httpdomain": _build(stock, base / "stock-html"),
            "this renderer": _build(ours, base / "ours-html"),
            "this renderer, nothing changed": _build(ours, base / "ours-html"),
        }
        for out in ("stock-html", "ours-html"):
            _proved(base / out, count)
    print(f"{count} operations in {SERVICES} services")
    for name, seconds in rows.items():
        print(f"{name:<32} {seconds:7.1f} s CPU  {1000 * seconds / count:7.1f} s per thousand")
    print(f"ratio {rows['this renderer'] / rows['stock httpdomain']:.2f}")


def _ours(base: Path, root: Path, slugs: list[str]) -> Path:
    docs = root / "docs"
    docs.mkdir()
    (docs / "conf.py").write_text(_OURS.format(root=str(root)))
    for slug in slugs:
        (docs / f"{slug}.md").write_text(f"# {slug}\n\n```{{openapi}} ../source_specs/{slug}/openapi.yaml\n```\n")
    (docs / "index.md").write_text("# Corpus\n\n```{toctree}\n" + "\n".join(slugs) + "\n```\n")
    return docs


def _stock(base: Path, slugs: list[str]) -> Path:
    docs = base / "stock"
    docs.mkdir()
    (docs / "conf.py").write_text(_STOCK)
    for slug in slugs:
        # The directive takes a path from the source folder on, even where it begins with a slash.
        (docs / f"{slug}.rst").write_text(f"{slug}\n{'=' * len(slug)}\n\n.. openapi:: ../bundle/{slug}/openapi.yaml\n")
    (docs / "index.rst").write_text("Corpus\n======\n\n.. toctree::\n\n" + "".join(f"   {s}\n" for s in slugs))
    return docs


def _proved(out: Path, count: int) -> None:
    """Make sure that the pages hold the operations: a build of nothing is quick."""
    text = "".join(page.read_text(encoding="utf-8") for page in out.glob("service-*.html"))
    found = text.count('<section class="operation') or text.count('<dl class="http')
    if found < count:
        sys.exit(f"{out.name} shows {found} of {count} operations")


def _build(docs: Path, out: Path) -> float:
    """Build serially and return the CPU seconds of the process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", str(docs), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=3600)
    if done.returncode:
        sys.exit(f"a build failed after {time.monotonic() - begin:.0f} s:\n{done.stderr[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


if __name__ == "__main__":
    main()
