"""The part of the model that says what a service's manifest says: charter, neighbours, operation, and error codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crm_reference.contract.documents import Node, Place


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """A code that problems carry.

    :param service: Slug of the declaring service; empty for the platform's standard codes.
    :param status: HTTP status.
    :param field: Whether it stands in entries of ``errors`` and never at the top.
    :param titles: The title in other languages, by language.
    """

    code: str
    service: str
    status: int
    title: str
    titles: Mapping[str, str]
    cause: str
    fix: str
    retryable: bool
    field: bool
    place: Place


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token may do, and which default roles hold it."""

    name: str
    description: str
    roles: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Capability:
    """A sentence of the charter, the operations that give it, and the exchanges that prove it."""

    id: str
    facet: str
    text: str
    operations: tuple[str, ...]
    proof: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Call:
    """A call to another service. ``mode`` is ``required``, ``degradable`` or ``async``."""

    service: str
    operation: str
    why: str
    mode: str
    timeout_ms: int
    retries: int
    fallback: str
    used_by: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Hearing:
    """An event of another service that this one consumes."""

    event: str
    service: str
    effect: str
    seen_by: str
    place: Place


@dataclass(frozen=True, slots=True)
class Setting:
    """An environment variable."""

    variable: str
    type: str
    default: Any
    required: bool
    secret: bool
    effect: str
    changes: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric that the service exposes; ``moves_with`` names operations whose success moves it, or an answer with ``statuses``.

    ``measures`` says what a gauge reads from the store: ``value`` (records, age), ``collection``, ``where``.
    """

    name: str
    type: str
    unit: str
    help: str
    labels: tuple[str, ...]
    moves_with: tuple[str, ...]
    statuses: tuple[int, ...]
    measures: Mapping[str, Any]
    alert: str
    place: Place


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``service.yaml`` says. Members that only pages print stay as the document has them, in ``node``."""

    summary: str
    segments: tuple[str, ...]
    owns: tuple[Mapping[str, str], ...]
    excludes: tuple[Mapping[str, str], ...]
    scopes: Mapping[str, Scope]
    charter: Mapping[str, tuple[Capability, ...]]
    stores: tuple[Mapping[str, Any], ...]
    calls: tuple[Call, ...]
    emits: tuple[str, ...]
    hears: tuple[Hearing, ...]
    configuration: tuple[Setting, ...]
    deployment: Mapping[str, Any]
    service_levels: Mapping[str, Any]
    errors: Mapping[str, ErrorCode]
    metrics: tuple[Metric, ...]
    runbook: tuple[Mapping[str, str], ...]
    seeds: tuple[str, ...]
    sagas: tuple[Mapping[str, Any], ...]
    node: Node
