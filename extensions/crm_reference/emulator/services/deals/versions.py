"""Deals as earlier writes left them."""

from __future__ import annotations

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.deals.common import DEALS
from crm_reference.emulator.versions import version_reply


@handles("getDealVersion")
def read_version(call: Call) -> Reply:
    """Rebuild a deal as one write left it, by taking back what came later, without what is computed when a deal is read."""
    return version_reply(call, DEALS, hide=("days_in_stage", "is_rotting"))
