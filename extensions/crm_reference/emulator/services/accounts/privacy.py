"""Sole proprietors, whose account is personal data: what is held about them, and their erasure with its receipt."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.behaviours import feeds, single
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.accounts import tree
from crm_reference.emulator.services.accounts.duplicates import GROUPS
from crm_reference.emulator.services.accounts.merging import MERGES
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS
from crm_reference.emulator.services.accounts.snapshots import SNAPSHOTS
from crm_reference.emulator.store import Record

ERASURES = "account-erasures"


def _demand_person(account: Record) -> None:
    if not account.doc.get("is_sole_proprietor"):
        raise Problem("account_not_a_person", f"{account.doc['name']} is a company with a legal form of its own.")


def _traces(call: Call, account: Record) -> tuple[list[str], list[Record]]:
    """Return the IDs of the account and of what was merged into it, and the mergers."""
    ids, merges = [account.id], call.records.find(MERGES)
    for id in ids:  # the list grows while it is walked
        ids += [s for m in merges if m.doc["target_id"] == id and m.doc["status"] == "merged" for s in m.doc["source_ids"]]
    return ids, [m for m in merges if not set(ids).isdisjoint(m.doc["account_ids"])]


@handles("getAccountPersonalData")
def personal_data(call: Call) -> Reply:
    """Put everything together that is held about a sole proprietor."""
    _demand_person(call.found)
    _, merges = _traces(call, call.found)
    log = call.world.store.changes(call.tenant, ACCOUNTS, id=call.found.id, newest_first=True)
    body = {
        "exported_at": call.now,
        "account": call.records.shown(call.found),
        "history": [feeds.version_entry(change) for change in log],
        "merges": [call.records.shown(m) for m in merges],
    }
    return Reply(200, body)


@handles("eraseAccount")
def erase(call: Call) -> Reply:
    """Remove a sole proprietor's account for good, and keep a receipt that says nothing about the person."""
    account = call.found
    _demand_person(account)
    ids, merges = _traces(call, account)
    history = sum(len(call.world.store.changes(call.tenant, ACCOUNTS, id=id)) for id in ids)
    data = {"id": account.id, "object": "account", "version": account.version + 1, "deleted_at": call.now}
    with upkeep(call):
        for id in ids:
            for child in tree.children(call, id, seen=False):
                call.records.change(child, {"parent_id": None}, action="parent_changed")
        call.records.delete(account)
        GROUPS.leave(call, ids, erase=True)
        for merge in merges:
            call.records.erase(merge)
        for id in ids:
            stored = call.world.store.get(call.tenant, ACCOUNTS, id, deleted=True)
            if stored is not None:
                call.records.erase(stored)
        SNAPSHOTS.rewrite(call, lambda entry: None if entry["id"] in ids else entry)
    body: dict[str, Any] = {"account_id": account.id, **call.body, "erased_at": call.now, "_ids": ids}
    body |= {"account_count": len(ids), "history_count": history, "merge_count": len(merges)}
    receipt = call.records.create(ERASURES, body)
    call.emit("crm.account.deleted.v1", account.id, {"record": data})
    return single.shown(call, receipt, 201, Location=f"/v1/account-erasures/{receipt.id}")
