"""Bulk: what a page holds a lot of, one custom node each, printed by a Jinja template for each output format.

A :class:`Bulk` carries plain data and its words. The words are a hidden text node, so that Sphinx's search finds them; the data is
printed when the page is written, so that links are resolved against the finished domain.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from docutils import nodes
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from crm_reference.contract import Contract
from crm_reference.sphinx import fields, markup, words
from crm_reference.sphinx.highlight import highlight
from crm_reference.sphinx.state import get_state
from crm_reference.sphinx.trees import Field, build_tree

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.builders import Builder
    from sphinx.environment import BuildEnvironment
    from sphinx.highlighting import PygmentsBridge

    from crm_reference.sphinx.domain import CrmDomain

#: Tabs of a sample in their order: key, title, lexer.
LANGUAGES = (("curl", "curl", "bash"), ("python", "Python", "pycon"), ("javascript", "JavaScript", "javascript"))

#: Where a long name may break: before a capital within a word, and after punctuation.
_BREAKS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[_/,:])(?=\w)|(?<=\.)(?=[A-Za-z])")

#: Lines of an answer on paper.
_PAPER = 40

#: Shorter names fit every column whole.
_WHOLE = 18


class Bulk(nodes.General, nodes.Element):
    """A node that a template prints.

    Attributes: ``template`` (its name without format), ``data`` (a mapping for the template) and ``docname``.
    """

    #: Smart quotes would spoil values; and what is hidden needs none.
    support_smartquotes: ClassVar[bool] = False


def bulk(template: str, data: Mapping[str, Any], docname: str, text: str = "", *, ids: Sequence[str] = ()) -> Bulk:
    """Return a bulk node.

    :param text: Words for the search index.
    :param ids: Anchors beside those that the template writes.
    """
    node = Bulk(template=template, data=dict(data), docname=docname, support_smartquotes=False)
    node["ids"].extend(ids)
    if text:
        node += nodes.Text(" ".join(dict.fromkeys(text.split())))
    return node


def make_namer(contract: Contract) -> markup.Namer:
    """Return the function that recognizes the contract's names in code spans."""

    def name(text: str) -> tuple[str, str] | None:
        if text in contract.operations:
            return "operation", text
        if text in contract.events:
            return "event", text
        if text in contract.scopes:
            return "scope", text
        code = contract.errors.get(text)
        return ("error", text) if code is not None and code.service else None

    return name


