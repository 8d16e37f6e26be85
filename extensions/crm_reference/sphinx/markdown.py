"""A resolved doctree as Markdown: what agents and terminals read, rendered operations included.

Exact line breaks are not promised; that every word, code block and link of the page is there is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from docutils import nodes

from crm_reference.sphinx import words
from crm_reference.sphinx.rendering import Bulk, Page, render

if TYPE_CHECKING:
    from sphinx.builders import Builder

_BLANKS = re.compile(r"\n{3,}")
_PAGE_LINK = re.compile(r"^(?![a-z]+:)([^#]*)\.html(#.*)?$")


class MarkdownWriter(nodes.SparseNodeVisitor):
    """Collects blocks of Markdown from a doctree.

    :param docname: The page, for links of bulk nodes.
    """

    def __init__(self, document: nodes.document, builder: Builder, docname: str) -> None:
        super().__init__(document)
        self._builder = builder
        self._docname = docname
        self._parts: list[str] = []
        self._level = 0
        self._prefixes: list[str] = []
        self._counters: list[int] = []

    def text(self) -> str:
        """Return what was collected."""
        return _BLANKS.sub("\n\n", "".join(self._parts)).strip() + "\n"

    def _block(self, text: str) -> None:
        """Add a block, indented as the lists around it demand."""
        indent = "  " * len(self._prefixes)
        lines = text.strip("\n").split("\n")
        first = indent
        if self._prefixes and self._prefixes[-1]:
            first, self._prefixes[-1] = indent[2:] + self._prefixes[-1], ""
        body = [first + lines[0], *((indent + line) if line else "" for line in lines[1:])]
        self._parts.append("\n".join(body) + "\n\n")

    def visit_section(self, node: nodes.section) -> None:
        """Go one heading down."""
        self._level += 1

    def depart_section(self, node: nodes.section) -> None:
        """Come back up."""
        self._level -= 1

    def visit_title(self, node: nodes.title) -> None:
        """Write a heading with its anchor."""
        anchor = next(iter(node.parent.get("ids", ())), "")
        mark = "#" * max(1, min(6, self._level))
        self._block(f"{mark} {self._inline(node)}" + (f" <a id=\"{anchor}\"></a>" if anchor and self._level > 1 else ""))
        raise nodes.SkipNode

    def visit_rubric(self, node: nodes.rubric) -> None:
        """Write a small heading."""
        self._block(f"**{self._inline(node)}**")
        raise nodes.SkipNode

    def visit_paragraph(self, node: nodes.Element) -> None:
        """Write a paragraph."""
        self._block(self._inline(node))
        raise nodes.SkipNode

    visit_term = visit_paragraph
    visit_caption = visit_paragraph

    def visit_literal_block(self, node: nodes.literal_block) -> None:
        """Write a code block."""
        language = node.get("language", "")
        self._block(f"```{'' if language in ('none', 'default') else language}\n{node.astext().rstrip()}\n```")
        raise nodes.SkipNode

    def visit_doctest_block(self, node: nodes.doctest_block) -> None:
        """Write a doctest."""
        self._block(f"```python\n{node.astext().rstrip()}\n```")
        raise nodes.SkipNode

    def visit_bullet_list(self, node: nodes.bullet_list) -> None:
        """Begin a list."""
        self._counters.append(0)

    def visit_enumerated_list(self, node: nodes.enumerated_list) -> None:
        """Begin a numbered list."""
        self._counters.append(1)

    def depart_bullet_list(self, node: nodes.Element) -> None:
        """End a list."""
        self._counters.pop()

    depart_enumerated_list = depart_bullet_list

    def visit_list_item(self, node: nodes.list_item) -> None:
        """Begin an item."""
        number = self._counters[-1]
        self._prefixes.append(f"{number}. " if number else "- ")
        if number:
            self._counters[-1] += 1

    def depart_list_item(self, node: nodes.list_item) -> None:
        """End an item."""
        self._prefixes.pop()

    def visit_Admonition(self, node: nodes.Element) -> None:  # noqa: N802  (docutils' dispatch by class name)
        """Name an admonition; its text follows."""
        self._block(f"**{node.__class__.__name__.capitalize()}**")

    visit_note = visit_warning = visit_tip = visit_important = visit_hint = visit_caution = visit_danger = visit_Admonition

    def visit_table(self, node: nodes.table) -> None:
        """Write a table."""
        rows = [[self._cell(entry) for entry in row.findall(nodes.entry)] for row in node.findall(nodes.row)]
        if rows:
            lines = [f"| {' | '.join(cells)} |" for cells in rows]
            lines.insert(1, "|" + " --- |" * len(rows[0]))
            self._block("\n".join(lines))
        raise nodes.SkipNode

    def _cell(self, entry: nodes.entry) -> str:
        return " ".join(self._inline(p) for p in entry.findall(nodes.paragraph)).replace("|", "\\|")

    def visit_desc_signature(self, node: nodes.Element) -> None:
        """Write the signature of a Python object."""
        self._block(f"```python\n{node.astext()}\n```")
        raise nodes.SkipNode

    def visit_image(self, node: nodes.image) -> None:
        """Write a picture's text alternative."""
        self._block(f"![{node.get('alt', '')}]({node['uri']})")
        raise nodes.SkipNode

    def visit_raw(self, node: nodes.Element) -> None:
        """Leave out what is meant for one format."""
        raise nodes.SkipNode

    visit_comment = visit_system_message = visit_toctree = visit_raw

    def visit_compact_paragraph(self, node: nodes.Element) -> None:
        """Write an entry of a table of contents."""
        self._block(self._inline(node))
        raise nodes.SkipNode

    def visit_Bulk(self, node: Bulk) -> None:  # noqa: N802  (as above)
        """Print bulk by its template."""
        text = _BLANKS.sub("\n\n", render(node, Page("md", self._builder.env, self._builder, self._docname)))
        if text.strip():
            self._block(text)
        raise nodes.SkipNode

    visit_ExchangePanel = visit_Bulk  # noqa: N815  (as above)

    def unknown_visit(self, node: nodes.Node) -> None:
        """Walk through what has no form of its own."""

    def _inline(self, node: nodes.Node) -> str:
        if isinstance(node, nodes.Text):
            return " ".join(str(node).split("\n"))
        inner = "".join(self._inline(child) for child in node.children)
        if isinstance(node, nodes.literal):
            return words.code(node.astext())
        if isinstance(node, nodes.strong):
            return f"**{inner}**"
        if isinstance(node, nodes.emphasis):
            return f"*{inner}*"
        if isinstance(node, nodes.reference):
            target = _PAGE_LINK.sub(r"\1.md\2", node.get("refuri", "") or f"#{node.get('refid', '')}")
            return f"[{inner}]({target})"
        return inner


def to_markdown(doctree: nodes.document, builder: Builder, docname: str) -> str:
    """Return a page as Markdown."""
    writer = MarkdownWriter(doctree, builder, docname)
    doctree.walkabout(writer)
    return writer.text()
