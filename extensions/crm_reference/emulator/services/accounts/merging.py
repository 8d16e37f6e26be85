"""Merging accounts: what moves with a company, and which parent the survivor has.

The checks, the preview, the merger and its undoing are those of :mod:`crm_reference.emulator.merging`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.call import Call
from crm_reference.emulator.merging import Codes, Merging
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.refusals import refused
from crm_reference.emulator.services.accounts import facts, links, tree
from crm_reference.emulator.services.accounts.duplicates import GROUPS
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS, is_seen, seen_account
from crm_reference.emulator.services.accounts.survivorship import SURVIVORSHIP
from crm_reference.emulator.services.accounts.unmerging import bring_back, move_back
from crm_reference.emulator.store import Record

MERGES = "account-merges"
_CHOICE_INVALID = "account_merge_choice_invalid"
_COUNTED = {
    "relationship_count": "account-relationships",
    "team_member_count": "account-teams",
    "territory_count": "territory-assignments",
}


def _settle(call: Call, accounts: Sequence[Record], decided: dict[str, Any]) -> None:
    """Refuse a former customer without a reason, and give the survivor a parent that isn't merged itself."""
    if decided.get("type") == "former_customer" and "churn_reason" not in decided:
        index = next((i for i, c in enumerate(call.body.get("choices", ())) if c["field"] in ("type", "churn_reason")), 0)
        detail = "The survivor would be a former customer without a reason."
        raise refused(_CHOICE_INVALID, detail, f"#/choices/{index}")
    decided["parent_id"] = _surviving_parent(call, decided.get("parent_id"), {a.id for a in accounts})


def _surviving_parent(call: Call, parent: str | None, merged: set[str]) -> str | None:
    """Return the parent of the survivor: the one that was decided, or the next above that isn't merged itself.

    :raises Problem: ``account_merge_cycle`` where it stands below one of the accounts that are merged.
    """
    met: set[str] = set()
    while parent in merged and parent not in met:
        met.add(parent or "")
        account = call.records.peek(ACCOUNTS, parent or "")
        parent = account.doc.get("parent_id") if account is not None else None
    above = call.records.peek(ACCOUNTS, parent) if parent and parent not in merged else None
    if above is None:
        return None
    if not merged.isdisjoint(a.id for a in tree.ancestors(call, above)):
        raise Problem("account_merge_cycle", f"{above.doc['name']} would stand above and below the survivor.")
    return above.id


@dataclass(slots=True)
class Moved:
    """What a merger moved, for the counts and for the undo; all of it JSON data."""

    subsidiaries: list[dict[str, str]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    contact_count: int = 0
    open_deal_count: int = 0

    def counts(self) -> dict[str, int]:
        """Return the counts that clients see."""
        linked = {
            name: sum(1 for e in self.links if e.get("collection") == collection and "from" in e)
            for name, collection in _COUNTED.items()
        }
        return {
            "subsidiary_count": len(self.subsidiaries),
            **linked,
            "contact_count": self.contact_count,
            "open_deal_count": self.open_deal_count,
        }

    def as_dict(self) -> dict[str, Any]:
        """Return what an undo moves back as JSON data."""
        return {"subsidiaries": self.subsidiaries, "links": self.links}


def _move(call: Call, source_ids: Sequence[str], target: str, remove: Callable[[str], None]) -> Moved:
    moved = Moved()
    for source in source_ids:
        known = facts.figures_of(call, source)
        moved.contact_count += known["contact_count"]
        moved.open_deal_count += known["open_deal_count"]
        for child in tree.children(call, source, seen=False):
            if child.id not in (target, *source_ids):
                call.records.change(child, {"parent_id": target}, action="parent_changed")
                moved.subsidiaries.append({"id": child.id, "from": source})
        moved.links += links.move_links(call, source, target)
    for source in source_ids:
        remove(source)
    return moved


Merging(
    collection=ACCOUNTS,
    merges=MERGES,
    survivorship=SURVIVORSHIP,
    groups=GROUPS,
    codes=Codes(
        into_itself="account_merge_self",
        choice=_CHOICE_INVALID,
        undone="account_merge_undone",
        expired="account_merge_undo_expired",
        blocked="account_merge_undo_blocked",
        taken="account_domain_taken",
    ),
    unique=("domain", "domain"),
    seen=seen_account,
    is_seen=is_seen,
    admit=lambda call, account: access.demand(call, account, "write"),
    admits_first=frozenset({"merge"}),
    settle=_settle,
    move=_move,
    complete=lambda context, accounts, doc: None,
    bring_back=bring_back,
    move_back=move_back,
    person="company",
    tells_first=True,
).offer(preview="previewAccountMerge", merge="mergeAccounts", undo="undoAccountMerge")
