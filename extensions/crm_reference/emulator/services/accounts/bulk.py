"""One change, one deletion or one new owner for every account of a selection."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.bulk import Bulk
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.accounts.companies import check_owner, hand_over
from crm_reference.emulator.services.accounts.figures import sum_amounts
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS, JOBS, selected, summary
from crm_reference.emulator.store import Record

_TIERS = ("strategic", "key", "standard", "occasional")
_SAMPLE = 10

BULK = Bulk(
    JOBS,
    ACCOUNTS,
    selected,
    updated="crm.account.updated.v1",
    deleted="crm.account.deleted.v1",
    count_differs="account_count_differs",
    same_owner="account_transfer_to_same_owner",
    check_owner=check_owner,
    hand_over=hand_over,
)
BULK.offer(update="startAccountBulkUpdate", delete="startAccountBulkDelete")


# -- transfers -----------------------------------------------------------------------------------------------------------------


@handles("previewAccountTransfer")
def preview_transfer(call: Call) -> Reply:
    """Show what a transfer would move, and what hangs on it."""
    found = [a for id in BULK.portfolio(call) if (a := call.records.peek(ACCOUNTS, id)) is not None]
    resource = call.resource(ACCOUNTS)
    locked = [a for a in found if not access.may(call, resource, a, "write")]
    moving = [a for a in found if a not in locked]
    by_name = sorted(moving, key=lambda a: (a.doc["name"].casefold(), a.id))
    body = {
        "matched_count": len(moving),
        "open_deal_count": sum(a.doc["open_deal_count"] for a in moving),
        "open_deal_amounts": sum_amounts([m for a in moving for m in a.doc["open_deal_amounts"]]),
        "contact_count": sum(a.doc["contact_count"] for a in moving),
        "by_tier": _by_tier(moving),
        "sample": [summary(a) for a in by_name[:_SAMPLE]],
        "locked_count": len(locked),
    }
    return Reply(200, body)


def _by_tier(found: list[Record]) -> list[dict[str, Any]]:
    counts = [{"tier": tier, "account_count": sum(1 for a in found if a.doc.get("tier") == tier)} for tier in _TIERS]
    without = sum(1 for a in found if "tier" not in a.doc)
    return [c for c in counts if c["account_count"]] + ([{"account_count": without}] if without else [])


@handles("startAccountTransfer")
def start_transfer(call: Call) -> Reply:
    """Start to give the accounts of one user, or a selection of them, to another."""
    found = BULK.portfolio(call)
    BULK.expect(call, found)
    return BULK.start_transfer(call, found)
