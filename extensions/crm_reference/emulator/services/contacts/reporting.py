"""The reporting line: managers above a person, and people below."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.contacts.people import MAX_MANAGERS
from crm_reference.emulator.services.contacts.selecting import CONTACTS, seen_contact, summary
from crm_reference.emulator.store import Record

#: How many people below are returned.
MAX_REPORTS = 500


@handles("getContactReportingLine")
def reporting_line(call: Call) -> Reply:
    """Return the managers up to the top and the reports down to a depth; the line ends where the caller sees nobody."""
    managers: list[dict[str, Any]] = []
    above = seen_contact(call, call.found.doc.get("reports_to_id", ""))
    while above is not None and len(managers) < MAX_MANAGERS:
        managers.append(summary(above))
        above = seen_contact(call, above.doc.get("reports_to_id", ""))
    reports: list[dict[str, Any]] = []
    level, depth = [call.found], 0
    while level and depth < call.query["depth"]:
        depth += 1
        level = _below(call, level)
        reports += [{"contact": summary(c), "manager_id": c.doc["reports_to_id"], "depth": depth} for c in level]
    has_more = len(reports) > MAX_REPORTS or bool(level and _below(call, level))
    body = {"contact": summary(call.found), "managers": managers, "reports": reports[:MAX_REPORTS], "has_more": has_more}
    return Reply(200, body)


def _below(call: Call, level: list[Record]) -> list[Record]:
    found = [c for manager in level for c in call.records.find(CONTACTS, reports_to_id=manager.id) if call.records.visible(c)]
    return sorted(found, key=lambda c: (c.doc["full_name"], c.id))
