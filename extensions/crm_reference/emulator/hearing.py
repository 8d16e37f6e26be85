"""What every service with records of its own does when it hears of users, custom fields and field security."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from crm_reference.emulator import custom_fields, field_access, owners
from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import hears
from crm_reference.emulator.store import Record

Event = Mapping[str, Any]


def follow(module: str, collection: str, object: str, updated: str, /) -> None:
    """Let a service follow its owners, its definitions of custom fields, and what roles may do with its fields.

    :param module: The service's module, ``__name__``: reactions are that service's own.
    :param collection: The records.
    :param object: The kind of record, as custom-objects and security call it: ``contact``.
    :param updated: Event of each record whose owner is deactivated or active again.
    """

    def owner(is_active: bool) -> Callable[[Context, Event], None]:
        def note(context: Context, event: Event) -> None:
            owners.note(context, collection, event["data"]["record"]["id"], is_active=is_active, updated=updated)

        return note

    reactions: dict[str, Callable[[Context, Event], None]] = {
        "crm.user.deactivated.v1": owner(False),
        "crm.user.reactivated.v1": owner(True),
        "crm.custom_field.changed.v1": lambda context, event: take_custom_field(context, event, object),
        "crm.custom_field.deleted.v1": lambda context, event: drop_custom_field(context, event, object, collection),
        "crm.field_security.changed.v1": lambda context, event: take_field_security(context, event, object),
    }
    for event, reaction in reactions.items():
        # The outbox tells by module and name who listens, and lets each listener hear an event once.
        reaction.__module__, reaction.__qualname__ = module, f"follow.{collection}.{event}"
        hears(event)(reaction)


def take_custom_field(context: Context, event: Event, object: str, /) -> None:
    """Take a definition over; it counts for the next write. Members that the event doesn't have stay as they are.

    Where custom-objects is part of the world, its own definitions are the service's copy, and there is nothing to take over.

    :param object: The kind of record that the service keeps; definitions of others are passed over.
    """
    told, object_type = _definition(event)
    if object_type != object or _is_owners(context, told):
        return
    known = _known(context, object, told["name"])
    doc = {"is_active": True, "is_required": False, "label": told["name"], **(known.doc if known is not None else {}), **told}
    doc |= {"object_type": object, "id": known.id if known is not None else told.get("id", context.new_id("cfd")), "_heard": True}
    if "type" in doc:
        version = known.version if known is not None else int(told.get("version", 1))
        context.world.store.put(context.tenant, Record(custom_fields.COLLECTION, doc["id"], version, doc))


def drop_custom_field(context: Context, event: Event, object: str, collection: str, /) -> None:
    """Forget a definition, and take its values from every record, without history and events of their own.

    :param collection: Where the records of that kind are.
    """
    told, object_type = _definition(event)
    if object_type != object:
        return
    known = _known(context, object, told["name"])
    if known is not None and not _is_owners(context, told):
        context.world.store.remove(context.tenant, custom_fields.COLLECTION, known.id)
    for record in context.world.store.select(context.tenant, collection, deleted=None):
        if told["name"] in record.doc.get("custom_fields", {}):
            kept = {k: v for k, v in record.doc["custom_fields"].items() if k != told["name"]}
            context.records.note(record, custom_fields=kept)


def take_field_security(context: Context, event: Event, object: str, /) -> None:
    """Keep what a role may do with fields of one kind of record."""
    data = event["data"]
    if (data.get("object_name") or data.get("object_type")) != object:
        return
    for said in data.get("fields") or [data]:
        field_access.keep(context, object, data["role"], said["field"], said["access"])


def _definition(event: Event) -> tuple[dict[str, Any], str]:
    """Return the definition that an event tells of, and the object that it belongs to."""
    data = event["data"]
    told = dict(data.get("field") or data["record"])
    return told, data.get("object_name") or data.get("object_type") or told.get("object_type", "")


def _is_owners(context: Context, told: Event) -> bool:
    """Tell whether custom-objects itself keeps the definition that an event tells of."""
    store = context.world.store
    owned = custom_fields.COLLECTION in context.world.contract.resources
    kept = store.get(context.tenant, custom_fields.COLLECTION, told.get("id", ""), deleted=True) if owned else None
    return kept is not None and "_heard" not in kept.doc


def _known(context: Context, object: str, name: str) -> Record | None:
    found = context.world.store.find(context.tenant, custom_fields.COLLECTION, object_type=object, name=name)
    return found[0] if found else None
