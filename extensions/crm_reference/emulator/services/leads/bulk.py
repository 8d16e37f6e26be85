"""One change or one deletion for every lead of a selection."""

from __future__ import annotations

from crm_reference.emulator.bulk import Bulk
from crm_reference.emulator.services.leads.common import DELETED, JOBS, LEADS, UPDATED, check_owner, hand_over, selected

BULK = Bulk(
    JOBS,
    LEADS,
    lambda call, selection, also: selected(call, selection, also),
    updated=UPDATED,
    deleted=DELETED,
    count_differs="lead_count_differs",
    same_owner="",
    check_owner=check_owner,
    hand_over=hand_over,
)
BULK.offer(update="startLeadBulkUpdate", delete="startLeadBulkDelete")
