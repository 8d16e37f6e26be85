"""Sequence diagrams: who calls whom in which order, of exchanges that an author names, or of what a page's narrative called.

The second kind is drawn when the page is written, since the narrative has run by then and not when the page was read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes

from crm_reference.contract import Contract, Exchange
from crm_reference.sphinx.diagrams import Box, Drawing, Edge
from crm_reference.sphinx.directives import ContractDirective, add_directives
from crm_reference.sphinx.doctests import is_test
from crm_reference.sphinx.rendering import bulk
from crm_reference.sphinx.state import get_state, note_service
from crm_reference.sphinx.tables import Cell, exchange, joined, plain, ref, row, table
from crm_reference.trace.evidence import Result, read_results

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import OptionSpec

_LINE = re.compile(r"(?P<caller>[^>:]+?)\s*>\s*(?P<called>[^>:]+?)\s*:\s*(?P<what>.+)")
_STEP, _TOP, _BOX, _COLUMN = 40, 62, 150, 210
#: Width of a letter of a label, about.
_LETTER = 6.4
#: Where events go in a drawing.
BROKER = "Events"
_PARAMETER = re.compile(r"\{[^}]+\}")


@dataclass(frozen=True, slots=True)
class Step:
    """One arrow: a call, or something that no API does, in words.

    :param exchange: Of a call that an author names.
    :param is_call: Whether somebody waits for an answer.
    """

    caller: str
    called: str
    text: str
    exchange: Exchange | None = None
    is_call: bool = False


def parse_step(line: str, contract: Contract, /) -> Step | str:
    """Return a line's step, or what is wrong with it.

    A line reads ``Caller > Called: operationId/name``, or ``Caller > Called: in words``.
    """
    match = _LINE.fullmatch(line.strip())
    if match is None:
        return f"write “{line.strip()}” as Caller > Called: operationId/exchange"
    what = match["what"].strip()
    if "/" not in what or " " in what:
        return Step(match["caller"], match["called"], what)
    found = contract.exchanges.get(what)
    if found is None:
        return f"there is no exchange {what}"
    operation = contract.operations[found.operation]
    path = _PARAMETER.sub("{\N{HORIZONTAL ELLIPSIS}}", operation.path)
    text = f"{operation.method} {path} \N{RIGHTWARDS ARROW} {found.status}"
    return Step(match["caller"], match["called"], text, found, is_call=True)


def steps_of(results: Sequence[Result], contract: Contract, caller: str, /) -> list[Step]:
    """Return what the blocks of a narrative called, what services called because of it, and the events that were told.

    :param results: The blocks' results in the order of the page.
    :param caller: Who the narrative is about.
    """
    steps: list[Step] = []
    titles = {slug: service.title for slug, service in contract.services.items()}
    for hit in (hit for result in results for hit in result.hits):
        operation = contract.operations.get(hit.operation)
        if operation is None:
            continue
        here = titles[operation.service]
        path = _PARAMETER.sub("{\N{HORIZONTAL ELLIPSIS}}", operation.path)
        steps.append(Step(caller, here, f"{operation.method} {path} \N{RIGHTWARDS ARROW} {hit.status}", is_call=True))
        for who, whom, what in dict.fromkeys(hit.calls):
            if who in titles and whom in titles and who != whom:
                steps.append(Step(titles[who], titles[whom], what, is_call=True))
        for type in dict.fromkeys(hit.events):
            steps.append(Step(titles[contract.events[type].service], BROKER, type.removeprefix("crm.").removesuffix(".v1")))
    return steps


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
        drawing.edges.append(Edge(start, y, end, y, "required" if step.is_call else "async"))
        drawing.headings.append((min(start, end) + 8, y - 6, step.text))
    return drawing


def _sentence(step: Step) -> str:
    if step.exchange is None:
        return f"{step.caller} {'calls' if step.is_call else 'to'} {step.called}: {step.text}."
    return f"{step.caller} calls {step.exchange.operation} of the {step.called}, answered {step.exchange.status}."


def _anchor(title: str) -> str:
    return "sequence-" + re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


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
        legend = "Each solid arrow is an exchange that runs with every build; dotted ones are steps that no API takes."
        figure = bulk("diagram", {"drawing": drawing, "legend": legend, "anchor": _anchor(title)}, self.docname, drawing.text)
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


class CalledView(nodes.General, nodes.Element):
    """Stands for the drawing of what the page's narrative called, until the page is written."""


class CalledDiagram(ContractDirective):
    """``{crm:called} Title``: what the doctests of its section really called, drawn as a sequence.

    The option ``caller`` says whose calls they are; Maya's where it is missing. A section that has no doctests of its own shows
    those of the whole page.
    """

    required_arguments = 1
    optional_arguments = 0
    final_argument_whitespace = True
    option_spec: ClassVar[OptionSpec] = {"caller": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        """Return what stands for the drawing."""
        return [CalledView(title=str(self.arguments[0]), caller=self.options.get("caller", "Maya"))]


def _page(view: CalledView, whole: nodes.document, docname: str) -> tuple[nodes.Element, str]:
    """Return the page that a drawing stands on, with its name: on paper many pages are one document."""
    around = [f for f in whole.findall(addnodes.start_of_file) if any(v is view for v in f.findall(CalledView))]
    return (around[-1], str(around[-1]["docname"])) if around else (whole, docname)


def _numbers(page: nodes.Element, view: nodes.Node) -> list[int]:
    """Return the numbers of the doctests in a drawing's section, or of the page's where there are none."""
    tests = list(page.findall(is_test))
    mine = set(map(id, view.parent.findall(is_test)))
    return [n for n, test in enumerate(tests, 1) if not mine or id(test) in mine]


def _draw(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the drawings in their places."""
    for view in list(doctree.findall(CalledView)):
        state = get_state(app.config)
        ran = read_results(state.root / state.settings.results) or {}
        page, name = _page(view, doctree, docname)
        blocks = [r for n in _numbers(page, view) if (r := ran.get(f"{name}#{n}")) is not None and r.kind == "narrative"]
        steps = steps_of(blocks, state.contract, view["caller"])
        if not steps:
            view.replace_self(nodes.paragraph("", "The drawing of these calls is made once the examples have run."))
            continue
        drawing = draw_sequence(view["title"], steps)
        legend = "Drawn from what these examples called. A solid arrow is a call, a dotted one an event."
        data = {"drawing": drawing, "legend": legend, "anchor": _anchor(view["title"])}
        view.replace_self(bulk("diagram", data, docname, drawing.text))


def setup_sequences(app: Sphinx) -> None:
    """Add the directives, and draw what was called once everything is known."""
    add_directives(app, {"sequence": SequenceDiagram, "called": CalledDiagram})
    app.add_node(CalledView)
    app.connect("doctree-resolved", _draw, priority=400)
