"""Snapshots: all account data of a tenant as of one moment, and what comes back from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS, JOBS
from crm_reference.emulator.snapshots import Entry, Snapshots
from crm_reference.emulator.store import Record

#: What a snapshot holds, in the order in which it comes back: what others refer to first.
_HOLDS = (
    ACCOUNTS,
    "account-merges",
    "account-relationships",
    "account-teams",
    "account-team-templates",
    "territory-models",
    "territories",
    "territory-rules",
    "territory-assignments",
)
#: Figures follow from people and deals as they are today.
_OF_TODAY = ("contact_count", "open_deal_count", "open_deal_amounts", "won_deal_count", "won_deal_amounts", "is_owner_active")


def _admit(context: Context, entry: Entry, present: Record | None) -> Mapping[str, Any] | None:
    """Keep away what was erased or merged away since, and keep the figures of today."""
    erased = {gone for receipt in context.records.find("account-erasures") for gone in receipt.doc["_ids"]}
    ends = {
        entry["id"],
        *(entry["doc"].get(name) for name in ("account_id", "related_account_id", "from_account_id", "to_account_id")),
    }
    if not erased.isdisjoint(ends) or (present is not None and present.doc.get("_merged_into")):
        return None
    doc = dict(entry["doc"])
    if doc.get("parent_id") in erased:
        del doc["parent_id"]
    if entry["collection"] == ACCOUNTS and present is not None and present.deleted_at is None:
        doc |= {name: present.doc[name] for name in _OF_TODAY if name in present.doc}
    return doc


SNAPSHOTS = Snapshots(JOBS, "account-snapshots", _HOLDS, "crm.account_snapshot.restored.v1", _admit)
SNAPSHOTS.offer("startAccountSnapshot", "restoreAccountSnapshot")
