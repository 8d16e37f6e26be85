"""The jobs of a service as its clients meet them: accepted with 202, tried without effect, cancelled, counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.jobs import POLL_SECONDS, failures
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import sees
from crm_reference.emulator.store import Record
from crm_reference.emulator.tables import MEDIA_TYPES

#: So much of a cell is shown beside what is wrong with it.
_VALUE_LENGTH = 200


@dataclass(frozen=True, slots=True)
class JobCollection:
    """Where a service keeps its jobs, and what it tells of them.

    :param service: Slug; tasks are registered as ``{service}.{kind}``.
    :param name: Collection: ``contact-jobs``.
    :param finished: Event of a job that ended: ``crm.contact_job.finished.v1``.
    """

    service: str
    name: str
    finished: str

    def start(self, call: Call, kind: str, items: Sequence[Any], /, **members: Any) -> Reply:
        """Accept a job and answer 202 with it. With ``validate_only`` in the body it is a trial.

        :param kind: The job's kind.
        :param items: What to handle, as JSON data.
        :param members: What the task must know; clients don't see names that begin with ``_``.
        """
        trial = bool((call.body or {}).get("validate_only"))
        job = call.jobs.start(
            self.name,
            f"{self.service}.{kind}",
            items,
            event=self.finished,
            failed_event=self.finished,
            kind=kind,
            is_validate_only=trial,
            **members,
        )
        headers = {"Location": f"/v1/{self.name}/{job.id}", "Retry-After": str(POLL_SECONDS)}
        return single.shown(call, job, 202, **headers)

    def cancel(self, call: Call, /) -> Reply:
        """Stop the job that the path names; what it did until now stays and is counted.

        :raises Problem: ``contact_job_finished`` (by the event's name) where it has ended.
        """
        code = "_".join(self.finished.split(".")[1:3])
        return single.shown(call, call.jobs.cancel(call.found, code, event=self.finished))

    def show_to(self, scope: str, /) -> None:
        """Register who sees a job, for 30 days after its end: whoever holds a scope, and the user who started it."""

        def see(context: Context, job: Record) -> bool:
            if job.doc.get("expires_at", context.now) < context.now:
                return False
            return scope in context.identity.scopes or job.doc.get("created_by") == context.identity.user

        sees(self.name)(see)


def listed_errors(call: Call, parameter: str, /) -> Reply:
    """Answer with what the job of the path could not handle, in the order of its items.

    :param parameter: Under which an item that is an ID stands in an error: ``deal_id``. An item with a ``row`` has that instead.
    """
    job = call.found.doc
    found = [error for failure in failures(job["_outcomes"]) for error in _errors(job, failure, parameter)]
    return listing.paged_items(call, found)


def _errors(job: Mapping[str, Any], failure: Mapping[str, Any], parameter: str) -> list[dict[str, Any]]:
    problem, item = failure["_problem"], failure["_item"]
    cells = item.get("cells", {}) if isinstance(item, dict) else {}
    where: dict[str, Any] = {}
    if isinstance(item, dict):
        where = {"row": item["row"]} if "row" in item else {parameter: item[parameter]} if parameter in item else {}
    elif isinstance(item, str):
        where = {parameter: item}
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


def downloaded(call: Call, code: str, /) -> Reply:
    """Answer with the file that the export of the path made, with its digest.

    :param code: Code of the problem where the job has none: ``deal_job_has_no_file``.
    """
    job = call.found.doc
    if job["kind"] != "export" or job["status"] != "succeeded":
        raise Problem(code, f"The job is of the kind {job['kind']} and {job['status']}.")
    if "_file" not in job:
        raise Problem(code, "The file was removed, since a person in it was erased. Start the export again.")
    headers = {
        "Content-Digest": job["result"]["content_digest"],
        "Content-Disposition": f'attachment; filename="{job["result"]["file_name"]}"',
        "X-Content-Type-Options": "nosniff",
    }
    return Reply(200, job["_file"], headers, MEDIA_TYPES[job["_format"]])


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
