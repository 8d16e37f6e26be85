"""Duplicates of accounts: how the check, the scan and groups of :mod:`crm_reference.emulator.duplicate_groups` serve companies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.duplicate_groups import Comparison, DuplicateGroups
from crm_reference.emulator.services.accounts.likeness import DEFAULT_MINIMUM, band, candidate_of, company_of, score
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS, JOBS, is_seen, own_ones, seen_account, selected, summary
from crm_reference.emulator.services.accounts.survivorship import FIELDS
from crm_reference.emulator.store import Record
from crm_reference.emulator.survivorship import is_set


def _rank(context: Context) -> Callable[[Record], Any]:
    """Keep the account with most won deals, then most fields set, then the oldest, then the lowest ID."""

    def rank(account: Record) -> tuple[Any, ...]:
        filled = sum(is_set(account.doc.get(name)) for name in FIELDS)
        return -account.doc.get("won_deal_count", 0), -filled, account.doc["created_at"], account.id

    return rank


GROUPS = DuplicateGroups(
    jobs=JOBS,
    collection=ACCOUNTS,
    groups="account-duplicates",
    noun="account",
    event="crm.account_duplicate_group.",
    comparison=Comparison(candidate_of, company_of, score, band, DEFAULT_MINIMUM),
    summary=summary,
    own=own_ones,
    seen=seen_account,
    is_seen=is_seen,
    select=selected,
    rank=_rank,
    scan_running="account_scan_running",
    closed="account_group_closed",
    keeps_who=True,
)
GROUPS.offer(
    check="checkAccountDuplicates",
    scan="startAccountDuplicateScan",
    list="listAccountDuplicateGroups",
    dismiss="dismissAccountDuplicateGroup",
)
GROUPS.offer_reopening("reopenAccountDuplicateGroup", not_dismissed="account_group_not_dismissed")
