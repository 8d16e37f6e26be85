"""What ``services/<slug>.py`` registers: handlers, computations, custom rules, reactions to events, and tasks of jobs.

Every function is registered under the name that the contract uses, by a decorator; importing the module is all it takes.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crm_reference.emulator.call import Call, Context, Reply

Handler = Callable[["Call"], "Reply"]
Computation = Callable[[Any], Any]
#: Takes the context, the record as it would be written, and the present one (None on create); returns what is wrong, or "".
CustomRule = Callable[["Context", Mapping[str, Any], "Mapping[str, Any] | None"], str]
#: Takes the context (None while a world is seeded) and a record to be written; returns the members that follow from the others.
Derivation = Callable[["Context | None", Mapping[str, Any]], Mapping[str, Any]]
Listener = Callable[["Context", Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Task:
    """The work of a kind of job.

    :param step: Handles one item; returns an outcome to keep, or raises :class:`Problem`, which counts the item as failed.
    :param finish: Makes the job's ``result`` from the outcomes once all items are handled.
    """

    step: Callable[[Context, dict[str, Any], Any], Any]
    finish: Callable[[Context, dict[str, Any], list[Any]], dict[str, Any]]


HANDLERS: dict[str, Handler] = {}
COMPUTATIONS: dict[tuple[str, str], Computation] = {}
CUSTOM_RULES: dict[tuple[str, str], CustomRule] = {}
DERIVATIONS: dict[str, Derivation] = {}
LISTENERS: dict[str, list[Listener]] = {}
TASKS: dict[str, Task] = {}


def handles(operation: str, /) -> Callable[[Handler], Handler]:
    """Register the handler of an operation, by operationId."""

    def register(function: Handler) -> Handler:
        HANDLERS[operation] = function
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


def load_services() -> None:
    """Import every module of ``emulator.services``; a second call does nothing."""
    package = importlib.import_module("crm_reference.emulator.services")
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