class Page:
    """What templates know of the page that is written: links, prose and code in its format.

    :param format: ``html``, ``tex`` or ``md``.
    :param highlighter: The LaTeX writer's own, for ``tex``.
    """

    def __init__(
        self, format: str, env: BuildEnvironment, builder: Builder, docname: str, highlighter: PygmentsBridge | None = None
    ) -> None:
        self.format = format
        self._highlighter = highlighter
        self.builder = builder
        self.docname = docname
        self.state = get_state(env.config)
        self.contract = self.state.contract
        self._domain: CrmDomain = env.domains["crm"]  # type: ignore[assignment]  # our own domain
        self._namer = make_namer(self.contract)
        self._cache = self.state.root / ".cache" / "highlight.sqlite"

    def href(self, kind: str, name: str) -> str:
        """Return the address of an object as seen from this page; empty where it has no place yet."""
        entry = self._domain.find(kind, name)
        return self.address(entry.docname, entry.anchor) if entry is not None else ""

    def address(self, docname: str, anchor: str) -> str:
        """Return the address of a place as seen from this page; empty where this volume doesn't hold it."""
        if self.format == "tex":
            documents = getattr(self.builder, "docnames", None)
            inside = not documents or docname in documents
            place = f":{anchor}" if anchor else "::doc"
            return docname + place if inside else ""
        if docname == self.docname:
            return f"#{anchor}"
        target = self.builder.get_relative_uri(self.docname, docname)
        if self.format == "md":
            target = target.replace(".html", ".md")
        return f"{target}#{anchor}" if anchor else target

    def file(self, path: str) -> str:
        """Return the address of a file of the output as seen from this page."""
        top, slash, _ = self.builder.get_relative_uri(self.docname, str(self.builder.config.root_doc)).rpartition("/")
        return f"{top}{slash}{path}"

    def wrap(self, kind: str, name: str, shown: str) -> str:
        """Return ready markup with a link around it, or as it is where the object has no place."""
        return self._wrap(kind, self.href(kind, name), shown)

    def _wrap(self, kind: str, address: str, shown: str) -> str:
        if not address:
            return shown
        if self.format == "tex":
            return rf"\hyperref[\detokenize{{{address}}}]{{{shown}}}"
        if self.format == "md":
            return f"[{shown}]({address})"
        return f'<a href="{html.escape(address)}">{shown}</a>'

    def link(self, kind: str, name: str, text: str = "") -> Markup:
        """Return a link with its text; without a text, the name as code."""
        shown = self.text(text) if text else self.code(name)
        return Markup(self.wrap(kind, name, str(shown)))

    def text(self, text: object) -> Markup:
        """Return plain text, escaped."""
        if self.format == "tex":
            return Markup(markup.tex(str(text)))
        return Markup(str(text)) if self.format == "md" else Markup.escape(str(text))

    def code(self, text: object) -> Markup:
        """Return a short piece of code."""
        if self.format == "tex":
            return Markup(markup.tex_code(str(text)))
        if self.format == "md":
            return Markup(words.code(str(text)))
        shown = html.escape(str(text), quote=False)
        return Markup(f"<code>{_BREAKS.sub('<wbr>', shown) if len(shown) > _WHOLE else shown}</code>")

    def cell(self, spans: Sequence[tuple[str, str, str, str]]) -> Markup:
        """Return a cell of :mod:`.tables`."""
        return Markup("").join(Markup(self._span(*span)) for span in spans)

    def _span(self, kind: str, first: str, second: str, third: str) -> str:
        if kind == "md":
            return self.phrase(first)
        if kind == "code":
            return self.code(first)
        if kind == "ref":
            return self.link(first, second, third)
        if kind == "at":
            return self._exchange(first, second, third)
        if kind == "doc":
            return self._wrap("section", self.address(first, second), str(self.text(third)))
        if self.format != "html":
            return self.code(first) if kind == "method" else self.text(first)
        if kind == "method":
            return f'<span class="op-method m-{first.lower()}">{first}</span>'
        if kind == "state":
            return f'<span class="state state-{html.escape(first)}">{html.escape(first)}</span>'
        if kind == "status":
            return f'<span class="status-code s-{first[0]}">{first}</span>'
        if kind == "tick":
            return f'<span class="tick"><span aria-hidden="true">\u2713</span><span class="visually-hidden">{first}</span></span>'
        return Markup.escape(first)

    def _exchange(self, text: str, operation: str, anchor: str) -> str:
        """Return a link to an exchange; LaTeX leads to its operation."""
        address, shown = self.href("operation", operation), self.text(text)
        if not address:
            return shown
        if self.format == "tex":
            return self.wrap("operation", operation, str(shown))
        address = f"{address.partition('#')[0]}#{anchor}"
        return f"[{shown}]({address})" if self.format == "md" else f'<a href="{html.escape(address)}">{shown}</a>'

    def prose(self, text: str) -> Markup:
        """Return CommonMark as blocks."""
        return self._prose(text, inline=False)

    def phrase(self, text: str) -> Markup:
        """Return CommonMark of one paragraph, without the paragraph."""
        return self._prose(text, inline=True)

    def _prose(self, text: str, *, inline: bool) -> Markup:
        if self.format == "tex":
            return Markup(markup.to_tex(text, self._namer, self.wrap))
        if self.format == "md":
            return Markup(" ".join(text.split()) if inline else text)
        return Markup(markup.to_html(text, self._namer, self.wrap, inline=inline))

    def block(self, code: str, language: str) -> Markup:
        """Return a block of code."""
        code = code.rstrip("\n")
        if self._highlighter is not None:
            return Markup(_tex_block(self._highlighter, code, language))
        if self.format == "md":
            fence = "````" if "```" in code else "```"
            return Markup(f"{fence}{'' if language == 'text' else language}\n{code}\n{fence}")
        return Markup(
            f'<div class="highlight-{language} notranslate"><div class="highlight"><pre tabindex="0">'
            f"{highlight(code, language, self._cache)}</pre></div></div>"
        )

    def sample(self, code: str, language: str, *, coloured: bool) -> Markup:
        """Return the inside of a block in a panel.

        :param coloured: Whether it is highlighted now. A page has hundreds of samples, and colours are two thirds of their markup;
            where this is false, a script colours them when they are opened.
        """
        code = code.rstrip("\n")
        if coloured:
            return Markup(highlight(code, language, self._cache))
        return Markup(code.replace("&", "&amp;").replace("<", "&lt;"))

    def cut(self, code: str) -> tuple[str, int]:
        """Return code as far as paper shows it, and how many lines are left out."""
        lines = code.rstrip("\n").split("\n")
        kept = lines if len(lines) <= _PAPER + 5 else lines[:_PAPER]  # a rest of a few lines isn't worth a remark
        return "\n".join(kept), len(lines) - len(kept)

    def tree(self, name: str) -> Field | None:
        """Return the tree of a named schema that has no section in this build; ``None`` for an unknown one."""
        schema = self.contract.schemas.get(name)
        return build_tree(schema.node) if schema is not None else None

    def proved(self, exchanges: Sequence[str]) -> str:
        """Return in words that the last doctest run executed exchanges, all without a failure; else nothing."""
        outcomes = self.state.outcomes
        if not exchanges or any(outcomes.get(e) != "passed" for e in exchanges):
            return ""
        return f"{len(exchanges)} exchange{'s' if len(exchanges) > 1 else ''} ran against the emulator and passed"

    def label(self, anchor: str) -> Markup:
        """Return what makes a place reachable by its anchor, for LaTeX."""
        return Markup(rf"\phantomsection\label{{\detokenize{{{self.docname}:{anchor}}}}}") if self.format == "tex" else Markup("")


