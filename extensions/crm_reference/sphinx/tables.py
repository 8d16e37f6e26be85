"""Tables and entries as data: what directives say, and templates print in each format.

A cell is a tuple of spans, made by :func:`md`, :func:`code`, :func:`ref`, :func:`tick` and :func:`joined`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from docutils import nodes

from crm_reference.sphinx.rendering import Bulk, bulk

#: (kind, first, second, third): ``md`` and ``code`` have a text, ``ref`` has kind, name and text, ``at`` text, operation and
#: anchor.
Span = tuple[str, str, str, str]
Cell = tuple[Span, ...]

#: So many letters fit a phone's line.
_PHONE = 44


def md(text: object) -> Cell:
    """Return a cell of one CommonMark phrase."""
    return (("md", str(text), "", ""),) if str(text) else ()


def plain(text: object) -> Cell:
    """Return a cell of text that is not markup."""
    return (("text", str(text), "", ""),) if str(text) else ()


def code(text: object) -> Cell:
    """Return a cell of code."""
    return (("code", str(text), "", ""),) if str(text) else ()


def ref(kind: str, name: str, text: str = "") -> Cell:
    """Return a cell with a link to an object, shown as code where there is no text."""
    return (("ref", kind, name, text),) if name else ()


def method(name: str) -> Cell:
    """Return a cell with an HTTP method."""
    return (("method", name, "", ""),)


def status(number: int) -> Cell:
    """Return a cell with an HTTP status."""
    return (("status", str(number), "", ""),)


def exchange(operation: str, name: str, text: str) -> Cell:
    """Return a cell with a link to an exchange in its operation's panel."""
    return (("at", text, operation, f"{operation}.{name}"),)


def tick(holds: bool, /) -> Cell:
    """Return a cell that says yes or nothing."""
    return (("tick", "yes", "", ""),) if holds else ()


def joined(cells: Iterable[Cell], between: str = ", ") -> Cell:
    """Return one cell of several, with text between them."""
    out: list[Span] = []
    for cell in cells:
        if out and cell:
            out.append(("text", between, "", ""))
        out.extend(cell)
    return tuple(out)


@dataclass(frozen=True, slots=True)
class Row:
    """A row. With ``group`` it is a heading over the rows that follow."""

    cells: tuple[Cell, ...]
    anchor: str = ""
    group: bool = False


def row(*cells: Cell, anchor: str = "") -> Row:
    """Return a row of cells."""
    return Row(cells, anchor)


def group(cell: Cell) -> Row:
    """Return a heading within a table."""
    return Row((cell,), group=True)


def table(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Row],
    docname: str,
    *,
    widths: Sequence[int] = (),
    matrix: bool = False,
    narrow: bool | None = None,
) -> Bulk:
    """Return a table.

    :param title: Its accessible name.
    :param widths: Shares of the line on paper; equal where empty.
    :param matrix: Whether it has many narrow columns.
    :param narrow: Whether it fits a phone without scrolling; found out where nothing is said.
    """
    fits = _narrow(heads, [r for r in rows if not r.group]) if narrow is None else narrow
    shares = list(widths) or [100 // len(heads)] * len(heads)
    text = " ".join(_words(cell) for r in rows for cell in r.cells)
    data = {"title": title, "heads": list(heads), "rows": list(rows), "widths": shares, "matrix": matrix, "narrow": fits}
    return bulk("table", data, docname, text)


@dataclass(frozen=True, slots=True)
class Entry:
    """A named thing with a text and facts: an error code, a rule.

    :param facts: Pairs of a term and a cell.
    """

    anchor: str
    head: Cell
    side: Cell
    body: tuple[str, ...]
    facts: tuple[tuple[str, Cell], ...]


def entries(title: str, found: Sequence[Entry], docname: str) -> Bulk:
    """Return a list of entries."""
    text = " ".join(
        " ".join((_words(e.head), _words(e.side), *e.body, *(_words(cell) for _, cell in e.facts))) for e in found
    )
    return bulk("entries", {"title": title, "entries": list(found)}, docname, text)


def facts(pairs: Sequence[tuple[str, Cell]], docname: str) -> Bulk:
    """Return a list of terms, each with what holds."""
    kept = [(term, cell) for term, cell in pairs if cell]
    return bulk("pairs", {"pairs": kept}, docname, " ".join(f"{t} {_words(c)}" for t, c in kept))


def _narrow(heads: Sequence[str], rows: Sequence[Row]) -> bool:
    """Whether a table reads well on a phone: its longest words fit side by side, and only the first column has sentences."""
    columns = [[head, *(_words(r.cells[i]) for r in rows)] for i, head in enumerate(heads)]
    words = sum(max(len(word) for text in column for word in [*text.split(), ""]) for column in columns)
    return words < _PHONE and all(len(text) < _PHONE // 2 for column in columns[1:] for text in column)


def _words(cell: Cell) -> str:
    return " ".join(part for span in cell for part in span[1:] if part and not part.startswith("#"))


def rubric(text: str) -> nodes.rubric:
    """Return a small heading that is no section."""
    return nodes.rubric("", text, classes=["op-heading"])
