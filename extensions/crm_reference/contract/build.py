"""From documents to the model."""

from __future__ import annotations

import gc
from pathlib import Path

from crm_reference.contract.attacks import build_attacks
from crm_reference.contract.documents import Library, Node, place_of
from crm_reference.contract.example_model import Exchange
from crm_reference.contract.examples import build_exchanges, build_vectors, build_world
from crm_reference.contract.findings import ContractError, Finding
from crm_reference.contract.manifests import build_manifest, error_code
from crm_reference.contract.model import Contract, Event, Operation, Policy, Requirement, Schema, Service, Tag
from crm_reference.contract.operations import build_operations
from crm_reference.contract.resources import build_resources

#: Folder of the parse cache below the root.
CACHE = ".cache/contract"

_COMMON = "source_specs/common/"
_COMMON_SCHEMA_FILES = ("schemas.yaml", "health.yaml", "cloudevent.yaml")
_SERVICE_FILES = ("openapi.yaml", "asyncapi.yaml", "service.yaml")


def load(root: Path | str, /, *, cache: bool = True) -> Contract:
    """Load the contract of a project.

    :param root: Folder that holds ``source_specs`` and ``examples``.
    :param cache: Whether parsed documents are kept in ``.cache/contract``.
    :return: The model.
    :raises ContractError: If a document is missing, can't be parsed, or a reference dangles; each finding has file and line.
    """
    base = Path(root)
    # What is made here lives as long as the model: collecting garbage meanwhile costs a third of the time and frees nothing.
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _load(base, cache)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        from crm_reference.contract.lint.form import malformed

        findings = malformed(base)
        if not findings:
            raise
        raise ContractError(findings) from error
    finally:
        if collecting:
            gc.enable()


def _load(base: Path, cache: bool) -> Contract:
    if not (base / _COMMON).is_dir():
        message = f"{base} has no such folder; run this in the project's root, or name the root"
        raise ContractError([Finding(place_of(_COMMON), "file.missing", message)])
    library = Library(base, base / CACHE if cache else None)
    library.glob(_COMMON + "*.yaml")  # known from the start: what refers to them is resolved on first use
    world, principals = build_world(library)
    services = {}
    for folder in sorted(p for p in (base / "source_specs").iterdir() if p.is_dir() and p.name != "common"):
        services[folder.name] = _service(library, folder.name)
    return Contract(
        library=library,
        requirements=_requirements(library),
        services=services,
        policies={name: _policy(name, node) for name, node in library.open(_COMMON + "policies.yaml").root.items()},
        standard_errors={code: error_code(code, node, "") for code, node in library.open(_COMMON + "errors.yaml").root.items()},
        common_schemas=_common_schemas(library),
        principals=principals,
        world=world,
        hostile=build_attacks(library),
    )


def _service(library: Library, slug: str) -> Service:
    folder = f"source_specs/{slug}/"
    missing = [name for name in _SERVICE_FILES if not (library.root / folder / name).is_file()]
    if missing:
        message = f"the service {slug} lacks {', '.join(missing)}; `crm-reference new-service {slug}` writes them"
        raise ContractError([Finding(place_of(folder + missing[0]), "file.missing", message)])
    openapi, asyncapi, manifest_document = (library.open(folder + name) for name in _SERVICE_FILES)
    spec = openapi.root
    manifest = build_manifest(slug, manifest_document.root)
    schemas = {name: Schema(name, slug, node) for name, node in _section(spec, "components").items("schemas")}
    resources = build_resources(slug, schemas)
    _section(spec, "paths")
    operations = build_operations(slug, spec, resources)
    return Service(
        slug=slug,
        title=str(manifest_document.root.get("title", slug)),
        version=str(_section(spec, "info").get("version", "")),
        description=str(_section(spec, "info").get("description", "")),
        manifest=manifest,
        tags=tuple(
            Tag(str(t.get("name")), str(t.get("x-displayName", t.get("name"))), str(t.get("description", "")))
            for t in spec.entries("tags")
        ),
        operations=operations,
        schemas=schemas,
        resources=resources,
        events=_events(slug, asyncapi.root),
        exchanges=_own_first(build_exchanges(library, slug), operations),
        vectors=build_vectors(library, slug),
        openapi=openapi,
        asyncapi=asyncapi,
    )


