"""A Markdown twin of each page, ``llms.txt``, and one Markdown file a service.

Twins are written with their pages, by whichever process writes those, and only where their text has changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes

from crm_reference.sphinx.downloads import downloads_of
from crm_reference.sphinx.markdown import to_markdown
from crm_reference.sphinx.state import get_state

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_LINK = '<link rel="alternate" type="text/markdown" title="This page as Markdown" href="{}">'


def write_changed(path: Path, text: str) -> bool:
    """Write a file unless it has that text already.

    :return: Whether it was written.
    """
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return True


def _write_twin(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    if not isinstance(doctree, nodes.document) or app.builder.format != "html" or not get_state(app.config).settings.twins:
        return
    context["metatags"] = context.get("metatags", "") + _LINK.format(pagename.rpartition("/")[2] + ".md")
    context["crm_twin"] = pagename.rpartition("/")[2] + ".md"
    write_changed(Path(app.outdir) / f"{pagename}.md", to_markdown(doctree, app.builder, pagename))


def _write_lists(app: Sphinx, exception: Exception | None) -> None:
    state = get_state(app.config)
    if exception is not None or app.builder.format != "html" or not state.settings.twins:
        return
    out = Path(app.outdir)
    lines = [f"# {app.config.project}", "", f"> {_first_paragraph(out / 'index.md')}", ""]
    groups: dict[str, list[str]] = {}
    for docname in sorted(app.env.found_docs):
        top, _, rest = docname.partition("/")
        key = f"services/{rest.partition('/')[0]}" if top == "services" else (top if rest else "")
        groups.setdefault(key, []).append(docname)
    for key, docnames in sorted(groups.items()):
        slug = key.partition("/")[2]
        service = state.contract.services.get(slug)
        lines += [f"## {service.title if service else (key or 'Start here').capitalize()}", ""]
        if service is not None:
            lines.append(f"- [All of {service.title} in one file]({key}.md): every page below, one after the other")
            if state.settings.downloads:
                lines += [f"- [{d.title}]({d.path}): {d.text}" for d in downloads_of(service)]
            ordered = sorted(docnames, key=lambda d: (not d.endswith("/index"), d))
            write_changed(out / f"{key}.md", "\n".join(_read(out / f"{d}.md") for d in ordered))
        for docname in docnames:
            title = app.env.titles[docname].astext() if docname in app.env.titles else docname
            lines.append(f"- [{title}]({docname}.md): {_first_paragraph(out / f'{docname}.md')}")
        lines.append("")
    write_changed(out / "llms.txt", "\n".join(lines))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _first_paragraph(path: Path) -> str:
    for block in _read(path).split("\n\n"):
        if block and not block.startswith(("#", "-", "|", "`", "*", "!")):
            return " ".join(block.split())
    return ""


def setup_twins(app: Sphinx) -> None:
    """Write twins with their pages, and lists at the end."""
    app.connect("html-page-context", _write_twin)
    app.connect("build-finished", _write_lists)
