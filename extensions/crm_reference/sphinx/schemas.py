"""``{crm:schemas}``: schemas that many operations return, each once in a section of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from docutils import nodes

from crm_reference.contract import Schema, Service
from crm_reference.sphinx.directives import ContractDirective, add_directives
from crm_reference.sphinx.markup import reference_node, to_nodes
from crm_reference.sphinx.openapi import linked_schemas
from crm_reference.sphinx.rendering import bulk, make_namer
from crm_reference.sphinx.state import note_all_services, note_service
from crm_reference.sphinx.trees import build_tree

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class Schemas(ContractDirective):
    """``{crm:schemas} contacts`` or ``{crm:schemas} common``."""

    required_arguments = 1
    optional_arguments = 0

    def run(self) -> list[nodes.Node]:
        """Return a section for each schema."""
        name = self.arguments[0]
        if name == "common":
            note_all_services(self.env)
            large = [s for s in self.contract.common_schemas.values() if build_tree(s.node).has_more]
            return [self._section(s, None, [x.name for x in large]) for s in large]
        service = self.contract.services.get(name)
        if service is None:
            return self.warn("crm:schemas: there is no service %s", name)
        note_service(self.env, service)
        linked = linked_schemas(self.state_of_build, service)
        return [self._section(service.schemas[n], service, linked) for n in linked]

    def _section(self, schema: Schema, service: Service | None, linked: Iterable[str]) -> nodes.section:
        location = str(schema.place)
        self.crm.note("schema", schema.name, self.docname, schema.name, schema.name, location=location)
        section = nodes.section(ids=[schema.name], names=[], classes=["schema-section"])
        self.state.document.note_explicit_target(section, section)
        section += nodes.title("", schema.name)
        section.extend(to_nodes(schema.description, make_namer(self.contract)))
        tree = build_tree(schema.node, linked=[*linked, *(n for n in self.contract.common_schemas if n[:1].isupper())])
        section += bulk("schema", {"anchor": schema.name, "tree": tree}, self.docname, tree.text())
        if service is not None:
            section.extend(self._users(schema, service))
        return section

    def _users(self, schema: Schema, service: Service) -> Sequence[nodes.Node]:
        """Return a sentence that names the operations whose answers are this schema."""
        users = [
            o.id
            for o in service.operations
            if any(n.resolved().uri == schema.node.uri for r in o.successes for n in r.media.values())
        ]
        if not users:
            return []
        paragraph = nodes.paragraph("", "Returned by ", classes=["schema-users"])
        for index, name in enumerate(users):
            paragraph += [nodes.Text(", " if index else ""), reference_node("operation", name, code=True)]
        paragraph += nodes.Text(".")
        return [paragraph]


def setup_schemas(app: Sphinx) -> None:
    """Add the directive."""
    add_directives(app, {"schemas": Schemas})
