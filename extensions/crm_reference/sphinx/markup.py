"""CommonMark from the specs, as doctree nodes, HTML and LaTeX.

Names in code spans that the contract knows (an operationId, an event's type, a scope) become links. Everything is cached by
content, since the same shared sentences stand on every page.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Callable, Iterator, Sequence

from docutils import nodes
from markdown_it import MarkdownIt
from markdown_it.token import Token
from sphinx import addnodes
from sphinx.util import texescape

#: Turns a name in a code span into (kind of object, name), or ``None`` where it is no name.
Namer = Callable[[str], tuple[str, str] | None]
#: Turns (kind of object, name, shown markup) into markup with a link, or returns it as it is.
Linker = Callable[[str, str, str], str]

texescape.init()  # builders do so too, and later

#: A cursor, a signature, an ID: nothing in it would let a line break.
_LONG = re.compile(r"[A-Za-z0-9]{24,}")
#: A name in camel case that is longer than a narrow column, before each of its capitals.
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")
_CAMEL_NAME = re.compile(r"\b[a-z]+(?:[A-Z][a-z0-9]+){2,}\b|\b(?:[A-Z][a-z0-9]+){3,}\b")

_parser = MarkdownIt("commonmark", {"html": False}).enable("table")


@functools.lru_cache(maxsize=20_000)
def _parse(text: str) -> tuple[Token, ...]:
    return tuple(_parser.parse(text))


def tex(text: str, /) -> str:
    """Escape text for xelatex."""
    return str(texescape.escape(text, "xelatex"))


def tex_code(text: str, /) -> str:
    """Return text as LaTeX code that may break after punctuation and within long tokens, so that it stays in its column."""
    marked = _CAMEL_NAME.sub(lambda m: _CAMEL.sub("\x01", m[0]), text)
    marked = _LONG.sub(lambda m: "\x01".join(m[0][i : i + 12] for i in range(0, len(m[0]), 12)), marked)
    escaped = tex(marked).replace("\x01", r"\allowbreak{}")
    for mark in (".", "/", r"\sphinxhyphen{}", ",", ":", r"\_", r"\{", "?", "=", r"\&"):
        escaped = escaped.replace(mark, mark + r"\allowbreak{}")
    return rf"\sphinxcode{{\sphinxupquote{{{escaped}}}}}"


def to_html(text: str, /, namer: Namer, linker: Linker, *, inline: bool = False) -> str:
    """Return CommonMark as HTML.

    :param inline: Whether a single paragraph loses its ``<p>``, for table cells and phrases.
    """
    tokens = _parse(text)
    single = inline and len(tokens) == 3 and tokens[0].type == "paragraph_open"
    return "".join(_html_blocks(tokens[1:2] if single else tokens, namer, linker))


def _html_blocks(tokens: Sequence[Token], namer: Namer, linker: Linker) -> Iterator[str]:
    for token in tokens:
        if token.type == "inline":
            yield _html_inline(token.children or [], namer, linker)
        elif token.type in ("fence", "code_block"):
            yield f"<pre><code>{html.escape(token.content)}</code></pre>"
        elif token.nesting == 1:
            yield f"<{token.tag}>" if not token.hidden else ""
        elif token.nesting == -1:
            yield f"</{token.tag}>" if not token.hidden else ""


def _html_inline(tokens: Sequence[Token], namer: Namer, linker: Linker) -> str:
    out = []
    for token in tokens:
        if token.type == "text":
            out.append(html.escape(token.content, quote=False))
        elif token.type == "code_inline":
            shown = f"<code>{html.escape(token.content, quote=False)}</code>"
            named = namer(token.content)
            out.append(linker(*named, shown) if named else shown)
        elif token.type == "softbreak":
            out.append("\n")
        elif token.type == "hardbreak":
            out.append("<br>")
        elif token.type == "link_open":
            out.append(f'<a href="{html.escape(str(token.attrGet("href") or ""))}">')
        elif token.nesting:
            out.append(f"<{'/' if token.nesting < 0 else ''}{token.tag}>")
        else:
            out.append(html.escape(token.content))
    return "".join(out)


def to_tex(text: str, /, namer: Namer, linker: Linker) -> str:
    """Return CommonMark as LaTeX."""
    out: list[str] = []
    environments = {"bullet_list": "itemize", "ordered_list": "enumerate"}
    for token in _parse(text):
        kind = token.type.rpartition("_")[0]
        if token.type == "inline":
            out.append(_tex_inline(token.children or [], namer, linker))
        elif token.type in ("fence", "code_block"):
            out.append("\n\n" + r"\\".join(tex_code(line) for line in token.content.splitlines()) + "\n\n")
        elif kind in environments:
            out.append(rf"\{'begin' if token.nesting > 0 else 'end'}{{{environments[kind]}}}" + "\n")
        elif token.type == "list_item_open":
            out.append(r"\item ")
        elif token.type == "paragraph_close":
            out.append("\n" if token.hidden else "\n\n")
    return "".join(out).strip()


def _tex_inline(tokens: Sequence[Token], namer: Namer, linker: Linker) -> str:
    opening = {"em_open": r"\emph{", "strong_open": r"\textbf{"}
    out = []
    for token in tokens:
        if token.type == "code_inline":
            named, shown = namer(token.content), tex_code(token.content)
            out.append(linker(*named, shown) if named else shown)
        elif token.type == "softbreak":
            out.append("\n")
        elif token.type == "hardbreak":
            out.append(r"\\ ")
        elif token.type == "link_open":
            out.append(rf"\href{{{tex(str(token.attrGet('href') or ''))}}}{{")
        elif token.nesting == 1:
            out.append(opening.get(token.type, "{"))
        elif token.nesting == -1:
            out.append("}")
        else:
            out.append(tex(token.content))
    return "".join(out)


def to_nodes(text: str, /, namer: Namer) -> list[nodes.Node]:
    """Return CommonMark as doctree nodes, with cross-references for the names that it holds in code spans."""
    root = nodes.Element()
    stack: list[nodes.Element] = [root]
    blocks: dict[str, Callable[[], nodes.Element]] = {
        "paragraph_open": nodes.paragraph,
        "bullet_list_open": functools.partial(nodes.bullet_list, bullet="-"),
        "ordered_list_open": functools.partial(nodes.enumerated_list, enumtype="arabic", prefix="", suffix="."),
        "list_item_open": nodes.list_item,
        "blockquote_open": nodes.block_quote,
        "heading_open": functools.partial(nodes.rubric, ""),
    }
    for token in _parse(text):
        if token.type == "inline":
            stack[-1].extend(_inline_nodes(token.children or [], namer))
        elif token.type in ("fence", "code_block"):
            stack[-1] += nodes.literal_block(token.content, token.content, language=token.info or "none")
        elif token.type in blocks:
            element = blocks[token.type]()
            stack[-1] += element
            stack.append(element)
        elif token.nesting == -1 and token.type.replace("_close", "_open") in blocks:
            stack.pop()
    return list(root.children)


def _inline_nodes(tokens: Sequence[Token], namer: Namer) -> list[nodes.Node]:
    kinds: dict[str, type[nodes.TextElement]] = {"em_open": nodes.emphasis, "strong_open": nodes.strong}
    stack: list[list[nodes.Node]] = [[]]
    opened: list[nodes.TextElement] = []
    for token in tokens:
        if token.type == "code_inline":
            stack[-1].append(_code_node(token.content, namer))
        elif token.type in ("softbreak", "hardbreak"):
            stack[-1].append(nodes.Text("\n"))
        elif token.type == "link_open":
            opened.append(nodes.reference("", "", refuri=str(token.attrGet("href") or "")))
            stack.append([])
        elif token.nesting == 1:
            opened.append(kinds.get(token.type, nodes.inline)())
            stack.append([])
        elif token.nesting == -1:
            element = opened.pop()
            element.extend(stack.pop())
            stack[-1].append(element)
        else:
            stack[-1].append(nodes.Text(token.content))
    return stack[0]


def _code_node(text: str, namer: Namer) -> nodes.Node:
    named = namer(text)
    return reference_node(*named, code=True) if named else nodes.literal(text, text)


def reference_node(kind: str, name: str, text: str = "", *, code: bool = False) -> addnodes.pending_xref:
    """Return a cross-reference to an object of the ``crm`` domain, resolved when the page is written.

    It never warns: what it names was found in the contract, and its page may not be written yet.

    :param text: What is shown; the name where it is empty.
    """
    shown = (nodes.literal if code else nodes.inline)("", text or name, classes=["xref", "crm", f"crm-{kind}"])
    return addnodes.pending_xref(
        "", shown, refdomain="crm", reftype=kind, reftarget=name, refexplicit=bool(text), refwarn=False
    )
