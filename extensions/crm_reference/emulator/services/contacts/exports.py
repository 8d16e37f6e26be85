"""Exports: contacts as CSV or NDJSON, with the fields and in the order that the caller names."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.exporting import Exports
from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.contacts.jobs import STARTER
from crm_reference.emulator.services.contacts.selecting import CONTACTS, selected
from crm_reference.emulator.tables import cell

EXPORTS = Exports(STARTER, CONTACTS, lambda call, selection, order: selected(call, selection, order=order))
EXPORTS.offer("startContactExport")


@computes("export_cell")
def export_cell(value: Any) -> str:
    """Return a value as a cell of CSV; see :func:`crm_reference.emulator.tables.cell`."""
    return cell(value)
