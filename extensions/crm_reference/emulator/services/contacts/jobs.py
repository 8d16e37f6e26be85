"""Jobs of contacts: how they start, who sees them, how they are cancelled, what went wrong in them, and their files."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Context
from crm_reference.emulator.job_collections import JobCollection, downloaded, listed_errors
from crm_reference.emulator.jobs import OPEN
from crm_reference.emulator.registry import handles

JOBS = "contact-jobs"
STARTER = JobCollection("contacts", JOBS, "crm.contact_job.finished.v1")
start = STARTER.start

#: Members of a result that speak of the file.
_OF_THE_FILE = ("file_name", "file_bytes", "content_digest")


handles("getContactJob")(single.read_job)
handles("cancelContactJob")(STARTER.cancel)
handles("listContactJobErrors")(lambda call: listed_errors(call, "contact_id"))
handles("downloadContactJobResult")(lambda call: downloaded(call, "contact_job_has_no_file"))
STARTER.show_to("contacts.bulk")


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
