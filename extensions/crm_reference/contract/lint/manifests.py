"""Manifests: their schema, the charter, and whether what they name exists, in this service and the others."""

from __future__ import annotations

from collections.abc import Iterator

from crm_reference.contract.documents import Node
from crm_reference.contract.lint.documents import document_errors
from crm_reference.contract.lint.events import schema_validator
from crm_reference.contract.lint.registry import Problem, rule
from crm_reference.contract.lint.survey import Survey
from crm_reference.contract.model import Service


def _section(service: Service, key: str) -> Node:
    node = service.manifest.node
    return node.child(key) if key in node else node


@rule("manifest.schema")
def check_manifest(survey: Survey) -> Iterator[Problem]:
    """A manifest is valid by common/manifest.yaml."""
    validator = schema_validator(survey, "manifest.yaml")
    for service in survey.services:
        document = service.manifest.node.document
        yield from document_errors(validator, document, document.data)


@rule("manifest.slug")
def check_slug(survey: Survey) -> Iterator[Problem]:
    """A manifest's slug is its folder's name, and the slug is one of its segments."""
    for service in survey.services:
        said = service.manifest.node.get("slug")
        if said != service.slug:
            yield _section(service, "slug").place, f"the slug is {said!r} in the folder {service.slug}; make them the same"
        if service.slug not in service.manifest.segments:
            yield _section(service, "segments").place, f"the segments lack {service.slug}, where health is; add it"


@rule("charter.facets")
def check_facets(survey: Survey) -> Iterator[Problem]:
    """A charter has each facet of its service's criterion, any other that it has exists, and an operation names each."""
    for service in survey.services:
        facets = {f.id for f in survey.contract.facets() if f.service == service.slug}
        charter = set(service.manifest.charter)
        section = _section(service, "charter")
        place = section.place
        for facet, capabilities in section.items():
            if not capabilities.value:
                yield capabilities.place, f"the charter has no capability for {facet}; write each with its operations and proof"
        for facet in sorted(facets - charter):
            yield place, f"the charter has nothing for {facet}; add its capabilities"
        for facet in sorted(charter - {f.id for f in survey.contract.facets()}):
            yield place, f"the charter has {facet}, which source_specs/requirements.yaml doesn't have; correct it"
        named = {name for o in service.operations for name in o.requirements}
        for facet in sorted((facets | charter) - named):
            where = section.child(facet).place if facet in section else place
            yield where, f"no operation of {service.slug} names {facet}; name it in x-requirements"


@rule("charter.capabilities")
def check_capabilities(survey: Survey) -> Iterator[Problem]:
    """A capability names operations of its service that name its facet, and an exchange that proves each of them."""
    for service in survey.services:
        own = {o.id: o for o in service.operations}
        seen: set[str] = set()
        for capabilities in service.manifest.charter.values():
            for capability in capabilities:
                said = f"the capability {capability.id}"
                if capability.id in seen:
                    yield capability.place, f"{said} stands twice; give it an id of its own"
                seen.add(capability.id)
                for name in capability.operations:
                    if name not in own:
                        yield capability.place, f"{said} names {name}, which {service.slug} doesn't have; correct it"
                    elif capability.facet not in own[name].requirements:
                        yield capability.place, f"{said} names {name}, which doesn't name {capability.facet}; add it there"
                for proof in capability.proof:
                    if proof not in service.exchanges:
                        where = survey.example_file(service.slug)
                        message = f"{said} is proved by {proof}, which {where} doesn't have; write it"
                        yield capability.place, message
                proved = {p.partition("/")[0] for p in capability.proof}
                for name in capability.operations:
                    if name not in proved:
                        yield capability.place, f"{said} has no proof of {name}; name an exchange of it"


