"""What custom records and links do when another service tells something. Every write follows from the event."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from crm_reference.emulator import hearing, owners
from crm_reference.emulator.call import Context
from crm_reference.emulator.custom_fields.scope import CUSTOM
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import hears
from crm_reference.emulator.services.custom_objects import letting_go
from crm_reference.emulator.services.custom_objects.definitions import RECORDS
from crm_reference.emulator.services.custom_objects.letting_go import LINKS

Event = Mapping[str, Any]


@hears("crm.contact.deleted.v1")
def contact_deleted(context: Context, event: Event) -> None:
    """Remove the contact's links, and let custom records go of it."""
    _gone(context, "contact", event)


@hears("crm.contact.erased.v1")
def contact_erased(context: Context, event: Event) -> None:
    """Remove links of an erased person, and let custom records go of the person."""
    with upkeep(context):
        for id in (event["data"]["contact_id"], *event["data"]["merged_contact_ids"]):
            letting_go.release(context, "contact", id, set())


@hears("crm.account.deleted.v1")
def account_deleted(context: Context, event: Event) -> None:
    """Remove the account's links, and let custom records go of it."""
    _gone(context, "account", event)


@hears("crm.deal.deleted.v1")
def deal_deleted(context: Context, event: Event) -> None:
    """Remove the deal's links, and let custom records go of it."""
    _gone(context, "deal", event)


def _gone(context: Context, object_type: str, event: Event) -> None:
    with upkeep(context):
        letting_go.release(context, object_type, event["data"]["record"]["id"], set())


@hears("crm.contact.merged.v1")
def contacts_merged(context: Context, event: Event) -> None:
    """Point links and fields to the surviving contact."""
    _merged(context, "contact", event)


@hears("crm.account.merged.v1")
def accounts_merged(context: Context, event: Event) -> None:
    """Point links and fields to the surviving account."""
    _merged(context, "account", event)


def _merged(context: Context, object_type: str, event: Event) -> None:
    target = event["data"]["target_id"]
    with upkeep(context):
        for source in event["data"]["source_ids"]:
            for link in letting_go.links_of(context, source):
                said: dict[str, Any] = {name: link.doc[name] for name in letting_go.SAID if name in link.doc}
                said |= {end: target for end in ("from_id", "to_id") if said[end] == source}
                letting_go.unlink(context, link)
                if said["from_id"] != said["to_id"]:  # the two that were tied may be the same one now
                    with suppress(Problem), context.world.store.transaction():
                        context.records.create(LINKS, said, event="crm.record_link.created.v1")
            for record, field, _ in list(letting_go.referring(context, object_type, source)):
                letting_go.refer(context, record, field, target)


@hears("crm.user.deactivated.v1")
def user_deactivated(context: Context, event: Event) -> None:
    """Show on the user's records that their owner isn't active."""
    _owner(context, event, is_active=False)


@hears("crm.user.reactivated.v1")
def user_reactivated(context: Context, event: Event) -> None:
    """Show on the user's records that their owner is active again."""
    _owner(context, event, is_active=True)


def _owner(context: Context, event: Event, *, is_active: bool) -> None:
    with upkeep(context):
        owners.note(context, RECORDS, event["data"]["record"]["id"], is_active=is_active, updated="")


@hears("crm.field_security.changed.v1")
def field_security_changed(context: Context, event: Event) -> None:
    """Keep what a role may do with a field of custom records."""
    hearing.take_field_security(context, event, CUSTOM)
