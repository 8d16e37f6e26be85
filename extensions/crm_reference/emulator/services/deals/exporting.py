"""Exports: deals as CSV or NDJSON, with the fields and in the order that the caller names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.contract.schema_tree import property_node
from crm_reference.emulator import custom_fields, tables
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.jobs import failures
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.query import Sort
from crm_reference.emulator.registry import Task, computes, handles, task
from crm_reference.emulator.rules import value_of
from crm_reference.emulator.services.deals.common import DEALS, selected
from crm_reference.emulator.services.deals.jobs import start


@handles("startDealExport")
def start_export(call: Call) -> Reply:
    """Fix selection, fields and order, and start to write the file."""
    fields = list(call.body.get("fields") or _readable(call))
    _check_fields(call, fields)
    known = call.records.fields(DEALS)
    sorts = [Sort(s["field"], s.get("direction") == "descending") for s in call.body.get("sorts", ())]

    def refuse(index: int, detail: str) -> Problem:
        entry = {"pointer": f"#/sorts/{index}/field", "code": "unknown_field", "detail": detail}
        return Problem("validation_failed", "The export is sorted by a field that can't be sorted by; see errors.", [entry])

    known.check_sorts(sorts, refuse)
    found = selected(call, call.body.get("selection", {}), order=known.order(sorts))
    return start(call, "export", found, _fields=fields, _format=call.body["format"])


def _readable(context: Context) -> list[str]:
    masked = context.records.masked(DEALS)
    return [name for name in context.resource(DEALS).node.get("properties", {}) if name not in masked and name != "deleted_at"]


def _check_fields(context: Context, fields: Sequence[str]) -> None:
    resource, masked = context.resource(DEALS), context.records.masked(DEALS)
    defined = custom_fields.definitions(context, resource.extensible)
    errors = []
    for index, name in enumerate(fields):
        head, _, rest = name.partition(".")
        known = rest in defined if head == "custom_fields" and rest else property_node(resource.node, name.split(".")) is not None
        if head in masked or not known:
            errors.append({"pointer": f"#/fields/{index}", "code": "unknown_field", "detail": f"{name} can't be exported"})
    if errors:
        raise Problem("validation_failed", f"{counted(len(errors), 'field')} can't be exported; see errors.", errors)


def _take(context: Context, job: dict[str, Any], id: str) -> dict[str, Any]:
    shown = context.records.shown(context.records.get(DEALS, id))
    return {"row": {name: value_of(shown, name) for name in job["_fields"]}}


def _write(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    rows = [o["row"] for o in outcomes if "row" in o]
    if job["_format"] == "csv":
        text = tables.as_csv(job["_fields"], [{name: _flat(value) for name, value in row.items()} for row in rows])
    else:
        text = tables.as_ndjson(rows)
    content = text.encode()
    job["_file"] = text
    return {
        **_so_far(context, job, outcomes),
        "file_name": f"deals-{job['created_at'][:10]}.{job['_format']}",
        "file_bytes": len(content),
        "content_digest": tables.digest(content),
    }


def _so_far(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(job["_items"]), "failed_count": len(failures(outcomes))}


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


task("deals.export", Task(_take, _write, so_far=_so_far))
