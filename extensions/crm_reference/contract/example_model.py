"""Examples as data: exchanges with their recorded answers, hostile requests, vectors, and who calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crm_reference.contract.documents import Node, Place


@dataclass(frozen=True, slots=True)
class ExchangeRequest:
    """What an author wrote of a request. Values may hold ``${operationId/name#/pointer}``."""

    path: Mapping[str, Any]
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    content_type: str
    body: Any
    raw: str | None
    has_body: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it was sent and the answer that came, from ``examples/recorded``.

    :param url: Path and query, from ``/v1`` on.
    :param body: Parsed JSON where the media type is JSON, else text; ``None`` where there is none.
    """

    method: str
    url: str
    request_headers: Mapping[str, str]
    request_body: Any
    status: int
    headers: Mapping[str, str]
    body: Any
    events: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Exchange:
    """A named request with what its author expects, and the recorded answer.

    :param id: ``operationId/name``.
    :param given: What happens before it, in order: an exchange's ID, or a mapping (``advance``, ``fault``, ``deliver``).
    :param principal: Who calls, a name of the world's principals.
    :param expect: ``status``, and pointers (``#/email``) and headers (``header:ETag``) with their values.
    :param scripted: The answer where nothing can compute it; ``None`` for live operations.
    """

    id: str
    operation: str
    name: str
    service: str
    summary: str
    description: str
    given: tuple[str | Mapping[str, Any], ...]
    principal: str
    request: ExchangeRequest
    expect: Mapping[str, Any]
    scripted: Mapping[str, Any] | None
    recorded: Recorded | None
    place: Place

    @property
    def status(self) -> int:
        """The status that the author expects."""
        return int(self.expect["status"])

    @property
    def succeeds(self) -> bool:
        """Whether the expected status is below 400."""
        return self.status < 400


@dataclass(frozen=True, slots=True)
class Vectors:
    """Inputs and outputs of one computation.

    :param cases: Mappings with ``name``, ``input``, ``output`` and ``why``.
    """

    service: str
    name: str
    title: str
    computation: str
    why: str
    cases: tuple[Mapping[str, Any], ...]
    node: Node


@dataclass(frozen=True, slots=True)
class Attack:
    """A hostile request and how it is answered.

    :param does: What the client does, for a reader.
    :param exchange: The request, as far as a client library could send it.
    :param token: How the principal's token is forged; empty where it is sent as it is.
    :param target: Path and query as they go over the wire; empty where they are the exchange's.
    :param content: The body's bytes; empty where they are the exchange's.
    :param statuses: The answers that are right.
    :param code: Code of the error catalogue; empty where the answer is no problem.
    :param absent: What the answer must not hold.
    :param changes: Whether the refusal itself changes what is stored.
    """

    id: str
    does: str
    exchange: Exchange
    token: Mapping[str, Any]
    target: bytes
    content: bytes
    statuses: tuple[int, ...]
    code: str
    absent: tuple[str, ...]
    changes: bool
    place: Place


@dataclass(frozen=True, slots=True)
class AttackGroup:
    """Hostile requests of one kind.

    :param text: What is at stake.
    """

    name: str
    title: str
    text: str
    attacks: tuple[Attack, ...]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls in examples.

    :param user: ID of the acting user; empty for a client on its own.
    :param scopes: Scopes of the token; ``*`` stands for all.
    :param sees: ``all`` records or only ``own`` ones.
    """

    name: str
    text: str
    tenant: str
    user: str
    client: str
    role: str
    scopes: tuple[str, ...]
    sees: str
