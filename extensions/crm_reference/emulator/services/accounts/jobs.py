"""Jobs on accounts: who sees them, how they are cancelled, what went wrong in them, and their files."""

from __future__ import annotations

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.job_collections import downloaded, listed_errors
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.accounts.selecting import JOBS

JOBS.show_to("accounts.bulk")
handles("getAccountJob")(single.read_job)
handles("cancelAccountJob")(JOBS.cancel)
handles("listAccountJobErrors")(lambda call: listed_errors(call, "account_id"))
handles("downloadAccountJobResult")(lambda call: downloaded(call, "account_job_has_no_file"))
