"""Jobs of deals: who sees them, what went wrong in them, and their files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.behaviours.listing import paged_items
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import JobCollection
from crm_reference.emulator.jobs import failures
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, sees
from crm_reference.emulator.store import Record
from crm_reference.emulator.tables import MEDIA_TYPES

JOBS = JobCollection("deals", "deal-jobs", "crm.deal_job.finished.v1")

_VALUE_LENGTH = 200


def start(call: Call, kind: str, items: Sequence[Any], /, **hidden: Any) -> Reply:
    """Accept a job and answer 202 with it; its task is registered as ``deals.{kind}``."""
    return JOBS.start(call, kind, items, **hidden)


@sees(JOBS.name)
def see(context: Context, job: Record) -> bool:
    """Show a job for 30 days after its end: to whoever holds the bulk scope, and to the user who started it."""
    if job.doc.get("expires_at", context.now) < context.now:
        return False
    return "deals.bulk" in context.identity.scopes or job.doc.get("created_by") == context.identity.user


handles("getDealJob")(single.read_job)
handles("cancelDealJob")(JOBS.cancel)


@handles("listDealJobErrors")
def list_errors(call: Call) -> Reply:
    """Return what the job could not handle, in the order of its items."""
    job = call.found.doc
    return paged_items(call, [error for failure in failures(job["_outcomes"]) for error in _errors(job, failure)])


def _errors(job: Mapping[str, Any], failure: Mapping[str, Any]) -> list[dict[str, Any]]:
    problem, item = failure["_problem"], failure["_item"]
    where: dict[str, Any] = {}
    if isinstance(item, dict):
        where = {"row": item["row"]} if "row" in item else {}
    elif item.startswith("dea_"):
        where = {"deal_id": item}
    found = []
    for entry in problem.get("errors") or [{"code": problem["code"], "detail": problem["detail"]}]:
        error = {**where, "code": entry["code"], "detail": entry["detail"]}
        field = re.sub(r"/\d+(?=/|$)", "", entry.get("pointer", "")).removeprefix("#").strip("/").replace("/", ".")
        if field:
            error["field"] = field
        column = job.get("_columns", {}).get(field)
        if column is not None:
            error |= {"column": column, "value": item["cells"].get(column, "")[:_VALUE_LENGTH]}
        found.append(error)
    return found


@handles("downloadDealJobResult")
def download(call: Call) -> Reply:
    """Return the file that an export made, with its digest."""
    job = call.found.doc
    if job["kind"] != "export" or job["status"] != "succeeded":
        raise Problem("deal_job_has_no_file", f"The job is of the kind {job['kind']} and {job['status']}.")
    headers = {
        "Content-Digest": job["result"]["content_digest"],
        "Content-Disposition": f'attachment; filename="{job["result"]["file_name"]}"',
        "X-Content-Type-Options": "nosniff",
    }
    return Reply(200, job["_file"], headers, MEDIA_TYPES[job["_format"]])
