"""The domain ``crm``: what the reference names, where each thing stands, and the roles that lead there.

Operations are noted in the domain ``http`` too, so that ``{http:get}`` works and other projects find paths in ``objects.inv``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from sphinx.domains import Domain, ObjType
from sphinx.roles import XRefRole
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

from crm_reference.sphinx.state import get_contract

if TYPE_CHECKING:
    from docutils.nodes import Element
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.builders import Builder
    from sphinx.environment import BuildEnvironment

    from crm_reference.contract import Operation

logger = logging.getLogger(__name__)

#: Kinds of objects: label and search priority (0 comes first, see Sphinx's ``Domain.get_objects``).
KINDS: dict[str, tuple[str, int]] = {
    "operation": ("operation", 0),
    "error": ("error code", 0),
    "event": ("event", 1),
    "schema": ("schema", 1),
    "scope": ("scope", 1),
    "requirement": ("requirement", 1),
    "service": ("service", 0),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """Where an object stands.

    :param rank: 0 for the place that is the object's own; a higher one serves where there is none of a lower rank.
    """

    docname: str
    anchor: str
    title: str
    rank: int


class CrmRole(XRefRole):
    """A reference to an object of the domain, shown as code unless it is a service."""

    def __init__(self, kind: str) -> None:
        super().__init__(
            innernodeclass=nodes.inline if kind == "service" else nodes.literal, warn_dangling=True
        )


class CrmDomain(Domain):
    """Operations, schemas, events, error codes, scopes, requirements and services."""

    name = "crm"
    label = "CRM"
    object_types: ClassVar[dict[str, ObjType]] = {kind: ObjType(label, kind, "any") for kind, (label, _) in KINDS.items()}
    roles: ClassVar[dict[str, Any]] = {kind: CrmRole(kind) for kind in KINDS}
    initial_data: ClassVar[dict[str, Any]] = {"objects": {}, "pages": set()}
    data_version = 2

    @property
    def objects(self) -> dict[tuple[str, str], list[Entry]]:
        """Places of each (kind, name), the best first."""
        return self.data["objects"]  # type: ignore[no-any-return]  # as initial_data has it

    def note(
        self, kind: str, name: str, docname: str, anchor: str, title: str = "", *, rank: int = 0, location: Any = None
    ) -> None:
        """Note where an object stands.

        A second place of the same rank is a mistake of the author and warned about, type ``crm.duplicate``.

        :param anchor: The fragment; empty for the page itself.
        :param title: What a reference to a service shows.
        """
        self._add((kind, name), Entry(docname, anchor, title or name, rank), location or docname)

    def _add(self, key: tuple[str, str], entry: Entry, location: Any) -> None:
        entries = self.objects.setdefault(key, [])
        self.data["pages"].add(entry.docname)
        for other in entries:
            if other.rank == entry.rank and other != entry:
                logger.warning(
                    "the %s %s is described twice, in %s and here; let one of the two link to the other",
                    key[0], key[1], other.docname, location=location, type="crm", subtype="duplicate",
                )  # fmt: skip
                return
        if entry not in entries:
            entries.append(entry)
            entries.sort(key=lambda e: (e.rank, e.docname))

    def note_operation(self, operation: Operation, docname: str, location: Any) -> tuple[str, ...]:
        """Note an operation here and in the domain ``http``.

        :return: The anchors that its section needs, the operationId first.
        """
        from sphinxcontrib.httpdomain import http_resource_anchor

        self.note("operation", operation.id, docname, operation.id, operation.summary, location=location)
        method = operation.method.lower()
        self.env.domains["http"].data[method][operation.path] = (docname, operation.summary, operation.deprecated)
        return operation.id, http_resource_anchor(method, operation.path)

    def find(self, kind: str, name: str) -> Entry | None:
        """Return an object's best place, or ``None``."""
        entries = self.objects.get((kind, name))
        if entries:
            return entries[0]
        if kind == "service":
            docname = f"services/{name}/index"
            service = get_contract(self.env.config).services.get(name)
            if service is not None and docname in self.env.found_docs:
                return Entry(docname, "", service.title, 0)
        return None

    def clear_doc(self, docname: str) -> None:
        """Forget what stood on a page."""
        if docname not in self.data["pages"]:  # every page of a first build
            return
        self.data["pages"].discard(docname)
        for key, entries in list(self.objects.items()):
            kept = [e for e in entries if e.docname != docname]
            if kept:
                self.objects[key] = kept
            else:
                del self.objects[key]

    def merge_domaindata(self, docnames: Iterable[str], otherdata: dict[str, Any]) -> None:
        """Take over what another process noted on its pages."""
        wanted = set(docnames)
        for key, entries in otherdata["objects"].items():
            for entry in entries:
                if entry.docname in wanted:
                    self._add(key, entry, entry.docname)

    def resolve_xref(
        self,
        env: BuildEnvironment,
        fromdocname: str,
        builder: Builder,
        typ: str,
        target: str,
        node: pending_xref,
        contnode: Element,
    ) -> nodes.reference | None:
        """Resolve a role; ``None`` where the object is unknown, which nitpicky builds warn about."""
        entry = self.find(typ, target)
        if entry is None:
            return None
        content: Element = contnode
        if typ == "service" and not node.get("refexplicit"):
            content = nodes.inline("", entry.title, classes=["xref", "crm", "crm-service"])
        return make_refnode(builder, fromdocname, entry.docname, entry.anchor, [content], entry.title)

    def resolve_any_xref(
        self, env: BuildEnvironment, fromdocname: str, builder: Builder, target: str, node: pending_xref, contnode: Element
    ) -> list[tuple[str, nodes.reference]]:
        """Resolve ``{any}`` and MyST's links by name among all kinds."""
        found = []
        for kind in KINDS:
            reference = self.resolve_xref(env, fromdocname, builder, kind, target, node, contnode)
            if reference is not None:
                found.append((f"crm:{kind}", reference))
        return found

    def get_objects(self) -> Iterator[tuple[str, str, str, str, str, int]]:
        """Yield what search and ``objects.inv`` know."""
        for (kind, name), entries in sorted(self.objects.items()):
            entry = entries[0]
            yield name, name, kind, entry.docname, entry.anchor, KINDS[kind][1]
        for slug, service in get_contract(self.env.config).services.items():
            docname = f"services/{slug}/index"
            if docname in self.env.found_docs:
                yield slug, service.title, "service", docname, "", KINDS["service"][1]

    def get_full_qualified_name(self, node: Element) -> str | None:
        """Return the name by which a reference's target is known."""
        return str(node["reftarget"]) if "reftarget" in node else None