#: TeX measures a line before it wraps it, and can't measure more than 19 feet. A signed SAML response has 5,000 letters.
_LONGEST_LINE = 2_000


def _folded(code: str) -> str:
    """Return code whose longest lines are broken, for paper, from which nobody pastes."""
    parts = ([line[i : i + _LONGEST_LINE] for i in range(0, len(line), _LONGEST_LINE)] or [""] for line in code.split("\n"))
    return "\n".join(part for line in parts for part in line)


def _tex_block(highlighter: PygmentsBridge, code: str, language: str) -> str:
    made = str(highlighter.highlight_block(_folded(code), language, force=True))
    made = made.replace(r"\begin{Verbatim}", r"\begin{sphinxVerbatim}").replace(r"\end{Verbatim}", r"\end{sphinxVerbatim}")
    return "\n" + made.strip() + "\n"


@functools.cache
def _jinja(format: str) -> Environment:
    loader = PackageLoader("crm_reference.sphinx", "templates")
    if format == "tex":  # LaTeX is full of braces and hashes
        environment = Environment(
            loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False,
            variable_start_string="<<", variable_end_string=">>", block_start_string="<%", block_end_string="%>",
            comment_start_string="<#", comment_end_string="#>",
        )  # fmt: skip
        environment.globals["words"] = words
        return environment
    # Markdown is not escaped; it is read as text
    environment = Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=format == "html"
    )
    environment.globals.update(words=words, fields=fields)
    return environment


def render(node: Bulk, page: Page) -> str:
    """Return a bulk node in the page's format."""
    blocks = [child.astext() for child in node.children if isinstance(child, nodes.literal_block)]
    template = _jinja(page.format).get_template(f"{node['template']}.{page.format}.jinja")
    return template.render(page=page, contract=page.contract, blocks=blocks, languages=LANGUAGES, **node["data"])


def _visit_html(self: Any, node: Bulk) -> None:
    page = Page("html", self.builder.env, self.builder, node["docname"])
    for anchor in node["ids"]:
        self.body.append(f'<span id="{html.escape(anchor)}"></span>')
    self.body.append(render(node, page))
    raise nodes.SkipNode


def _visit_latex(self: Any, node: Bulk) -> None:
    page = Page("tex", self.builder.env, self.builder, node["docname"], self.highlighter)
    self.body.extend(str(page.label(anchor)) for anchor in node["ids"])
    self.body.append("\n" + render(node, page) + "\n")
    raise nodes.SkipNode


def _visit_text(self: Any, node: Bulk) -> None:
    page = Page("md", self.builder.env, self.builder, node["docname"])
    self.add_text(render(node, page))
    raise nodes.SkipNode


def _skip(self: Any, node: Bulk) -> None:
    raise nodes.SkipNode


def add_bulk_node(app: Sphinx, kind: type[Bulk]) -> None:
    """Register a kind of bulk node for every output format; manual pages and Texinfo leave it out."""
    app.add_node(
        kind,
        html=(_visit_html, None),
        latex=(_visit_latex, None),
        text=(_visit_text, None),
        man=(_skip, None),
        texinfo=(_skip, None),
    )


def setup_rendering(app: Sphinx) -> None:
    """Register the bulk node."""
    add_bulk_node(app, Bulk)
