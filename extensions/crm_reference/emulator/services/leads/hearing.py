"""What leads does when users, custom-objects and security tell it something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import hearing, owners
from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import hears
from crm_reference.emulator.services.leads.common import LEADS, UPDATED

Event = Mapping[str, Any]


@hears("crm.user.deactivated.v1")
def user_deactivated(context: Context, event: Event) -> None:
    """Show on a user's leads that nobody follows them up, and refuse the user as an owner."""
    owners.note(context, LEADS, event["data"]["record"]["id"], is_active=False, updated=UPDATED)


@hears("crm.user.reactivated.v1")
def user_reactivated(context: Context, event: Event) -> None:
    """Show on a user's leads that their owner is active again."""
    owners.note(context, LEADS, event["data"]["record"]["id"], is_active=True, updated=UPDATED)


@hears("crm.custom_field.changed.v1")
def custom_field_changed(context: Context, event: Event) -> None:
    """Take a definition of leads over."""
    hearing.take_custom_field(context, event, "lead")


@hears("crm.custom_field.deleted.v1")
def custom_field_deleted(context: Context, event: Event) -> None:
    """Forget a definition of leads, and its values."""
    hearing.drop_custom_field(context, event, "lead", LEADS)


@hears("crm.field_security.changed.v1")
def field_security_changed(context: Context, event: Event) -> None:
    """Keep what a role may do with a field of leads."""
    hearing.take_field_security(context, event, "lead")
