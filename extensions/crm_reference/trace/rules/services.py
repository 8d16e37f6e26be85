"""Requirements 8.1 to 8.3 and 8.5: borders, talk, dependencies, configuration, deployment, health and metrics of services."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from crm_reference.contract import Call, Contract, Service
from crm_reference.trace.subjects import call_subject, hearing_subject
from crm_reference.trace.universal import Context, Findings, Verdict, rule


@rule("grouping")
def grouping(context: Context, /) -> Verdict:
    """Decide whether each operation has one service, one tag and its service's path. A subject is an operation."""
    found, subjects = Findings("grouping"), []
    services = context.contract.services.values()
    named = Counter(o.id for s in services for o in s.operations)
    claimed = Counter(segment for s in services for segment in s.manifest.segments)
    for service in services:
        for segment in service.manifest.segments:
            if claimed[segment] > 1:
                message = f"{service.slug} claims the path segment {segment}, and another service does too"
                found.add(service.manifest.node.place, message)
        for operation in service.operations:
            subjects.append(operation.id)
            tags = operation.node.get("tags", [])
            if named[operation.id] > 1:
                found.add(operation.place, f"the operationId {operation.id} stands twice; put the service's name into it")
            if len(tags) != 1 or tags[0] not in {t.name for t in service.tags}:
                found.add(operation.place, f"{operation.id} has the tags {tags}; give it one of those that its document declares")
            if operation.path.split("/")[1] not in {*service.manifest.segments, ".well-known"}:
                message = f"{operation.id} stands at {operation.path}, which begins with no segment of {service.slug}"
                found.add(operation.place, message)
    return Verdict(tuple(subjects), tuple(found))


@rule("boundaries")
def boundaries(context: Context, /) -> Verdict:
    """Decide whether each resource has one owner, whose manifest says so. A subject is ``service collection``."""
    found, subjects = Findings("boundaries"), []
    services = context.contract.services.values()
    collections = Counter(r.collection for s in services for r in s.resources.values())
    prefixes = Counter(r.prefix for s in services for r in s.resources.values() if r.prefix != "job")
    for service in services:
        owned = {str(o.get("prefix")) for o in service.manifest.owns}
        for resource in service.resources.values():
            subjects.append(f"{service.slug} {resource.collection}")
            place = resource.node.place
            if collections[resource.collection] > 1:
                found.add(place, f"the collection {resource.collection} has two owners; service-map names one")
            if prefixes[resource.prefix] > 1:
                found.add(place, f"the ID prefix {resource.prefix} of {resource.collection} is another resource's too")
            if resource.prefix not in owned and resource.prefix != "job":
                message = (
                    f"{service.slug} has the resource {resource.collection} ({resource.prefix}), and its boundary doesn't own it"
                )
                found.add(place, message)
    return Verdict(tuple(subjects), tuple(found))


@rule("communication")
def communication(context: Context, /) -> Verdict:
    """Decide whether each call and event between services leads somewhere and says what happens when it fails.

    A subject is a call, an event heard, or an event emitted. Calls to services that don't exist yet are awaited.
    """
    found, subjects = Findings("communication"), []
    awaiting: set[str] = set()
    contract = context.contract
    for service in contract.services.values():
        for call in service.manifest.calls:
            for problem in _call_problems(contract, call):
                found.add(call.place, f"{call_subject(service, call)}: {problem}")
            if call.service in contract.services:
                subjects.append(call_subject(service, call))
            else:
                awaiting.add(call.service)
        for hearing in service.manifest.hears:
            if hearing.service not in contract.services:
                awaiting.add(hearing.service)
                continue
            subjects.append(hearing_subject(service, hearing))
            if hearing.event not in contract.services[hearing.service].events:
                found.add(hearing.place, f"{service.slug} hears {hearing.event}, which {hearing.service} doesn't emit")
        for event in service.manifest.emits:
            subjects.append(f"{service.slug} emits {event}")
            if event not in service.events:
                found.add(
                    service.manifest.node.place, f"{service.slug} emits {event}, and its AsyncAPI document has no such message"
                )
    return Verdict(tuple(subjects), tuple(found), tuple(sorted(awaiting)))


def _call_problems(contract: Contract, call: Call) -> Iterator[str]:
    if call.timeout_ms < 1:
        yield "it has no timeout"
    if not call.fallback:
        yield "it doesn't say what the caller sees while the neighbour is down"
    neighbour = contract.services.get(call.service)
    if neighbour is not None and call.operation not in {o.id for o in neighbour.operations}:
        yield f"{call.service} has no operation {call.operation}"


