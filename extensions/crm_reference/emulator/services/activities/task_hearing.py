"""What tasks do when another service tells something. Every write follows from the event, so nobody's rights are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import hearing
from crm_reference.emulator.call import Context
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.registry import hears
from crm_reference.emulator.services.activities.common import TASKS, UPDATED, is_open

Event = Mapping[str, Any]


def _repoint(context: Context, event: Event, field: str) -> None:
    for source in event["data"]["source_ids"]:
        for task in context.records.find(TASKS, **{field: source}):
            with upkeep(context):
                context.records.change(task, {field: event["data"]["target_id"]}, event=UPDATED)


@hears("crm.contact.merged.v1")
def contacts_merged(context: Context, event: Event) -> None:
    """Point tasks to the person who survived a merger."""
    _repoint(context, event, "contact_id")


@hears("crm.account.merged.v1")
def accounts_merged(context: Context, event: Event) -> None:
    """Point tasks to the company that survived a merger."""
    _repoint(context, event, "account_id")


@hears("crm.lead.converted.v1")
def lead_converted(context: Context, event: Event) -> None:
    """Let open tasks about a lead be about what it became."""
    data = event["data"]
    became = {name: data[name] for name in ("contact_id", "account_id", "deal_id") if data.get(name)}
    for task in context.records.find(TASKS, lead_id=data["lead_id"]):
        if is_open(task):
            with upkeep(context):
                context.records.change(task, {k: v for k, v in became.items() if k not in task.doc}, event=UPDATED)


@hears("crm.deal.lost.v1")
def deal_lost(context: Context, event: Event) -> None:
    """Cancel the open tasks about a deal that was lost."""
    for task in context.records.find(TASKS, deal_id=event["data"]["record"]["id"]):
        if is_open(task):
            with upkeep(context):
                context.records.change(task, {"status": "cancelled"}, event=UPDATED)


hearing.follow(__name__, TASKS, "task", UPDATED)