def get_domain(env: BuildEnvironment) -> CrmDomain:
    """Return the domain of an environment."""
    domain = env.domains["crm"]
    assert isinstance(domain, CrmDomain)
    return domain


def _excuse(app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: Element) -> Element | None:
    """Show a reference as plain text where its service has no folder yet, rather than warn about what is to come.

    An operation or event says nothing about its service, so a name that no manifest and no document knows is taken for a mistake
    only where every service that the requirements name is there.
    """
    if node.get("refdomain") != "crm":
        return None
    if not node.get("refwarn", True):
        return contnode
    contract = get_contract(env.config)
    kind, target = node.get("reftype", ""), str(node.get("reftarget", ""))
    expected = {r.service for r in contract.requirements.values() if r.service}
    missing = expected - set(contract.services)
    if kind == "service":
        return contnode if target in missing else None
    called = {c.operation for s in contract.services.values() for c in s.manifest.calls if c.service not in contract.services}
    heard = {h.event for s in contract.services.values() for h in s.manifest.hears if h.service not in contract.services}
    if kind == "operation" and target in called:
        return contnode
    if kind == "event" and target in heard:
        return contnode
    if kind == "scope" and target.partition(".")[0] in missing:
        return contnode
    return None


def _tell_myst(app: Sphinx, doctree: nodes.document) -> None:
    """Make sections that directives wrote reachable by MyST's links, ``people.md#createContact`` for instance.

    MyST knows the headings that it parsed itself. Ours have no names, since a name would make such a link ambiguous.
    """
    metadata: dict[str, Any] = app.env.metadata[app.env.docname]
    slugs = metadata.setdefault("myst_slugs", {})
    for section in doctree.findall(nodes.section):
        title = section.next_node(nodes.title)
        if not section["names"] and title is not None:
            for anchor in section["ids"]:
                slugs.setdefault(anchor, (section.line, anchor, title.astext()))


def setup_domain(app: Sphinx) -> None:
    """Register the domain and the excuse for references to services that are still to come."""
    app.add_domain(CrmDomain)
    app.connect("doctree-read", _tell_myst)
    app.connect("missing-reference", _excuse)
