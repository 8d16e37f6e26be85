"""Directives for who builds and runs a service: stores, configuration, deployment, levels, metrics, runbook, seeds, vectors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from docutils import nodes

from crm_reference.contract import Call, Resource, Service
from crm_reference.sphinx import words
from crm_reference.sphinx.directives import ServiceDirective, add_directives
from crm_reference.sphinx.tables import Row, code, facts, joined, md, plain, ref, row, table

if TYPE_CHECKING:
    from sphinx.application import Sphinx

#: Numbers of tenants for which sizes are computed.
TENANTS = (1, 100, 10_000)


class Stores(ServiceDirective):
    """``{crm:stores} contacts``: data at rest with keys, retention and sizes that follow from measured records."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return one table; a size is records times the mean record of the examples times the index factor."""
        factor = float(service.manifest.deployment.get("storage", {}).get("index_factor", 1))
        rows = []
        for store in service.manifest.stores:
            size = self._record_size(service, store["resource"])
            total = [words.bytes_words(_round(store["records_per_tenant"] * size * factor * n)) for n in TENANTS]
            sizes = " / ".join(total) if size else "no record to measure"
            rows.append(
                row(
                    code(store["resource"]),
                    joined((code(k) for k in store["keys"]), "; "),
                    plain(f"{store['records_per_tenant']:,}"),
                    plain(f"{size} B" if size else ""),
                    plain(sizes),
                    md(store["retention"]),
                    plain(", ".join(words.marks({"x-sensitive": s})[0] for s in store.get("sensitive", ()))),
                )
            )
        heads = ("Resource", "Keys", "Records a tenant", "Mean record", "Size at 1 / 100 / 10,000 tenants", "Kept", "Holds")
        return [table(f"Data of {service.title}", heads, rows, self.docname, widths=(13, 25, 10, 9, 18, 15, 10))]

    def _record_size(self, service: Service, collection: str) -> int:
        resource: Resource | None = service.resources.get(collection)
        kind = resource.object if resource else ""
        found = [
            x.recorded.body
            for x in service.exchanges.values()
            if x.recorded and isinstance(x.recorded.body, dict) and x.recorded.body.get("object") == kind and kind
        ]
        bodies = [*found, *self.contract.world.get(collection, ())]
        sizes = [len(json.dumps(body, separators=(",", ":")).encode()) for body in bodies]
        return sum(sizes) // len(sizes) if sizes else 0


def _round(size: float) -> int:
    """Return a size with two significant digits in its unit, since the inputs have no more."""
    for unit in (1 << 30, 1 << 20, 1 << 10):
        if size >= unit:
            return int(float(f"{size / unit:.2g}") * unit)
    return int(size)


class Configuration(ServiceDirective):
    """``{crm:configuration} contacts``: environment variables and what each changes."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return one table."""
        rows = [
            row(
                code(s.variable),
                plain(s.type),
                code(json.dumps(s.default) if not isinstance(s.default, str) else s.default)
                if s.default is not None
                else plain("required" if s.required else "none"),
                md(s.effect + (" It is a secret." if s.secret else "")),
                joined(self._change(service, c) for c in s.changes),
                anchor=f"setting-{s.variable}",
            )
            for s in service.manifest.configuration
        ]
        heads = ("Variable", "Type", "Default", "Effect", "Changes")
        return [table(f"Configuration of {service.title}", heads, rows, self.docname, widths=(28, 9, 11, 34, 18))]

    def _change(self, service: Service, name: str) -> Any:
        return ref("operation", name) if name in self.contract.operations else code(name)


class Deployment(ServiceDirective):
    """``{crm:deployment} contacts``: ports, processes, storage, migrations, probes, scaling."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return a table of processes and a list of facts."""
        said = service.manifest.deployment
        rows = [
            row(
                code(p["name"]),
                md(p["purpose"]),
                plain(f"{p['cpu_millis']} m"),
                plain(f"{p['memory_mib']} MiB"),
                plain(p["replicas"]),
            )
            for p in said.get("processes", ())
        ]
        storage, probes, scaling = said.get("storage", {}), said.get("probes", {}), said.get("scaling", {})
        pairs = [
            ("Port", plain(f"{said.get('port')} for callers, {said.get('internal_port')} for probes and metrics")),
            ("Storage", md(f"{storage.get('engine', '')}. {storage.get('why', '')}")),
            ("Migrations", md(said.get("migrations", ""))),
            *((k.capitalize(), self._probe(v)) for k, v in probes.items()),
            ("Scaling signal", md(f"{scaling.get('signal', '')}: {scaling.get('target', '')}. {scaling.get('text', '')}")),
        ]
        heads = ("Process", "Purpose", "CPU", "Memory", "Replicas")
        return [
            table(f"Processes of {service.title}", heads, rows, self.docname, widths=(16, 48, 12, 12, 12)),
            facts(pairs, self.docname),
        ]

    def _probe(self, text: str) -> Any:
        return ref("operation", text) if text in self.contract.operations else md(text)


