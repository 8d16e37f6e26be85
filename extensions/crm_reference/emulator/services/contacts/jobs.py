"""Jobs of contacts: how they start, who sees them, how they are cancelled, what went wrong in them, and their files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Set
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import JobCollection
from crm_reference.emulator.jobs import OPEN, failures
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, sees
from crm_reference.emulator.store import Record
from crm_reference.emulator.tables import MEDIA_TYPES

JOBS = "contact-jobs"
STARTER = JobCollection("contacts", JOBS, "crm.contact_job.finished.v1")
start = STARTER.start

_VALUE_LENGTH = 200
#: Members of a result that speak of the file.
_OF_THE_FILE = ("file_name", "file_bytes", "content_digest")


@sees(JOBS)
def see(context: Context, job: Record) -> bool:
    """Show a job for 30 days after its end: to whoever holds the bulk scope, and to the user who started it."""
    if job.doc.get("expires_at", context.now) < context.now:
        return False
    return "contacts.bulk" in context.identity.scopes or job.doc.get("created_by") == context.identity.user


handles("getContactJob")(single.read_job)
handles("cancelContactJob")(STARTER.cancel)


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


def forget_people(context: Context, ids: Iterable[str], marks: Iterable[str], /) -> None:
    """Remove people from jobs: files of exports that hold them go, and so do rows and errors that name them.

    :param ids: The people's IDs.
    :param marks: Their e-mail addresses and telephone numbers, as rows of an import have them.
    """
    gone, named = set(ids), {mark.lower() for mark in marks}
    for job in context.records.find(JOBS):
        doc = dict(job.doc)
        if "_file" in doc and not gone.isdisjoint(doc["_items"]):
            del doc["_file"]
            doc["result"] = {k: v for k, v in doc["result"].items() if k not in _OF_THE_FILE}
        if doc["kind"] == "export":
            handled = zip(doc["_items"], doc["_outcomes"], strict=False)
            doc["_outcomes"] = [{} if id in gone and "row" in outcome else outcome for id, outcome in handled]
        doc["_outcomes"] = ["" if _names(outcome, gone, named) else outcome for outcome in doc["_outcomes"]]
        if doc["status"] not in OPEN:
            doc["_items"] = [item for item in doc["_items"] if not _is_of(item, gone, named)]
        if doc != job.doc:
            context.records.replace(job, doc, touched={})


def _names(outcome: Any, gone: Set[str], named: Set[str]) -> bool:
    return isinstance(outcome, dict) and "_problem" in outcome and _is_of(outcome["_item"], gone, named)


def _is_of(item: Any, gone: Set[str], named: Set[str]) -> bool:
    """Tell whether an item is a person who is gone, or a row of an import with an address or number of such a person."""
    if isinstance(item, dict):
        return any(text.lower() in named for text in item.get("cells", {}).values())
    return item in gone


@handles("downloadContactJobResult")
def download(call: Call) -> Reply:
    """Return the file that an export made, with its digest."""
    job = call.found.doc
    if job["kind"] != "export" or job["status"] != "succeeded":
        raise Problem("contact_job_has_no_file", f"The job is a {job['kind'].replace('_', ' ')} and {job['status']}.")
    if "_file" not in job:
        raise Problem("contact_job_has_no_file", "The file was removed, since a person in it was erased. Start the export again.")
    headers = {
        "Content-Digest": job["result"]["content_digest"],
        "Content-Disposition": f'attachment; filename="{job["result"]["file_name"]}"',
        "X-Content-Type-Options": "nosniff",
    }
    return Reply(200, job["_file"], headers, MEDIA_TYPES[job["_format"]])
