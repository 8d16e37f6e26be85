"""The catalogue of competitors: in how many deals each stands, and what keeps one from being removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import enforces, guards, presents
from crm_reference.emulator.services.deals.shares import misfit
from crm_reference.emulator.store import Record

COMPETITORS, RIVALS = "deal-competitors", "deal-rivals"


@presents(COMPETITORS)
def present(context: Context, competitor: Record) -> Mapping[str, Any]:
    """Count the deals in which a competitor stands and those lost to it, as far as the caller may see them."""
    met = {r.doc["deal_id"] for r in context.records.find(RIVALS, competitor_id=competitor.id)}
    lost = {d.id for d in context.records.find("deals", lost_to_competitor_id=competitor.id) if d.doc.get("status") == "lost"}
    seen = set()
    for id in met | lost:
        deal = context.records.peek("deals", id)
        if deal is not None and context.records.visible(deal):
            seen.add(id)
    return {"deal_count": len(seen), "lost_count": len(lost & seen)}


@enforces("rival_amount_fits")
def rival_amount_fits(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Look at the sign and the places of a competitor's price."""
    return misfit(new["offered_amount"]) if new.get("offered_amount") else ""


@guards(COMPETITORS)
def keep_used(context: Context, competitor: Record) -> None:
    """Keep a competitor that a deal names.

    :raises Problem: ``deal_competitor_in_use``.
    """
    lost = context.records.find("deals", lost_to_competitor_id=competitor.id)
    if lost or context.records.find(RIVALS, competitor_id=competitor.id):
        raise Problem("deal_competitor_in_use", f"{competitor.doc['name']} stands in at least one deal; make it inactive.")
