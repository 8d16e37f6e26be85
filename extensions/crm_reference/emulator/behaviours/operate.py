"""Health and metrics of a service."""

from __future__ import annotations

from typing import Any, cast

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest

from crm_reference.contract import Metric as DeclaredMetric
from crm_reference.emulator.call import Call, Reply

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
    """GET metrics: the manifest's metrics as OpenMetrics text, moved by the calls that this world has answered."""
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

    def _moved(self, metric: DeclaredMetric) -> list[tuple[str, int, int]]:
        """Return operation, status and count of what moved a metric."""
        counts = self._call.world.metrics
        return [(o, s, n) for (o, s), n in sorted(counts.items()) if o in metric.moves_with]

    def _family(self, metric: DeclaredMetric) -> Metric:
        labels = [name for name in metric.labels if name in ("operation", "status")]
        values: dict[tuple[str, ...], int] = {}
        for operation, status, number in self._moved(metric):
            key = tuple({"operation": operation, "status": str(status)}[name] for name in labels)
            values[key] = values.get(key, 0) + (number if labels or status < 400 else 0)
        if not labels:
            values.setdefault((), 0)
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