def _own_first(exchanges: dict[str, Exchange], operations: tuple[Operation, ...]) -> dict[str, Exchange]:
    """Put exchanges that stand in the file of their operation's tag before those that other tags' stories need."""
    homes = {o.id: f"examples/{o.service}/{o.tag}.yaml" for o in operations}
    return dict(sorted(exchanges.items(), key=lambda item: item[1].place.document.name != homes.get(item[1].operation, "")))


def _section(node: Node, key: str) -> Node:
    """Return a member, or an empty node where it is absent: lint says that it is missing.

    :raises ContractError: If it is there and no mapping.
    """
    if key not in node:
        return Node(node.document, f"{node.pointer}/{key}", {})
    section = node.child(key)
    if not isinstance(section.value, dict):
        raise ContractError([Finding(section.place, "document.mapping", f"{key} must be a mapping")])
    return section


def _events(slug: str, spec: Node) -> dict[str, Event]:
    channels: dict[str, str] = {}
    for name, channel in spec.items("channels"):
        for _, message in channel.items("messages"):
            channels[message.resolved().name] = name
    actions: dict[str, set[str]] = {}
    for _, operation in spec.items("operations"):
        for message in operation.entries("messages"):
            actions.setdefault(message.resolved().name, set()).add(str(operation.get("action")))
    events = {}
    for name, node in _section(spec, "components").items("messages"):
        if actions.get(name) == {"receive"}:
            continue  # an event that is heard is its sender's
        payload = node.child("payload") if "payload" in node else Node(node.document, node.pointer, {})
        events[str(node.get("name", name))] = Event(
            type=str(node.get("name", name)),
            service=slug,
            title=str(node.get("title", "")),
            summary=str(node.get("summary", "")),
            description=str(node.get("description", "")),
            channel=channels.get(name, ""),
            payload=payload,
            node=node,
        )
    return events


def _common_schemas(library: Library) -> dict[str, Schema]:
    found = {}
    for name in _COMMON_SCHEMA_FILES:
        document = library.open(_COMMON + name)
        if document.path.is_file():
            for key, node in document.root.items():
                if "type" in node or "oneOf" in node:
                    found[key] = Schema(key, "", node)
    return found


def _policy(name: str, node: Node) -> Policy:
    rate = node.get("rate", {})
    return Policy(
        name=name,
        title=str(node.get("title", name)),
        description=str(node.get("description", "")),
        requests=int(rate.get("requests", 0)),
        window_seconds=int(rate.get("window_seconds", 60)),
        latency=node.get("latency", {}),
        payload_limit_bytes=int(node.get("payload_limit_bytes", 0)),
        timeout_seconds=int(node.get("timeout_seconds", 0)),
        caching=str(node.get("caching", "")),
        place=node.place,
    )


def _requirements(library: Library) -> dict[str, Requirement]:
    found: dict[str, Requirement] = {}

    def add(id: str, kind: str, node: Node, parent: str, service: str) -> None:
        found[id] = Requirement(
            id=id,
            kind=kind,  # type: ignore[arg-type]  # one of the three levels, by the call sites below
            title=str(node.get("title", "")),
            text=str(node.get("text", "")),
            parent=parent,
            service=service,
            rule=str(node.get("rule", "")),
            floor=int(node.get("floor", 1)),
            also=bool(node.get("also", False)),
            place=node.place,
            needs=tuple(map(str, node.get("needs", ()))),
        )

    document = library.open("source_specs/requirements.yaml")
    if not document.path.is_file():
        return found
    for requirement, node in document.root.items():
        add(requirement, "requirement", node, "", "")
        for criterion, below in node.items("criteria"):
            service = str(below.get("service", ""))
            add(criterion, "criterion", below, requirement, service)
            for name, facet in below.items("facets"):
                add(f"{criterion}-{name}", "facet", facet, criterion, service)
    return found
