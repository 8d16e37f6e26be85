"""Exports: accounts as CSV or NDJSON, with the fields and in the order that the caller names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.contract.schema_tree import property_node
from crm_reference.emulator import custom_fields
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.jobs import failures
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.query import Sort
from crm_reference.emulator.registry import Task, handles, task
from crm_reference.emulator.rules import value_of
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS, JOBS, selected
from crm_reference.emulator.tables import as_csv, as_ndjson, digest


@handles("startAccountExport")
def start_export(call: Call) -> Reply:
    """Fix selection, fields and order, and start to write the file; the job waits while exports is down."""
    fields = list(call.body.get("fields") or _readable(call))
    _check_fields(call, fields)
    known = call.records.fields(ACCOUNTS)
    sorts = [Sort(s["field"], s.get("direction") == "descending") for s in call.body.get("sorts", ())]

    def refuse(index: int, detail: str) -> Problem:
        entry = {"pointer": f"#/sorts/{index}/field", "code": "unknown_field", "detail": detail}
        return Problem("validation_failed", "The export is sorted by a field that can't be sorted by; see errors.", [entry])

    known.check_sorts(sorts, refuse)
    found = selected(call, call.body.get("selection", {}), order=known.order(sorts))
    call.ask("exports", "createExportJob")
    return JOBS.start(call, "export", found, _fields=fields, _format=call.body["format"])


def _readable(context: Context) -> list[str]:
    masked = context.records.masked(ACCOUNTS)
    return [name for name in context.resource(ACCOUNTS).node.get("properties", {}) if name not in masked and name != "deleted_at"]


def _check_fields(context: Context, fields: Sequence[str]) -> None:
    resource, masked = context.resource(ACCOUNTS), context.records.masked(ACCOUNTS)
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
    shown = context.records.shown(context.records.get(ACCOUNTS, id))
    return {"row": {name: value_of(shown, name) for name in job["_fields"]}}


def _write(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    rows: list[Mapping[str, Any]] = [o["row"] for o in outcomes if "row" in o]
    text = as_csv(job["_fields"], rows) if job["_format"] == "csv" else as_ndjson(rows)
    content = text.encode()
    job["_file"] = text
    return {
        "matched_count": len(job["_items"]),
        "failed_count": len(failures(outcomes)),
        "file_name": f"accounts-{job['created_at'][:10]}.{job['_format']}",
        "file_bytes": len(content),
        "content_digest": digest(content),
        "export_job_id": context.new_id("exp"),
    }


def _so_far(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(job["_items"]), "failed_count": len(failures(outcomes))}


task("accounts.export", Task(_take, _write, so_far=_so_far, needs="exports"))
