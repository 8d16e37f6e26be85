"""The person behind a lead: a copy of all data, and their erasure with its receipt."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.behaviours import feeds, single
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.leads.common import DELETED, LEADS
from crm_reference.emulator.services.leads.forms import SUBMISSIONS
from crm_reference.emulator.services.leads.snapshots import SNAPSHOTS

ERASURES = "lead-erasures"


@handles("getLeadPersonalData")
def personal_data(call: Call) -> Reply:
    """Put everything together that is held about a person."""
    lead = call.found
    log = call.world.store.changes(call.tenant, LEADS, id=lead.id, newest_first=True)
    sent = call.world.store.find(call.tenant, SUBMISSIONS, lead_id=lead.id)
    body = {
        "exported_at": call.now,
        "lead": call.records.shown(lead),
        "history": [feeds.version_entry(change) for change in log],
        "submissions": [call.records.shown(s) for s in sorted(sent, key=lambda s: s.doc["created_at"], reverse=True)],
    }
    return Reply(200, body)


@handles("eraseLead")
def erase(call: Call) -> Reply:
    """Remove a lead for good, and keep a receipt that says nothing about the person."""
    lead = call.found
    history = len(call.world.store.changes(call.tenant, LEADS, id=lead.id))
    sent = call.world.store.find(call.tenant, SUBMISSIONS, lead_id=lead.id)
    gone = {lead.id, *(s.id for s in sent)}
    data = {"id": lead.id, "object": "lead", "version": lead.version + 1, "deleted_at": call.now}
    with upkeep(call):
        call.records.delete(lead)
        for submission in sent:
            call.records.erase(submission)
        call.records.erase(lead)
        SNAPSHOTS.rewrite(call, lambda entry: None if entry["id"] in gone else entry)
    body: dict[str, Any] = {"lead_id": lead.id, **call.body, "erased_at": call.now, "_ids": sorted(gone)}
    receipt = call.records.create(ERASURES, body | {"history_count": history, "submission_count": len(sent)})
    call.emit(DELETED, lead.id, {"record": data})
    return single.shown(call, receipt, 201, Location=f"/v1/lead-erasures/{receipt.id}")
