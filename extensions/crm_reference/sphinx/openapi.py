"""The ``openapi`` directive: sphinxcontrib-openapi's, with a renderer of ours behind its seam.

.. code-block:: markdown

   ```{openapi} ../../../source_specs/contacts/openapi.yaml
   :tag: people
   ```
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import unquote

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util import logging
from sphinxcontrib.openapi import directive as openapi_directive
from sphinxcontrib.openapi.renderers.abc import Renderer

from crm_reference.contract import Operation, Service
from crm_reference.sphinx.domain import get_domain
from crm_reference.sphinx.exchanges import note_exchanges
from crm_reference.sphinx.operations import OperationWriter, response_schemas
from crm_reference.sphinx.rendering import bulk
from crm_reference.sphinx.state import State, get_state, note_service

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

logger = logging.getLogger(__name__)


def linked_schemas(state: State, service: Service) -> tuple[str, ...]:
    """Return :func:`.operations.response_schemas`, computed once a build and service."""
    known: dict[str, tuple[str, ...]] = state.memo
    if service.slug not in known:
        known[service.slug] = response_schemas(service)
    return known[service.slug]


class ContractRenderer(Renderer):  # type: ignore[misc]  # the package has no types
    """Renders operations from the contract instead of the raw document.

    Options: ``tag`` (a tag's name), ``operations`` (operationIds) and ``no-index`` (without the list at the head).
    """

    option_spec: ClassVar[dict[str, Any]] = {
        "tag": directives.unchanged_required,
        "operations": str.split,
        "no-index": directives.flag,
    }

    def render(self, spec: Any) -> list[nodes.Node]:
        """Return the sections of the chosen operations."""
        document: nodes.document = self._state.document
        env = document.settings.env
        state = get_state(env.config)
        path = Path(unquote(self._options["uri"].removeprefix("file://"))).resolve()
        service = next((s for s in state.contract.services.values() if s.openapi.path.resolve() == path), None)
        location = (env.docname, document.current_line)
        if service is None:
            logger.warning("no service of the contract has the document %s", path, location=location, type="crm", subtype="unknown")
            return []
        note_service(env, service)
        chosen = self._chosen(service, location)
        names = [o.id for o in chosen]
        note_exchanges(env, (e for name in names for e in state.lookups.exchanges_of(name)))
        writer = OperationWriter(
            state.lookups, service, get_domain(env), document, env.docname, linked_schemas(state, service)
        )
        found: list[nodes.Node] = []
        if len(chosen) > 1 and "no-index" not in self._options:
            rows = [(o.method, o.id, o.summary, o.path) for o in chosen]
            found.append(bulk("contents", {"rows": rows}, env.docname))
        return [*found, *(writer.section(o) for o in chosen)]

    def _chosen(self, service: Service, location: Any) -> list[Operation]:
        tag, names = self._options.get("tag"), self._options.get("operations")
        chosen = [o for o in service.operations if tag is None or o.tag == tag]
        if names is not None:
            known = {o.id: o for o in chosen}
            for name in names:
                if name not in known:
                    logger.warning(
                        "the service %s has no operation %s%s", service.slug, name, f" with the tag {tag}" if tag else "",
                        location=location, type="crm", subtype="unknown",
                    )  # fmt: skip
            chosen = [known[name] for name in names if name in known]
        elif not chosen:
            logger.warning(
                "the service %s has no operation with the tag %s", service.slug, tag,
                location=location, type="crm", subtype="unknown",
            )  # fmt: skip
        return chosen


@functools.cache
def _unread(path: str, encoding: str) -> dict[str, Any]:
    """Stand in for the directive's loader: pure PyYAML needs seconds for what the contract has already."""
    return {}


def _register(app: Sphinx, config: Config) -> None:
    app.add_directive("openapi", openapi_directive.create_directive_from_renderer(ContractRenderer), override=True)


def setup_openapi(app: Sphinx) -> None:
    """Take over the directive, after sphinxcontrib-openapi has registered its own at priority 500.

    A class among ``openapi_renderers`` would do the same and make the configuration unpicklable, which ``-W`` refuses.
    """
    openapi_directive._get_spec = _unread
    app.setup_extension("sphinxcontrib.openapi")
    app.connect("config-inited", _register, priority=900)