@rule("dependencies")
def dependencies(context: Context, /) -> Verdict:
    """Decide whether the required calls between services form no cycle. A subject is ``service needs neighbour``."""
    found, subjects = Findings("dependencies"), []
    awaiting: set[str] = set()
    contract = context.contract
    edges: dict[str, set[str]] = {}
    for service in contract.services.values():
        for call in service.manifest.calls:
            if call.service in contract.services:
                subjects.append(f"{service.slug} needs {call.service}")
            else:
                awaiting.add(call.service)
            if call.mode == "required":
                edges.setdefault(service.slug, set()).add(call.service)
    for cycle in _cycles(edges):
        circle = " -> ".join((*cycle, cycle[0]))
        message = f"services need each other to answer: {circle}; make one of the calls degradable or async"
        found.add(contract.services[cycle[0]].manifest.node.place, message)
    return Verdict(tuple(dict.fromkeys(subjects)), tuple(found), tuple(sorted(awaiting)))


def _cycles(edges: dict[str, set[str]]) -> Iterator[tuple[str, ...]]:
    """Yield each cycle once, beginning with its alphabetically first service."""

    def walk(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for following in sorted(edges.get(path[-1], ())):
            if following == path[0]:
                yield path
            elif following > path[0] and following not in path:
                yield from walk((*path, following))

    for start in sorted(edges):
        yield from walk((start,))


@rule("configuration")
def configuration(context: Context, /) -> Verdict:
    """Decide whether each variable names the behaviour that it changes. A subject is ``service VARIABLE``."""
    found, subjects = Findings("configuration"), []
    contract = context.contract
    for service in contract.services.values():
        known = {o.id for o in service.operations} | set(contract.policies) | set(service.events) | _rule_ids(service)
        for setting in service.manifest.configuration:
            subjects.append(f"{service.slug} {setting.variable}")
            if not setting.changes or not setting.effect:
                found.add(setting.place, f"{setting.variable} doesn't say what it changes")
            if setting.required and setting.default is not None:
                found.add(setting.place, f"{setting.variable} is required and has a default; keep the one that is true")
            for name in setting.changes:
                if name not in known:
                    message = (
                        f"{setting.variable} changes {name}, which is no operation, rule, policy class or event of {service.slug}"
                    )
                    found.add(setting.place, message)
    return Verdict(tuple(subjects), tuple(found))


def _rule_ids(service: Service) -> set[str]:
    return {rule.id for resource in service.resources.values() for rule in resource.rules}


@rule("deployment")
def deployment(context: Context, /) -> Verdict:
    """Decide whether probes are operations and sizes can be measured. A subject is a service."""
    found = Findings("deployment")
    for service in context.contract.services.values():
        place = service.manifest.node.place
        own = {o.id for o in service.operations}
        probes = service.manifest.deployment.get("probes", {})
        for probe in ("liveness", "readiness", "startup"):
            if probes.get(probe) not in own:
                found.add(place, f"the {probe} probe of {service.slug} is {probes.get(probe)!r}, which is none of its operations")
        factor = service.manifest.deployment.get("storage", {}).get("index_factor", 0)
        if factor < 1:
            found.add(place, f"the storage of {service.slug} has no index_factor of 1 or more, by which sizes are computed")
        for store in service.manifest.stores:
            if not measured(context, service, str(store.get("resource"))):
                message = f"{service.slug} stores {store.get('resource')}, and no example or record of the world has one to measure"
                found.add(place, message)
    return Verdict(tuple(context.contract.services), tuple(found))


def measured(context: Context, service: Service, collection: str, /) -> bool:
    """Return whether a record of a collection exists from which its size can be taken."""
    if context.contract.world.get(collection):
        return True
    resource = service.resources.get(collection)
    answers = (e.recorded.body for e in service.exchanges.values() if e.recorded)
    return resource is not None and any(isinstance(a, dict) and a.get("object") == resource.object for a in answers)


@rule("health")
def health(context: Context, /) -> Verdict:
    """Decide whether each service has its three health operations. A subject is a service."""
    return _operating(context, "health", ("liveness", "readiness", "health"))


@rule("monitoring")
def monitoring(context: Context, /) -> Verdict:
    """Decide whether each service exposes metrics that its own operations move. A subject is a service."""
    verdict = _operating(context, "monitoring", ("metrics",))
    found = Findings("monitoring")
    for service in context.contract.services.values():
        own = {o.id for o in service.operations}
        if not service.manifest.metrics:
            found.add(service.manifest.node.place, f"{service.slug} declares no metric")
        for metric in service.manifest.metrics:
            for name in metric.moves_with or ("nothing",):
                if name not in own:
                    found.add(metric.place, f"the metric {metric.name} moves with {name}, which is no operation of {service.slug}")
    return Verdict(verdict.subjects, (*verdict.violations, *found))


def _operating(context: Context, name: str, behaviours: tuple[str, ...]) -> Verdict:
    found = Findings(name)
    for service in context.contract.services.values():
        has = {o.behaviour for o in service.operations}
        for behaviour in behaviours:
            if behaviour not in has:
                found.add(service.manifest.node.place, f"{service.slug} has no {behaviour} operation at its path")
    return Verdict(tuple(context.contract.services), tuple(found))
