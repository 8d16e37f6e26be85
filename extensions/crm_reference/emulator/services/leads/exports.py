"""Exports: a selection of leads as a file with chosen columns."""

from __future__ import annotations

from crm_reference.emulator.exporting import Exports
from crm_reference.emulator.services.leads.common import JOBS, LEADS, selected

EXPORTS = Exports(JOBS, LEADS, lambda call, selection, order: selected(call, selection, order=order))
EXPORTS.offer("startLeadExport")
