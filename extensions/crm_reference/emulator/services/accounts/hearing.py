"""What accounts does when another service tells it something. Every write follows from the event, so nobody's rights are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.hearing import follow
from crm_reference.emulator.registry import hears
from crm_reference.emulator.services.accounts import facts, tree
from crm_reference.emulator.services.accounts.facts import CONTACT_FACTS, DEAL_FACTS, UPDATED
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS

Event = Mapping[str, Any]

follow(__name__, ACCOUNTS, "account", UPDATED)


# -- deals ---------------------------------------------------------------------------------------------------------------------


def _take_deal(context: Context, event: Event, status: str = "") -> None:
    record = event["data"]["record"]
    before = facts.known(context, DEAL_FACTS, "deals", record["id"])
    doc = {name: record[name] for name in ("account_id", "amount", "closed_on") if name in record}
    doc["status"] = status or record.get("status") or before.get("status", "open")
    if doc["status"] == "won":
        doc.setdefault("closed_on", before.get("closed_on") or context.now[:10])
        doc.setdefault("amount", event["data"].get("amount") or before.get("amount"))
    former = before.get("account_id")
    facts.keep(context, DEAL_FACTS, record["id"], {k: v for k, v in doc.items() if v is not None})
    facts.refresh(context, [former, doc.get("account_id")], is_won=status == "won")


@hears("crm.deal.created.v1")
def deal_created(context: Context, event: Event) -> None:
    """Count a new deal at its account."""
    _take_deal(context, event)


@hears("crm.deal.updated.v1")
def deal_updated(context: Context, event: Event) -> None:
    """Follow a deal's new amount or account."""
    _take_deal(context, event)


@hears("crm.deal.won.v1")
def deal_won(context: Context, event: Event) -> None:
    """Move a deal to the won ones, and make the account a customer."""
    _take_deal(context, event, "won")


@hears("crm.deal.lost.v1")
def deal_lost(context: Context, event: Event) -> None:
    """Take a deal from the open ones."""
    _take_deal(context, event, "lost")


@hears("crm.deal.reopened.v1")
def deal_reopened(context: Context, event: Event) -> None:
    """Count a deal among the open ones again."""
    _take_deal(context, event, "open")


@hears("crm.deal.deleted.v1")
def deal_deleted(context: Context, event: Event) -> None:
    """Take a deal from all counts and sums."""
    id = event["data"]["record"]["id"]
    before = facts.known(context, DEAL_FACTS, "deals", id)
    facts.keep(context, DEAL_FACTS, id, {**before, "is_gone": True})
    facts.refresh(context, [before.get("account_id")])


@hears("crm.deal.restored.v1")
def deal_restored(context: Context, event: Event) -> None:
    """Count a deal again as it did."""
    _take_deal(context, event)


# -- contacts ------------------------------------------------------------------------------------------------------------------


def _take_contact(context: Context, event: Event) -> None:
    record = event["data"]["record"]
    former = facts.known(context, CONTACT_FACTS, "contacts", record["id"]).get("account_id")
    home = record.get("account_id")
    facts.keep(context, CONTACT_FACTS, record["id"], {"account_id": home} if home else {})
    facts.refresh(context, [former, home])
    if former != home:
        _leave(context, record["id"], home)


def _leave(context: Context, person: str, home: str | None) -> None:
    """Take a person who left for another tree from the accounts that name the person as the one to talk to first."""
    top = _top(context, home) if home else ""
    for account in context.records.find(ACCOUNTS, primary_contact_id=person):
        if _top(context, account.id) != top:
            context.records.change(account, {"primary_contact_id": None}, event=UPDATED)


def _top(context: Context, id: str) -> str:
    account = context.records.peek(ACCOUNTS, id)
    return [account, *tree.ancestors(context, account)][-1].id if account is not None else id


@hears("crm.contact.created.v1")
def contact_created(context: Context, event: Event) -> None:
    """Count a new person at the account."""
    _take_contact(context, event)


@hears("crm.contact.updated.v1")
def contact_updated(context: Context, event: Event) -> None:
    """Follow a person who got or lost an account."""
    _take_contact(context, event)


@hears("crm.contact.account_changed.v1")
def contact_moved(context: Context, event: Event) -> None:
    """Follow a person who changed employer."""
    _take_contact(context, event)


@hears("crm.contact.restored.v1")
def contact_restored(context: Context, event: Event) -> None:
    """Count a person again."""
    _take_contact(context, event)


@hears("crm.contact.deleted.v1")
def contact_deleted(context: Context, event: Event) -> None:
    """Take a person from the count, and from the accounts that name the person first."""
    id = event["data"]["record"]["id"]
    before = facts.known(context, CONTACT_FACTS, "contacts", id)
    facts.keep(context, CONTACT_FACTS, id, {**_home(before), "is_gone": True})
    facts.refresh(context, [before.get("account_id")])
    for account in context.records.find(ACCOUNTS, primary_contact_id=id):
        context.records.change(account, {"primary_contact_id": None}, event=UPDATED)


def _home(before: Mapping[str, Any]) -> dict[str, Any]:
    return {name: before[name] for name in ("account_id",) if name in before}


@hears("crm.contact.merged.v1")
def contacts_merged(context: Context, event: Event) -> None:
    """Take people merged away from the count, and put the survivor in their place."""
    target, touched = event["data"]["target_id"], []
    for source in event["data"]["source_ids"]:
        before = facts.known(context, CONTACT_FACTS, "contacts", source)
        touched.append(before.get("account_id"))
        facts.keep(context, CONTACT_FACTS, source, {**_home(before), "is_gone": True})
        for account in context.records.find(ACCOUNTS, primary_contact_id=source):
            context.records.change(account, {"primary_contact_id": target}, event=UPDATED)
    facts.refresh(context, touched)
