"""The reference: the contract as pages.

``setup()`` is a table of contents; each part registers itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_reference import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    # Here and not above: who imports a pure module of this package, words for instance, needs no other one.
    from crm_reference.sphinx.asyncapi import setup_asyncapi
    from crm_reference.sphinx.building import setup_building
    from crm_reference.sphinx.catalogues import setup_catalogues
    from crm_reference.sphinx.chapters import setup_chapters
    from crm_reference.sphinx.diagrams import setup_diagrams
    from crm_reference.sphinx.doctests import setup_doctests
    from crm_reference.sphinx.domain import setup_domain
    from crm_reference.sphinx.downloads import setup_downloads
    from crm_reference.sphinx.exchanges import setup_exchanges
    from crm_reference.sphinx.navigation import setup_navigation
    from crm_reference.sphinx.openapi import setup_openapi
    from crm_reference.sphinx.paper import setup_paper
    from crm_reference.sphinx.rendering import setup_rendering
    from crm_reference.sphinx.rules import setup_rules
    from crm_reference.sphinx.schemas import setup_schemas
    from crm_reference.sphinx.sequences import setup_sequences
    from crm_reference.sphinx.state import setup_state
    from crm_reference.sphinx.trace import setup_trace
    from crm_reference.sphinx.twins import setup_twins

    setup_state(app)
    setup_domain(app)
    setup_rendering(app)
    setup_exchanges(app)
    setup_openapi(app)
    setup_asyncapi(app)
    setup_schemas(app)
    setup_chapters(app)
    setup_building(app)
    setup_rules(app)
    setup_catalogues(app)
    setup_diagrams(app)
    setup_sequences(app)
    setup_paper(app)
    setup_navigation(app)
    setup_downloads(app)
    setup_twins(app)
    setup_trace(app)
    setup_doctests(app)
    return {"version": __version__, "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
