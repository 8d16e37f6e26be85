"""The lab in which laws are tried: exchanges staged up to their request, answers, state, and the registry of laws."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from crm_reference.contract import Contract, ContractError, Exchange, Operation
from crm_reference.contract.examples import help_code
from crm_reference.emulator import ContractBreach, Engine, Request, Response, Snapshot
from crm_reference.exchanges.replay import Replayer, request_of
from crm_reference.trace.subjects import model_exchange

Law = Callable[["Lab", str], None]
#: Yields subjects with what checks each.
Finder = Callable[["Lab"], Iterator[tuple[str, Callable[[], None]]]]
SubjectsOf = Callable[[Contract], Iterable[str]]

LAWS: dict[str, tuple[Law, SubjectsOf | None]] = {}
FINDERS: dict[str, Finder] = {}


class Broken(AssertionError):
    """A law doesn't hold; the message says what was expected and what came."""


class Skipped(Exception):
    """A law can't be tried on a subject; the message says why."""


def law(name: str, /, subjects: SubjectsOf | None = None) -> Callable[[Law], Law]:
    """Register a law.

    :param subjects: Finds its subjects; ``None`` where the requirement trace declares them.
    """

    def register(function: Law) -> Law:
        LAWS[name] = (function, subjects)
        return function

    return register


def finds(name: str, /) -> Callable[[Finder], Finder]:
    """Register a law that finds its own subjects."""

    def register(function: Finder) -> Finder:
        FINDERS[name] = function
        return function

    return register


def demand(condition: bool, message: str, /) -> None:
    """Raise :class:`Broken` unless the condition holds."""
    if not condition:
        raise Broken(message)


def describe(response: Response, /) -> str:
    """Return an answer in a few words, for messages."""
    return f"{response.status} {response.body[:200].decode('utf-8', 'replace')}".strip()


def code_of(response: Response, /) -> str:
    """Return a problem's code; empty where the answer is none."""
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        return str(response.json().get("code", ""))
    return help_code(response.headers)


def entries_of(response: Response, /) -> list[Mapping[str, Any]]:
    """Return the entries of a problem's ``errors``."""
    body = response.json() if code_of(response) else {}
    return list(body.get("errors", ()))


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a store holds. Two are equal where no client could tell them apart: members that begin with an underscore don't count.

    A count of wrong confirmation codes is such a member: it must rise although the answer is an error.
    """

    contents: tuple[Any, ...]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State):
            return NotImplemented
        return self.contents == other.contents or self._visible() == other._visible()

    def _visible(self) -> list[Any]:
        """Return the contents without hidden members."""
        *tables, counts = self.contents
        rows = [[(*row[:3], _shown(row[3]), *row[4:]) for row in table] for table in tables]
        return [rows, counts]


def _shown(doc: str) -> dict[str, Any]:
    return {k: v for k, v in orjson.loads(doc).items() if not k.startswith("_")}


def filled(path: str, values: Mapping[str, str], /) -> str:
    """Return a path with values in place of its parameters, taken as they are.

    >>> filled("/v1/custom-records/{object_type}", {"object_type": "vessel"})
    '/v1/custom-records/vessel'
    """
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    return path


@dataclass(slots=True)
class Case:
    """An exchange staged up to its request: the world is as its ``given`` leaves it.

    :param request: What the exchange would send.
    """

    lab: Lab
    exchange: Exchange
    operation: Operation
    request: Request
    snapshot: Snapshot

    @property
    def body(self) -> Any:
        """The request's body as JSON data; a fresh copy each time."""
        return orjson.loads(self.request.body) if self.request.body else None

    def rewind(self) -> None:
        """Put the world back to where the request would be sent, with jobs up to date and time standing still.

        Time stands still so that whatever changes then was changed by what is sent.
        """
        if not self.lab.engine.holds(self.snapshot):  # another exchange was staged meanwhile
            self.snapshot = self.lab.restage(self.exchange)
        self.lab.engine.restore(self.snapshot)
        self.lab.engine.advance(0)
        self.lab.engine.clock.paused = True

    def send(self, /, body: Any = ..., *, headers: Mapping[str, str | None] | None = None, **changes: Any) -> Response:
        """Rewind, then send the request with changes.

        :param body: JSON data in place of the body.
        :param headers: Headers to set; ``None`` leaves one out. A new body never goes under the old Idempotency-Key.
        :param changes: Members of :class:`Request` to replace; ``content`` stands for the body's raw bytes.
        """
        self.rewind()
        return self.lab.send(self.operation, self.altered(body, headers=headers, **changes))

    def altered(self, /, body: Any = ..., *, headers: Mapping[str, str | None] | None = None, **changes: Any) -> Request:
        """Return the request with changes, as :meth:`send` takes them."""
        merged: dict[str, str | None] = {**self.request.headers, **(headers or {})}
        if body is not ...:
            changes["body"] = orjson.dumps(body)
        if "content" in changes:
            changes["body"] = changes.pop("content")
        kept = {k: v for k, v in merged.items() if v is not None}
        return replace(self.request, headers=kept, **changes)

    def path_values(self) -> dict[str, str]:
        """Return the values of the path's parameters, as they were sent."""
        template, sent = self.operation.url_path.split("/"), self.request.path.split("/")
        return {t.strip("{}"): s for t, s in zip(template, sent, strict=False) if t.startswith("{")}

    def path_with(self, **values: str) -> str:
        """Return the path with other values for some parameters, taken as they are."""
        return filled(self.operation.url_path, {**self.path_values(), **values})


