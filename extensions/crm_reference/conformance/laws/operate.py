"""Metrics, writes and calls of services, seen from behind."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from crm_reference.conformance.laws.lab import Broken, Lab, Skipped, demand, describe, law
from crm_reference.contract import Exchange, Metric, Service
from crm_reference.emulator import Request
from crm_reference.trace.subjects import exchanges_of, model_exchange

#: Seconds after which a job of an example has ended.
_A_JOB = 60


@law("metrics-parse")
def metrics_parse(lab: Lab, slug: str) -> None:
    """The metrics are OpenMetrics, and are those of the manifest."""
    service = lab.contract.services[slug]
    lab.engine.reset()
    text = _metrics(lab, service)
    demand(text.endswith("# EOF\n"), "the metrics don't end in # EOF")
    families = {f.name: f for f in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]  # no types there
    declared = {_family(m): m for m in service.manifest.metrics}
    demand(set(families) == set(declared), f"the manifest and the metrics differ in {sorted(set(families) ^ set(declared))}")
    for name, metric in declared.items():
        demand(families[name].type == metric.type, f"{name} is a {families[name].type}, and the manifest says {metric.type}")
        demand(families[name].documentation == metric.help, f"the help of {name} differs from the manifest's")


@law("metric-moves")
def metric_moves(lab: Lab, subject: str) -> None:
    """Each metric moves after traffic, and counters never fall."""
    slug, _, name = subject.partition(" ")
    service = lab.contract.services[slug]
    metric = next(m for m in service.manifest.metrics if m.name == name)
    for found in _movers(lab, metric):
        case = lab.stage(found)
        case.rewind()
        before = _values(lab, service, metric)
        response = lab.send(case.operation, case.altered())
        if metric.measures.get("value") == "age":
            lab.engine.advance(1)
        after = _values(lab, service, metric)
        as_meant = response.status in metric.statuses if metric.statuses else lab.accepted(case.operation, response)
        demand(as_meant, f"{found.operation} got {describe(response)}")
        if before != after:
            fell = [k for k, v in before.items() if metric.type == "counter" and after.get(k, 0) < v]
            demand(not fell, f"{name} fell")
            return
    raise Broken(f"{name} stays as it was after {', '.join(metric.moves_with)}")


def _movers(lab: Lab, metric: Metric) -> Iterator[Exchange]:
    """Yield exchanges that may move a metric.

    They are the models of its operations. A metric of refusals is moved by what ends with its statuses, and one that is measured
    may need a situation that a model doesn't have, such as a neighbour that is down.
    """
    for operation in metric.moves_with:
        if metric.statuses or metric.measures:
            own = (e for e in lab.contract.exchanges.values() if e.operation == operation)
            yield from (e for e in own if (e.status in metric.statuses if metric.statuses else e.succeeds))
        elif (model := model_exchange(lab.contract, lab.operation(operation))) is not None:
            yield model


def _metrics(lab: Lab, service: Service) -> str:
    operation = next((o for o in service.operations if o.behaviour == "metrics"), None)
    if operation is None:
        raise Broken(f"{service.slug} has no operation for its metrics")
    headers = {"authorization": lab.full_bearer(lab.administrator())}
    response = lab.send(operation, Request("GET", operation.url_path, (), headers))
    return response.body.decode()


def _values(lab: Lab, service: Service, metric: Metric) -> dict[str, float]:
    families = text_string_to_metric_families(_metrics(lab, service))  # type: ignore[no-untyped-call]  # no types there
    return {f"{s.name}{sorted(s.labels.items())}": s.value for f in families if f.name == _family(metric) for s in f.samples}


def _family(metric: Metric) -> str:
    return metric.name.removesuffix("_total") if metric.type == "counter" else metric.name


@law("own-writes")
def own_writes(lab: Lab, slug: str) -> None:
    """A service writes its own resources and nobody else's."""
    service = lab.contract.services[slug]
    for exchange in service.exchanges.values():
        case = lab.stage(exchange)
        case.rewind()
        lab.send(case.operation, case.altered())
        for writer, collection in lab.engine.world.writes:
            owner = lab.contract.resources[collection].service if collection in lab.contract.resources else slug
            demand(writer == owner, f"{exchange.id}: {writer or 'nobody'} writes {collection}, which {owner} owns")


@law("call-seen")
def call_seen(lab: Lab, subject: str) -> None:
    """A call that a manifest names is made, and none that it doesn't."""
    slug, _, operation = subject.partition(" -> ")
    service = lab.contract.services[slug]
    edge = next(c for c in service.manifest.calls if c.operation == operation)
    named = {(c.service, c.operation) for c in service.manifest.calls}
    called = (edge.service, operation)
    for used_by in edge.used_by:
        # What a call is for may need another request than the one with the most members: a match rather than a creation.
        for exchange in (lab.model(used_by).exchange, *exchanges_of(lab.contract, used_by)):
            made = _calls_of(lab, slug, exchange) if exchange.succeeds else frozenset()
            demand(made <= named, f"{exchange.id} calls {sorted(made - named)}, which the manifest doesn't name")
            if called in made:
                return
    raise Broken(f"none of {', '.join(edge.used_by)} calls {operation}")


def _calls_of(lab: Lab, slug: str, exchange: Exchange) -> frozenset[tuple[str, str]]:
    """Return the services and operations that a service calls for an exchange, and in the job that it starts."""
    case = lab.stage(exchange)
    case.rewind()
    lab.send(case.operation, case.altered())
    lab.engine.advance(_A_JOB)
    return frozenset((to, asked) for who, to, asked in lab.engine.world.calls if who == slug)


@law("declared-status")
def declared_status(lab: Lab, operation: str) -> None:
    """Over everything that was sent, each answer was one that the contract declares."""
    lab.any_case(operation).send()
    demand(operation not in lab.breaches, lab.breaches.get(operation, ""))


@law("deployment-files")
def deployment_files(lab: Lab, slug: str) -> None:
    """The generated compose file and Kubernetes manifests are valid, and their probes answer."""
    from crm_reference.contract.deployment import compose, kubernetes, problems_of

    service = lab.contract.services[slug]
    found = problems_of(service, compose(service), kubernetes(service))
    demand(not found, "; ".join(found[:3]))
    probes = service.manifest.deployment["probes"]
    lab.engine.reset()
    for operation_id in dict.fromkeys(probes.values()):
        operation = lab.contract.operations.get(operation_id)
        if operation is None:
            raise Skipped(f"the probe {operation_id} is no operation")
        response = lab.send(operation, Request("GET", operation.url_path, (), {}))
        demand(response.status == 200, f"the probe {operation_id} got {describe(response)}")