class ServiceLevels(ServiceDirective):
    """``{crm:service-levels} contacts``: availability, and the latency targets of the policy classes that it uses."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return facts and a table of classes."""
        levels = service.manifest.service_levels
        used = dict.fromkeys(o.policy for o in service.operations)
        rows = []
        for name in used:
            policy = self.contract.policies.get(name)
            if policy is not None:
                count = sum(o.policy == name for o in service.operations)
                latency = [plain(f"{policy.latency.get(f'{p}_ms', '')} ms") for p in ("p50", "p95", "p99")]
                said = levels.get("latency", {}).get(name, policy.description)
                rate = plain(f"{policy.requests} / {policy.window_seconds} s")
                rows.append(row(code(name), plain(count), *latency, rate, md(said)))
        pairs = [
            ("Availability", plain(f"{levels.get('availability_percent')} % a month")),
            ("Error budget", md(levels.get("error_budget", ""))),
        ]
        heads = ("Class", "Operations", "p50", "p95", "p99", "Rate", "Promise")
        widths = (12, 10, 10, 10, 10, 14, 34)
        return [facts(pairs, self.docname), table(f"Service levels of {service.title}", heads, rows, self.docname, widths=widths)]


class Metrics(ServiceDirective):
    """``{crm:metrics} contacts``: metrics worth a dashboard."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return one table."""
        rows = [
            row(
                code(m.name),
                plain(f"{m.type}, {m.unit}" if m.unit else m.type),
                md(m.help),
                joined(code(label) for label in m.labels),
                joined(ref("operation", o) for o in m.moves_with),
                md(m.alert),
            )
            for m in service.manifest.metrics
        ]
        heads = ("Metric", "Type", "What it counts", "Labels", "Moves with", "Alert when")
        return [table(f"Metrics of {service.title}", heads, rows, self.docname, widths=(24, 10, 22, 12, 16, 16))]


class Runbook(ServiceDirective):
    """``{crm:runbook} contacts``: symptom, where to look, what to do."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return one table."""
        rows = [row(md(r["symptom"]), md(r["look"]), md(r["act"])) for r in service.manifest.runbook]
        heads = ("Symptom", "Look at", "Do")
        return [table(f"Runbook of {service.title}", heads, rows, self.docname, widths=(28, 36, 36))]


class Seeds(ServiceDirective):
    """``{crm:seeds} contacts``: what a new tenant has in this service."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return a list."""
        if not service.manifest.seeds:
            return [self.paragraph("A new tenant starts empty here.")]
        found = nodes.bullet_list(bullet="-")
        for seed in service.manifest.seeds:
            found += nodes.list_item("", nodes.paragraph("", seed))
        return [found]


class Sagas(ServiceDirective):
    """``{crm:sagas} contacts``: actions over several services, step by step, with their compensations."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return a table for each."""
        found: list[nodes.Node] = []
        for saga in service.manifest.sagas:
            rows = [row(plain(i), md(s["does"]), md(s["compensates"])) for i, s in enumerate(saga["steps"], 1)]
            heads = ("Step", saga["name"], "Compensation")
            found.append(table(saga["name"], heads, rows, self.docname, widths=(8, 46, 46)))
        return found or [self.paragraph("No action of this service spans others.")]


class VectorTable(ServiceDirective):
    """``{crm:vectors} contacts/name``: the cases of one computation, or of all where no name is given."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return a table for each file of vectors."""
        _, _, name = (self.arguments[0] if self.arguments else "").partition("/")
        chosen = [v for v in service.vectors if not name or v.name == name]
        if not chosen:
            return self.warn("crm:vectors: %s has no vectors %s", service.slug, name)
        found: list[nodes.Node] = []
        for vectors in chosen:
            if len(chosen) > 1:
                found.append(nodes.rubric("", vectors.title, classes=["op-heading"]))
            rows = [_case(case) for case in vectors.cases]
            found.append(nodes.paragraph("", vectors.why))
            heads = ("Case", "Input", "Output", "Why")
            found.append(table(vectors.title, heads, rows, self.docname, widths=(14, *_shares(vectors.cases), 22)))
        return found


def _shares(cases: Iterable[Any]) -> tuple[int, int]:
    """Return how input and output share a line, by how much they have to say."""
    sizes = [(len(_json(c["input"])), len(_json(c["output"]))) for c in cases]
    first, second = (max(column) for column in zip(*sizes, strict=True))
    share = min(44, max(20, round(64 * first / (first + second))))
    return share, 64 - share


def _case(case: Any) -> Row:
    return row(code(case["name"]), code(_json(case["input"])), code(_json(case["output"])), md(case.get("why", "")))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def neighbours(calls: Iterable[Call]) -> dict[str, str]:
    """Return the services that are asked, each with its strongest mode."""
    strength = {"required": 0, "degradable": 1, "async": 2}
    found: dict[str, str] = {}
    for call in calls:
        if call.service not in found or strength[call.mode] < strength[found[call.service]]:
            found[call.service] = call.mode
    return found


def setup_building(app: Sphinx) -> None:
    """Add the directives."""
    add_directives(
        app,
        {
            "stores": Stores,
            "configuration": Configuration,
            "deployment": Deployment,
            "service-levels": ServiceLevels,
            "metrics": Metrics,
            "runbook": Runbook,
            "seeds": Seeds,
            "sagas": Sagas,
            "vectors": VectorTable,
        },
    )
