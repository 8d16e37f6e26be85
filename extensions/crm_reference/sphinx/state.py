"""The build's state: the settings, and the contract, loaded once and shared by every page of a build.

Workers of a parallel build are forked after loading, so they share what the parent has read. A page says through
:func:`note_documents` which documents it was made from; Sphinx then reads it again when one of them changes, and no other page.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from sphinx.errors import ExtensionError
from sphinx.util import logging

from crm_reference.contract import Contract, ContractError, Service, load
from crm_reference.sphinx.lookups import Lookups

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sphinx.application import Sphinx
    from sphinx.config import Config
    from sphinx.environment import BuildEnvironment

_LOGGER = logging.getLogger(__name__)
_PACKAGE = Path(__file__).parent
#: Stands among slugs for the list of all services.
_ALL = "*"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a project may set in ``conf.py``, each as ``crm_<name>``.

    :param root: Folder of ``source_specs`` and ``examples``, relative to ``conf.py``.
    :param results: Where the doctest builder leaves ``results.json``, relative to the root.
    :param twins: Whether each page gets a Markdown twin, and the site an ``llms.txt``.
    :param downloads: Whether the files that readers download are written beside the pages.
    """

    root: str = "."
    results: str = "_build/doctest/results.json"
    twins: bool = True
    downloads: bool = True


@dataclass(frozen=True)
class State:
    """One build's view of the contract."""

    settings: Settings
    root: Path
    contract: Contract
    #: Names of the schemas that have a section, by service; filled on first use.
    memo: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    @cached_property
    def lookups(self) -> Lookups:
        """Indexes over the contract."""
        return Lookups(self.contract)

    @cached_property
    def outcomes(self) -> Mapping[str, str]:
        """Outcome of each example in the last doctest run, by the example's name; empty where there was none.

        For an exchange the name is its ID. ``results.json`` is a list of entries with ``example`` and ``outcome``.
        """
        try:
            results = orjson.loads((self.root / self.settings.results).read_bytes())
            return {str(r["example"]): str(r["outcome"]) for r in results}
        except (OSError, orjson.JSONDecodeError, TypeError, KeyError):
            return {}


_states: dict[str, State] = {}


def get_state(config: Config) -> State:
    """Return the state of the build that a configuration belongs to.

    :raises ExtensionError: If the extension wasn't set up.
    """
    try:
        return _states[str(config.crm_resolved_root)]
    except (KeyError, AttributeError):
        raise ExtensionError("crm_reference.sphinx was asked for its state before the configuration was read") from None


def get_contract(config: Config) -> Contract:
    """Return the contract of the build that a configuration belongs to."""
    return get_state(config).contract


def note_documents(env: BuildEnvironment, names: Iterable[str]) -> None:
    """Note files, named relative to the project's root, as what the current page was made from."""
    root = get_state(env.config).root
    for name in names:
        env.note_dependency(str(root / name))


def note_common(env: BuildEnvironment) -> None:
    """Note every shared document."""
    library = get_contract(env.config).library
    note_documents(env, (n for n in library.documents if n.startswith("source_specs/common/")))


def note_service(env: BuildEnvironment, service: Service, *, examples: bool = True) -> None:
    """Note the documents of one service, and the shared ones.

    :param examples: Whether the page shows exchanges or vectors too.
    """
    note_common(env)
    names = documents_of(service, examples=examples)
    note_documents(env, names)
    _pages(env).setdefault(env.docname, {})[service.slug] = names if examples else ()


def documents_of(service: Service, *, examples: bool = True) -> tuple[str, ...]:
    """Return the names of the documents that a service is made of, sorted."""
    names = {f"source_specs/{service.slug}/{n}.yaml" for n in ("openapi", "asyncapi", "service")}
    if examples:
        names |= {e.place.document.name for e in service.exchanges.values()}
        names |= {v.node.document.name for v in service.vectors}
        recorded = f"examples/recorded/{service.slug}.json"
        if (service.openapi.library.root / recorded).is_file():  # Sphinx takes a missing dependency for a changed one
            names.add(recorded)
    return tuple(sorted(names))


def note_all_services(env: BuildEnvironment) -> None:
    """Note that the current page lists all services, so that one more folder outdates it."""
    services = get_contract(env.config).services
    for service in services.values():
        note_service(env, service)
    _pages(env).setdefault(env.docname, {})[_ALL] = tuple(services)


def _pages(env: BuildEnvironment) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return, by page, the documents that it was made from for each service."""
    pages: dict[str, dict[str, tuple[str, ...]]] = env.__dict__.setdefault("crm_pages", {})
    return pages


def _load(app: Sphinx, config: Config) -> None:
    settings = Settings(**{f.name: getattr(config, f"crm_{f.name}") for f in fields(Settings)})
    root = (Path(app.confdir) / settings.root).resolve()
    try:
        contract = load(root)
    except ContractError as error:
        for finding in error.findings:
            _LOGGER.error("%s [%s]", finding.message, finding.rule, location=str(finding.place))
        # Below any exception Sphinx prints its own traceback and asks to report a bug.
        raise SystemExit(2) from error
    config.crm_resolved_root = str(root)
    config.crm_code_digest = _digest(_PACKAGE.glob("*.py"))
    config.crm_template_digest = _digest((_PACKAGE / "templates").glob("*"))
    _states[str(root)] = State(settings, root, contract)


def _digest(paths: Iterable[Path]) -> str:
    """Return a hash of files, so that a changed renderer outdates what it rendered."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _outdated(app: Sphinx, env: BuildEnvironment, *_: Any) -> list[str]:
    """Return pages whose services came, went, or gained or lost a file; changed files are Sphinx's own business."""
    services = get_contract(app.config).services
    now = {slug: documents_of(service) for slug, service in services.items()} | {_ALL: tuple(services)}
    return [
        name
        for name, known in _pages(env).items()
        if name in env.found_docs and any(names and names != now.get(slug) for slug, names in known.items())
    ]


def _purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    _pages(env).pop(docname, None)


def _merge(app: Sphinx, env: BuildEnvironment, docnames: Any, other: BuildEnvironment) -> None:
    _pages(env).update({name: known for name, known in _pages(other).items() if name in docnames})


def setup_state(app: Sphinx) -> None:
    """Declare the settings and load the contract before anything is read."""
    for setting in fields(Settings):
        app.add_config_value(f"crm_{setting.name}", setting.default, "env", types=(str, bool))
    app.add_config_value("crm_resolved_root", "", "", types=(str,))
    app.add_config_value("crm_code_digest", "", "env", types=(str,))
    app.add_config_value("crm_template_digest", "", "html", types=(str,))
    app.connect("config-inited", _load, priority=400)
    app.connect("env-get-outdated", _outdated)
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
