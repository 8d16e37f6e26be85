"""Personal data of users: what is held about a person, and its erasure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator.behaviours.feeds import version_entry
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.users.absences import ABSENCES, DELEGATIONS
from crm_reference.emulator.services.users.invitations import INVITATIONS
from crm_reference.emulator.services.users.people import USERS
from crm_reference.emulator.services.users.profiles import preferences_of, profile_of
from crm_reference.emulator.services.users.snapshots import forget
from crm_reference.emulator.store import Record

ERASURES = "user-erasures"
FORMER = "Former user"

_MAX_HISTORY = 1000
#: What stays of an erased user, so that records that name it still lead somewhere.
_KEPT = ("id", "object", "kind", "source", "created_at", "created_by", "is_active", "deactivated_at", "deactivation_reason")


@dataclass(frozen=True, slots=True)
class Traces:
    """What hangs on a person beside the record."""

    absences: list[Record]
    delegations: list[Record]
    invitations: list[Record]


def traces_of(context: Context, user: Record, /) -> Traces:
    """Return everything that is about a person, the latest first."""
    records = context.records
    invited = {r.id: r for r in records.find(INVITATIONS, email=user.doc.get("email", ""))}
    invited |= {r.id: r for r in records.find(INVITATIONS, user_id=user.id)}
    delegations = [*records.find(DELEGATIONS, delegator_id=user.id), *records.find(DELEGATIONS, delegate_id=user.id)]
    return Traces(_latest(records.find(ABSENCES, user_id=user.id)), _latest(delegations), _latest(invited.values()))


def _latest(records: Iterable[Record]) -> list[Record]:
    return sorted(records, key=lambda r: (r.doc["created_at"], r.id), reverse=True)


@handles("getUserPersonalData")
def personal_data(call: Call) -> Reply:
    """Put together everything that is held about a person."""
    user, traces, public = call.found, traces_of(call, call.found), call.records.public
    log = call.world.store.changes(call.tenant, USERS, id=user.id, newest_first=True, limit=_MAX_HISTORY)
    body: dict[str, Any] = {
        "exported_at": call.now,
        "user": public(user),
        "profile": profile_of(user),
        "preferences": preferences_of(user),
        "history": [version_entry(change) for change in log],
        "absences": [public(r) for r in traces.absences],
        "delegations": [public(r) for r in traces.delegations],
        "invitations": [public(r) for r in traces.invitations],
    }
    return Reply(200, body, {"Cache-Control": "no-store"})


@handles("eraseUser", deleted=True)
def erase(call: Call) -> Reply:
    """Remove a person's data for good, keep the ID, and answer with a receipt that says nothing about the person."""
    user, records = call.found, call.records
    if user.doc["is_erased"]:
        raise Problem("user_erased", "The personal data of this user were erased before.")
    if user.doc["is_active"]:
        raise Problem("user_still_active", f"{user.id} is active. Deactivate the user first.")
    traces = traces_of(call, user)
    counts = {
        "profile_field_count": len(user.doc.get("_profile", {})) + len(user.doc.get("_preferences", {})),
        "absence_count": len(traces.absences),
        "delegation_count": len(traces.delegations),
        "invitation_count": len(traces.invitations),
    }
    with upkeep(call):
        for record in (*traces.absences, *traces.delegations, *traces.invitations):
            records.erase(record)
        counts["history_count"] = records.erase(user)
        forget(call, user.id)
        doc = {k: v for k, v in user.doc.items() if k in _KEPT}
        doc |= {"last_name": FORMER, "full_name": FORMER, "is_erased": True}
        records.revive(USERS, doc, user.version + 2, "erased", fresh=False)
    request = {k: call.body[k] for k in ("reason", "data_subject_request_id") if k in call.body}
    receipt = records.create(ERASURES, {"user_id": user.id, **request, "counts": counts, "erased_at": call.now})
    told = {k: v for k, v in request.items() if k != "reason"}
    call.emit("crm.user.erased.v1", user.id, {"user_id": user.id, "erasure_id": receipt.id, **told})
    return Reply(200, records.shown(receipt))
