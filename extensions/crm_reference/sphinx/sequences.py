"""Sequence diagrams of exchanges: who calls whom in which order, drawn at build time, with each call linked to its exchange."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from docutils import nodes

from crm_reference.contract import Contract, Exchange
from crm_reference.sphinx.diagrams import Box, Drawing, Edge
from crm_reference.sphinx.directives import ContractDirective, add_directives
from crm_reference.sphinx.rendering import bulk
from crm_reference.sphinx.state import note_service
from crm_reference.sphinx.tables import Cell, exchange, joined, plain, ref, row, table

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_LINE = re.compile(r"(?P<caller>[^>:]+?)\s*>\s*(?P<called>[^>:]+?)\s*:\s*(?P<what>.+)")
_STEP, _TOP, _BOX, _COLUMN = 40, 62, 150, 210
#: Width of a letter of a label, about.
_LETTER = 6.4
_PARAMETER = re.compile(r"\{[^}]+\}")


@dataclass(frozen=True, slots=True)
class Step:
    """One arrow: an exchange, or something that no API does, in words.

    :param exchange: ``None`` where ``text`` says it all.
    """

    caller: str
    called: str
    text: str
    exchange: Exchange | None


def parse_step(line: str, contract: Contract, /) -> Step | str:
    """Return a line's step, or what is wrong with it.

    A line reads ``Caller > Called: operationId/name``, or ``Caller > Called: in words``.
    """
    match = _LINE.fullmatch(line.strip())
    if match is None:
        return f"write “{line.strip()}” as Caller > Called: operationId/exchange"
    what = match["what"].strip()
    if "/" not in what or " " in what:
        return Step(match["caller"], match["called"], what, None)
    found = contract.exchanges.get(what)
    if found is None:
        return f"there is no exchange {what}"
    operation = contract.operations[found.operation]
    path = _PARAMETER.sub("{\N{HORIZONTAL ELLIPSIS}}", operation.path)
    text = f"{operation.method} {path} \N{RIGHTWARDS ARROW} {found.status}"
    return Step(match["caller"], match["called"], text, found)


def draw_sequence(title: str, steps: Sequence[Step], /) -> Drawing:
    """Draw steps as arrows between the lifelines of those who take part, in the order in which they first appear."""
    names = list(dict.fromkeys(name for step in steps for name in (step.caller, step.called)))
    drawing = Drawing(title, " ".join(_sentence(step) for step in steps))
    column = max(_COLUMN, 24 + int(_LETTER * max(len(step.text) for step in steps)))
    middles = {name: 4 + _BOX // 2 + i * column for i, name in enumerate(names)}
    drawing.height = _TOP + len(steps) * _STEP + 14
    drawing.width = 8 + _BOX + (len(names) - 1) * column
    for name, x in middles.items():
        style = "self" if name.lower() == "platform" else "box"
        drawing.boxes.append(Box(x - _BOX // 2, 4, name, "", style, "", "", width=_BOX, height=34))
        drawing.lines.append((x, 38, x, drawing.height - 4))
    for i, step in enumerate(steps):
        y, start, end = _TOP + i * _STEP + 12, middles[step.caller], middles[step.called]
        drawing.edges.append(Edge(start, y, end, y, "required" if step.exchange else "async"))
        drawing.headings.append((min(start, end) + 8, y - 6, step.text))
    return drawing


def _sentence(step: Step) -> str:
    if step.exchange is None:
        return f"{step.caller} to {step.called}: {step.text}."
    return f"{step.caller} calls {step.exchange.operation} of the {step.called}, answered {step.exchange.status}."


class SequenceDiagram(ContractDirective):
    """``{crm:sequence} Title`` with a step a line: a diagram, and below it the exchanges that it shows."""

    has_content = True
    required_arguments = 1
    optional_arguments = 0
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the drawing and the table of its calls."""
        steps: list[Step] = []
        for line in self.content:
            if not line.strip():
                continue
            step = parse_step(line, self.contract)
            if isinstance(step, str):
                return self.warn("%s: %s", self.name, step)
            steps.append(step)
        if not steps:
            return self.warn("%s: it has no steps", self.name)
        shown = [step.exchange for step in steps if step.exchange is not None]
        for slug in dict.fromkeys(found.service for found in shown):
            note_service(self.env, self.contract.services[slug])
        title = str(self.arguments[0])
        drawing = draw_sequence(title, steps)
        anchor = "sequence-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
        legend = "Each solid arrow is an exchange that runs with every build; dotted ones are steps that no API takes."
        figure = bulk("diagram", {"drawing": drawing, "legend": legend, "anchor": anchor}, self.docname, drawing.text)
        return [figure, self._calls(title, steps)]

    def _calls(self, title: str, steps: Sequence[Step]) -> nodes.Node:
        rows = [
            row(plain(f"{s.caller} to {s.called}"), ref("operation", s.exchange.operation), self._link(s.exchange))
            for s in steps
            if s.exchange is not None
        ]
        return table(f"Calls of: {title}", ("Between", "Operation", "Exchange"), rows, self.docname, widths=(30, 30, 40))

    def _link(self, found: Exchange) -> Cell:
        return joined([exchange(found.operation, found.name, found.name), plain(found.summary)], ": ")


def setup_sequences(app: Sphinx) -> None:
    """Add the directive."""
    add_directives(app, {"sequence": SequenceDiagram})
