"""Jobs of deals: who sees them, what went wrong in them, and their files."""

from __future__ import annotations

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.job_collections import JobCollection, downloaded, listed_errors
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles

JOBS = JobCollection("deals", "deal-jobs", "crm.deal_job.finished.v1")
start = JOBS.start
JOBS.show_to("deals.bulk")
handles("getDealJob")(single.read_job)
handles("cancelDealJob")(JOBS.cancel)
handles("listDealJobErrors")(lambda call: listed_errors(call, "deal_id"))


@handles("downloadDealJobResult")
def download(call: Call) -> Reply:
    """Return the file of an export to whom it was made for: it holds what that user may see.

    :raises Problem: ``not_found`` for everybody else.
    """
    if call.found.doc.get("created_by", "") != call.identity.user:
        raise Problem("not_found", f"{call.found.id} was started by somebody else, and its file holds what that user may see.")
    return downloaded(call, "deal_job_has_no_file")
