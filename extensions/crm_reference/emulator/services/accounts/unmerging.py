"""Undoing a merger of accounts: how companies come back, and what moves back where nobody has touched it since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.services.accounts import facts, links
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS
from crm_reference.emulator.store import Record

Doc = Mapping[str, Any]


def bring_back(context: Context, back: Doc, present: Doc, after: Doc, /) -> dict[str, Any]:
    """Return the document of an account that comes back: with its figures of today, without a parent that is gone."""
    doc = dict(back)
    parent = doc.get("parent_id")
    if parent and context.records.peek(ACCOUNTS, parent) is None:
        del doc["parent_id"]
    return doc | {k: v for k, v in facts.figures_of(context, doc["id"]).items() if v is not None}


def move_back(context: Context, merge: Record, target: str, /) -> None:
    """Move subsidiaries and links back, where they are still with the survivor."""
    moved = merge.doc["_moved"]
    for entry in moved["subsidiaries"]:
        child = context.records.peek(ACCOUNTS, entry["id"])
        if child is not None and child.doc.get("parent_id") == target:
            context.records.change(child, {"parent_id": entry["from"]}, action="parent_changed")
    links.move_links_back(context, moved["links"])
