"""The requirement pages: a summary, a matrix for each requirement, what is open, and the view by service.

Directives leave their headings and anchors while a page is read, and a :class:`TraceView` for each table. What the tables say is
known only when every page was read, so :class:`ViewWriter` makes them when the page is written.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from docutils import nodes

from crm_reference.contract import Contract, Requirement
from crm_reference.sphinx.directives import ContractDirective
from crm_reference.sphinx.state import note_documents
from crm_reference.sphinx.tables import Cell, Row, code, exchange, group, joined, md, plain, ref, row, rubric, table
from crm_reference.trace import FacetReport, Gap, Report, Section, State, Subtype
from crm_reference.trace.report import by_service
from crm_reference.trace.rules.laws import laws_of

#: Words for a state, as tables show it.
STATE_WORDS = {State.covered: "covered", State.gap: "gap", State.open: "open"}

#: Most gaps that a row of the open items lists; the rest is counted.
_MOST = 6


class TraceView(nodes.General, nodes.Element):
    """Stands where a table will be. Attributes: ``view`` and ``subject``."""


class TraceDirective(ContractDirective):
    """A directive of the requirement pages."""

    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        """Note the page as one that shows evidence, and print."""
        self.env.__dict__.setdefault("crm_trace_pages", set()).add(self.docname)
        note_documents(self.env, ["source_specs/requirements.yaml"])
        return list(self.render())

    @abstractmethod
    def render(self) -> Sequence[nodes.Node]:
        """Return what the directive prints."""

    def view(self, view: str, subject: str = "") -> TraceView:
        """Return a place for a table."""
        return TraceView(view=view, subject=subject)

    def note(self, requirement: Requirement) -> None:
        """Make a requirement's place on this page known to references."""
        location = self.get_location()
        self.crm.note("requirement", requirement.id, self.docname, requirement.anchor, requirement.title, location=location)


class Matrix(TraceDirective):
    """``{crm:matrix} REQ-1``: a section for each criterion, with a row for each facet."""

    required_arguments = 1

    def render(self) -> Sequence[nodes.Node]:
        """Return the requirement's text and its criteria."""
        name = str(self.arguments[0])
        requirement = self.contract.requirements.get(name)
        if requirement is None or requirement.kind != "requirement":
            return self.warn("crm:matrix: %s is no requirement; name REQ-1 to REQ-10", name)
        self.note(requirement)
        target = nodes.paragraph("", requirement.text, ids=[requirement.anchor])
        found: list[nodes.Node] = [target]
        for criterion in self.contract.requirements.values():
            if criterion.parent == name:
                found.append(self._criterion(criterion))
        return found

    def _criterion(self, criterion: Requirement) -> nodes.section:
        section = nodes.section(ids=[criterion.anchor], names=[])
        section += nodes.title("", f"{criterion.id} {criterion.title}")
        section += nodes.paragraph("", criterion.text)
        section += self.view("criterion", criterion.id)
        self.note(criterion)
        facets = self.contract.facets(criterion.id)
        for facet in facets:
            self.note(facet)
        if any(laws_of(facet.id) for facet in facets):
            section += rubric("Laws")
            section += self.view("laws", criterion.id)
        return section


class Summary(TraceDirective):
    """``{crm:summary}``: how many facets of each requirement are covered."""

    def render(self) -> Sequence[nodes.Node]:
        """Return one table."""
        return [self.view("summary")]


class Open(TraceDirective):
    """``{crm:open}``: every facet that is not covered, and why."""

    def render(self) -> Sequence[nodes.Node]:
        """Return one table."""
        return [self.view("open")]


class ByService(TraceDirective):
    """``{crm:by-service}``: the facets that each service offers or serves."""

    def render(self) -> Sequence[nodes.Node]:
        """Return one table."""
        return [self.view("services")]


PAGE_DIRECTIVES: dict[str, type[TraceDirective]] = {"matrix": Matrix, "summary": Summary, "open": Open, "by-service": ByService}


