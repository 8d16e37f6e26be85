"""Diagrams drawn at build time: whom a service asks and hears, and its resources with their relations.

A drawing is boxes and edges with coordinates, made by plain Python, so that no reader needs another program. HTML gets an SVG that
takes its colours from the theme and has a text alternative; LaTeX gets TikZ; Markdown gets the text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from docutils import nodes

from crm_reference.contract import Resource, Service
from crm_reference.sphinx.building import neighbours
from crm_reference.sphinx.directives import ServiceDirective, add_directives
from crm_reference.sphinx.rendering import bulk
from crm_reference.sphinx.state import note_all_services

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_WIDTH, _HEIGHT, _GAP = 190, 50, 16


@dataclass(frozen=True, slots=True)
class Box:
    """A box with a title, a line below it, and an object that it leads to.

    :param style: ``box`` or ``self``; ``later`` for what isn't written yet.
    """

    x: int
    y: int
    title: str
    note: str
    style: str
    kind: str
    name: str
    width: int = _WIDTH
    height: int = _HEIGHT


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow from point to point.

    :param style: ``required``, ``degradable`` or ``async``.
    """

    x1: int
    y1: int
    x2: int
    y2: int
    style: str
    label: str = ""

    @property
    def path(self) -> str:
        """The SVG path: a curve that leaves and arrives level, or plumb where it runs mostly down."""
        if abs(self.x2 - self.x1) < abs(self.y2 - self.y1) / 2:
            middle = (self.y1 + self.y2) // 2
            return f"M{self.x1} {self.y1}C{self.x1} {middle} {self.x2} {middle} {self.x2} {self.y2}"
        middle = (self.x1 + self.x2) // 2
        return f"M{self.x1} {self.y1}C{middle} {self.y1} {middle} {self.y2} {self.x2} {self.y2}"


@dataclass(slots=True)
class Drawing:
    """Boxes and edges on a canvas, and the same in words."""

    title: str
    text: str
    width: int = 0
    height: int = 0
    boxes: list[Box] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    headings: list[tuple[int, int, str]] = field(default_factory=list)
    #: Plain lines, from point to point.
    lines: list[tuple[int, int, int, int]] = field(default_factory=list)


def shorten(text: str, limit: int = 26) -> str:
    """Return text that fits a box.

    >>> shorten("a b c d", 5)
    'a b\\u2026'
    """
    return text if len(text) <= limit else text[: limit - 1].rpartition(" ")[0].rstrip(" ,") + "\N{HORIZONTAL ELLIPSIS}"


