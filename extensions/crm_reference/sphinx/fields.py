"""Fields of a schema as HTML and Markdown.

These are plain functions and not templates: a tree is walked by recursion, which costs several times as much in Jinja, and trees
are most of what a page of operations holds. Every field has an anchor; nested ones are ``<details>``, so that they work with
scripts off.
"""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING

from markupsafe import Markup

from crm_reference.sphinx import words
from crm_reference.sphinx.trees import Branch, Field

if TYPE_CHECKING:
    from crm_reference.sphinx.rendering import Page


_DOT = " \N{MIDDLE DOT} "


def _escape(text: str) -> str:
    return html.escape(text, quote=False)


def head(page: Page, name: str, kind: str, anchor: str, required: bool, marks: Iterable[str]) -> str:
    """Return the line of a field: its name, which is a link to itself, its type and its marks."""
    flags = ' <b class="f-req">required</b>' if required else ""
    flags += "".join(f' <span class="f-mark">{mark}</span>' for mark in marks)
    return (
        f'<div class="f-head"><a class="f-name" href="#{html.escape(anchor)}">{_escape(name)}</a> '
        f'<span class="f-type">{kind}</span>{flags}</div>'
    )


def kind_of(page: Page, field: Field) -> str:
    """Return a field's type; where it has a schema with a place, a link to that."""
    if not field.schema or not page.href("schema", field.schema):
        return _escape(field.type)
    return ("array of " if field.type.startswith("array of ") else "") + page.link("schema", field.schema)


def said(page: Page, text: str) -> str:
    """Return a description: one paragraph, or blocks."""
    if not text:
        return ""
    shown = page.phrase(text)
    return f'<div class="f-text">{shown}</div>' if shown.startswith("<") else f'<p class="f-text">{shown}</p>'


def detail(page: Page, field: Field) -> Markup:
    """Return what is said of a field below its line: description, constraints, an example, choices."""
    out: list[str] = [said(page, field.description)]
    rules: list[str] = [page.phrase(c) for c in field.constraints]
    if field.example:
        rules.append(f"for instance {page.phrase(field.example)}")
    if rules:
        out.append(f'<p class="f-rules">{_DOT.join(rules)}</p>')
    if field.choices:
        pairs = (f"<div><dt><code>{_escape(v)}</code></dt><dd>{page.phrase(meaning)}</dd></div>" for v, meaning in field.choices)
        out.append(f'<dl class="f-choices">{"".join(pairs)}</dl>')
    return Markup("".join(out))


def listed(page: Page, fields: Iterable[Field], root: str, *, top: bool = False) -> Markup:
    """Return fields as a list.

    :param root: Prefix of their anchors.
    :param top: Whether the first level's details are open, and no box is around the list.
    """
    items = "\n".join(_item(page, f, root, opened=top) for f in fields)
    return Markup(f'<ul class="f-list{" f-root" if top else ""}">{items}</ul>') if items else Markup("")


def _item(page: Page, field: Field, root: str, *, opened: bool) -> str:
    anchor = f"{root}.{field.path}"
    more = ""
    if field.fields or field.branches:
        mark = " open" if opened else ""
        more = f'<details class="f-more"{mark}>{summary(field, field.name)}{below(page, field, root, opened=opened)}</details>'
    line = head(page, field.name, kind_of(page, field), anchor, field.required, field.marks)
    return f'<li class="f" id="{html.escape(anchor)}">{line}{detail(page, field)}{more}</li>'


def summary(field: Field, name: str) -> Markup:
    """Return the summary of a folded tree."""
    count = words.count(len(field.fields or field.branches), "member" if field.fields else "shape")
    return Markup(f'<summary>{count}<span class="visually-hidden"> of {_escape(name)}</span></summary>')


def below(page: Page, field: Field, root: str, *, opened: bool) -> Markup:
    """Return the members of a field and its shapes.

    :param opened: Whether the first shape is open.
    """
    out: list[str] = [listed(page, field.fields, root)]
    if field.branches:
        shapes = (_shape(page, b, root, opened=opened and i == 0) for i, b in enumerate(field.branches))
        out.append(f'<p class="f-oneof">One of these shapes:</p><div class="f-branches">{"".join(shapes)}</div>')
    return Markup("".join(out))


def _shape(page: Page, branch: Branch, root: str, *, opened: bool) -> str:
    when = f' <span class="f-when">when {page.phrase(branch.when)}</span>' if branch.when else ""
    see = f'<p class="f-text">See {page.link("schema", branch.title)}.</p>' if branch.linked else ""
    return (
        f'<details class="f-branch"{" open" if opened else ""}><summary><span class="f-name">{_escape(branch.title)}</span>{when}'
        f"</summary>{said(page, branch.description)}{see}{listed(page, branch.fields, root)}</details>\n"
    )


def in_markdown(page: Page, fields: Iterable[Field], branches: Iterable[Branch] = (), depth: int = 0) -> str:
    """Return fields and shapes as a nested list of Markdown."""
    return "".join(_lines(page, fields, branches, depth))


def _lines(page: Page, fields: Iterable[Field], branches: Iterable[Branch], depth: int) -> Iterable[str]:
    indent = "  " * depth
    for f in fields:
        schema = f" `{f.schema}`" if f.schema else ""
        required = ", required" if f.required else ""
        text = f": {page.phrase(f.description)}" if f.description else ""
        rules = f" {'; '.join(f.constraints)}" if f.constraints else ""
        yield f"{indent}- `{f.name}` ({f.type}{schema}{required}{''.join(f', {m}' for m in f.marks)}){text}{rules}\n"
        for value, meaning in f.choices:
            yield f"{indent}  - `{value}`{f': {meaning}' if meaning else ''}\n"
        yield from _lines(page, f.fields, f.branches, depth + 1)
    for b in branches:
        yield f"{indent}- one of: {b.title}{f', when {b.when}' if b.when else ''}\n"
        yield from _lines(page, b.fields, (), depth + 1)
