"""What territories, relationships and teams share: which accounts a caller may reach, and where jobs are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from crm_reference.emulator import access
from crm_reference.emulator.behaviours import listing
from crm_reference.emulator.call import Context
from crm_reference.emulator.job_collections import JobCollection
from crm_reference.emulator.query import Condition
from crm_reference.emulator.store import Record

ACCOUNTS, USERS = "accounts", "users"
JOBS = JobCollection("accounts", "account-jobs", "crm.account_job.finished.v1")


def is_reached(context: Context, id: str, /) -> bool:
    """Tell whether an account exists and the caller may see it; upkeep sees all."""
    account = context.records.peek(ACCOUNTS, id)
    return account is not None and (context.is_upkeep or context.records.visible(account))


def name_of(context: Context, id: str, /) -> str:
    """Return an account's name; its ID where it is gone."""
    account = context.records.peek(ACCOUNTS, id)
    return account.doc["name"] if account is not None else id


def among(ids: Iterable[str], /) -> Condition:
    """Return the condition of records whose ID is one of some."""
    return Condition("id in (select value from json_each(?))", [orjson.dumps(list(ids)).decode()])


def chosen(context: Context, selection: Mapping[str, Any], /) -> list[Record]:
    """Return the accounts of a selection that the caller may see, by ID: those named and those that its filters fit.

    :raises Problem: ``validation_failed`` where a filter names what can't be filtered by.
    """
    condition = access.condition(context, context.resource(ACCOUNTS))
    if "account_ids" in selection:
        condition = condition.and_(among(selection["account_ids"]))
    if "filter_groups" in selection:
        condition = condition.and_(listing.criteria(context.records.fields(ACCOUNTS), selection))
    return context.world.store.select(context.tenant, ACCOUNTS, condition.sql, condition.arguments)


def full_name(context: Context, user: str, /) -> str:
    """Return a colleague's full name; the ID where users knows none."""
    record = context.records.peek(USERS, user)
    return record.doc.get("full_name") or user if record is not None else user


def is_active(context: Context, user: str, /) -> bool:
    """Tell whether a user exists and is active."""
    record = context.records.peek(USERS, user)
    return record is not None and bool(record.doc.get("is_active", True))


def counted(outcomes: Sequence[Any], names: Sequence[str], /) -> dict[str, int]:
    """Count what the items of a job came to, where each came to a list of names: ``moved`` becomes ``moved_count``."""
    flat = [name for outcome in outcomes if isinstance(outcome, list) for name in outcome]
    failed = sum(1 for outcome in outcomes if isinstance(outcome, dict))
    return {f"{name}_count": flat.count(name) for name in names} | {"failed_count": failed}
