"""The jobs of a service as its clients meet them: accepted with 202, tried without effect, cancelled, counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.jobs import POLL_SECONDS, failures


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
