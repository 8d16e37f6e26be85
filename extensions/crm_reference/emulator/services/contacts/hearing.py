"""What contacts does when another service tells it something. Every write follows from the event, so nobody's rights are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import custom_fields, field_access
from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import hears
from crm_reference.emulator.services.contacts.people import OWNERS
from crm_reference.emulator.services.contacts.relationships import RELATIONSHIPS, repeated
from crm_reference.emulator.services.contacts.selecting import CONTACTS
from crm_reference.emulator.store import Record

UPDATED = "crm.contact.updated.v1"
#: System under which a contact keeps the ID of the lead that it was.
LEAD_SYSTEM = "lead"

Event = Mapping[str, Any]


@hears("crm.account.deleted.v1")
def account_deleted(context: Context, event: Event) -> None:
    """Take the account from its contacts, and delete their relationships with it."""
    account = event["data"]["record"]["id"]
    for contact in context.records.find(CONTACTS, account_id=account):
        context.records.change(contact, {"account_id": None}, event=UPDATED)
    for relationship in context.records.find(RELATIONSHIPS, account_id=account):
        context.records.delete(relationship, event="crm.contact_relationship.deleted.v1")


@hears("crm.account.merged.v1")
def accounts_merged(context: Context, event: Event) -> None:
    """Point contacts and relationships to the surviving account; a relationship that would stand there twice goes."""
    target = event["data"]["target_id"]
    for source in event["data"]["source_ids"]:
        for contact in context.records.find(CONTACTS, account_id=source):
            context.records.change(contact, {"account_id": target}, event=UPDATED)
        for relationship in context.records.find(RELATIONSHIPS, account_id=source):
            if repeated(context, {**relationship.doc, "account_id": target}):
                context.records.delete(relationship, event="crm.contact_relationship.deleted.v1")
            else:
                context.records.change(relationship, {"account_id": target}, event="crm.contact_relationship.updated.v1")


@hears("crm.lead.converted.v1")
def lead_converted(context: Context, event: Event) -> None:
    """Keep the lead's ID with the contact that it became, unless the contact has one."""
    contact = context.records.peek(CONTACTS, event["data"]["contact_id"])
    if contact is not None and LEAD_SYSTEM not in contact.doc.get("external_ids", {}):
        context.records.change(contact, {"external_ids": {LEAD_SYSTEM: event["data"]["lead_id"]}}, event=UPDATED)


@hears("crm.user.deactivated.v1")
def user_deactivated(context: Context, event: Event) -> None:
    """Show on the user's contacts that their owner isn't active, and refuse the user as an owner."""
    _note_owner(context, event["data"]["record"]["id"], is_active=False)


@hears("crm.user.reactivated.v1")
def user_reactivated(context: Context, event: Event) -> None:
    """Show on the user's contacts that their owner is active again."""
    _note_owner(context, event["data"]["record"]["id"], is_active=True)


def _note_owner(context: Context, user: str, *, is_active: bool) -> None:
    context.world.store.put(context.tenant, Record(OWNERS, user, 1, {"id": user, "is_active": is_active}))
    for contact in context.records.find(CONTACTS, owner_id=user):
        context.records.change(contact, {"is_owner_active": is_active}, event=UPDATED)


@hears("crm.custom_field.changed.v1")
def custom_field_changed(context: Context, event: Event) -> None:
    """Take a definition over; it counts for the next write. Members that the event doesn't have stay as they are."""
    told, object_type = _definition(event)
    if object_type != "contact":
        return
    known = _known(context, told["name"])
    doc = {"is_active": True, "is_required": False, "label": told["name"], **(known.doc if known is not None else {}), **told}
    doc |= {"object_type": "contact", "id": known.id if known is not None else told.get("id", context.new_id("cfd"))}
    if "type" in doc:
        context.world.store.put(context.tenant, Record(custom_fields.COLLECTION, doc["id"], 1, doc))


@hears("crm.custom_field.deleted.v1")
def custom_field_deleted(context: Context, event: Event) -> None:
    """Forget a definition, and take its values from every contact, without history and events of their own."""
    told, object_type = _definition(event)
    if object_type != "contact":
        return
    known = _known(context, told["name"])
    if known is not None:
        context.world.store.remove(context.tenant, custom_fields.COLLECTION, known.id)
    for contact in context.world.store.select(context.tenant, CONTACTS, deleted=None):
        if told["name"] in contact.doc.get("custom_fields", {}):
            kept = {k: v for k, v in contact.doc["custom_fields"].items() if k != told["name"]}
            context.records.note(contact, custom_fields=kept)


def _definition(event: Event) -> tuple[dict[str, Any], str]:
    """Return the definition that an event tells of, and the object that it belongs to."""
    data = event["data"]
    told = dict(data.get("field") or data["record"])
    return told, data.get("object_name") or told.get("object_type", "")


def _known(context: Context, name: str) -> Record | None:
    found = context.world.store.find(context.tenant, custom_fields.COLLECTION, object_type="contact", name=name)
    return found[0] if found else None


@hears("crm.field_security.changed.v1")
def field_security_changed(context: Context, event: Event) -> None:
    """Keep what a role may do with a field of contacts."""
    data = event["data"]
    if (data.get("object_name") or data.get("object_type")) != "contact":
        return
    for said in data.get("fields") or [data]:
        field_access.keep(context, "contact", data["role"], said["field"], said["access"])
