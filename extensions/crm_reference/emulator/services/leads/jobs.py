"""Jobs on leads: who sees them, how they are cancelled, what went wrong in them, and their files."""

from __future__ import annotations

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.job_collections import downloaded, listed_errors
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.leads.common import JOBS

handles("getLeadJob")(single.read_job)
handles("cancelLeadJob")(JOBS.cancel)
handles("listLeadJobErrors")(lambda call: listed_errors(call, "lead_id"))
handles("downloadLeadJobResult")(lambda call: downloaded(call, "lead_job_has_no_file"))
JOBS.show_to("leads.bulk")
