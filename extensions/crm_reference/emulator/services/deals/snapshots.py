"""Snapshots: all records of a tenant in this service as of one moment, and what comes back from them."""

from __future__ import annotations

from crm_reference.emulator.services.deals.common import DEALS, REASONS, TRANSITIONS, VIEWS
from crm_reference.emulator.services.deals.jobs import JOBS
from crm_reference.emulator.snapshots import Snapshots

#: What a snapshot holds, in the order in which it comes back: what others refer to first.
_COLLECTIONS = (
    *(REASONS, "deal-competitors", "products", "price-books", "price-book-entries", DEALS, TRANSITIONS, VIEWS),
    *("deal-buying-roles", "deal-team-members", "deal-splits", "deal-rivals", "line-items"),
    *("quotes", "orders", "contracts", "contract-amendments", "forecasts", "forecast-snapshots", "quotas"),
)

SNAPSHOTS = Snapshots(JOBS, "deal-snapshots", _COLLECTIONS, "crm.deal_snapshot.restored.v1")
SNAPSHOTS.offer("startDealSnapshot", "restoreDealSnapshot")
