"""What ``services/<slug>.py`` registers: handlers, computations, custom rules, reactions to events, and tasks of jobs.

Every function is registered under the name that the contract uses, by a decorator; importing the module is all it takes.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crm_reference.emulator.call import Call, Context, Reply
    from crm_reference.emulator.query import Condition
    from crm_reference.emulator.store import Record

_SERVICES = "crm_reference.emulator.services"

Handler = Callable[["Call"], "Reply"]
Computation = Callable[[Any], Any]
#: Takes the context, the record as it would be written, and the present one (None on create); returns what is wrong, or "",
#: with the dotted path of the member that is at fault where it isn't the rule's first field.
CustomRule = Callable[["Context", Mapping[str, Any], "Mapping[str, Any] | None"], "str | tuple[str, str]"]
#: Takes the context (None while a world is seeded) and a record to be written; returns the members that follow from the others.
Derivation = Callable[["Context | None", Mapping[str, Any]], Mapping[str, Any]]
#: Takes the context and a stored record; returns members that are computed when it is read. One that is ``None`` is left out.
Presentation = Callable[["Context", "Record"], Mapping[str, Any]]
#: Takes the context and a stored record; tells whether the caller may see it.
Visibility = Callable[["Context", "Record"], bool]
#: Takes the context and a record about to be deleted; raises a problem where it must stay.
Guard = Callable[["Context", "Record"], None]
#: Takes a call without a token whose path has a record of some tenant; returns that tenant's ID, empty where no tenant has it.
Host = Callable[["Call"], str]
Listener = Callable[["Context", Mapping[str, Any]], None]
#: Takes the context, a user's ID and ``read`` or ``write``; returns the condition of the records that are open to the user besides
#: what roles and sharing rules give.
Opening = Callable[["Context", str, str], "Condition"]
#: Takes a call whose path was resolved, before its body is looked at; raises a problem where the path leads nowhere.
Entrance = Callable[["Call"], None]


@dataclass(frozen=True, slots=True)
class Task:
    """The work of a kind of job.

    :param step: Handles one item; returns an outcome to keep, or raises :class:`Problem`, which counts the item as failed.
    :param finish: Makes the job's ``result`` from the outcomes once all items are handled.
    :param so_far: Makes the ``result`` of a job that was cancelled; such a job has none where this is ``None``.
    :param needs: Slug of the neighbour without which the job waits.
    """

    step: Callable[[Context, dict[str, Any], Any], Any]
    finish: Callable[[Context, dict[str, Any], list[Any]], dict[str, Any]]
    so_far: Callable[[Context, dict[str, Any], list[Any]], dict[str, Any]] | None = None
    needs: str = ""


HANDLERS: dict[str, Handler] = {}
#: Operations whose path may name a deleted record.
TAKES_DELETED: set[str] = set()
#: Operations whose handler answers for each item of a batch, also for one that breaks its schema.
BY_ITEM: set[str] = set()
COMPUTATIONS: dict[tuple[str, str], Computation] = {}
CUSTOM_RULES: dict[tuple[str, str], CustomRule] = {}
DERIVATIONS: dict[str, Derivation] = {}
PRESENTATIONS: dict[str, Presentation] = {}
VISIBILITIES: dict[str, Visibility] = {}
GUARDS: dict[str, Guard] = {}
OPENINGS: dict[str, Opening] = {}
ENTRANCES: dict[str, Entrance] = {}
HOSTS: dict[str, Host] = {}
LISTENERS: dict[str, list[Listener]] = {}
TASKS: dict[str, Task] = {}


def handles(operation: str, /, *, deleted: bool = False, by_item: bool = False) -> Callable[[Handler], Handler]:
    """Register the handler of an operation, by operationId.

    :param deleted: Whether the record that the path names may be a deleted one.
    :param by_item: Whether it answers for each item of a batch; what is wrong with an item's schema stands in ``call.invalid``.
    """

    def register(function: Handler) -> Handler:
        HANDLERS[operation] = function
        if deleted:
            TAKES_DELETED.add(operation)
        if by_item:
            BY_ITEM.add(operation)
        return function

    return register


def computes(name: str, /) -> Callable[[Computation], Computation]:
    """Register a computation that vectors test; its service is the module's name."""

    def register(function: Computation) -> Computation:
        COMPUTATIONS[service_of(function), name] = function
        return function

    return register


def enforces(name: str, /) -> Callable[[CustomRule], CustomRule]:
    """Register the function of a rule of kind ``custom``."""

    def register(function: CustomRule) -> CustomRule:
        CUSTOM_RULES[service_of(function), name] = function
        return function

    return register


def derives(collection: str, /) -> Callable[[Derivation], Derivation]:
    """Register what follows from a record's other members: full names, normalised addresses. It runs before the rules.

    A member that it returns as ``None`` is removed.
    """

    def register(function: Derivation) -> Derivation:
        DERIVATIONS[collection] = function
        return function

    return register


def presents(collection: str, /) -> Callable[[Presentation], Presentation]:
    """Register what is computed whenever a record is shown: numbers of members, whether something holds today."""

    def register(function: Presentation) -> Presentation:
        PRESENTATIONS[collection] = function
        return function

    return register


def sees(collection: str, /) -> Callable[[Visibility], Visibility]:
    """Register who may see a record, where its owner alone doesn't decide."""

    def register(function: Visibility) -> Visibility:
        VISIBILITIES[collection] = function
        return function

    return register


def guards(collection: str, /) -> Callable[[Guard], Guard]:
    """Register what keeps a record from being deleted."""

    def register(function: Guard) -> Guard:
        GUARDS[collection] = function
        return function

    return register


def opens(collection: str, /) -> Callable[[Opening], Opening]:
    """Register what opens records to users besides roles and sharing rules, as an account's team does. It opens no deletion."""

    def register(function: Opening) -> Opening:
        OPENINGS[collection] = function
        return function

    return register


def enters(collection: str, /) -> Callable[[Entrance], Entrance]:
    """Register what must hold before a body is judged, for operations on a collection: the type in the path exists."""

    def register(function: Entrance) -> Entrance:
        ENTRANCES[collection] = function
        return function

    return register


def hosts(operation: str, /) -> Callable[[Host], Host]:
    """Register in whose tenant a public operation acts: the one that owns the form which the path names."""

    def register(function: Host) -> Host:
        HOSTS[operation] = function
        return function

    return register


def hears(event: str, /) -> Callable[[Listener], Listener]:
    """Register a reaction to an event, by its type."""

    def register(function: Listener) -> Listener:
        LISTENERS.setdefault(event, []).append(function)
        return function

    return register


def task(kind: str, task: Task, /) -> None:
    """Register the work of a kind of job, as ``service.kind``."""
    TASKS[kind] = task


def service_of(function: Callable[..., Any], /) -> str:
    """Return the service of a function: the module below ``services``, with hyphens for underscores."""
    parts = function.__module__.split(".")
    return parts[parts.index("services") + 1].replace("_", "-")


def load_services(slugs: Iterable[str], /) -> None:
    """Import the modules of services below ``emulator.services``; a second call does nothing.

    A service without one is served by the generic behaviours alone. Modules of other services aren't touched, so that one that
    is half written stops nobody else's work.
    """
    for slug in slugs:
        name = f"{_SERVICES}.{slug.replace('-', '_')}"
        if importlib.util.find_spec(name) is not None:
            package = importlib.import_module(name)
            for module in pkgutil.walk_packages(getattr(package, "__path__", ()), name + "."):
                importlib.import_module(module.name)
