"""The emulator: a request goes in, and an answer that the contract allows comes out.

Checks run in the contract's precedence: route, method, address limit, token, scope, client limit, media type, size, syntax,
record, precondition, schema, rules. Any layer raises :class:`Problem`; the engine renders it. Then the engine holds its own answer
against the contract: an answer that the contract doesn't allow is a bug, and raises :class:`ContractBreach`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from crm_reference.contract import Contract, Operation, Policy
from crm_reference.contract.protocols import PROBLEM_JSON
from crm_reference.contract.validation import Validators
from crm_reference.emulator import access, control, jobs, registry
from crm_reference.emulator.addressing import load_records
from crm_reference.emulator.answers import ContractBreach, check, notice, refusal, rendered
from crm_reference.emulator.behaviours import BEHAVIOURS, batch
from crm_reference.emulator.behaviours.operate import DATABASE
from crm_reference.emulator.call import SITE, Behaviour, Call, Fault, Reply, World
from crm_reference.emulator.clock import Clock
from crm_reference.emulator.events import Outbox
from crm_reference.emulator.idempotency import Idempotency
from crm_reference.emulator.limits import Limits
from crm_reference.emulator.messages import Problem, Request, Response
from crm_reference.emulator.parsing import parse_body, parse_parameters, validate_body
from crm_reference.emulator.query import Cursors
from crm_reference.emulator.routing import Router
from crm_reference.emulator.seeding import seed
from crm_reference.emulator.store import Mark, Store, StoreError
from crm_reference.emulator.tokens import Identity, Tokens
from crm_reference.emulator.traits import traits_of
from crm_reference.emulator.webhooks import Webhooks

#: Behaviours that answer whatever is sent with them, and are never limited: an orchestrator must always get its answer.
_PROBES = ("liveness", "readiness")

_NOBODY = Identity("", "", "", frozenset(), "all", "", 0, {})


@dataclass(frozen=True, slots=True)
class Hit:
    """That an operation answered.

    :param live: Whether the answer was computed from state rather than scripted.
    :param calls: Calls between services on the way: who asked, whom, which operation.
    :param events: Types of the events that were emitted, those of services that heard one included.
    """

    operation: str
    status: int
    live: bool
    calls: tuple[tuple[str, str, str], ...] = ()
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A world's whole state, to come back to.

    :param content: The store's, or a mark in the store that is running.
    """

    content: bytes | Mark
    seconds: int
    numbers: Mapping[str, int]
    open_jobs: frozenset[tuple[str, str, str]]
    faults: Mapping[str, Fault]
    paused: bool


