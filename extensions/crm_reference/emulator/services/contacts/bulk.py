"""One change, one deletion or one new owner for every contact of a selection."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import maybe_trial, tally
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import Task, handles, task
from crm_reference.emulator.services.contacts.jobs import start
from crm_reference.emulator.services.contacts.people import check_owner, hand_over, refuse_restricted
from crm_reference.emulator.services.contacts.selecting import CONTACTS, invalid, refused, selected
from crm_reference.emulator.store import member


def _expected(call: Call, found: list[str]) -> None:
    wanted = call.body.get("expected_count")
    if wanted is not None and wanted != len(found):
        raise Problem("count_differs", f"The selection matches {len(found)} contacts, not {wanted}. Nothing was changed.")


@handles("startContactBulkUpdate")
def start_update(call: Call) -> Reply:
    """Fix the selection and start to apply one merge patch to each of its contacts."""
    found = selected(call, call.body["selection"])
    _expected(call, found)
    return start(call, "bulk_update", found, _changes=call.body["changes"])


def _update(context: Context, job: dict[str, Any], id: str) -> str:
    def work() -> str:
        contact = context.records.get(CONTACTS, id)
        event = "" if job["is_validate_only"] else "crm.contact.updated.v1"
        changed = context.records.change(contact, job["_changes"], event=event)
        return "skipped" if changed is contact else "updated"

    return str(maybe_trial(context, job, work))


def _updated(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(job["_items"]), **tally(outcomes, "updated", "skipped")}


@handles("startContactBulkDelete")
def start_delete(call: Call) -> Reply:
    """Start to move a selection to the recycle bin, where its number is the one that the caller expects."""
    found = selected(call, call.body["selection"])
    _expected(call, found)
    return start(call, "bulk_delete", found)


def _delete(context: Context, job: dict[str, Any], id: str) -> str:
    def work() -> str:
        event = "" if job["is_validate_only"] else "crm.contact.deleted.v1"
        context.records.delete(context.records.get(CONTACTS, id), event=event)
        return "deleted"

    return str(maybe_trial(context, job, work))


def _deleted(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(job["_items"]), **tally(outcomes, "deleted")}


@handles("startContactOwnershipTransfer")
def start_transfer(call: Call) -> Reply:
    """Start to give the contacts of one user, or a selection of them, to another."""
    former, owner = call.body["from_owner_id"], call.body["to_owner_id"]
    if call.records.peek("users", former) is None:
        raise invalid("#/from_owner_id", "invalid_reference", "There is no user with this ID.")
    if former == owner:
        raise refused("transfer_to_same_owner", "Both owners are the same user.", "#/to_owner_id")
    check_owner(call, owner, "#/to_owner_id")
    found = selected(call, call.body.get("selection", {}), Condition(f"{member('owner_id')} = ?", [former]))
    return start(call, "ownership_transfer", found, _owner=owner, _reason=call.body.get("reason"))


def _transfer(context: Context, job: dict[str, Any], id: str) -> str:
    contact = context.records.get(CONTACTS, id)
    if job["is_validate_only"]:
        refuse_restricted(context, contact)
        return "updated"
    changed = hand_over(context, contact, job["_owner"], reason=job.get("_reason"), job_id=job["id"])
    return "skipped" if changed is contact else "updated"


def _transferred(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(job["_items"]), **tally(outcomes, "updated")}


task("contacts.bulk_update", Task(_update, _updated, so_far=_updated))
task("contacts.bulk_delete", Task(_delete, _deleted, so_far=_deleted))
task("contacts.ownership_transfer", Task(_transfer, _transferred, so_far=_transferred))
