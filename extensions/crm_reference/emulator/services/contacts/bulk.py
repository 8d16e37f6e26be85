"""One change, one deletion or one new owner for every contact of a selection."""

from __future__ import annotations

from crm_reference.emulator.bulk import Bulk
from crm_reference.emulator.services.contacts.jobs import STARTER
from crm_reference.emulator.services.contacts.people import check_owner, hand_over, refuse_restricted
from crm_reference.emulator.services.contacts.selecting import CONTACTS, selected

BULK = Bulk(
    STARTER,
    CONTACTS,
    selected,
    updated="crm.contact.updated.v1",
    deleted="crm.contact.deleted.v1",
    count_differs="count_differs",
    same_owner="transfer_to_same_owner",
    check_owner=check_owner,
    hand_over=hand_over,
    may_hand_over=refuse_restricted,
)
BULK.offer(update="startContactBulkUpdate", delete="startContactBulkDelete", transfer="startContactOwnershipTransfer")