def draw_neighbours(service: Service, services: dict[str, Service]) -> Drawing:
    """Draw a service between those that it hears, on its left, and those that it asks, on its right."""
    asked = neighbours(service.manifest.calls)
    heard = dict.fromkeys(h.service for h in service.manifest.hears)
    listeners = [s.slug for s in services.values() if s is not service and any(h.service == service.slug for h in s.manifest.hears)]

    def title(slug: str) -> str:
        return services[slug].title if slug in services else slug.replace("-", " ").capitalize()

    rows = max(len(heard), len(asked), 1)
    height = 34 + rows * (_HEIGHT + _GAP) + (90 if listeners else 0)
    drawing = Drawing(f"Whom {service.title} asks and hears", _neighbour_text(service, asked, list(heard), listeners, title))
    drawing.width, drawing.height = 3 * _WIDTH + 2 * 120 + 8, height
    centre = 34 + (rows * (_HEIGHT + _GAP) - _GAP - _HEIGHT) // 2
    middle = _WIDTH + 120 + 4
    drawing.boxes.append(Box(middle, centre, service.title, "this service", "self", "service", service.slug))
    if heard:
        drawing.headings.append((4, 18, "Hears events of"))
    if asked:
        drawing.headings.append((middle + _WIDTH + 120, 18, "Asks"))
    for i, slug in enumerate(heard):
        y = _row(i, len(heard), rows)
        count = sum(h.service == slug for h in service.manifest.hears)
        drawing.boxes.append(_neighbour(4, y, slug, title(slug), f"{count} event{'s' if count > 1 else ''}", services))
        drawing.edges.append(Edge(4 + _WIDTH, y + _HEIGHT // 2, middle, centre + _HEIGHT // 2, "async"))
    for i, (slug, mode) in enumerate(asked.items()):
        y = _row(i, len(asked), rows)
        x = middle + _WIDTH + 120
        drawing.boxes.append(_neighbour(x, y, slug, title(slug), mode, services))
        drawing.edges.append(Edge(middle + _WIDTH, centre + _HEIGHT // 2, x, y + _HEIGHT // 2, mode))
    if listeners:
        y = 34 + rows * (_HEIGHT + _GAP) + 30
        note = f"{len(listeners)} service{'s hear' if len(listeners) > 1 else ' hears'} its events"
        names = ", ".join(title(s) for s in listeners)
        drawing.boxes.append(Box(middle, y, note, shorten(names, 30), "box", "", ""))
        drawing.edges.append(Edge(middle + _WIDTH // 2, centre + _HEIGHT, middle + _WIDTH // 2, y, "async"))
    return drawing


def _row(index: int, count: int, rows: int) -> int:
    offset = (rows - count) * (_HEIGHT + _GAP) // 2
    return 34 + offset + index * (_HEIGHT + _GAP)


def _neighbour(x: int, y: int, slug: str, title: str, note: str, services: dict[str, Service]) -> Box:
    return Box(x, y, title, note, "box" if slug in services else "box later", "service", slug)


def _neighbour_text(service: Service, asked: dict[str, str], heard: list[str], listeners: list[str], title: object) -> str:
    name = title if callable(title) else str
    parts = []
    if asked:
        parts.append("asks " + ", ".join(f"{name(s)} ({mode})" for s, mode in asked.items()))
    if heard:
        parts.append("hears events of " + ", ".join(name(s) for s in heard))
    if listeners:
        parts.append("is heard by " + ", ".join(name(s) for s in listeners))
    return f"{service.title} {'; '.join(parts)}." if parts else f"{service.title} asks and hears no other service."


def draw_resources(service: Service) -> Drawing:
    """Draw the resources of a service: each child below its parent, references to others as dashed edges."""
    resources = list(service.resources.values())
    levels = _levels(resources)
    widest = max((len(level) for level in levels), default=1)
    drawing = Drawing(f"Resources of {service.title}", _resource_text(resources))
    step_x, step_y = _WIDTH + 46, _HEIGHT + 62
    per_row = min(widest, 4)
    places: dict[str, tuple[int, int]] = {}
    y = 6
    for level in levels:
        for start in range(0, len(level), per_row):
            chunk = level[start : start + per_row]
            shift = (per_row - len(chunk)) * step_x // 2
            for i, resource in enumerate(chunk):
                places[resource.collection] = (4 + shift + i * step_x, y)
            y += step_y
    drawing.width, drawing.height = per_row * step_x - 46 + 8, y - step_y + _HEIGHT + 8
    for resource in resources:
        x, top = places[resource.collection]
        note = f"{resource.prefix}_  {shorten(resource.path, 24)}"
        drawing.boxes.append(Box(x, top, resource.schema, note, "box", "schema", resource.schema))
        for target, (style, label) in _relations(resource).items():
            if target in places and target != resource.collection:
                drawing.edges.append(_between(places[resource.collection], places[target], style, label))
    return drawing


def _between(start: tuple[int, int], end: tuple[int, int], style: str, label: str) -> Edge:
    (x1, y1), (x2, y2) = start, end
    if y1 == y2:
        left = x1 < x2
        return Edge(x1 + (_WIDTH if left else 0), y1 + _HEIGHT // 2, x2 + (0 if left else _WIDTH), y2 + _HEIGHT // 2, style, label)
    up = y1 > y2
    return Edge(x1 + _WIDTH // 2, y1 + (0 if up else _HEIGHT), x2 + _WIDTH // 2, y2 + (_HEIGHT if up else 0), style, label)


def _levels(resources: Sequence[Resource]) -> list[list[Resource]]:
    """Return the resources by how many steps they are from one that names no other; a circle is cut where it closes."""
    known = {r.collection: r for r in resources}

    def depth(resource: Resource, seen: tuple[str, ...]) -> int:
        above = [t for t in _relations(resource) if t in known and t not in seen]
        return max((1 + depth(known[t], (*seen, t)) for t in above), default=0)

    levels: dict[int, list[Resource]] = {}
    for resource in resources:
        levels.setdefault(depth(resource, (resource.collection,)), []).append(resource)
    return [levels[k] for k in sorted(levels)]


def _relations(resource: Resource) -> dict[str, tuple[str, str]]:
    """Return, by the collection that a resource leads to, the edge's style and label."""
    fields: dict[str, list[str]] = {}
    for rule in resource.rules:
        if rule.kind == "reference":
            fields.setdefault(str(rule.options["target"]), []).append(str(rule.options["field"]))
    found = {target: ("degradable", ", ".join(names)) for target, names in fields.items()}
    if resource.parent:
        found[str(resource.parent.get("collection", ""))] = ("required", "belongs to")
    return found


def _resource_text(resources: Sequence[Resource]) -> str:
    parts = []
    for resource in resources:
        says = [
            f"belongs to {target}" if style == "required" else f"refers to {target} by {label}"
            for target, (style, label) in _relations(resource).items()
        ]
        parts.append(f"{resource.schema} ({resource.prefix}_){' ' + ', '.join(says) if says else ''}")
    return "; ".join(parts) + "."


class Neighbours(ServiceDirective):
    """``{crm:diagram} contacts``: whom it asks and hears."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return one drawing."""
        note_all_services(self.env)
        drawing = draw_neighbours(service, dict(self.contract.services))
        if not drawing.edges:
            return [self.paragraph(drawing.text)]
        legend = "Solid arrows are calls that must succeed, dashed ones have a fallback, dotted ones are events or queued work."
        return [_figure(drawing, legend, f"diagram-{service.slug}", self.docname)]


class Resources(ServiceDirective):
    """``{crm:resources} contacts``: the resource model."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return one drawing."""
        drawing = draw_resources(service)
        legend = "A solid arrow leads from a record to the one that it belongs to, a dashed one to a record that it names."
        return [_figure(drawing, legend, f"resources-{service.slug}", self.docname)]


def _figure(drawing: Drawing, legend: str, anchor: str, docname: str) -> nodes.Node:
    return bulk("diagram", {"drawing": drawing, "legend": legend, "anchor": anchor}, docname, drawing.text)


def setup_diagrams(app: Sphinx) -> None:
    """Add the directives."""
    add_directives(app, {"diagram": Neighbours, "resources": Resources})
