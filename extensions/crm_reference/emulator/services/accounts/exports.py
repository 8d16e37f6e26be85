"""Exports: accounts as CSV or NDJSON, with the fields and in the order that the caller names."""

from __future__ import annotations

from crm_reference.emulator.exporting import Exports
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS, JOBS, selected

EXPORTS = Exports(JOBS, ACCOUNTS, lambda call, selection, order: selected(call, selection, order=order))
EXPORTS.offer("startAccountExport")
