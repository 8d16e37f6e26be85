"""Files that start a service, made from its manifest: a compose file and Kubernetes manifests.

They hold what the manifest says and nothing else: processes with their resources, ports, variables, probes. The image's name is the
service's slug; who builds it puts a registry before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.contract.manifest_model import Setting
from crm_reference.contract.model import Service

#: What a secret variable holds in the files: who deploys replaces it, or names a secret of the same name.
PLACEHOLDER = "CHANGE_ME"


def compose(service: Service, /) -> dict[str, Any]:
    """Return a compose file (Compose Specification) that starts the service's processes."""
    said = service.manifest.deployment
    processes: dict[str, Any] = {}
    for process in said["processes"]:
        entry: dict[str, Any] = {
            "image": f"{service.slug}:{service.version}",
            "command": [process["name"]],
            "environment": {s.variable: _value(s) for s in service.manifest.configuration if _is_set(s)},
            "deploy": {
                "replicas": process["replicas"],
                "resources": {"limits": {"cpus": f"{process['cpu_millis'] / 1000:g}", "memory": f"{process['memory_mib']}M"}},
            },
        }
        if process is said["processes"][0]:
            entry["ports"] = [f"{said['port']}:{said['port']}"]
            entry["expose"] = [str(said["internal_port"])]
            entry["healthcheck"] = {
                "test": ["CMD", "wget", "-q", "-O", "-", f"http://localhost:{said['internal_port']}{_probe(service, 'readiness')}"],
                "interval": "10s",
                "timeout": "2s",
                "retries": 3,
            }
        processes[f"{service.slug}-{process['name']}"] = entry
    return {"services": processes}


def kubernetes(service: Service, /) -> list[dict[str, Any]]:
    """Return Kubernetes manifests: a deployment for each process, and a service for the one that answers requests."""
    said = service.manifest.deployment
    found: list[dict[str, Any]] = []
    for process in said["processes"]:
        name = f"{service.slug}-{process['name']}"
        labels = {"app.kubernetes.io/name": service.slug, "app.kubernetes.io/component": process["name"]}
        container: dict[str, Any] = {
            "name": process["name"],
            "image": f"{service.slug}:{service.version}",
            "args": [process["name"]],
            "env": [_env(service, s) for s in service.manifest.configuration if _is_set(s)],
            "resources": {
                "requests": {"cpu": f"{process['cpu_millis']}m", "memory": f"{process['memory_mib']}Mi"},
                "limits": {"memory": f"{process['memory_mib']}Mi"},
            },
        }
        if process is said["processes"][0]:
            container["ports"] = [
                {"name": "http", "containerPort": said["port"]},
                {"name": "internal", "containerPort": said["internal_port"]},
            ]
            for kind in ("liveness", "readiness", "startup"):
                container[f"{kind}Probe"] = {"httpGet": {"path": _probe(service, kind), "port": "internal"}, "periodSeconds": 10}
        found.append(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "labels": labels},
                "spec": {
                    "replicas": process["replicas"],
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
                },
            }
        )
    first = found[0]["metadata"]["labels"]
    ports = [
        {"name": "http", "port": 80, "targetPort": "http"},
        {"name": "internal", "port": said["internal_port"], "targetPort": "internal"},
    ]
    found.append(
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": service.slug}, "spec": {"selector": first, "ports": ports}}
    )
    return found


def problems_of(service: Service, composed: Mapping[str, Any], manifests: list[dict[str, Any]], /) -> list[str]:
    """Return what is wrong with generated files: names, ports, required variables, probes.

    Names follow DNS labels (RFC 1123, section 2.1), ports lie between 1 and 65535, every required variable is set.
    """
    found = []
    required = {s.variable for s in service.manifest.configuration if s.required}
    for name, entry in composed["services"].items():
        if missing := required - entry["environment"].keys():
            found.append(f"compose: {name} lacks {', '.join(sorted(missing))}")
    for manifest in manifests:
        name = manifest["metadata"]["name"]
        if not (0 < len(name) <= 63 and name.replace("-", "").isalnum() and name == name.lower()):
            found.append(f"{name} is no DNS label")
        if manifest["kind"] == "Deployment":
            container = manifest["spec"]["template"]["spec"]["containers"][0]
            if missing := required - {e["name"] for e in container["env"]}:
                found.append(f"kubernetes: {name} lacks {', '.join(sorted(missing))}")
            found += [
                f"{name} has no port {p['containerPort']}" for p in container.get("ports", ()) if not 0 < p["containerPort"] < 65536
            ]
            found += [
                f"{name}: {k} leads nowhere" for k, v in container.items() if k.endswith("Probe") and not v["httpGet"]["path"]
            ]
    return found


def _probe(service: Service, kind: str) -> str:
    wanted = service.manifest.deployment["probes"][kind]
    return next((f"/v1{o.path}" for o in service.operations if o.id == wanted), "")


def _is_set(setting: Setting) -> bool:
    return setting.required or setting.default is not None


def _value(setting: Setting) -> str:
    if setting.secret or setting.default is None:
        return PLACEHOLDER
    return str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default)


def _env(service: Service, setting: Setting) -> dict[str, Any]:
    if setting.secret:
        return {"name": setting.variable, "valueFrom": {"secretKeyRef": {"name": service.slug, "key": setting.variable}}}
    return {"name": setting.variable, "value": _value(setting)}
