"""What contacts does when another service tells it something. Every write follows from the event, so nobody's rights are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.hearing import follow
from crm_reference.emulator.registry import hears
from crm_reference.emulator.services.contacts.relationships import RELATIONSHIPS, repeated
from crm_reference.emulator.services.contacts.selecting import CONTACTS

UPDATED = "crm.contact.updated.v1"
#: System under which a contact keeps the ID of the lead that it was.
LEAD_SYSTEM = "lead"

Event = Mapping[str, Any]

follow(__name__, CONTACTS, "contact", UPDATED)


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
