"""Jobs of contacts: how they start, who sees them, how they are cancelled, what went wrong in them, and their files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.jobs import POLL_SECONDS, failures
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, sees
from crm_reference.emulator.store import Record

JOBS = "contact-jobs"
FINISHED = "crm.contact_job.finished.v1"

_OPEN = ("queued", "running")
_MEDIA = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
_VALUE_LENGTH = 200


def start(call: Call, kind: str, items: Sequence[Any], /, **hidden: Any) -> Reply:
    """Accept a job and answer 202 with it.

    :param kind: The job's kind; its task is registered as ``contacts.{kind}``.
    :param hidden: What the task must know, in members that clients don't see.
    """
    trial = bool((call.body or {}).get("validate_only"))
    job = call.jobs.start(
        JOBS, f"contacts.{kind}", items, event=FINISHED, failed_event=FINISHED, kind=kind, is_validate_only=trial, **hidden
    )
    headers = {"ETag": job.etag, "Location": f"/v1/contact-jobs/{job.id}", "Retry-After": str(POLL_SECONDS)}
    return Reply(202, call.records.shown(job), headers)


class _TakeBack(Exception):  # it carries no error: it ends a trial
    pass


def maybe_trial(context: Context, job: Mapping[str, Any], work: Callable[[], Any], /) -> Any:
    """Do an item's work; in a trial take back what it wrote."""
    if not job["is_validate_only"]:
        return work()
    outcome: Any = None
    with suppress(_TakeBack), context.world.store.transaction():
        outcome = work()
        raise _TakeBack
    return outcome


def tally(outcomes: Sequence[Any], /, *names: str) -> dict[str, int]:
    """Count outcomes by their names: ``updated`` becomes ``updated_count``."""
    return {f"{name}_count": sum(1 for o in outcomes if o == name) for name in names} | {"failed_count": len(failures(outcomes))}


@sees(JOBS)
def see(context: Context, job: Record) -> bool:
    """Show a job for 30 days after its end: to whoever holds the bulk scope, and to the user who started it."""
    if job.doc.get("expires_at", context.now) < context.now:
        return False
    return "contacts.bulk" in context.identity.scopes or job.doc.get("created_by") == context.identity.user


@handles("getContactJob")
def read_job(call: Call) -> Reply:
    """Return a job, and while it is open how long to wait until the next look."""
    reply = single.read(call)
    if reply.status == 200 and call.found.doc["status"] in _OPEN:
        reply.headers["Retry-After"] = str(POLL_SECONDS)
    return reply


@handles("cancelContactJob")
def cancel_job(call: Call) -> Reply:
    """Stop a job; what it did until now stays and is counted."""
    return single.shown(call, call.jobs.cancel(call.found, "contact_job_finished", event=FINISHED))


@handles("listContactJobErrors")
def list_errors(call: Call) -> Reply:
    """Return what the job could not handle, in the order of its items."""
    job = call.found.doc
    return listing.paged_items(call, [error for failure in failures(job["_outcomes"]) for error in _errors(job, failure)])


def _errors(job: Mapping[str, Any], failure: Mapping[str, Any]) -> list[dict[str, Any]]:
    problem, item = failure["_problem"], failure["_item"]
    where = {"row": item["row"]} if isinstance(item, dict) else {"contact_id": item}
    found = []
    for entry in problem.get("errors") or [{"code": problem["code"], "detail": problem["detail"]}]:
        error = {**where, "code": entry["code"], "detail": entry["detail"]}
        field = re.sub(r"/\d+(?=/|$)", "", entry.get("pointer", "")).removeprefix("#").strip("/").replace("/", ".")
        if field:
            error["field"] = field
        column = job.get("_columns", {}).get(field)
        if column is not None and isinstance(item, dict):
            error |= {"column": column, "value": item["cells"].get(column, "")[:_VALUE_LENGTH]}
        found.append(error)
    return found


@handles("downloadContactJobResult")
def download(call: Call) -> Reply:
    """Return the file that an export made, with its digest."""
    job = call.found.doc
    if job["kind"] != "export" or job["status"] != "succeeded":
        raise Problem("contact_job_has_no_file", f"The job is a {job['kind'].replace('_', ' ')} and {job['status']}.")
    return Reply(200, job["_file"], {"Content-Digest": job["result"]["content_digest"]}, _MEDIA[job["_format"]])