class Engine:
    """A stateful emulator of every service in a contract.

    :param contract: What to behave as.
    :param world: ``brightwater`` (the records of ``examples/world``) or ``empty``.
    :param database: File to keep the world in; in memory where ``None``. A file that has a world already goes on with it.
    :param clock: ``world`` (fixed start, a second a request) or ``real``.
    :param limits: Whether quotas hold.
    :param site: Scheme and host under which callers know it: issuer and audience of its tokens.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        world: str = "brightwater",
        database: Path | None = None,
        clock: Literal["world", "real"] = "world",
        limits: bool = True,
        site: str = SITE,
    ) -> None:
        registry.load_services(contract.services)
        self.contract = contract
        self.world_name = world
        self.limits = Limits(limits)
        self.idempotency = Idempotency()
        self.hits: list[Hit] = []
        self.webhooks = Webhooks()
        # Where nothing computes an answer, the first exchange that succeeds has it; a replay lays out that of its own exchange.
        scripted = {x.operation: x.scripted for x in reversed([*contract.exchanges.values()]) if x.scripted and x.succeeds}
        self.scripts: dict[str, Mapping[str, Any]] = scripted
        store = Store(database)
        self.world = World(
            contract=contract,
            validators=Validators(contract.library),
            store=store,
            clock=Clock(clock),
            cursors=Cursors(),
            outbox=Outbox(store, self.webhooks),
            traits={r.collection: traits_of(contract, r) for r in contract.resources.values()},
            site=site,
        )
        self.tokens = self.world.tokens = Tokens(self.world)
        self._router = Router(contract.operations.values())
        self._behaviours: dict[str, Behaviour | None] = {}
        self._profiles: dict[str, str] = {}
        for operation in contract.operations.values():
            first = operation.path.split("/")[1]
            same = self._profiles.setdefault(first, operation.profile) == operation.profile
            self._profiles[first] = operation.profile if same else ""
        self._index()
        if store.is_empty:
            seed(self.world, world)
        else:
            self._resume()
        self._fresh = self.snapshot() if database is None else None

    # -- the one function ------------------------------------------------------------------------------------------------

    def handle(self, request: Request, /) -> Response:
        """Answer a request.

        :raises ContractBreach: If the answer isn't one that the contract allows.
        """
        if request.path.startswith("/_emulator"):
            return control.handle(self, request)
        self.world.clock.tick()
        request_id = self.world.clock.new_id("req")
        operation: Operation | None = None
        headers = {"X-Request-Id": request_id}
        called = len(self.world.calls)
        try:
            if self.world.open_jobs:
                jobs.advance(self.world)
            operation, path = self._route(request)
            if operation.deprecated:
                headers |= notice(operation)
            reply = self._answer(operation, path, request, headers)
        except Problem as problem:
            profile = operation.profile if operation is not None else self._profile(request.path)
            reply = refusal(self.contract, problem, request, request_id, profile)
        events = self.world.outbox.publish()
        response = rendered(reply, headers)
        if operation is not None:
            check(self.world.validators, operation, response)
            live = self.behaviour(operation) is not None
            calls = tuple(islice(self.world.calls, called, None)) if len(self.world.calls) > called else ()
            self._note(Hit(operation.id, response.status, live, calls, events))
        return response

    def _route(self, request: Request) -> tuple[Operation, dict[str, str]]:
        found = self._router.match(request.path, request.method)
        if found is None:
            raise Problem("route_not_found", f"No operation has the path {request.path[:200]}.")
        operations, path = found
        operation = operations.get(request.method)
        if operation is None:
            allowed = ", ".join(sorted(operations))
            raise Problem("method_not_allowed", f"This path takes {allowed}.", headers={"Allow": allowed})
        return operation, path

    def _profile(self, path: str) -> str:
        """Return the protocol of a path that no operation has: that of all operations which begin as it does."""
        parts = path.split("/")
        return self._profiles.get(parts[2], "") if len(parts) > 2 else ""

    def _answer(self, operation: Operation, path: dict[str, str], request: Request, headers: dict[str, str]) -> Reply:
        if operation.behaviour in _PROBES:
            return self._behave(Call(self.world, _NOBODY, operation, request, path))
        now = self.world.clock.time()
        policy = self.contract.policies[operation.policy]
        headers |= self.limits.headers(policy, policy.requests, policy.window_seconds)
        identity = self._identify(operation, request, now)
        headers |= self.limits.spend(policy, identity.tenant, identity.client or request.address, now)
        call = Call(self.world, identity, operation, request, path)
        body = parse_body(operation, request, policy.payload_limit_bytes)
        call.query, call.headers = parse_parameters(self.world.validators, operation, request, path)
        key = call.headers.get("Idempotency-Key")
        if key:
            kept = self.idempotency.look(identity, operation.id, key, request, now)
            if kept is not None:
                return Reply(kept.status, kept.body, {**kept.headers, "Idempotency-Replayed": "true"}, kept.media_type)
        self._suffer(operation, policy)
        with self.world.store.transaction():
            if host := registry.HOSTS.get(operation.id):
                call.identity = replace(identity, tenant=host(call))
            load_records(call)
            access.demand_of_call(call)
            self._check_precondition(call)
            by_item = self.behaviour(operation) in batch.BY_ITEM or operation.id in registry.BY_ITEM
            call.invalid = validate_body(self.world.validators, operation, request, body, by_item=by_item)
            call.body = body
            reply = self._behave_or_commit(call)
        if isinstance(reply, Problem):
            raise reply
        if key and reply.status < 500:
            self.idempotency.keep(identity, operation.id, key, request, now, reply)
        return reply

    def _identify(self, operation: Operation, request: Request, now: float) -> Identity:
        if operation.public:
            return _NOBODY
        self.limits.check_address(request.address, now)
        try:
            identity = self.tokens.verify(request.headers.get("authorization"), now, request.address)
        except Problem:
            self.limits.note_failure(request.address, now)
            raise
        if not identity.scopes.issuperset(operation.scopes):
            needed = " ".join(operation.scopes)
            challenge = f'Bearer realm="crm", error="insufficient_scope", scope="{needed}"'
            raise Problem(
                "insufficient_scope",
                f"This needs the scope {needed}.",
                headers={"WWW-Authenticate": challenge},
                required_scopes=list(operation.scopes),
            )
        return identity

    def _suffer(self, operation: Operation, policy: Policy) -> None:
        """Let a fault of the store show: the request fails before anything is written."""
        fault = self.world.faults.get(DATABASE)
        if fault is None or (operation.policy == "health" and fault.kind != "slow"):
            return
        if fault.kind == "error":
            raise Problem("internal_error", "The store failed. Nothing was changed; try again with the same Idempotency-Key.")
        if fault.kind == "down":
            raise Problem("unavailable", "The store can't be reached. Try again in 5 seconds.", headers={"Retry-After": "5"})
        self.world.clock.advance(min(fault.seconds, policy.timeout_seconds))
        if fault.seconds > policy.timeout_seconds:
            detail = f"There was no answer within {policy.timeout_seconds} seconds. Nothing was changed."
            raise Problem("timeout", detail, headers={"Retry-After": "5"})

    def _check_precondition(self, call: Call) -> None:
        wanted = call.headers.get("If-Match")
        if wanted is None and "428" in call.operation.responses:
            raise Problem("precondition_required", "Send the record's ETag in If-Match.")
        if wanted is not None and call.record is not None and wanted not in (call.record.etag, "*"):
            raise Problem("version_mismatch", f"If-Match is {wanted}, and the record's ETag is {call.record.etag}.")

    def _behave_or_commit(self, call: Call) -> Reply | Problem:
        """Return the answer, or a problem in spite of which what was written stays."""
        try:
            return self._behave(call)
        except Problem as problem:
            if problem.commits:
                return problem
            raise

    def _behave(self, call: Call) -> Reply:
        behaviour = self.behaviour(call.operation)
        if behaviour is not None:
            return behaviour(call)
        script = self.scripts.get(call.operation.id)
        if script is not None:
            headers = dict(script.get("headers", {}))
            media = headers.pop("Content-Type", PROBLEM_JSON if script["status"] >= 400 else "application/json")
            return Reply(script["status"], script.get("body"), headers, media)
        raise ContractBreach(
            f"{call.operation.place}: {call.operation.id} has no behaviour; give its path a known shape, "
            f"or write a handler in emulator/services/{call.operation.service.replace('-', '_')}.py"
        )

    def behaviour(self, operation: Operation, /) -> Behaviour | None:
        """Return what computes an operation's answer: a handler, else a generic behaviour, else ``None``."""
        if operation.id not in self._behaviours:
            handler = registry.HANDLERS.get(operation.id)
            self._behaviours[operation.id] = handler or BEHAVIOURS.get(operation.behaviour)
        return self._behaviours[operation.id]

    def is_live(self, operation: str, /) -> bool:
        """Tell whether an operation's answers are computed from state."""
        return self.behaviour(self.contract.operations[operation]) is not None

    def _note(self, hit: Hit) -> None:
        self.hits.append(hit)
        if len(self.hits) > 100_000:
            del self.hits[:50_000]
        key = (hit.operation, hit.status)
        self.world.metrics[key] = self.world.metrics.get(key, 0) + 1

    # -- the world -------------------------------------------------------------------------------------------------------

    @property
    def clock(self) -> Clock:
        """The world's clock."""
        return self.world.clock

    @property
    def outbox(self) -> list[dict[str, Any]]:
        """Every event of this world, in the order of emission."""
        return self.world.store.events()

    @property
    def emitted(self) -> list[dict[str, Any]]:
        """Events that requests and jobs emitted themselves, without what services did about them."""
        return self.world.store.events(follow=False)

    @property
    def deliveries(self) -> list[dict[str, Any]]:
        """Every webhook delivery of this world."""
        return [d.as_dict() for d in self.webhooks.deliveries]

    def token(self, principal: str, /, **options: Any) -> str:
        """Return a signed token of one of the world's principals; options as in :meth:`Tokens.make`.

        :raises KeyError: If the world has no such principal.
        """
        return self.tokens.make(self.contract.principals[principal], self.clock.time(), **options)

    def advance(self, seconds: int, /) -> None:
        """Move the clock forward and let jobs catch up."""
        self.clock.advance(seconds)
        jobs.advance(self.world)
        self.world.outbox.publish()

    def deliver(self, event: Mapping[str, Any], /) -> None:
        """Let an event of another service arrive: listening services react as if it had been published.

        :param event: ``type``, ``data``, ``tenantid``; the rest of the envelope is filled in, the subject from ``data.record``.
        """
        from crm_reference.emulator.call import Context

        tenant = event.get("tenantid") or next(iter(self.contract.principals.values())).tenant
        client = f"service:{event.get('source', '')}"
        identity = Identity(tenant, event.get("actor", ""), client, frozenset(self.contract.scopes), "all", "", 0, {})
        about = event.get("data", {}).get("record", {}).get("id", "")
        filled = {"id": self.clock.new_id("evt"), "time": self.clock.now(), "tenantid": tenant, "subject": about}
        full = {"specversion": "1.0", **filled, **event}
        with self.world.store.transaction():
            self.world.outbox.hand_on(Context(self.world, identity), full)
        self.world.outbox.publish()

    def fault(self, dependency: str, kind: str = "down", /, seconds: int = 0) -> None:
        """Make a dependency fail until :meth:`heal` or :meth:`reset`.

        :param dependency: A service's slug, or ``database``.
        :param kind: ``down``, ``error`` or ``slow``.
        :param seconds: How long a slow one takes.
        :raises ValueError: If there is no such dependency or kind.
        """
        if kind not in ("down", "error", "slow"):
            raise ValueError(f"a fault is down, error or slow, not {kind}")
        called = {c.service for s in self.contract.services.values() for c in s.manifest.calls}
        known = {DATABASE, *self.contract.services, *called}
        if dependency not in known:
            raise ValueError(f"no service depends on {dependency}; there are {', '.join(sorted(known))}")
        self.world.faults[dependency] = Fault(kind, seconds)

    def heal(self) -> None:
        """End all faults, and let jobs that waited go on."""
        self.world.faults.clear()

    def vector(self, service: str, computation: str, input: Any, /) -> Any:
        """Run a registered computation on a vector's input.

        :raises KeyError: If the service registers no such computation.
        """
        return registry.COMPUTATIONS[service, computation](input)

    def snapshot(self) -> Snapshot:
        """Return the world's state."""
        return self._state(self.world.store.snapshot())

    def mark(self) -> Snapshot:
        """Return the world's state to come back to often; it holds until an older one is restored (:meth:`holds`)."""
        return self._state(self.world.store.mark())

    def holds(self, snapshot: Snapshot, /) -> bool:
        """Tell whether a state can be restored."""
        return isinstance(snapshot.content, bytes) or self.world.store.holds(snapshot.content)

    def _state(self, content: bytes | Mark) -> Snapshot:
        clock = self.world.clock
        return Snapshot(
            content,
            clock.seconds,
            dict(clock.numbers),
            frozenset(self.world.open_jobs),
            dict(self.world.faults),
            clock.paused,
        )

    def restore(self, snapshot: Snapshot, /) -> None:
        """Put the world back to a state. Limits, kept answers, hits and deliveries begin anew."""
        if isinstance(snapshot.content, bytes):
            self.world.store.restore(snapshot.content)
        else:
            self.world.store.rewind(snapshot.content)
        self.world.clock.seconds = snapshot.seconds
        self.world.clock.paused = snapshot.paused
        self.world.clock.numbers = dict(snapshot.numbers)
        self.world.open_jobs = set(snapshot.open_jobs)
        self.world.faults = dict(snapshot.faults)
        self.world.metrics.clear()
        self.world.calls.clear()
        self.world.writes.clear()
        self.world.outbox.forget()
        self.webhooks.deliveries.clear()
        self.limits.reset()
        self.idempotency.reset()
        self.hits.clear()

    def reset(self) -> None:
        """Begin the world anew.

        :raises StoreError: If the world is kept in a file.
        """
        if self._fresh is None:
            raise StoreError(f"{self.world.store.database}: a world in a file isn't reset; remove the file to begin anew")
        self.restore(self._fresh)

    def close(self) -> None:
        """Keep what must be kept and close the database."""
        self.world.store.close()

    def _index(self) -> None:
        """Index what every write looks up: unique fields, and the fields by which records refer to others."""
        for resource in self.contract.resources.values():
            for rule in resource.rules:
                if rule.kind == "unique":
                    self.world.store.index(
                        resource.collection, rule.options["fields"][0], fold=not rule.options.get("case_sensitive")
                    )
                elif rule.kind == "reference":
                    self.world.store.index(resource.collection, rule.options["field"])
            if resource.parent:
                self.world.store.index(resource.collection, resource.parent["property"])

    def _resume(self) -> None:
        """Go on with a world that a file holds: number new records behind the ones that it has."""
        for id in self.world.store.ids():
            if id:
                self.world.clock.seen(id)
        self.world.open_jobs = jobs.open_jobs(self.world)
