"""What offers, orders and contracts hear of neighbours: accounts and contacts that go, are merged, or are erased."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.registry import hears
from crm_reference.emulator.services.deals.offers import BOOKS, CONTRACTS, ORDERS, QUOTES

Event = Mapping[str, Any]


@hears("crm.account.merged.v1")
def accounts_merged(context: Context, event: Event) -> None:
    """Point orders, contracts and price books to the surviving account."""
    target, sources = event["data"]["target_id"], event["data"]["source_ids"]
    with upkeep(context):
        for collection, told in ((ORDERS, "crm.order.updated.v1"), (CONTRACTS, "crm.contract.updated.v1")):
            for source in sources:
                for record in context.records.find(collection, account_id=source):
                    context.records.change(record, {"account_id": target}, event=told)
        for book in context.records.find(BOOKS):
            named = book.doc.get("account_ids") or []
            kept = list(dict.fromkeys(target if account in sources else account for account in named))
            if kept != named:
                context.records.change(book, {"account_ids": kept}, event="crm.price_book.updated.v1")


@hears("crm.contact.merged.v1")
def contacts_merged(context: Context, event: Event) -> None:
    """Point recipients of quotes to the surviving person."""
    for source in event["data"]["source_ids"]:
        _readdress(context, source, event["data"]["target_id"])


@hears("crm.contact.deleted.v1")
def contact_deleted(context: Context, event: Event) -> None:
    """Take the person from the quotes that were meant for them."""
    _readdress(context, event["data"]["record"]["id"], None)


@hears("crm.contact.erased.v1")
def contact_erased(context: Context, event: Event) -> None:
    """Take an erased person from quotes, with the address of those that nobody accepted; accepted ones are business letters."""
    data = event["data"]
    with upkeep(context):
        for contact in (data["contact_id"], *data.get("merged_contact_ids", ())):
            for quote in context.records.find(QUOTES, recipient_contact_id=contact):
                patch = {"recipient_contact_id": None} | ({} if quote.doc["status"] == "accepted" else {"sent_to_email": None})
                context.records.change(quote, patch)


def _readdress(context: Context, contact: str, to: str | None) -> None:
    with upkeep(context):
        for quote in context.records.find(QUOTES, recipient_contact_id=contact):
            context.records.change(quote, {"recipient_contact_id": to}, event="crm.quote.updated.v1")
