"""What accounts knows of people and deals: a copy fed by events, and the figures that each account has from it.

A person or deal that no event has told of counts as its owner's world began with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.services.accounts.figures import sum_amounts
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS
from crm_reference.emulator.store import Record

CONTACT_FACTS, DEAL_FACTS = "account-contact-facts", "account-deal-facts"
UPDATED = "crm.account.updated.v1"
#: Types that a won deal turns into a customer.
_WON_FROM = ("prospect", "former_customer")

Doc = Mapping[str, Any]


def _facts(context: Context, facts: str, source: str, account: str) -> list[Doc]:
    """Return what is known of the people or deals of an account."""
    store, tenant = context.world.store, context.tenant
    heard = {r.id: r.doc for r in store.select(tenant, facts)}
    found: list[Doc] = [doc for doc in heard.values() if doc.get("account_id") == account and not doc.get("is_gone")]
    if context.world.store.has(source):
        found += [r.doc for r in context.records.find(source, account_id=account) if r.id not in heard]
    return found


def known(context: Context, facts: str, source: str, id: str, /) -> Doc:
    """Return what was known of a person or deal before an event."""
    heard = context.world.store.get(context.tenant, facts, id)
    if heard is not None:
        return heard.doc
    first = context.world.store.get(context.tenant, source, id) if context.world.store.has(source) else None
    return first.doc if first is not None else {}


def keep(context: Context, facts: str, id: str, doc: Doc, /) -> None:
    """Keep what an event told of a person or deal."""
    context.world.store.put(context.tenant, Record(facts, id, 1, {**doc, "id": id}))


def deals_of(context: Context, account: str, status: str, /) -> list[Doc]:
    """Return the deals of an account with a status: ``open``, ``won`` or ``lost``."""
    return [d for d in _facts(context, DEAL_FACTS, "deals", account) if d.get("status", "open") == status]


def figures_of(context: Context, account: str, /) -> dict[str, Any]:
    """Return the figures that follow from the people and deals of an account; ``None`` for a day that there isn't."""
    opened, won = deals_of(context, account, "open"), deals_of(context, account, "won")
    days = sorted(d["closed_on"] for d in won if d.get("closed_on"))
    return {
        "contact_count": len(_facts(context, CONTACT_FACTS, "contacts", account)),
        "open_deal_count": len(opened),
        "open_deal_amounts": sum_amounts([d["amount"] for d in opened if d.get("amount")]),
        "won_deal_count": len(won),
        "won_deal_amounts": sum_amounts([d["amount"] for d in won if d.get("amount")]),
        "first_won_on": days[0] if days else None,
        "last_won_on": days[-1] if days else None,
    }


def refresh(context: Context, accounts: Iterable[str | None], /, *, is_won: bool = False) -> None:
    """Write the figures of accounts anew; where nothing changed nothing is written.

    :param is_won: Whether a deal was won, which makes a prospect or former customer a customer.
    """
    for id in dict.fromkeys(accounts):
        account = context.records.peek(ACCOUNTS, id) if id else None
        if account is None:
            continue
        patch = figures_of(context, account.id)
        if is_won and account.doc["type"] in _WON_FROM:
            patch |= {"type": "customer", "churn_reason": None}
        context.records.change(account, patch, event=UPDATED)