class Lab:
    """An engine, the contract that it emulates, and ways to try things on it."""

    def __init__(self, engine: Engine, contract: Contract) -> None:
        self.engine = engine
        self.contract = contract
        self.replayer = Replayer(contract, engine)
        #: Answers that the contract doesn't allow, by operation.
        self.breaches: dict[str, str] = {}
        #: Operations that something was sent to.
        self.reached: set[str] = set()
        self._staged: tuple[str, Case] | None = None
        engine.limits.enabled = False

    # -- staging ---------------------------------------------------------------------------------------------------------

    def stage(self, exchange: Exchange, /) -> Case:
        """Stage an exchange on a fresh world.

        :raises Broken: If what stands in its ``given`` fails.
        """
        if self._staged is not None and self._staged[0] == exchange.id:
            self._staged[1].rewind()
            return self._staged[1]
        snapshot = self.restage(exchange)
        try:
            request = request_of(self.replayer.compose(exchange))
        except ContractError as error:
            raise Broken(f"{exchange.id} can't be staged: {error.findings[0].message}") from error
        # Idempotency-Key would make every variation of the body a reuse of the key; laws about keys set their own.
        headers = {k: v for k, v in request.headers.items() if k != "idempotency-key"}
        case = Case(self, exchange, self.operation(exchange.operation), replace(request, headers=headers), snapshot)
        self._staged = (exchange.id, case)
        return case

    def restage(self, exchange: Exchange, /) -> Snapshot:
        """Do what stands in an exchange's ``given`` on a fresh world, and return the state.

        :raises Broken: If it fails.
        """
        self.engine.clock.paused = False
        try:
            self.replayer.prepare(exchange)
        except ContractError as error:
            raise Broken(f"{exchange.id} can't be staged: {error.findings[0].message}") from error
        return self.engine.mark()

    def operation(self, id: str, /) -> Operation:
        """Return an operation by operationId."""
        return self.contract.operations[id]

    def model(self, operation: str, /) -> Case:
        """Stage the model exchange of an operation.

        :raises Skipped: If it has none.
        """
        found = model_exchange(self.contract, self.operation(operation))
        if found is None:
            raise Skipped(f"{operation} has no exchange that succeeds")
        return self.stage(found)

    def any_case(self, operation: str, /) -> Case:
        """Stage the model exchange, or any other exchange where there is none.

        :raises Skipped: If the operation has no exchange at all.
        """
        found = model_exchange(self.contract, self.operation(operation))
        found = found or next((e for e in self.contract.exchanges.values() if e.operation == operation), None)
        if found is None:
            raise Skipped(f"{operation} has no exchange")
        return self.stage(found)

    # -- sending ---------------------------------------------------------------------------------------------------------

    def send(self, operation: Operation, request: Request, /) -> Response:
        """Send a request in the present world.

        :raises Broken: If the answer isn't one that the contract allows, or the emulator fails.
        """
        self.reached.add(operation.id)
        try:
            return self.engine.handle(request)
        except ContractBreach as breach:
            self.breaches.setdefault(operation.id, str(breach))
            raise Broken(str(breach)) from breach
        except Exception as error:
            message = f"{operation.id} makes the emulator fail: {type(error).__name__}: {error}"
            self.breaches.setdefault(operation.id, message)
            raise Broken(message) from error

    def bearer(self, principal: str, /, **options: Any) -> str:
        """Return an Authorization header's value for a principal."""
        return f"Bearer {self.engine.token(principal, **options)}"

    def full_bearer(self, principal: str, /) -> str:
        """Return an Authorization header's value for a principal whose token has every scope of the contract."""
        return self.bearer(principal, scopes=sorted(self.contract.scopes))

    def accepted(self, operation: Operation, response: Response, /) -> bool:
        """Tell whether an answer is a declared success."""
        return response.status < 400 and str(response.status) in operation.responses

    # -- looking behind --------------------------------------------------------------------------------------------------

    def state(self) -> State:
        """Return what the store holds, to compare before and after."""
        return State(self.engine.world.store.contents())

    def outsider(self, tenant: str, /) -> str:
        """Return the name of a principal of another tenant who may do everything.

        :raises Skipped: If the world has one tenant alone.
        """
        for other in {p.tenant: None for p in self.contract.principals.values()}:
            if other != tenant:
                return self.administrator(other)
        raise Skipped("the world has no second tenant")

    def administrator(self, tenant: str = "", /) -> str:
        """Return the name of a principal who may do everything: an administrator, or one who has every scope and sees every record.

        :param tenant: The world's first one where empty.
        :raises Skipped: If the tenant has nobody like that.
        """
        tenant = tenant or next(iter(self.contract.principals.values())).tenant
        for name, principal in self.contract.principals.items():
            able = principal.role == "administrator" or ("*" in principal.scopes and principal.sees == "all")
            if principal.tenant == tenant and able:
                return name
        raise Skipped("nobody of the tenant may do everything")

    def tenant_of(self, case: Case, /) -> str:
        """Return the tenant of the caller of a case."""
        principal = self.contract.principals.get(case.exchange.principal)
        return principal.tenant if principal else ""


def at(value: Any, pointer: str, /) -> Any:
    """Return what stands at a JSON Pointer in a URI fragment.

    :raises KeyError: If there is nothing.
    """
    for part in parts(pointer):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def put(value: Any, pointer: str, new: Any, /) -> None:
    """Put something at a pointer; ``...`` removes what is there."""
    *above, last = parts(pointer)
    for part in above:
        value = value[int(part)] if isinstance(value, list) else value[part]
    key: Any = int(last) if isinstance(value, list) else last
    if new is ...:
        del value[key]
    else:
        value[key] = new


def parts(pointer: str, /) -> Sequence[str]:
    """Return the unescaped parts of a pointer.

    >>> parts("#/custom_fields/a~1b")
    ['custom_fields', 'a/b']
    """
    return [p.replace("~1", "/").replace("~0", "~") for p in pointer.removeprefix("#").split("/")[1:]]


def split(subject: str, /) -> tuple[str, str]:
    """Return both halves of a subject as ``operationId #/pointer`` or ``service needs neighbour`` has them: first and last word."""
    first, _, rest = subject.partition(" ")
    return first, rest.rpartition(" ")[2] or rest
