"""The ``doctest`` builder: every example of the reference, run, with a result for each.

Exchanges and vectors are run straight from the contract, narratives from the pages' ``{doctest}`` blocks, which are noted while
a page is read, so that no doctree is opened again. What came of each example stands in ``results.json`` in the builder's output
folder; the trace and the pages' badges read it. A second run with nothing changed runs no example.

A page that shows another text of an exchange than the one that is run is a failure too: it was read before the contract
changed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.ext.doctest import DocTestBuilder
from sphinx.util import logging

from crm_reference.contract import ContractError
from crm_reference.exchanges.doctests import Block, Page, Result, Suite
from crm_reference.exchanges.errors import ExchangeError
from crm_reference.exchanges.files import write_if_changed
from crm_reference.exchanges.samples import doctest_of
from crm_reference.sphinx.state import get_state

if TYPE_CHECKING:
    from collections.abc import Mapping, Set
    from pathlib import Path

    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

    from crm_reference.exchanges.stage import Stage

logger = logging.getLogger(__name__)

#: Group of the blocks that name none.
_DEFAULT_GROUP = "default"


@dataclass(slots=True)
class _Noted:
    """The tests of a page.

    :param blocks: Narrative blocks by group.
    :param exchanges: Exchange ID to the hash of the test that the page shows.
    :param unsupported: Directive and line of each test block that isn't ``{doctest}``.
    """

    blocks: dict[str, list[Block]] = field(default_factory=dict)
    exchanges: dict[str, str] = field(default_factory=dict)
    unsupported: list[tuple[str, int]] = field(default_factory=list)


class ExamplesBuilder(DocTestBuilder):
    """Runs exchanges, narratives and vectors."""

    name = "doctest"
    epilog = "The results of all examples are in %(outdir)s/results.json."

    def init(self) -> None:
        """Do nothing: the inherited set-up opens a report with the day's date in it."""

    def get_outdated_docs(self) -> str:  # type: ignore[override]  # a string is how Sphinx is told: all of them
        """Return what is built: the suite knows by itself what has changed."""
        return "all examples"

    def write_documents(self, docnames: Set[str]) -> None:
        """Run what has changed and write ``results.json``."""
        state = get_state(self.config)
        path = self.outdir / "results.json"
        pages, workers = list(self._pages(state.root)), os.cpu_count() or 1
        suite = Suite(state.contract, pages, _previous(path), self._make_stage, workers=workers)
        try:
            results, ran = suite.run(self._progress)
        except ContractError as error:
            raise ExtensionError(f"the examples can't be run:\n{error}") from error
        content = orjson.dumps([result.entry() for result in results], option=orjson.OPT_INDENT_2) + b"\n"
        write_if_changed(path, content)
        stale = list(self._stale())
        for result in results:
            if result.outcome == "failed":
                self._complain(result)
        for place, message in stale:
            logger.warning(message, location=place, type="example", subtype="stale")
        self._summarize(results, ran, len(stale))

    def finish(self) -> None:
        """Do nothing: the summary is printed where the results are known."""

    def _make_stage(self) -> Stage:
        from crm_reference.emulator import Engine
        from crm_reference.exchanges.stage import Stage

        contract = get_state(self.config).contract
        return Stage(contract, Engine(contract))

    def _pages(self, root: Path) -> Iterator[Page]:
        for docname, noted in sorted(_noted(self.env).items()):
            file = self.env.doc2path(docname)
            shown = file.relative_to(root).as_posix() if file.is_relative_to(root) else str(file)
            for kind, line in noted.unsupported:
                message = f"{{{kind}}} blocks aren't run; write {{doctest}}, with :hide: to keep it from the page"
                logger.warning(message, location=f"{shown}:{line}", type="example", subtype="unsupported")
                self._app.statuscode = 1
            for group, blocks in noted.blocks.items():
                name = docname if group == _DEFAULT_GROUP else f"{docname}:{group}"
                yield Page(name, shown, tuple(blocks))

    def _stale(self) -> Iterator[tuple[str, str]]:
        contract = get_state(self.config).contract
        for docname, noted in sorted(_noted(self.env).items()):
            for name, digest in noted.exchanges.items():
                exchange = contract.exchanges.get(name)
                operation = contract.operations.get(exchange.operation) if exchange else None
                try:
                    test = doctest_of(exchange, operation).tested if exchange and operation else ""
                except ExchangeError:
                    test = ""
                if _hash(test) != digest:
                    yield docname, f"the page shows another text of {name} than is run; build again with -E"

    def _progress(self, done: int, total: int) -> None:
        if done == total or done % max(total // 10, 1) == 0:
            logger.info("running examples... [%3d%%] %d of %d", 100 * done // total, done, total)

    def _complain(self, result: Result) -> None:
        logger.warning("%s failed\n%s", result.example, result.message, location=result.place, type="example", subtype=result.kind)

    def _summarize(self, results: list[Result], ran: int, stale: int) -> None:
        counts = {kind: sum(r.kind == kind for r in results) for kind in ("exchange", "narrative", "vector")}
        failed = sum(r.outcome == "failed" for r in results)
        said = ", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items())
        logger.info("%s: %d ran, %d unchanged, %d failed", said, ran, len(results) - ran, failed)
        if failed or stale:
            self._app.statuscode = 1


def _previous(path: Path) -> list[Mapping[str, Any]]:
    """Return the last run's entries; none where they can't be read."""
    try:
        entries = orjson.loads(path.read_bytes())
        return [e for e in entries if {"example", "place", "outcome", "kind", "hits", "hash"} <= e.keys()]
    except (OSError, orjson.JSONDecodeError, AttributeError, TypeError):
        return []


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _noted(env: BuildEnvironment) -> dict[str, _Noted]:
    found: dict[str, _Noted] = env.__dict__.setdefault("crm_doctests", {})
    return found


def is_test(node: nodes.Node) -> bool:
    """Tell whether a node is a block of examples."""
    return (isinstance(node, nodes.literal_block | nodes.comment) and "testnodetype" in node) or isinstance(
        node, nodes.doctest_block
    )


def _note(app: Sphinx, doctree: nodes.document) -> None:
    """Note the tests of the page that was read."""
    noted = _Noted()
    for node in doctree.findall(is_test):
        assert isinstance(node, nodes.Element)  # is_test admits nothing else
        kind = str(node.get("testnodetype", "doctest"))
        # docutils counts from the directive's line, and the first example stands on the next
        line = (node.line or 0) + (0 if isinstance(node, nodes.doctest_block) else 1)
        text = str(node["test"]) if "test" in node else node.astext()
        group = str(node.get("groups", [_DEFAULT_GROUP])[0])
        if kind != "doctest":
            noted.unsupported.append((kind, line - 1))
        elif "/" in group:
            noted.exchanges[group] = _hash(text)
        else:
            noted.blocks.setdefault(group, []).append(Block(text, line, dict(node.get("options", {}))))
    docname = app.env.current_document.docname
    if noted.blocks or noted.exchanges or noted.unsupported:
        _noted(app.env)[docname] = noted
    else:
        _noted(app.env).pop(docname, None)


def _purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    _noted(env).pop(docname, None)


def _merge(app: Sphinx, env: BuildEnvironment, docnames: Any, other: BuildEnvironment) -> None:
    _noted(env).update({name: noted for name, noted in _noted(other).items() if name in docnames})


def setup_doctests(app: Sphinx) -> None:
    """Register the builder in place of Sphinx's own, and note tests as pages are read."""
    app.setup_extension("sphinx.ext.doctest")
    app.add_builder(ExamplesBuilder, override=True)
    app.connect("doctree-read", _note)
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
