"""The sidebar of every page, made from titles alone.

Sphinx copies the table of contents of all pages, with all their sections, for each page that it writes, and then throws the
sections away. With a hundred operations a service that is most of a build, so it is given tables without sections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from docutils import nodes
from sphinx import addnodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

#: Above this number of pages the sidebar opens the current branch only: with all of them it would outweigh the page.
MOST_PAGES = 150


class _Titles(dict[str, nodes.bullet_list]):
    """Tables of contents by page, each with its title and what it includes; made when they are asked for."""

    def __init__(self, whole: dict[str, nodes.bullet_list]) -> None:
        super().__init__()
        self._whole = whole

    def __missing__(self, docname: str) -> nodes.bullet_list:
        toc = self._whole[docname]
        made = toc.copy()
        for top in toc.children:
            assert isinstance(top, nodes.Element)
            kept = top.copy()
            kept += [child.deepcopy() for child in top.children[:1]]
            if included := [t.deepcopy() for t in top.findall(addnodes.toctree)]:
                kept += nodes.bullet_list("", *included) if len(top) > 1 else included
            made += kept
        self[docname] = made
        return made


_titles: WeakKeyDictionary[BuildEnvironment, _Titles] = WeakKeyDictionary()


def _narrow(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Let the theme's call for a tree of titles see tables of titles."""
    make, env = context.get("toctree"), app.env
    if make is None:
        return

    def toctree(**options: Any) -> Any:
        if not options.get("titles_only"):
            return make(**options)
        if len(env.found_docs) > MOST_PAGES:
            options["collapse"] = True
        whole = env.tocs
        if env not in _titles:
            _titles[env] = _Titles(whole)
        env.tocs = _titles[env]
        try:
            return make(**options)
        finally:
            env.tocs = whole

    context["toctree"] = toctree


def setup_navigation(app: Sphinx) -> None:
    """Narrow the sidebar before the theme, whose priority is the default one, makes it."""
    app.connect("html-page-context", _narrow, priority=100)
