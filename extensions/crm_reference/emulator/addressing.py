"""Which records a path names, loaded before anything is done with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crm_reference.contract import Contract, Operation, Resource
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import ENTRANCES, TAKES_DELETED

if TYPE_CHECKING:
    from crm_reference.emulator.call import Call


@dataclass(frozen=True, slots=True)
class Named:
    """A record that a path names: its resource, the parameter with its ID, and whether a deleted one counts."""

    resource: Resource
    parameter: str
    deleted: bool


def load_records(call: Call, /) -> None:
    """Load every record that the path names by a known resource into the call.

    :raises Problem: ``not_found`` (404) where one isn't there, isn't for the caller's eyes, or hangs on another parent; and what a
        service says of its paths (:func:`crm_reference.emulator.registry.enters`).
    """
    known = call.world.named
    if call.operation.id not in known:
        known[call.operation.id] = named_by(call.world.contract, call.operation)
    for named in known[call.operation.id]:
        record = call.records.get(named.resource.collection, call.path[named.parameter], deleted=named.deleted)
        parent = named.resource.parent
        if parent and record.doc.get(parent["property"]) != call.path.get(parent["parameter"], record.doc.get(parent["property"])):
            raise Problem("not_found", f"No {named.resource.object.replace('_', ' ')} has the ID {record.id} there.")
        call.parents[named.parameter] = record
        call.record = record
    entrance = ENTRANCES.get(call.operation.resource)
    if entrance is not None:
        entrance(call)


def named_by(contract: Contract, operation: Operation, /) -> tuple[Named, ...]:
    """Return which records an operation's path names, outermost first."""
    found = []
    for resource in sorted(contract.resources.values(), key=lambda r: len(r.path)):
        if operation.path.startswith(resource.path + "/{"):
            parameter = operation.path[len(resource.path) + 2 :].partition("}")[0]
            restores = operation.behaviour == "restore" and operation.path == f"{resource.path}/{{{parameter}}}/restore"
            found.append(Named(resource, parameter, restores or operation.id in TAKES_DELETED))
    return tuple(found)
