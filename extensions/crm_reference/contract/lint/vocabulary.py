"""The x- keywords: each use has a schema, and stands where it means something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs

from crm_reference.contract.documents import Node
from crm_reference.contract.lint.registry import Problem, rule
from crm_reference.contract.lint.survey import Survey

#: Keywords of others that documents may use.
_FOREIGN = frozenset({"x-displayName"})

_ON_OPERATION = frozenset(
    {"x-requirements", "x-policy", "x-errors", "x-events", "x-security", "x-profile", "x-consistency", "x-public"}
    | {"x-deprecated-since", "x-sunset", "x-replaced-by"}
)
_ON_COMPONENT = frozenset({"x-rules", "x-query", "x-extensible", "x-resource"})


def keywords(node: Node) -> Iterator[tuple[str, Node, Node]]:
    """Yield each x- keyword of a document, the node that bears it and the keyword's own node."""
    if isinstance(node.value, dict):
        for key, child in node.items():
            if key.startswith("x-") and not node.pointer.endswith(("/headers", "/properties")):
                yield key, node, child
            else:
                yield from keywords(child)
    elif isinstance(node.value, list):
        for child in node.entries():
            yield from keywords(child)


def _validators(survey: Survey) -> dict[str, Any]:
    """Compile the schema of each keyword; ``x-rules`` refers to ``#/rule`` of its own document."""
    document = survey.common("vocabulary.yaml")
    registry = jsonschema_rs.Registry([(document.uri, document.data)], draft=jsonschema_rs.Draft202012)
    return {
        name: jsonschema_rs.Draft202012Validator({"$ref": node.uri}, registry=registry)
        for name, node in document.root.items()
        if name.startswith("x-")
    }


@rule("x.known")
def check_known(survey: Survey) -> Iterator[Problem]:
    """Every x- keyword has a schema in common/vocabulary.yaml."""
    known = survey.common("vocabulary.yaml").data
    for service in survey.services:
        for name, _, node in keywords(service.openapi.root):
            if name not in known and name not in _FOREIGN:
                yield node.place, f"{name} is no keyword of ours; remove it, or define it in common/vocabulary.yaml"


@rule("x.value")
def check_values(survey: Survey) -> Iterator[Problem]:
    """A keyword's value is valid by its schema."""
    validators = _validators(survey)
    for service in survey.services:
        for name, _, node in keywords(service.openapi.root):
            if name not in validators:
                continue
            for error in validators[name].iter_errors(node.value):
                if error.kind.name in ("oneOfNotValid", "oneOf"):
                    index = error.instance_path[0] if error.instance_path else 0
                    said = node.child(index) if name == "x-rules" else node
                    message = f"{name}: the rule {said.get('id')!r} lacks what its kind {said.get('kind')!r} needs, or has more"
                    yield said.place, message + "; compare it with common/vocabulary.yaml"
                else:
                    where = "/".join(map(str, error.instance_path))
                    yield node.place, f"{name}{'/' + where if where else ''}: {error.message[:200]}; see common/vocabulary.yaml"


@rule("x.place")
def check_places(survey: Survey) -> Iterator[Problem]:
    """Keywords about an operation stand on operations, those about a resource on named schemas."""
    for service in survey.services:
        operations = {o.node.pointer for o in service.operations}
        components = {s.node.pointer for s in service.schemas.values()}
        for name, bearer, node in keywords(service.openapi.root):
            if name in _ON_OPERATION and bearer.pointer not in operations:
                yield node.place, f"{name} means something on an operation only; move it there"
            elif name in _ON_COMPONENT and bearer.pointer not in components:
                yield node.place, f"{name} means something on a named schema only; move it there"


@rule("x.policy")
def check_policies(survey: Survey) -> Iterator[Problem]:
    """An operation names a policy class that exists, and one that admits a body where it takes one."""
    policies = survey.contract.policies
    for operation in survey.operations:
        if operation.policy not in policies:
            message = f"{operation.id} has the policy {operation.policy!r}; name one of {', '.join(policies)}"
            yield operation.place, message
        elif operation.body and not policies[operation.policy].payload_limit_bytes:
            yield operation.place, f"{operation.id} takes a body and its policy {operation.policy} allows 0 bytes; choose another"


@rule("x.requirements")
def check_requirements(survey: Survey) -> Iterator[Problem]:
    """An operation names facets of the catalogue, its own service's or those of another that it serves, as erasure does."""
    catalogue = survey.contract.requirements
    for operation in survey.operations:
        if not operation.requirements:
            yield operation.place, f"{operation.id} serves no facet; name one in x-requirements"
        for name in operation.requirements:
            facet = catalogue.get(name)
            place = operation.node.child("x-requirements").place
            if facet is None or facet.kind != "facet":
                yield place, f"{operation.id} serves {name}, which source_specs/requirements.yaml doesn't have; correct it"
