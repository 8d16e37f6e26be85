"""Snapshots: all lead data of a tenant as of one moment, and what comes back from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.services.leads.common import JOBS, LEADS
from crm_reference.emulator.services.leads.forms import FORMS, SUBMISSIONS, VERSIONS
from crm_reference.emulator.snapshots import Entry, Snapshots
from crm_reference.emulator.store import Record

_HOLDS = (FORMS, VERSIONS, LEADS, SUBMISSIONS)


def _admit(context: Context, entry: Entry, present: Record | None) -> Mapping[str, Any] | None:
    """Keep away who was erased since, keep withdrawals of consent, and bring published forms back closed."""
    if entry["id"] in {gone for receipt in context.records.find("lead-erasures") for gone in receipt.doc["_ids"]}:
        return None
    doc = dict(entry["doc"])
    if entry["collection"] == LEADS and present is not None and present.doc.get("email_consent") == "withdrawn":
        doc |= {name: present.doc[name] for name in ("email_consent", "email_consent_at") if name in present.doc}
    if entry["collection"] == FORMS and doc.get("status") == "published" and (present is None or present.deleted_at is not None):
        doc["status"] = "closed"
    return doc


SNAPSHOTS = Snapshots(JOBS, "lead-snapshots", _HOLDS, "crm.lead_snapshot.restored.v1", _admit)
SNAPSHOTS.offer("startLeadSnapshot", "restoreLeadSnapshot")