class ViewWriter:
    """Writes the tables of one page from the report."""

    def __init__(self, contract: Contract, report: Report, docname: str) -> None:
        self._contract = contract
        self._report = report
        self._docname = docname

    def tables(self, view: str, subject: str) -> list[nodes.Node]:
        """Return what stands in the place of a view."""
        views = {
            "criterion": self._criterion,
            "summary": self._summary,
            "open": self._open,
            "services": self._services,
            "laws": self._laws,
        }
        return list(views[view](subject))

    def _criterion(self, criterion: str) -> Iterator[nodes.Node]:
        facets = [f for f in self._report.facets.values() if f.requirement.parent == criterion]
        rows = [self._facet(f, anchor=f.requirement.anchor) for f in facets]
        heads = ("Facet", "State", "Told in", "Operations", "Evidence")
        yield table(f"Facets of {criterion}", heads, rows, self._docname, widths=(24, 9, 20, 22, 25))

    def _facet(self, facet: FacetReport, *, anchor: str = "") -> Row:
        requirement = facet.requirement
        name = joined([plain(requirement.title), ref("requirement", requirement.id)], " \N{MIDDLE DOT} ")
        return row(
            joined([name, plain(requirement.text)], ": "),
            _state(facet.state),
            joined(map(_section, facet.sections)),
            joined(ref("operation", o) for o in facet.operations),
            self._evidence(facet),
            anchor=anchor,
        )

    def _evidence(self, facet: FacetReport) -> Cell:
        """Return what proves a facet, or why it isn't proved."""
        found = []
        if facet.capabilities:
            proved = sum(c.proved for c in facet.capabilities)
            found.append(plain(f"{proved} of {len(facet.capabilities)} capabilities proved"))
        if facet.requirement.rule and not facet.requirement.needs:
            found.append(plain(f"{len(facet.subjects)} subjects, at least {facet.requirement.floor} needed"))
        if violations := sum(g.subtype is Subtype.violation for g in facet.gaps):
            found.append(plain(f"{violations} violations"))
        if facet.exchanges:
            found.append(joined(exchange(e.partition("/")[0], e.partition("/")[2], e) for e in facet.exchanges))
        if reason := waiting(facet):
            found.append(plain(reason))
        return joined(found, "; ")

    def _laws(self, criterion: str) -> Iterator[nodes.Node]:
        rows = [
            row(ref("requirement", facet.id, facet.title), code(law.name), md(law.text))
            for facet in self._contract.facets(criterion)
            for law in laws_of(facet.id)
        ]
        yield table(
            f"Laws of {criterion}",
            ("Facet", "Law", "What is done, and what must come of it"),
            rows,
            self._docname,
            widths=(18, 18, 64),
        )

    def _summary(self, _: str) -> Iterator[nodes.Node]:
        rows = []
        for requirement in self._contract.requirements.values():
            if requirement.kind == "requirement":
                title = joined([ref("requirement", requirement.id), plain(requirement.title)], " ")
                rows.append(row(title, *self._counts(requirement.id)))
        rows.append(row(plain("All"), *self._counts("")))
        heads = ("Requirement", "Facets", "Covered", "With gaps", "Open")
        yield table("Coverage by requirement", heads, rows, self._docname, widths=(52, 12, 12, 12, 12))

    def _counts(self, below: str) -> list[Cell]:
        counts = [self._report.count(state, below=below) for state in (State.covered, State.gap, State.open)]
        return [plain(str(n)) for n in (sum(counts), *counts)]

    def _open(self, _: str) -> Iterator[nodes.Node]:
        rows: list[Row] = []
        for state, title in ((State.gap, "Gaps: evidence that could be there"), (State.open, "Open: what has to come first")):
            facets = [f for f in self._report.facets.values() if f.state is state]
            if facets:
                rows.append(group(plain(f"{title} ({len(facets)})")))
                rows += [self._open_row(f) for f in facets]
        general = [g for g in self._report.gaps if not g.facet]
        if general:
            rows.append(group(plain(f"Of no one facet ({len(general)})")))
            rows += [row((), plain(g.subtype.value), _reason(g)) for g in general]
        if not rows:
            yield nodes.paragraph("", "Every facet is covered.")
            return
        yield table("What is not covered", ("Facet", "State", "Why"), rows, self._docname, widths=(26, 14, 60))

    def _open_row(self, facet: FacetReport) -> Row:
        requirement = facet.requirement
        name = joined([plain(requirement.title), ref("requirement", requirement.id)], " \N{MIDDLE DOT} ")
        reasons = [_reason(g) for g in facet.gaps[:_MOST]]
        if len(facet.gaps) > _MOST:
            reasons.append(plain(f"{len(facet.gaps) - _MOST} more"))
        return row(name, _state(facet.state), joined([*reasons, plain(waiting(facet))], "; "))

    def _services(self, _: str) -> Iterator[nodes.Node]:
        rows: list[Row] = []
        for slug, facets in by_service(self._contract, self._report).items():
            service = self._contract.services.get(slug)
            rows.append(group(ref("service", slug, service.title) if service else plain(f"{slug}: no folder yet")))
            for facet in facets:
                own = [o for o in facet.operations if self._contract.operations[o].service == slug]
                requirement = facet.requirement
                name = joined([plain(requirement.title), ref("requirement", requirement.id)], " \N{MIDDLE DOT} ")
                rows.append(row(name, _state(facet.state), joined(ref("operation", o) for o in own)))
        heads = ("Facet", "State", "Operations of the service")
        yield table("Facets by service", heads, rows, self._docname, widths=(40, 12, 48))


def waiting(facet: FacetReport, /) -> str:
    """Say what an open facet waits for; empty where it waits for nothing."""
    reasons = [f"awaits {', '.join(facet.awaiting)}"] if facet.awaiting else []
    return "; ".join((*reasons, *(p.removeprefix(f"{facet.requirement.id}: ") for p in facet.pending)))


def _reason(gap: Gap) -> Cell:
    place = gap.location if isinstance(gap.location, str) else f"{gap.location[0]}:{gap.location[1]}"
    return plain(f"{gap.message} ({place})")


def _state(state: State) -> Cell:
    return (("state", STATE_WORDS[state], "", ""),)


def _section(section: Section) -> Cell:
    return (("doc", section.docname, section.anchor, section.title or section.docname),)
