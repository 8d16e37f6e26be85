"""What a reader downloads: ``{crm:downloads} contacts`` lists the files of a service, and builders of HTML write them.

The files lie in ``_downloads`` of the output, a folder a service, as :func:`crm_reference.contract.bundle.write_bundle` makes them.
They are made at the end of a build, and only when the contract or the code that writes them has changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from docutils import nodes
from sphinx.errors import ExtensionError

from crm_reference.contract import Contract, ContractError, Service
from crm_reference.contract.bundle import write_bundle
from crm_reference.contract.bundle.write import PLATFORM
from crm_reference.sphinx.directives import ContractDirective, add_directives
from crm_reference.sphinx.rendering import bulk
from crm_reference.sphinx.state import documents_of, get_state, note_all_services, note_service

if TYPE_CHECKING:
    from sphinx.application import Sphinx

#: Folder of the files in the output.
FOLDER = "_downloads"


class Download(NamedTuple):
    """A file.

    :param path: Relative to the output, with slashes.
    """

    title: str
    path: str
    text: str


def downloads_of(service: Service) -> Iterator[Download]:
    """Yield the files of a service."""
    base = f"{FOLDER}/{service.slug}"
    yield Download("OpenAPI, YAML", f"{base}/openapi.yaml", "the API with every example that ran, complete in one file")
    yield Download("OpenAPI, JSON", f"{base}/openapi.json", "the same")
    yield Download("AsyncAPI", f"{base}/asyncapi.yaml", "the events")
    yield Download("Postman", f"{base}/postman.json", "a request for each operation, its examples as saved answers")
    for vectors in service.vectors:
        yield Download(f"Vectors: {vectors.title}", f"{base}/vectors/{vectors.name}.yaml", f"{len(vectors.cases)} cases")


def platform_downloads() -> Iterator[Download]:
    """Yield the files that are no one service's."""
    yield Download("OpenAPI of all services, JSON", f"{FOLDER}/{PLATFORM}", "every operation in one document")


class Downloads(ContractDirective):
    """``{crm:downloads} contacts``: files of a service; without a name, those of the whole platform."""

    def run(self) -> list[nodes.Node]:
        """Return a list of links."""
        if not self.arguments:
            note_all_services(self.env)
            return self._list(list(platform_downloads()))
        service = self.contract.services.get(self.arguments[0])
        if service is None:
            return self.warn("crm:downloads: there is no service %s", self.arguments[0])
        note_service(self.env, service)
        return self._list(list(downloads_of(service)))

    def _list(self, found: Sequence[Download]) -> list[nodes.Node]:
        data = {"files": found, "base": self.config.html_baseurl}
        return [bulk("downloads", data, self.docname, " ".join(d.title for d in found))]


def _digest(contract: Contract) -> str:
    """Return a hash of all that the files are made from."""
    library = contract.library
    names = {name for service in contract.services.values() for name in documents_of(service)}
    names |= {name for name in library.documents if name.startswith(("source_specs/", "examples/"))}
    files = [*(library.root / name for name in sorted(names)), *sorted((Path(__file__).parents[1] / "contract").rglob("*.py"))]
    digest = hashlib.sha256()
    for path in files:
        if path.is_file():
            digest.update(f"{path}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _write(app: Sphinx, exception: Exception | None) -> None:
    state = get_state(app.config)
    if exception is not None or app.builder.format != "html" or not state.settings.downloads or not state.contract.services:
        return
    target = Path(app.outdir) / FOLDER
    stamp, digest = target / ".stamp", _digest(state.contract)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == digest:
        return
    try:
        write_bundle(state.contract, target)
    except ContractError as error:
        raise ExtensionError(f"the downloads can't be written:\n{error}") from error
    stamp.write_text(digest, encoding="utf-8")


def setup_downloads(app: Sphinx) -> None:
    """Add the directive, and write the files at the end."""
    add_directives(app, {"downloads": Downloads})
    app.connect("build-finished", _write)
