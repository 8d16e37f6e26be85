"""Generic behaviours: what an operation does because of the shape of its path, by the name that the contract gives it."""

from __future__ import annotations

from collections.abc import Mapping

from crm_reference.emulator.behaviours import batch, external, feeds, listing, operate, single
from crm_reference.emulator.call import Behaviour

BEHAVIOURS: Mapping[str, Behaviour] = {
    "create": single.create,
    "read": single.read,
    "update": single.update,
    "replace": single.replace,
    "delete": single.delete,
    "restore": single.restore,
    "list": listing.list_records,
    "search": listing.search,
    "count": listing.count,
    "deleted": listing.list_deleted,
    "describe": listing.describe,
    "batch_create": batch.create,
    "batch_read": batch.read,
    "batch_update": batch.update,
    "batch_upsert": batch.upsert,
    "batch_delete": batch.delete,
    "history": feeds.history,
    "changes": feeds.changes,
    "read_external": external.read,
    "upsert": external.upsert,
    "liveness": operate.liveness,
    "readiness": operate.readiness,
    "health": operate.health,
    "metrics": operate.metrics,
}
