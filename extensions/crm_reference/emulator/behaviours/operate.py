"""Health and metrics of a service."""

from __future__ import annotations

from typing import Any, cast

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest

from crm_reference.contract import Metric as DeclaredMetric
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.clock import seconds_of

#: Dependency that every service has beside its neighbours.
DATABASE = "database"


def dependencies(call: Call, /) -> list[dict[str, Any]]:
    """Return the state of the store and of each neighbour that the manifest names; faults make them fail."""
    manifest = call.world.contract.services[call.operation.service].manifest
    modes = {DATABASE: "required"}
    rank = ("required", "degradable", "async")
    for edge in manifest.calls:
        modes[edge.service] = min(modes.get(edge.service, "async"), edge.mode, key=rank.index)
    return [
        {
            "name": name,
            "mode": mode,
            "status": "down" if name in call.world.faults else "up",
            "latency_ms": 2 if name == DATABASE else 4,
        }
        for name, mode in modes.items()
    ]


def liveness(call: Call) -> Reply:
    """GET health/live: the process answers."""
    return Reply(200, {"status": "up"})


def readiness(call: Call) -> Reply:
    """GET health/ready: 503 while a required dependency is down."""
    states = dependencies(call)
    failing = [d["name"] for d in states if d["mode"] == "required" and d["status"] == "down"]
    if failing:
        return Reply(503, {"status": "down", "failing": failing}, {"Retry-After": "5"})
    degraded = any(d["status"] == "down" for d in states)
    return Reply(200, {"status": "degraded" if degraded else "up"})


def health(call: Call) -> Reply:
    """GET health: every dependency with its state."""
    states = dependencies(call)
    down = [d["mode"] for d in states if d["status"] == "down"]
    status = "down" if "required" in down else "degraded" if down else "up"
    service = call.world.contract.services[call.operation.service]
    return Reply(
        200,
        {
            "status": status,
            "service": service.slug,
            "version": service.version,
            "checked_at": call.now,
            "dependencies": states,
        },
    )


def metrics(call: Call) -> Reply:
    """GET metrics: the manifest's metrics as OpenMetrics text: what this world has answered, and what its store holds."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(call))
    text: str = generate_latest(registry).decode()  # type: ignore[no-untyped-call]  # the library has no types here
    return Reply(200, text, media_type="application/openmetrics-text")


class _Collector:
    """Gives the manifest's metrics their values."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def collect(self) -> list[Metric]:
        manifest = self._call.world.contract.services[self._call.operation.service].manifest
        return [self._family(m) for m in manifest.metrics]

    def _counted(self, metric: DeclaredMetric) -> dict[tuple[str, ...], int]:
        """Count the answers that move a metric: those with its statuses, else every one where status is a label, else successes."""
        values: dict[tuple[str, ...], int] = {} if metric.labels else {(): 0}
        for (operation, status), number in sorted(self._call.world.metrics.items()):
            counts = status in metric.statuses if metric.statuses else "status" in metric.labels or status < 400
            if counts and operation in metric.moves_with:
                key = tuple({"operation": operation, "status": str(status)}[name] for name in metric.labels)
                values[key] = values.get(key, 0) + number
        return values

    def _measured(self, metric: DeclaredMetric) -> dict[tuple[str, ...], int]:
        """Read a gauge from the store: how many records the caller's tenant has, or how long ago the oldest was created.

        How many another company has is nobody's business, whoever may scrape.
        """
        tenant, now = self._call.tenant, seconds_of(self._call.now)
        found = self._call.world.store.find(tenant, metric.measures["collection"], **metric.measures.get("where", {}))
        if metric.measures["value"] == "age":
            return {(): max((now - seconds_of(r.doc["created_at"]) for r in found), default=0)}
        return {(tenant,): len(found)}

    def _family(self, metric: DeclaredMetric) -> Metric:
        labels = list(metric.labels)
        values = self._measured(metric) if metric.measures else self._counted(metric)
        if metric.type == "counter":
            family: Any = CounterMetricFamily(metric.name.removesuffix("_total"), metric.help, labels=labels)
        elif metric.type == "gauge":
            family = GaugeMetricFamily(metric.name, metric.help, labels=labels)
        else:
            family = HistogramMetricFamily(metric.name, metric.help, labels=labels)
        for key, number in values.items():
            if metric.type == "histogram":
                family.add_metric(list(key), buckets=[("0.1", number), ("+Inf", number)], sum_value=0.01 * number)
            else:
                family.add_metric(list(key), number)
        return cast(Metric, family)
