"""Leads and conversions follow contacts and accounts that were merged, so that they go on naming the customer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.registry import hears
from crm_reference.emulator.services.leads.common import LEADS, UPDATED
from crm_reference.emulator.services.leads.conversions import CONVERSIONS

Event = Mapping[str, Any]


@hears("crm.contact.merged.v1")
def contacts_merged(context: Context, event: Event) -> None:
    """Point leads and conversions to the surviving contact."""
    _follow(context, event, "contact_id")


@hears("crm.account.merged.v1")
def accounts_merged(context: Context, event: Event) -> None:
    """Point leads and conversions to the surviving account."""
    _follow(context, event, "account_id")


def _follow(context: Context, event: Event, field: str) -> None:
    """Point from what was merged away to the survivor; undoing a conversion then finds that the record has gone on."""
    target = event["data"]["target_id"]
    with upkeep(context):
        for source in event["data"]["source_ids"]:
            for lead in context.records.find(LEADS, **{field: source}):
                context.records.change(lead, {field: target}, event=UPDATED)
            for conversion in context.records.find(CONVERSIONS, **{field: source}):
                context.records.change(conversion, {field: target})
