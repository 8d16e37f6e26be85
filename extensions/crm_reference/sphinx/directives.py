"""What the directives of the domain have in common: finding their service and noting what they read."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from crm_reference.contract import Contract, Service
from crm_reference.sphinx.domain import CrmDomain, get_domain
from crm_reference.sphinx.state import State, get_state, note_all_services, note_service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sphinx.application import Sphinx

logger = logging.getLogger(__name__)


class ContractDirective(SphinxDirective):
    """A directive that prints a part of the contract."""

    has_content = False
    optional_arguments = 1

    @property
    def state_of_build(self) -> State:
        """The build's state."""
        return get_state(self.config)

    @property
    def contract(self) -> Contract:
        """The contract."""
        return self.state_of_build.contract

    @property
    def crm(self) -> CrmDomain:
        """The domain."""
        return get_domain(self.env)

    @property
    def docname(self) -> str:
        """The current page."""
        return self.env.docname

    def warn(self, message: str, *values: object) -> list[nodes.Node]:
        """Warn, type ``crm.unknown``, at the directive's line; print nothing."""
        logger.warning(message, *values, location=self.get_location(), type="crm", subtype="unknown")
        return []

    def paragraph(self, text: str) -> nodes.paragraph:
        """Return a paragraph that says that there is nothing to list."""
        return nodes.paragraph("", text)


class ServiceDirective(ContractDirective):
    """A directive about one service, named by its argument or by the folder of the page."""

    def run(self) -> list[nodes.Node]:
        """Find the service, note its documents, and print."""
        slug = self._slug()
        service = self.contract.services.get(slug)
        if service is None:
            return self.warn("%s: there is no service %s", self.name, slug or "(name one)")
        note_service(self.env, service)
        return list(self.render(service))

    def _slug(self) -> str:
        if self.arguments:
            return str(self.arguments[0]).split("/")[0].strip()
        parts = self.docname.split("/")
        return parts[1] if len(parts) > 1 and parts[0] == "services" else ""

    @abstractmethod
    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return what the directive prints for a service."""


class CatalogueDirective(ContractDirective):
    """A directive about all services."""

    optional_arguments = 0
    option_spec: ClassVar[dict[str, Callable[[str], object]] | None] = {}

    def run(self) -> list[nodes.Node]:
        """Note all documents, and print."""
        note_all_services(self.env)
        return list(self.render())

    @abstractmethod
    def render(self) -> Sequence[nodes.Node]:
        """Return what the directive prints."""


def add_directives(app: Sphinx, directives: Mapping[str, type[ContractDirective]]) -> None:
    """Add directives to the domain, so that they are written ``{crm:name}``."""
    for name, directive in directives.items():
        app.add_directive_to_domain("crm", name, directive)