@rule("manifest.calls")
def check_calls(survey: Survey) -> Iterator[Problem]:
    """A called service that is written offers the operation; the callers are operations of this one."""
    services = survey.contract.services
    for service in survey.services:
        own = {o.id for o in service.operations}
        for call in service.manifest.calls:
            if call.service == service.slug:
                yield call.place, f"{service.slug} calls itself; remove the call"
            elif call.service in services:
                offered = {o.id for o in services[call.service].operations}
                if call.operation not in offered:
                    yield call.place, f"{service.slug} calls {call.operation}, which {call.service} doesn't offer; agree on one"
            for name in call.used_by:
                if name not in own:
                    yield call.place, f"the call of {call.operation} is used by {name}, which isn't here; correct it"


@rule("manifest.hears")
def check_hears(survey: Survey) -> Iterator[Problem]:
    """A heard event of a service that is written exists there; what it changes is read by an operation of this one."""
    services = survey.contract.services
    for service in survey.services:
        own = {o.id for o in service.operations}
        for hearing in service.manifest.hears:
            if hearing.service in services and hearing.event not in services[hearing.service].events:
                yield hearing.place, f"{service.slug} hears {hearing.event}, which {hearing.service} doesn't emit; agree on one"
            if hearing.seen_by and hearing.seen_by not in own:
                yield hearing.place, f"the effect of {hearing.event} is seen by {hearing.seen_by}, which isn't here; correct it"


@rule("manifest.cycle")
def check_cycles(survey: Survey) -> Iterator[Problem]:
    """Required calls form no cycle: services could never start."""
    services = survey.contract.services
    edges = {
        slug: sorted({c.service for c in s.manifest.calls if c.mode == "required" and c.service in services})
        for slug, s in services.items()
    }

    def reaches(start: str, goal: str, seen: set[str]) -> bool:
        for target in edges[start]:
            if target == goal:
                return True
            if target not in seen:
                seen.add(target)
                if reaches(target, goal, seen):
                    return True
        return False

    for slug, service in services.items():
        for call in service.manifest.calls:
            if call.mode == "required" and call.service in services and (
                call.service == slug or reaches(call.service, slug, set())
            ):
                yield call.place, f"{slug} requires {call.service}, which requires {slug}; make one edge degradable or async"


@rule("manifest.names")
def check_names(survey: Survey) -> Iterator[Problem]:
    """Operations, rules, policy classes and collections that a manifest names exist."""
    for service in survey.services:
        manifest = service.manifest
        own = {o.id for o in service.operations}
        changes = own | {r.id for x in service.resources.values() for r in x.rules} | set(survey.contract.policies)
        for setting in manifest.configuration:
            for name in setting.changes:
                if name not in changes:
                    message = f"{setting.variable} changes {name}: no operation, rule or policy class; correct it"
                    yield setting.place, message
        for metric in manifest.metrics:
            for name in metric.moves_with:
                if name not in own:
                    yield metric.place, f"the metric {metric.name} moves with {name}, which isn't here; correct it"
        for probe, name in (manifest.deployment.get("probes") or {}).items():
            if name not in own:
                yield _section(service, "deployment").place, f"the {probe} probe names {name}, which isn't here; correct it"
        for collection in service.resources:
            if collection not in {s.get("resource") for s in manifest.stores}:
                yield _section(service, "stores").place, f"stores lacks the collection {collection}; add its row"
        used = {o.policy for o in service.operations}
        for policy in manifest.service_levels.get("latency", {}):
            if policy not in used:
                yield _section(service, "service_levels").place, f"latency names {policy}, a class no operation has; remove it"


@rule("manifest.sensitive")
def check_sensitive(survey: Survey) -> Iterator[Problem]:
    """A store says which classes of sensitive data its resource has."""
    for service in survey.services:
        for store in service.manifest.stores:
            resource = service.resources.get(str(store.get("resource")))
            if resource is None:
                continue
            prefix = f"{resource.node.pointer}/"
            has = {
                str(s.node.get("x-sensitive"))
                for s in survey.own_sites
                if s.service == service.slug and s.node.pointer.startswith(prefix) and "x-sensitive" in s.node
            }
            missing = has - set(store.get("sensitive", ()))
            if missing:
                said = ", ".join(sorted(missing))
                yield _section(service, "stores").place, f"{resource.collection} holds {said}; say so in stores"
