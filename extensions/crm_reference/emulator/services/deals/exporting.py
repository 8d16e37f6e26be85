"""Exports: deals as CSV or NDJSON, with the fields and in the order that the caller names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import tables
from crm_reference.emulator.exporting import Exports
from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.deals.common import DEALS, selected
from crm_reference.emulator.services.deals.jobs import JOBS


@computes("deal_export_cell")
def cell(value: Any) -> str:
    """Return a value as a cell: money as amount, blank and currency, all else as :func:`crm_reference.emulator.tables.cell` does.

    >>> cell({"amount": "10.00", "currency": "EUR"})
    '10.00 EUR'
    """
    return tables.cell(_flat(value))


def _flat(value: Any) -> Any:
    is_money = isinstance(value, Mapping) and value.keys() == {"amount", "currency"}
    return f"{value['amount']} {value['currency']}" if is_money else value


EXPORTS = Exports(
    JOBS, DEALS, lambda call, selection, order: selected(call, selection, order=order), flat=_flat, asks_exports=False
)
EXPORTS.offer("startDealExport")
