"""The gate in a build: sections that tell facets, one warning for each gap, and ``needs.json``.

Builders of HTML say what is missing, each time they run, with type ``trace`` and the subtypes of
:class:`crm_reference.trace.gaps.Subtype`. Others print the pages and keep silent: the doctest builder makes the very evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakKeyDictionary

from docutils import nodes
from sphinx.domains import Domain
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from crm_reference.sphinx.domain import get_domain
from crm_reference.sphinx.markup import reference_node
from crm_reference.sphinx.state import get_state
from crm_reference.sphinx.trace_pages import PAGE_DIRECTIVES, TraceView, ViewWriter
from crm_reference.trace import Report, Section, gate, needs
from crm_reference.trace.gaps import Subtype
from crm_reference.trace.report import dump_needs

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

logger = logging.getLogger(__name__)

#: Name of the export in the HTML output.
NEEDS = "needs.json"

#: Reports of the builds that run in this process. A report is made once all pages are read.
_reports: WeakKeyDictionary[BuildEnvironment, Report] = WeakKeyDictionary()


class covers(nodes.Part, nodes.Element):  # noqa: N801  (docutils names nodes in lower case)
    """Marks the section around it as telling facets; what it shows stands in its children."""


class Covers(SphinxDirective):
    """``{crm:covers} REQ-1.1-crud REQ-1.1-search``: the section around it tells these facets, named there or in the content."""

    optional_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Show the IDs as links, and leave their section to be found once the page is whole."""
        ids = [id for text in (*self.arguments, *self.content) for id in text.split()]
        mark = covers(requirements=ids, line=self.lineno)
        paragraph = nodes.paragraph("", "Covers ", classes=["crm-covers"])
        for index, id in enumerate(ids):
            if index:
                paragraph += nodes.Text(" \N{MIDDLE DOT} ")
            paragraph += reference_node("requirement", id, code=True)
        mark += paragraph
        return [mark]


class TraceDomain(Domain):
    """Sections that tell facets, by page. What can be referred to belongs to the domain ``crm``."""

    name = "crm_trace"
    label = "Trace"
    initial_data: ClassVar[dict[str, Any]] = {"sections": {}}
    data_version = 1

    @property
    def pages(self) -> dict[str, list[tuple[str, Section]]]:
        """Facet and section, by page."""
        return self.data["sections"]  # type: ignore[no-any-return]  # as initial_data has it

    def sections(self) -> dict[str, tuple[Section, ...]]:
        """Return the sections by the ID that they name, in the order of pages."""
        found: dict[str, tuple[Section, ...]] = {}
        for docname in sorted(self.pages):
            for id, section in self.pages[docname]:
                found[id] = (*found.get(id, ()), section)
        return found

    def process_doc(self, env: BuildEnvironment, docname: str, document: nodes.document) -> None:
        """Note the sections of a page that was read."""
        if noted := list(_marked(document, docname)):
            self.pages[docname] = noted

    def clear_doc(self, docname: str) -> None:
        """Forget what stood on a page."""
        self.pages.pop(docname, None)

    def merge_domaindata(self, docnames: Iterable[str], otherdata: dict[str, Any]) -> None:
        """Take over what another process noted on its pages."""
        wanted = set(docnames)
        self.pages.update({d: noted for d, noted in otherdata["sections"].items() if d in wanted})

    def resolve_any_xref(self, *_: Any) -> list[tuple[str, nodes.reference]]:
        """Resolve nothing."""
        return []


def _marked(document: nodes.document, docname: str) -> Iterator[tuple[str, Section]]:
    for mark in document.findall(covers):
        parent = mark.parent
        while parent is not None and not isinstance(parent, nodes.section):
            parent = parent.parent
        heading = parent.next_node(nodes.title) if parent is not None else None
        title = heading.astext() if heading is not None else ""
        anchor = str(parent["ids"][0]) if parent is not None and parent["ids"] else ""
        yield from ((id, Section(docname, mark["line"], title, anchor)) for id in mark["requirements"])


def get_report(env: BuildEnvironment) -> Report:
    """Return the report of a build whose pages are all read."""
    report = _reports.get(env)
    if report is None:
        state = get_state(env.config)
        domain = env.domains["crm_trace"]
        assert isinstance(domain, TraceDomain)
        report = _reports[env] = gate(
            state.root,
            state.contract,
            sections=domain.sections(),
            results=state.root / state.settings.results,
            catalogue=frozenset(name for kind, name in get_domain(env).objects if kind == "error"),
        )
    return report


def _needs(app: Sphinx, report: Report) -> bytes:
    data = needs(get_state(app.config).contract, report, project=str(app.config.project), version=str(app.config.version))
    return dump_needs(data)


def _write_again(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return the matrix pages where they are no longer true, or where the gate has something to say again.

    Without a page Sphinx takes the build for done and never reaches the gate, so that a second build would pass.
    """
    _reports.pop(env, None)
    if app.builder.format != "html":  # deciding costs a second, and no other builder says anything
        return []
    report = get_report(env)
    written = Path(app.outdir) / NEEDS
    fresh = written.is_file() and written.read_bytes() == _needs(app, report)
    pages: set[str] = getattr(env, "crm_trace_pages", set())
    return [] if fresh and not report.gaps else sorted(pages & set(env.all_docs))


def _check(app: Sphinx, env: BuildEnvironment) -> None:
    if app.builder.format != "html":
        return
    gaps = get_report(env).gaps
    if unrun := [gap.facet for gap in gaps if gap.subtype is Subtype.law_not_run]:
        logger.info("%d facets rest on laws that weren't run on this contract; `make laws` runs them", len(unrun))
    for gap in gaps:
        logger.warning("%s", gap.message, location=gap.location, type="trace", subtype=gap.subtype.value)


def _export(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        data, path = _needs(app, get_report(app.env)), Path(app.outdir) / NEEDS
        if not path.is_file() or path.read_bytes() != data:
            path.write_bytes(data)


def _fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the tables in the place of views, now that all evidence is known."""
    writer: ViewWriter | None = None
    for view in list(doctree.findall(TraceView)):
        writer = writer or ViewWriter(get_state(app.config).contract, get_report(app.env), docname)
        view.replace_self(writer.tables(view["view"], view["subject"]))


def _pass(self: Any, node: nodes.Element) -> None:
    """Print the children of a mark, and nothing around them."""


def _purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    env.__dict__.setdefault("crm_trace_pages", set()).discard(docname)


def _merge(app: Sphinx, env: BuildEnvironment, docnames: Any, other: BuildEnvironment) -> None:
    pages: set[str] = env.__dict__.setdefault("crm_trace_pages", set())
    pages |= getattr(other, "crm_trace_pages", set()) & set(docnames)


#: Directives that stand in the domain ``crm``.
TRACE_DIRECTIVES: dict[str, type[SphinxDirective]] = {"covers": Covers, **PAGE_DIRECTIVES}


def setup_trace(app: Sphinx) -> None:
    """Register the directives, the sections' domain, and the gate."""
    app.add_domain(TraceDomain)
    for name, directive in TRACE_DIRECTIVES.items():
        app.add_directive_to_domain("crm", name, directive)
    visitors = (_pass, _pass)
    app.add_node(covers, html=visitors, latex=visitors, text=visitors, man=visitors, texinfo=visitors)
    app.add_node(TraceView)
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
    app.connect("env-updated", _write_again)
    app.connect("env-check-consistency", _check)
    app.connect("doctree-resolved", _fill, priority=400)
    app.connect("build-finished", _export)
