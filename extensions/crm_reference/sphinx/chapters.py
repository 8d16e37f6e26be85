"""Directives of a chapter's front and of its build page: charter, boundary, operations, roles, fields, dependencies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from docutils import nodes

from crm_reference.contract import Operation, Resource, Service
from crm_reference.sphinx.directives import ContractDirective, ServiceDirective, add_directives
from crm_reference.sphinx.markup import to_nodes
from crm_reference.sphinx.rendering import make_namer
from crm_reference.sphinx.state import note_service
from crm_reference.sphinx.tables import Row, code, exchange, group, joined, md, method, plain, ref, row, rubric, table, tick
from crm_reference.sphinx.trees import build_tree

if TYPE_CHECKING:
    from sphinx.application import Sphinx

#: Default roles in the order of their power, with the word for a column.
ROLES = (
    ("administrator", "Administrator"),
    ("sales_manager", "Sales manager"),
    ("sales_representative", "Sales rep"),
    ("marketer", "Marketer"),
    ("support_agent", "Support"),
    ("viewer", "Viewer"),
    ("integration", "Integration"),
    ("service", "Service"),
)


class Charter(ServiceDirective):
    """``{crm:charter} contacts``: capabilities by facet, their operations and the exchanges that prove them."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return one table."""
        rows = []
        for facet, capabilities in service.manifest.charter.items():
            rows.append(group(joined([plain(self._facet(facet)), ref("requirement", facet)], " \N{MIDDLE DOT} ")))
            for capability in capabilities:
                proof = [exchange(p.partition("/")[0], p.partition("/")[2], p.partition("/")[2]) for p in capability.proof]
                rows.append(
                    row(
                        md(capability.text),
                        joined(ref("operation", o) for o in capability.operations),
                        joined(proof),
                        anchor=f"capability-{capability.id}",
                    )
                )
        heads = ("Capability", "Operations", "Proved by")
        return [table(f"Charter of {service.title}", heads, rows, self.docname, widths=(44, 32, 24))]

    def _facet(self, facet: str) -> str:
        known = self.contract.requirements.get(facet)
        return known.title if known is not None else facet


class Boundary(ServiceDirective):
    """``{crm:boundary} contacts``: what the service owns, and who has what it doesn't."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return the summary and two tables."""
        manifest = service.manifest
        owns = [row(plain(o["resource"]), code(f"{o['prefix']}_"), md(o["text"])) for o in manifest.owns]
        found: list[nodes.Node] = to_nodes(manifest.summary, make_namer(self.contract))
        heads = ("Owns", "ID prefix", "What it is")
        found.append(table(f"What {service.title} owns", heads, owns, self.docname, widths=(26, 14, 60)))
        if manifest.excludes:
            others = [row(md(x["what"]), ref("service", x["owner"], self._title(x["owner"]))) for x in manifest.excludes]
            others_heads = ("Doesn't own", "Who does")
            found.append(table(f"What {service.title} doesn't own", others_heads, others, self.docname, widths=(70, 30)))
        return found

    def _title(self, slug: str) -> str:
        service = self.contract.services.get(slug)
        return service.title if service else slug


class Dependencies(ServiceDirective):
    """``{crm:dependencies} contacts``: whom it asks, whom it hears, and what happens when each is down."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return a table of calls and one of events heard."""
        manifest = service.manifest
        found: list[nodes.Node] = []
        if manifest.calls:
            rows = [
                row(
                    joined([ref("service", c.service, self._title(c.service)), ref("operation", c.operation)], " "),
                    plain(c.mode),
                    md(c.why),
                    md(c.fallback),
                    plain(f"{c.timeout_ms} ms, {c.retries} retr{'y' if c.retries == 1 else 'ies'}"),
                    joined(ref("operation", o) for o in c.used_by),
                )
                for c in manifest.calls
            ]
            heads = ("Asks", "Mode", "Why", "While it is down", "Timeout", "Used by")
            found.append(table("Calls to other services", heads, rows, self.docname, widths=(18, 10, 22, 24, 10, 16)))
        else:
            found.append(self.paragraph("It asks no other service."))
        if manifest.hears:
            rows = [
                row(
                    ref("event", h.event),
                    ref("service", h.service, self._title(h.service)),
                    md(h.effect),
                    ref("operation", h.seen_by),
                )
                for h in manifest.hears
            ]
            heard_heads = ("Hears", "From", "What changes here", "Seen by")
            found.append(table("Events heard", heard_heads, rows, self.docname, widths=(28, 14, 40, 18)))
        return found

    def _title(self, slug: str) -> str:
        service = self.contract.services.get(slug)
        return service.title if service else slug


