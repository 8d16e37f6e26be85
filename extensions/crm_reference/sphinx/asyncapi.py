"""The ``asyncapi`` directive: events that a service emits, and those that it hears.

.. code-block:: markdown

   ```{asyncapi} ../../../source_specs/contacts/asyncapi.yaml
   ```
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives

from crm_reference.contract import Event, Service
from crm_reference.sphinx.directives import ContractDirective
from crm_reference.sphinx.markup import to_nodes
from crm_reference.sphinx.openapi import linked_schemas
from crm_reference.sphinx.rendering import bulk, make_namer
from crm_reference.sphinx.state import note_all_services
from crm_reference.sphinx.tables import Cell, code, facts, joined, md, ref, row, table
from crm_reference.sphinx.trees import build_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from sphinx.application import Sphinx

#: What a message or its channel may say in ``x-`` members, and the words for it.
_SAID = {
    "x-key": "Key",
    "x-ordering": "Order",
    "x-order": "Order",
    "x-delivery": "Delivery",
    "x-guarantee": "Delivery",
    "x-retention": "Kept",
    "x-consumers": "Consumed by",
    "x-evolution": "May change",
    "x-compatibility": "May change",
}


class AsyncApi(ContractDirective):
    """Renders the events of an AsyncAPI document."""

    required_arguments = 1
    optional_arguments = 0
    final_argument_whitespace = True
    option_spec: ClassVar[dict[str, Callable[[str], object]] | None] = {"no-heard": directives.flag}

    def run(self) -> list[nodes.Node]:
        """Return a section for each event, then the table of events heard."""
        _, path = self.env.relfn2path(self.arguments[0])
        wanted = Path(path).resolve()
        service = next((s for s in self.contract.services.values() if s.asyncapi.path.resolve() == wanted), None)
        if service is None:
            return self.warn("no service of the contract has the document %s", path)
        note_all_services(self.env)  # consumers are found in the other services' manifests
        found: list[nodes.Node] = []
        if len(service.events) > 1:
            rows = [row(ref("event", e.type), md(e.summary)) for e in service.events.values()]
            found.append(table(f"Events of {service.title}", ("Event", "What happened"), rows, self.docname, widths=(40, 60)))
        found += [self._section(service, event) for event in service.events.values()]
        if "no-heard" not in self.options:
            found += self._heard(service)
        return found

    def _section(self, service: Service, event: Event) -> nodes.section:
        self.crm.note("event", event.type, self.docname, event.type, event.title, location=str(event.place))
        section = nodes.section(ids=[event.type], names=[], classes=["event"])
        self.state.document.note_explicit_target(section, section)
        section += nodes.title("", event.title or event.type)
        namer = make_namer(self.contract)
        section += nodes.paragraph("", "", nodes.literal(event.type, event.type), classes=["event-type"])
        section.extend(to_nodes(event.summary, namer))
        if event.description and event.description != event.summary:
            section.extend(to_nodes(event.description, namer))
        section += facts(list(self._facts(service, event)), self.docname)
        tree = build_tree(event.payload, linked=linked_schemas(self.state_of_build, service))
        data = [f for f in tree.fields if f.name == "data"] or list(tree.fields)
        envelope = [f for f in tree.fields if f.name != "data"] if data != list(tree.fields) else []
        example = self._example(service, event)
        payload = {"anchor": event.type, "data": data, "envelope": envelope, "example": example}
        section += bulk("event", payload, self.docname, tree.text())
        return section

    def _facts(self, service: Service, event: Event) -> Iterator[tuple[str, Cell]]:
        channel = service.asyncapi.root
        channel = channel.child("channels").child(event.channel) if event.channel else event.node
        yield "Channel", code(channel.get("address", event.channel))
        yield "Emitted by", joined(ref("operation", o.id) for o in service.operations if event.type in o.events)
        for source in (event.node, channel):
            for key, word in _SAID.items():
                if key in source and word != "Consumed by":
                    yield word, md(_say(source.get(key)))
        yield "Delivery", md(channel.get("description", "")) if event.channel else ()
        consumers = {
            s.slug: s.title for s in self.contract.services.values() if any(h.event == event.type for h in s.manifest.hears)
        }
        said = event.node.get("x-consumers", channel.get("x-consumers", ()))
        names = dict.fromkeys([*consumers, *(said if isinstance(said, list) else ())])
        yield "Consumed by", joined(ref("service", n, consumers.get(n, n)) for n in names)
        yield "Media type", code(event.node.get("contentType", ""))

    def _example(self, service: Service, event: Event) -> str:
        for exchange in service.exchanges.values():
            for emitted in exchange.recorded.events if exchange.recorded else ():
                if emitted.get("type") == event.type and "data" in emitted:
                    return json.dumps(emitted, indent=2, ensure_ascii=False)
        examples: list[Any] = event.node.get("examples", [])
        return json.dumps(examples[0].get("payload", {}), indent=2, ensure_ascii=False) if examples else ""

    def _heard(self, service: Service) -> list[nodes.Node]:
        if not service.manifest.hears:
            return []
        rows = [
            row(ref("event", h.event), ref("service", h.service, self._title(h.service)), md(h.effect), ref("operation", h.seen_by))
            for h in service.manifest.hears
        ]
        section = nodes.section(ids=["events-heard"], names=[])
        self.state.document.note_explicit_target(section, section)
        section += nodes.title("", "Events heard")
        heads = ("Event", "From", "What changes here", "Seen by")
        section += table(f"Events that {service.title} hears", heads, rows, self.docname, widths=(30, 14, 38, 18))
        return [section]

    def _title(self, slug: str) -> str:
        known = self.contract.services.get(slug)
        return known.title if known else slug


def _say(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{k.replace('_', ' ')}: {v}" for k, v in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def setup_asyncapi(app: Sphinx) -> None:
    """Add the directive, outside the domain as ``openapi`` is."""
    app.add_directive("asyncapi", AsyncApi)
