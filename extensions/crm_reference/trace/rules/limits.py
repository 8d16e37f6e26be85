"""Requirement 7.5: quotas, pages, latency and size."""

from __future__ import annotations

from crm_reference.contract import Node, Operation
from crm_reference.contract.schema_tree import json_schema
from crm_reference.trace import subjects as about
from crm_reference.trace.universal import Context, Findings, Verdict, rule

#: Percentiles that a latency target must name.
_PERCENTILES = ("p50_ms", "p95_ms", "p99_ms")


@rule("rate_limits")
def rate_limits(context: Context, /) -> Verdict:
    """Decide whether each operation has a quota. A subject is an operation."""
    found = Findings("rate_limits")
    for operation in context.contract.operations.values():
        policy = context.contract.policies.get(operation.policy)
        if policy is None:
            message = f"{operation.id} has the policy class {operation.policy!r}, which common/policies.yaml doesn't have"
            found.add(operation.place, message)
        elif policy.requests < 1 or policy.window_seconds < 1:
            found.add(policy.place, f"the policy class {policy.name} of {operation.id} has no quota")
    return Verdict(tuple(context.contract.operations), tuple(found))


@rule("pagination")
def pagination(context: Context, /) -> Verdict:
    """Decide whether each list of records is paged. A subject is an operation that gives pages."""
    found, subjects = Findings("pagination"), []
    for operation in context.contract.operations.values():
        if about.is_paged(operation):
            subjects.append(operation.id)
            if operation.parameter("limit", "query") is None and not _body_has(operation, "limit"):
                found.add(operation.place, f"{operation.id} takes a cursor and no limit; refer to common/parameters.yaml#/Limit")
        elif any(_lists_records(context, s) for r in operation.successes if (s := json_schema(r.media))):
            found.add(operation.place, f"{operation.id} answers with a list of records and has no pages; give it limit and cursor")
    return Verdict(tuple(subjects), tuple(found))


def _body_has(operation: Operation, name: str) -> bool:
    schema = json_schema(operation.body)
    return schema is not None and name in schema.resolved().get("properties", {})


def _lists_records(context: Context, schema: Node) -> bool:
    """Return whether an answer is a list of a resource's records, bare or as ``data``."""
    target = schema.resolved()
    properties = dict(target.items("properties"))
    listed = properties["data"].resolved() if "data" in properties else target
    if listed.get("type") != "array" or "items" not in listed:
        return False
    entry = listed.child("items").resolved()
    return any(entry.uri == resource.node.uri for resource in context.contract.resources.values())


@rule("performance")
def performance(context: Context, /) -> Verdict:
    """Decide whether each policy class in use has targets and limits. A subject is a policy class."""
    found = Findings("performance")
    used = {o.policy for o in context.contract.operations.values()}
    bodied = {o.policy for o in context.contract.operations.values() if o.body}
    subjects = []
    for name, policy in context.contract.policies.items():
        if name not in used:
            continue
        subjects.append(name)
        if missing := [p for p in _PERCENTILES if not policy.latency.get(p)]:
            found.add(policy.place, f"the policy class {name} has no latency target {', '.join(missing)}")
        if policy.timeout_seconds < 1:
            found.add(policy.place, f"the policy class {name} has no timeout")
        if name in bodied and policy.payload_limit_bytes < 1:
            found.add(policy.place, f"the policy class {name} has operations with a body, and no limit of its size")
    return Verdict(tuple(subjects), tuple(found))
