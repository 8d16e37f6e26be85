"""The reference: the contract as pages.

``setup()`` is a table of contents; each part registers itself.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from crm_reference import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

#: Module and function of each part, in order. Each function takes the application.
PARTS = (
    ("state", "setup_state"),
    ("domain", "setup_domain"),
    ("rendering", "setup_rendering"),
    ("exchanges", "setup_exchanges"),
    ("openapi", "setup_openapi"),
    ("asyncapi", "setup_asyncapi"),
    ("schemas", "setup_schemas"),
    ("chapters", "setup_chapters"),
    ("building", "setup_building"),
    ("rules", "setup_rules"),
    ("catalogues", "setup_catalogues"),
    ("diagrams", "setup_diagrams"),
    ("pages", "setup_pages"),
    ("twins", "setup_twins"),
    ("trace", "setup_trace"),
    ("doctests", "setup_doctests"),
)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    for module, function in PARTS:
        name = f"{__name__}.{module}"
        if find_spec(name) is not None:
            getattr(import_module(name), function)(app)
    return {"version": __version__, "env_version": 1, "parallel_read_safe": True, "parallel_write_safe": True}
