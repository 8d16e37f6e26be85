"""How deals change: by a merge patch, with an event of its own for every new amount."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.services.deals.common import UPDATED
from crm_reference.emulator.store import Record

AMOUNT_CHANGED = "crm.deal.amount_changed.v1"


def tell_amount(context: Context, deal: Record, before: Mapping[str, Any], /) -> None:
    """Tell of another amount than before."""
    amount, former = deal.doc.get("amount"), before.get("amount")
    if amount != former:
        data: dict[str, Any] = {"record": context.records.public(deal)}
        data |= {"amount": amount} if amount else {}
        data |= {"previous_amount": former} if former else {}
        context.emit(AMOUNT_CHANGED, deal.id, data)


def change_deal(context: Context, deal: Record, patch: Mapping[str, Any], /, *, event: str = UPDATED) -> Record:
    """Change a deal by a merge patch, and tell of the change and of a new amount."""
    changed = context.records.change(deal, patch, event=event)
    if event:
        tell_amount(context, changed, deal.doc)
    return changed


def set_amount(context: Context, deal: Record, amount: Mapping[str, str] | None, /, source: str = "manual") -> Record:
    """Set the amount by what it follows from, and tell of it.

    :param source: ``line_items`` or ``manual``.
    """
    with upkeep(context):
        return change_deal(context, deal, {"amount": None if amount is None else dict(amount), "amount_source": source})
