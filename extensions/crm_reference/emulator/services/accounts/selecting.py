"""What the modules of companies share: summaries, who may see what, selections, refusals at a place of the body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from crm_reference.emulator import access
from crm_reference.emulator.behaviours.listing import criteria
from crm_reference.emulator.call import Context
from crm_reference.emulator.job_collections import JobCollection
from crm_reference.emulator.query import Condition
from crm_reference.emulator.refusals import invalid
from crm_reference.emulator.store import Record

ACCOUNTS = "accounts"
JOBS = JobCollection("accounts", "account-jobs", "crm.account_job.finished.v1")

_SUMMARY = ("id", "object", "name", "domain", "type", "owner_id", "parent_id")


def summary(account: Record, /) -> dict[str, Any]:
    """Return the few fields by which people recognise a company."""
    shown = {name: account.doc[name] for name in _SUMMARY if name in account.doc}
    address = account.doc.get("billing_address", {})
    return shown | {name: address[name] for name in ("city", "country") if name in address}


def seen_account(context: Context, id: str, /) -> Record | None:
    """Return a living account that the caller may see, or ``None``."""
    account = context.records.peek(ACCOUNTS, id) if id else None
    return account if account is not None and (context.is_upkeep or context.records.visible(account)) else None


def is_seen(context: Context, id: str, /) -> bool:
    """Tell whether the caller may see an account, deleted or merged away as it may be."""
    account = context.world.store.get(context.tenant, ACCOUNTS, id, deleted=True)
    return account is not None and context.records.visible(account)


def own_ones(context: Context, /) -> Condition:
    """Return the condition of the accounts that the caller may see."""
    return access.condition(context, context.resource(ACCOUNTS))


def among(ids: Iterable[str], /) -> Condition:
    """Return the condition of the records with these IDs, however many they are."""
    return Condition("id in (select value from json_each(?))", [orjson.dumps(list(ids)).decode()])


def matching(context: Context, selection: Mapping[str, Any], /) -> Condition:
    """Return the condition of a selection: words, filter groups, a branch of the tree and IDs, joined by and.

    :raises Problem: ``validation_failed`` with pointers below ``#/selection``.
    """
    from crm_reference.emulator.services.accounts.tree import branch

    condition = criteria(context.records.fields(ACCOUNTS), selection, "#/selection/filter_groups")
    if "account_ids" in selection:
        condition = condition.and_(among(selection["account_ids"]))
    if "branch_of_id" in selection:
        top = seen_account(context, selection["branch_of_id"])
        if top is None:
            raise invalid("#/selection/branch_of_id", "invalid_reference", "There is no account with this ID.")
        condition = condition.and_(among(record.id for record, _ in branch(context, top)))
    return condition


def selected(context: Context, selection: Mapping[str, Any], /, also: Condition | None = None, order: str = "id") -> list[str]:
    """Return the IDs of the living accounts that a selection matches and that the caller may see.

    :param also: A further condition.
    :param order: Their order as :meth:`Fields.order` makes it.
    :raises Problem: ``validation_failed`` with pointers below ``#/selection``.
    """
    condition = own_ones(context).and_(also or Condition()).and_(matching(context, selection))
    found = context.world.store.select(context.tenant, ACCOUNTS, condition.sql, condition.arguments, order=order)
    return [record.id for record in found]
