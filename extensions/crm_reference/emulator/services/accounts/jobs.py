"""Jobs on accounts: who sees them, how they are cancelled, what went wrong in them, and their files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.jobs import failures
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, sees
from crm_reference.emulator.services.accounts.selecting import JOBS
from crm_reference.emulator.store import Record

_MEDIA = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
_VALUE_LENGTH = 200


@sees(JOBS.name)
def see(context: Context, job: Record) -> bool:
    """Show a job for 30 days after its end: to whoever holds the bulk scope, and to the user who started it."""
    if job.doc.get("expires_at", context.now) < context.now:
        return False
    return "accounts.bulk" in context.identity.scopes or job.doc.get("created_by") == context.identity.user


handles("getAccountJob")(single.read_job)
handles("cancelAccountJob")(JOBS.cancel)


@handles("listAccountJobErrors")
def list_errors(call: Call) -> Reply:
    """Return what the job could not handle, in the order of its items."""
    job = call.found.doc
    return listing.paged_items(call, [error for failure in failures(job["_outcomes"]) for error in _errors(job, failure)])


def _errors(job: Mapping[str, Any], failure: Mapping[str, Any]) -> list[dict[str, Any]]:
    problem, item = failure["_problem"], failure["_item"]
    cells = item.get("cells", {}) if isinstance(item, dict) else {}
    where: dict[str, Any] = {"row": item["row"]} if "row" in (item if isinstance(item, dict) else {}) else {}
    id = item if isinstance(item, str) else item.get("account_id") or item.get("id")
    if not where and isinstance(id, str) and id.startswith("acc_"):
        where = {"account_id": id}
    found = []
    for entry in problem.get("errors") or [{"code": problem["code"], "detail": problem["detail"]}]:
        error = {**where, "code": entry["code"], "detail": entry["detail"]}
        field = re.sub(r"/\d+(?=/|$)", "", entry.get("pointer", "")).removeprefix("#").strip("/").replace("/", ".")
        if field:
            error["field"] = field
        column = job.get("_columns", {}).get(field)
        if column is not None and cells:
            error |= {"column": column, "value": cells.get(column, "")[:_VALUE_LENGTH]}
        found.append(error)
    return found


@handles("downloadAccountJobResult")
def download(call: Call) -> Reply:
    """Return the file that an export made, with its digest."""
    job = call.found.doc
    if "_file" not in job:
        raise Problem("account_job_has_no_file", f"The job is a {job['kind'].replace('_', ' ')} and {job['status']}.")
    headers = {
        "Content-Digest": job["result"]["content_digest"],
        "Content-Disposition": f'attachment; filename="{job["result"]["file_name"]}"',
        "X-Content-Type-Options": "nosniff",
    }
    return Reply(200, job["_file"], headers, _MEDIA[job["_format"]])