class Operations(ServiceDirective):
    """``{crm:operations} contacts``: all operations at a glance, by facet."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return one table; an operation of several facets stands under the first."""
        rows = []
        for facet, operations in _by_facet(service).items():
            known = self.contract.requirements.get(facet)
            rows.append(group(joined([plain(known.title if known else facet), ref("requirement", facet)], " \N{MIDDLE DOT} ")))
            rows += [
                row(method(o.method), ref("operation", o.id, o.summary), code(o.path), joined(code(s) for s in o.scopes))
                for o in operations
            ]
        heads = ("Method", "Operation", "Path", "Scope")
        return [table(f"Operations of {service.title}", heads, rows, self.docname, widths=(10, 34, 36, 20))]


def _by_facet(service: Service) -> dict[str, list[Operation]]:
    order = [*service.manifest.charter, *(r for o in service.operations for r in o.requirements), ""]
    found: dict[str, list[Operation]] = {facet: [] for facet in dict.fromkeys(order)}
    for operation in service.operations:
        own = [r for r in operation.requirements if r in service.manifest.charter]
        found[(own or list(operation.requirements) or [""])[0]].append(operation)
    return {facet: operations for facet, operations in found.items() if operations}


class Roles(ServiceDirective):
    """``{crm:roles} contacts``: which default role may call which operation."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return the scopes and the matrix."""
        manifest = service.manifest
        scopes = []
        for scope in manifest.scopes.values():
            anchor = f"scope-{scope.name}"
            self.crm.note("scope", scope.name, self.docname, anchor, scope.name, rank=1, location=self.get_location())
            holders = [name for key, name in ROLES if key in scope.roles]
            scopes.append(row(code(scope.name), md(scope.description), plain(", ".join(holders)), anchor=anchor))
        rows = []
        for operation in service.operations:
            needed = [manifest.scopes[s] for s in operation.scopes if s in manifest.scopes]
            held = [tick(bool(operation.public) or all(key in s.roles for s in needed)) for key, _ in ROLES]
            rows.append(row(ref("operation", operation.id, operation.summary), *held))
        heads = ("Scope", "Allows", "Default roles")
        widths = (40, *[7] * len(ROLES))
        return [
            table(f"Scopes of {service.title}", heads, scopes, self.docname, widths=(22, 38, 40)),
            rubric("Operations by roles"),
            table(
                f"Operations of {service.title} by roles", ("Operation", *(n for _, n in ROLES)), rows, self.docname,
                widths=widths, matrix=True,
            ),
        ]  # fmt: skip


class Fields(ContractDirective):
    """``{crm:fields} Contact``: what lists and searches may do with each field of a resource."""

    required_arguments = 1
    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        """Return one table."""
        name = self.arguments[0]
        resource = next((r for r in self.contract.resources.values() if name in (r.schema, r.collection)), None)
        if resource is None:
            return self.warn("crm:fields: no resource has the schema or the collection %s", name)
        note_service(self.env, self.contract.services[resource.service])
        heads = ("Field", "Type", "Set by", "Filter operators", "List parameters", "Sort", "Search", "Expand")
        rows = list(self._rows(resource))
        return [table(f"Fields of {resource.schema}", heads, rows, self.docname, widths=(18, 15, 12, 22, 15, 5, 6, 7))]

    def _rows(self, resource: Resource) -> Iterator[Row]:
        tree = build_tree(resource.node)
        writable = {
            f.name for n in (resource.create, resource.update) if n in self.contract.schemas
            for f in build_tree(self.contract.schemas[n].node).fields
        }  # fmt: skip
        for field in tree.fields:
            query = resource.query.get(field.name)
            parameters = query.parameters if query else {}
            default = field.name if query and "eq" in query.operators and self._takes(resource, field.name) else ""
            yield row(
                code(field.name),
                plain(field.type),
                plain("client" if field.name in writable else "platform"),
                joined(code(o) for o in (query.operators if query else ())),
                joined(code(p) for p in dict.fromkeys([default, *parameters]) if p),
                tick(bool(query and query.sort)),
                tick(bool(query and query.search)),
                plain(query.expand if query else ""),
            )

    def _takes(self, resource: Resource, name: str) -> bool:
        lists = (o for o in self.contract.operations.values() if o.path == resource.path and o.method == "GET")
        return any(o.parameter(name, "query") for o in lists)


def setup_chapters(app: Sphinx) -> None:
    """Add the directives."""
    add_directives(
        app,
        {
            "charter": Charter,
            "boundary": Boundary,
            "dependencies": Dependencies,
            "operations": Operations,
            "roles": Roles,
            "fields": Fields,
        },
    )
