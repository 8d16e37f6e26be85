"""Exports of a collection as CSV or NDJSON, with the fields and in the order that the caller names: jobs that write a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crm_reference.contract.schema_tree import property_node
from crm_reference.emulator import custom_fields
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import JobCollection
from crm_reference.emulator.jobs import failures
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.query import Sort
from crm_reference.emulator.registry import Task, handles, task
from crm_reference.emulator.rules import value_of
from crm_reference.emulator.tables import as_csv, as_ndjson, digest


@dataclass(frozen=True, slots=True)
class Exports:
    """How a service exports a collection.

    :param jobs: The service's jobs.
    :param collection: What is exported; it is the stem of the file's name too.
    :param select: Takes the call, the body's ``selection`` and an order; returns the IDs.
    :param flat: Makes one value of a field for a cell of CSV, where that isn't the field's JSON.
    :param asks_exports: Whether the file is written by the exports service, so that a job waits while that is down.
    """

    jobs: JobCollection
    collection: str
    select: Callable[[Call, Mapping[str, Any], str], list[str]]
    flat: Callable[[Any], Any] = lambda value: value
    asks_exports: bool = True

    def offer(self, operation: str, /) -> None:
        """Register the operation that starts an export, and its job."""
        handles(operation)(self._start)
        needs = "exports" if self.asks_exports else ""
        task(f"{self.jobs.service}.export", Task(self._take, self._write, so_far=_so_far, needs=needs))

    def _start(self, call: Call) -> Reply:
        fields = list(call.body.get("fields") or self._readable(call))
        self._check_fields(call, fields)
        known = call.records.fields(self.collection)
        sorts = [Sort(s["field"], s.get("direction") == "descending") for s in call.body.get("sorts", ())]

        def refuse(index: int, detail: str) -> Problem:
            entry = {"pointer": f"#/sorts/{index}/field", "code": "unknown_field", "detail": detail}
            return Problem("validation_failed", "The export is sorted by a field that can't be sorted by; see errors.", [entry])

        known.check_sorts(sorts, refuse)
        found = self.select(call, call.body.get("selection", {}), known.order(sorts))
        if self.asks_exports:
            call.ask("exports", "createExportJob")
        return self.jobs.start(call, "export", found, _fields=fields, _format=call.body["format"])

    def _readable(self, context: Context) -> list[str]:
        masked, node = context.records.masked(self.collection), context.resource(self.collection).node
        return [name for name in node.get("properties", {}) if name not in masked and name != "deleted_at"]

    def _check_fields(self, context: Context, fields: Sequence[str]) -> None:
        resource, masked = context.resource(self.collection), context.records.masked(self.collection)
        defined = custom_fields.definitions(context, resource.extensible)
        errors = []
        for index, name in enumerate(fields):
            head, _, rest = name.partition(".")
            is_custom = head == "custom_fields" and bool(rest)
            known = rest in defined if is_custom else property_node(resource.node, name.split(".")) is not None
            if head in masked or not known:
                errors.append({"pointer": f"#/fields/{index}", "code": "unknown_field", "detail": f"{name} can't be exported"})
        if errors:
            raise Problem("validation_failed", f"{counted(len(errors), 'field')} can't be exported; see errors.", errors)

    def _take(self, context: Context, job: dict[str, Any], id: str) -> dict[str, Any]:
        shown = context.records.shown(context.records.get(self.collection, id))
        return {"row": {name: value_of(shown, name) for name in job["_fields"]}}

    def _write(self, context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
        rows: list[Mapping[str, Any]] = [o["row"] for o in outcomes if "row" in o]
        if job["_format"] == "csv":
            text = as_csv(job["_fields"], [{name: self.flat(value) for name, value in row.items()} for row in rows])
        else:
            text = as_ndjson(rows)
        content = text.encode()
        job["_file"] = text
        result = {
            **_so_far(context, job, outcomes),
            "file_name": f"{self.collection}-{job['created_at'][:10]}.{job['_format']}",
            "file_bytes": len(content),
            "content_digest": digest(content),
        }
        return result | ({"export_job_id": context.new_id("exp")} if self.asks_exports else {})


def _so_far(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(job["_items"]), "failed_count": len(failures(outcomes))}
