"""What a behaviour or handler gets and gives: the call, its context, the reply."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from crm_reference.contract import Contract, Operation, Resource
from crm_reference.contract.validation import Validators
from crm_reference.emulator.clock import Clock
from crm_reference.emulator.events import Outbox
from crm_reference.emulator.messages import Problem, Request
from crm_reference.emulator.query import Cursors
from crm_reference.emulator.store import Record, Store
from crm_reference.emulator.tokens import Identity, Tokens
from crm_reference.emulator.traits import Traits

if TYPE_CHECKING:
    from crm_reference.emulator.addressing import Named
    from crm_reference.emulator.jobs import Jobs
    from crm_reference.emulator.records import Records


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a dependency.

    :param kind: ``down`` (refuses), ``error`` (fails unexpectedly) or ``slow``.
    :param seconds: How long it takes to answer, where it is slow.
    """

    kind: str = "down"
    seconds: int = 0


#: Where the documented API is, which exists nowhere but in examples.
SITE = "https://api.crm.example"

#: Makes the secrets of a world whose examples must be the same for ever. It protects nothing.
_SECRETS = b"the emulator's secrets, which protect nothing"


@dataclass(slots=True)
class World:
    """What one running emulator consists of; shared by all calls.

    :param site: Scheme and host under which callers know it.
    """

    contract: Contract
    validators: Validators
    store: Store
    clock: Clock
    cursors: Cursors
    outbox: Outbox
    traits: dict[str, Traits]
    faults: dict[str, Fault] = field(default_factory=dict)
    metrics: dict[tuple[str, int], int] = field(default_factory=dict)
    open_jobs: set[tuple[str, str, str]] = field(default_factory=set)
    #: Calls between services: who asked, whom, which operation.
    calls: deque[tuple[str, str, str]] = field(default_factory=lambda: deque(maxlen=10_000))
    #: Writes: the service that wrote, and the collection.
    writes: set[tuple[str, str]] = field(default_factory=set)
    #: Which records an operation's path names, by operationId, once it was called.
    named: dict[str, tuple[Named, ...]] = field(default_factory=dict)
    site: str = SITE
    tokens: Tokens = field(init=False)

    def secret(self, purpose: str, /, size: int = 32) -> str:
        """Return a new secret as base64url text without padding: the same for ever in a world's clock, random otherwise.

        :param purpose: What it is for: ``authorization-code``. Each has a sequence of its own.
        :param size: Number of bytes, 64 at most.
        """
        if self.clock.kind == "real" or self.store.database is not None:
            made = secrets.token_bytes(size)
        else:
            number = self.clock.numbers[f"secret:{purpose}"] = self.clock.numbers.get(f"secret:{purpose}", 0) + 1
            made = hmac.digest(_SECRETS, f"{purpose}:{number}".encode(), "sha512")[:size]
        return urlsafe_b64encode(made).decode().rstrip("=")


class Context:
    """Who acts, for which tenant, in which world. Jobs and reactions to events have one too, without a request.

    :param world: The running emulator's parts.
    :param identity: Who acts.
    :param service: Slug of the service that is at work; empty where none is, as when an event arrives.
    """

    def __init__(self, world: World, identity: Identity, service: str = "") -> None:
        self.world = world
        self.identity = identity
        self.service = service
        self._records: Records | None = None
        #: Whether a write follows from another one (a reference lost its record, a service's event) and nobody asked for it.
        self.is_upkeep = False

    @property
    def tenant(self) -> str:
        """The tenant's ID."""
        return self.identity.tenant

    @property
    def now(self) -> str:
        """The present as RFC 3339."""
        return self.world.clock.now()

    @property
    def records(self) -> Records:
        """Records of this tenant, with rules, versions, history and events."""
        if self._records is None:
            from crm_reference.emulator.records import Records

            self._records = Records(self)
        return self._records

    @property
    def jobs(self) -> Jobs:
        """Jobs of this tenant."""
        from crm_reference.emulator.jobs import Jobs

        return Jobs(self)

    def within(self, service: str, /) -> Context:
        """Return the same context at work in another service: what it writes is that service's."""
        return Context(self.world, self.identity, service)

    def ask(self, service: str, operation: str, /) -> bool:
        """Note a call to a neighbour that the manifest names, and tell whether the neighbour answers.

        :raises Problem: ``unavailable`` (503) where it is down and the manifest says that this service can't do without it.
        """
        self.world.calls.append((self.service, service, operation))
        if service not in self.world.faults:
            return True
        edges = self.world.contract.services[self.service].manifest.calls
        if any(c.service == service and c.operation == operation and c.mode == "required" for c in edges):
            raise Problem("unavailable", f"{service} can't be reached. Try again in 5 seconds.", headers={"Retry-After": "5"})
        return False

    def call(
        self,
        service: str,
        operation: str,
        body: Mapping[str, Any] | None = None,
        /,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        """Call an operation of a neighbour; see :func:`crm_reference.emulator.neighbours.call`."""
        from crm_reference.emulator.neighbours import call

        return call(self, service, operation, body, path=path, query=query)

    def new_id(self, prefix: str, /, *, aside: bool = False) -> str:
        """Return a new ID with a prefix; see :meth:`.Clock.new_id`."""
        return self.world.clock.new_id(prefix, aside=aside)

    def emit(self, type: str, subject: str, data: Mapping[str, Any]) -> None:
        """Emit an event: it goes to the outbox, to listening services, and to webhook endpoints.

        :param type: Event type, ``crm.contact.merged.v1``.
        :param subject: ID of the record that it is about.
        :param data: The event's ``data``.
        """
        self.world.outbox.emit(self, type, subject, data)

    def resource(self, collection: str) -> Resource:
        """Return a resource of the contract by its collection."""
        return self.world.contract.resources[collection]


class Call(Context):
    """One request that passed routing, authentication, limits and parsing.

    :param path: Values of path parameters.
    :param query: Values of query parameters, typed, defaults filled in.
    :param headers: Request headers and cookies that are parameters, by name as the contract writes it.
    :param body: Validated body; ``None`` without one.
    :param record: The record that the path names: the last one whose resource is known.
    :param parents: All records that the path names, by parameter.
    """

    def __init__(
        self,
        world: World,
        identity: Identity,
        operation: Operation,
        request: Request,
        path: Mapping[str, str],
    ) -> None:
        super().__init__(world, identity, operation.service)
        self.operation = operation
        self.request = request
        self.path = path
        self.query: dict[str, Any] = {}
        self.headers: dict[str, Any] = {}
        self.body: Any = None
        #: Problems of a batch's items whose schema they break, by index.
        self.invalid: Mapping[int, Problem] = {}
        self.record: Record | None = None
        self.parents: dict[str, Record] = {}

    @property
    def target(self) -> Resource:
        """The resource that the operation works on."""
        return self.resource(self.operation.resource)

    @property
    def found(self) -> Record:
        """The record that the path names.

        :raises Problem: ``not_found`` where there is none.
        """
        if self.record is None:
            raise Problem("not_found", "No record has this ID.")
        return self.record

    def event(self, action: str) -> str:
        """Return the operation's event for a generic action (``created`` ...), or ``""``."""
        return next((e for e in self.operation.events if e.split(".")[2] == action), "")


@dataclass(slots=True)
class Reply:
    """What a behaviour answers.

    :param body: JSON data, text, or ``None`` for no body.
    :param media_type: Of the body.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    media_type: str = "application/json"


Behaviour = Callable[[Call], Reply]
