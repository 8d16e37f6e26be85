"""Snapshots: all records of a tenant in this service as of one moment, and what comes back from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Context
from crm_reference.emulator.job_collections import JobCollection
from crm_reference.emulator.registry import handles, sees
from crm_reference.emulator.services.users import rights
from crm_reference.emulator.services.users.absences import ABSENCES, DELEGATIONS
from crm_reference.emulator.services.users.invitations import INVITATIONS
from crm_reference.emulator.services.users.people import USERS
from crm_reference.emulator.snapshots import Entry, Snapshots
from crm_reference.emulator.store import Record

#: What a snapshot holds, in the order in which it comes back: what others refer to first.
_COLLECTIONS = (USERS, rights.GROUPS, rights.TEAMS, rights.ASSIGNMENTS, INVITATIONS, ABSENCES, DELEGATIONS)
#: Members of a user that a restoration leaves as they are today: whoever lost access doesn't get it back by it.
_OF_TODAY = ("is_active", "deactivated_at", "deactivation_reason")
#: Who is in a group or a team stays as it is today, since membership carries roles and access to records.
_WITH_MEMBERS, _MEMBERSHIP = (rights.GROUPS, rights.TEAMS), ("_members", "lead_id")

JOBS = JobCollection("users", "user-jobs", "crm.user_job.finished.v1")
handles("getUserJob")(single.read_job)
handles("cancelUserJob")(JOBS.cancel)


@sees(JOBS.name)
def see_job(context: Context, job: Record) -> bool:
    """Show a job for 30 days after its end."""
    return bool(job.doc.get("expires_at", context.now) >= context.now)


def _admit(context: Context, entry: Entry, present: Record | None) -> Mapping[str, Any] | None:
    """Bring a record back without access that was taken away since."""
    collection, doc = entry["collection"], dict(entry["doc"])
    gone = present is None or present.deleted_at is not None
    if entry["deleted_at"] is not None or (gone and collection == rights.ASSIGNMENTS):
        return None
    if collection == USERS and present is not None:
        if present.doc.get("is_erased"):
            return None
        doc = _with(doc, _OF_TODAY, present)
    if collection == USERS and gone and doc.get("is_active", True):
        doc |= {"is_active": False, "deactivated_at": context.now, "deactivation_reason": "other"}
    if collection in _WITH_MEMBERS and present is not None and not gone:
        doc = _with(doc, _MEMBERSHIP, present)
    return doc


def _with(doc: Mapping[str, Any], names: tuple[str, ...], present: Record) -> dict[str, Any]:
    """Return a document with members as they are today."""
    kept = {k: v for k, v in doc.items() if k not in names}
    return kept | {k: present.doc[k] for k in names if k in present.doc}


SNAPSHOTS = Snapshots(JOBS, "user-snapshots", _COLLECTIONS, "crm.user_snapshot.restored.v1", _admit)
SNAPSHOTS.offer("startUserSnapshot", "restoreUserSnapshot")


def forget(context: Context, user: str, /) -> None:
    """Remove a user, and what is about the user alone, from every snapshot that is kept."""
    about = ("id", "user_id", "delegator_id", "delegate_id", "principal_id")
    SNAPSHOTS.rewrite(context, lambda entry: entry if all(entry["doc"].get(name) != user for name in about) else None)
