"""Duplicates of contacts: how the check, the scan and groups of :mod:`crm_reference.emulator.duplicate_groups` serve people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.duplicate_groups import Comparison, DuplicateGroups
from crm_reference.emulator.services.contacts.jobs import STARTER
from crm_reference.emulator.services.contacts.scoring import DEFAULT_MINIMUM, band, candidate_of, person_of, score
from crm_reference.emulator.services.contacts.selecting import CONTACTS, is_seen, own_ones, seen_contact, selected, summary
from crm_reference.emulator.store import Record
from crm_reference.emulator.survivorship import is_set


def _rank(context: Context) -> Callable[[Record], Any]:
    """Keep the contact with most fields set, then the oldest, then the lowest ID."""
    schemas = context.world.contract.schemas
    writable = {*schemas["ContactCreate"].node.get("properties"), *schemas["ContactUpdate"].node.get("properties")}

    def rank(contact: Record) -> tuple[Any, ...]:
        return -sum(is_set(contact.doc.get(name)) for name in writable), contact.doc["created_at"], contact.id

    return rank


GROUPS = DuplicateGroups(
    jobs=STARTER,
    collection=CONTACTS,
    groups="contact-duplicates",
    noun="contact",
    event="crm.contact_duplicate_group.",
    comparison=Comparison(candidate_of, person_of, score, band, DEFAULT_MINIMUM),
    summary=summary,
    own=own_ones,
    seen=seen_contact,
    is_seen=is_seen,
    select=selected,
    rank=_rank,
    scan_running="scan_running",
    closed="duplicate_group_closed",
)
GROUPS.offer(
    check="checkContactDuplicates",
    scan="startContactDuplicateScan",
    list="listContactDuplicateGroups",
    dismiss="dismissContactDuplicateGroup",
)
