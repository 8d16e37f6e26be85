"""What refers to a record: let go when the record is deleted, and taken back when it is restored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from crm_reference.emulator.messages import Problem

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context
    from crm_reference.emulator.store import Record


@contextmanager
def upkeep(context: Context, /) -> Iterator[None]:
    """Mark the writes of a block as following from another one: rules about who may change what don't hold for them."""
    before, context.is_upkeep = context.is_upkeep, True
    try:
        yield
    finally:
        context.is_upkeep = before


def release(context: Context, record: Record, /) -> list[dict[str, Any]]:
    """Apply ``on_delete`` of every rule that refers to a record's collection.

    :return: What was done, for :func:`take_back`: holders that lost a field, and holders that were deleted too.
    :raises Problem: Where a rule of ``on_delete: restrict`` holds on to the record.
    """
    done: list[dict[str, Any]] = []
    owner = context.resource(record.collection).service
    with upkeep(context):
        for resource in context.world.contract.resources.values():
            if resource.service != owner:
                continue  # no service writes another one's records: that one hears of the deletion
            for rule in resource.rules:
                if rule.kind == "reference" and rule.options["target"] == record.collection and rule.options["on_delete"] != "keep":
                    field, on_delete = rule.options["field"], rule.options["on_delete"]
                    for holder in context.world.store.find(context.tenant, resource.collection, **{field: record.id}):
                        if on_delete == "restrict":
                            raise Problem(rule.error, f"{holder.id} still refers to this record; delete or change it first.")
                        done.append(_let_go(context, holder, field, clear=on_delete == "clear"))
    return done


def _let_go(context: Context, holder: Record, field: str, *, clear: bool) -> dict[str, Any]:
    if clear:
        context.records.change(holder, {field: None})
        return {"collection": holder.collection, "id": holder.id, "field": field}
    context.records.delete(holder)
    return {"collection": holder.collection, "id": holder.id, "version": holder.version + 1, "doc": holder.doc}


def take_back(context: Context, id: str, released: Sequence[Mapping[str, Any]], /) -> None:
    """Undo :func:`release` as far as the world allows: what was changed since, or would break a rule now, stays as it is.

    :param id: The record that is back.
    """
    for entry in released:
        with suppress(Problem), context.world.store.transaction(), upkeep(context):
            holder = context.world.store.get(context.tenant, entry["collection"], entry["id"], deleted=True)
            if "doc" not in entry:
                if holder is not None and holder.deleted_at is None and holder.doc.get(entry["field"]) is None:
                    context.records.change(holder, {entry["field"]: id})
            elif holder is None:
                context.records.revive(entry["collection"], entry["doc"], entry["version"] + 1)
            elif holder.deleted_at is not None:
                context.records.restore(holder)
