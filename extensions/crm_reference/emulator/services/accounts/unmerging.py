"""Undoing a merger: the accounts come apart, and what moved goes back where nobody has touched it since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.accounts import facts, links
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS
from crm_reference.emulator.services.accounts.survivorship import FIELDS
from crm_reference.emulator.store import Record, folded


@handles("undoAccountMerge")
def undo(call: Call) -> Reply:
    """Take the accounts of a merger apart again."""
    merge = call.found
    target = _check(call, merge)
    before, source_ids = merge.doc["_before"], merge.doc["source_ids"]
    with upkeep(call):
        # The target goes first, so that domains which it took over are free when their owners come back.
        doc = former(target.doc, before[target.id]["doc"], merge.doc["_after"])
        doc.pop("_merged_from", None)
        apart = call.records.replace(target, doc, action="unmerged", touched={})
        sources = [_bring_back(call, id, before[id]) for id in source_ids]
        for entry in merge.doc["_subsidiaries"]:
            child = call.records.peek(ACCOUNTS, entry["id"])
            if child is not None and child.doc.get("parent_id") == target.id:
                call.records.change(child, {"parent_id": entry["from"]}, action="parent_changed")
        links.move_links_back(call, merge.doc["_links"])
    sources = [call.records.peek(ACCOUNTS, s.id) or s for s in sources]
    undone = call.records.change(merge, {"status": "undone", "undone_at": call.now, "undone_by": call.identity.user or None})
    call.records.tell(apart, target.doc, "crm.account.updated.v1")
    data = {
        "merge_id": merge.id,
        "target_id": target.id,
        "source_ids": source_ids,
        "record": call.records.public(call.records.peek(ACCOUNTS, target.id) or apart),
        "restored_records": [call.records.public(s) for s in sources],
    }
    call.emit("crm.account.unmerged.v1", target.id, data)
    return single.shown(call, undone)


def _check(call: Call, merge: Record) -> Record:
    """Return the survivor.

    :raises Problem: Where the merger can't be undone.
    """
    if merge.doc["status"] == "undone":
        raise Problem("account_merge_undone", f"The merger was undone at {merge.doc['undone_at']}.")
    if call.now > merge.doc["undo_expires_at"]:
        raise Problem("account_merge_undo_expired", f"The merger could be undone until {merge.doc['undo_expires_at']}.")
    target = call.records.peek(ACCOUNTS, merge.doc["target_id"])
    if target is None:
        detail = f"{merge.doc['target_id']} was merged into another account, deleted or erased since."
        raise Problem("account_merge_undo_blocked", detail)
    access.demand(call, target, "write")
    for id in merge.doc["source_ids"]:
        domain = merge.doc["_before"][id]["doc"].get("domain")
        if domain is None:
            continue
        takers = call.world.store.select(call.tenant, ACCOUNTS, f"{folded('domain')} = ?", [domain], order="", limit=1)
        if any(taker.id != target.id for taker in takers):
            raise Problem("account_domain_taken", f"The domain of {id} belongs to another account by now.")
    return target


def former(present: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any], /) -> dict[str, Any]:
    """Return a document in which each field that is still as the merger made it has its former value."""
    doc = dict(present)
    for name in FIELDS:
        if doc.get(name) == after.get(name):
            doc.pop(name, None)
            doc |= {name: before[name]} if name in before else {}
    now, then, made = (d.get("custom_fields", {}) for d in (present, before, after))
    customs = dict(now)
    for name in dict.fromkeys((*now, *then)):
        if now.get(name) == made.get(name):
            customs.pop(name, None)
            customs |= {name: then[name]} if name in then else {}
    doc.pop("custom_fields", None)
    return doc | ({"custom_fields": customs} if customs else {})


def _bring_back(call: Call, id: str, before: Mapping[str, Any]) -> Record:
    gone = call.world.store.get(call.tenant, ACCOUNTS, id, deleted=True)
    version = gone.version if gone is not None else before["version"]
    doc = {k: v for k, v in before["doc"].items() if k != "_merged_into"}
    parent = doc.get("parent_id")
    if parent and call.records.peek(ACCOUNTS, parent) is None:
        del doc["parent_id"]
    doc |= {k: v for k, v in facts.figures_of(call, id).items() if v is not None}
    return call.records.revive(ACCOUNTS, doc, version + 1, action="unmerged", fresh=False)
