"""One change, one deletion or one new owner for every account of a selection."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import maybe_trial, tally
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import Task, handles, task
from crm_reference.emulator.services.accounts.companies import check_owner, hand_over
from crm_reference.emulator.services.accounts.figures import sum_amounts
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS, JOBS, invalid, refused, selected, summary
from crm_reference.emulator.store import Record, member

_TIERS = ("strategic", "key", "standard", "occasional")
_SAMPLE = 10


def _expected(call: Call, found: list[str]) -> None:
    wanted = call.body.get("expected_count")
    if wanted is not None and wanted != len(found):
        raise Problem("account_count_differs", f"The selection matches {len(found)} accounts, not {wanted}. Nothing was started.")


@handles("startAccountBulkUpdate")
def start_update(call: Call) -> Reply:
    """Fix the selection and start to apply one merge patch to each of its accounts."""
    found = selected(call, call.body["selection"])
    _expected(call, found)
    return JOBS.start(call, "bulk_update", found, _changes=call.body["changes"])


def _update(context: Context, job: dict[str, Any], id: str) -> str:
    def work() -> str:
        account = context.records.get(ACCOUNTS, id)
        event = "" if job["is_validate_only"] else "crm.account.updated.v1"
        changed = context.records.change(account, job["_changes"], event=event)
        return "skipped" if changed is account else "updated"

    return str(maybe_trial(context, job, work))


def _updated(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(job["_items"]), **tally(outcomes, "updated", "skipped")}


@handles("startAccountBulkDelete")
def start_delete(call: Call) -> Reply:
    """Start to move a selection to the recycle bin, where its number is the one that the caller expects."""
    found = selected(call, call.body["selection"])
    _expected(call, found)
    return JOBS.start(call, "bulk_delete", found)


def _delete(context: Context, job: dict[str, Any], id: str) -> str:
    def work() -> str:
        event = "" if job["is_validate_only"] else "crm.account.deleted.v1"
        context.records.delete(context.records.get(ACCOUNTS, id), event=event)
        return "deleted"

    return str(maybe_trial(context, job, work))


def _deleted(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(job["_items"]), **tally(outcomes, "deleted")}


# -- transfers -----------------------------------------------------------------------------------------------------------------


def _portfolio(call: Call) -> list[str]:
    """Return the accounts that a transfer moves.

    :raises Problem: Where one of the two users can't give or take them.
    """
    former, owner = call.body["from_owner_id"], call.body["to_owner_id"]
    if call.records.peek("users", former) is None:
        raise invalid("#/from_owner_id", "invalid_reference", "There is no user with this ID.")
    if former == owner:
        raise refused("account_transfer_to_same_owner", "The accounts belong to this user already.", "#/to_owner_id")
    check_owner(call, owner, "#/to_owner_id")
    return selected(call, call.body.get("selection", {}), Condition(f"{member('owner_id')} = ?", [former]))


@handles("previewAccountTransfer")
def preview_transfer(call: Call) -> Reply:
    """Show what a transfer would move, and what hangs on it."""
    found = [a for id in _portfolio(call) if (a := call.records.peek(ACCOUNTS, id)) is not None]
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
    found = _portfolio(call)
    _expected(call, found)
    return JOBS.start(call, "ownership_transfer", found, _owner=call.body["to_owner_id"], _reason=call.body.get("reason"))


def _transfer(context: Context, job: dict[str, Any], id: str) -> str:
    account = context.records.get(ACCOUNTS, id)
    if job["is_validate_only"]:
        access.demand(context, account, "write")
        return "updated"
    changed = hand_over(context, account, job["_owner"], reason=job.get("_reason"), job_id=job["id"])
    return "skipped" if changed is account else "updated"


def _transferred(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(job["_items"]), **tally(outcomes, "updated", "skipped")}


task("accounts.bulk_update", Task(_update, _updated, so_far=_updated))
task("accounts.bulk_delete", Task(_delete, _deleted, so_far=_deleted))
task("accounts.ownership_transfer", Task(_transfer, _transferred, so_far=_transferred))
