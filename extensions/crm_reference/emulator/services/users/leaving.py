"""How users go and come back: deactivation with a successor, reactivation, deletion."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.users import rights
from crm_reference.emulator.services.users.absences import ABSENCES, DELEGATIONS, moment_of
from crm_reference.emulator.services.users.people import UPDATED, USERS, is_able, reports_of
from crm_reference.emulator.store import Record

DEACTIVATED = "crm.user.deactivated.v1"
REACTIVATED = "crm.user.reactivated.v1"


@handles("previewUserDeactivation")
def preview(call: Call) -> Reply:
    """Count what hangs on a user, and name what would refuse the deactivation."""
    user, records = call.found, call.records
    body = {
        "user_id": user.id,
        "direct_report_count": len(reports_of(call, user.id)),
        "role_assignment_count": len(records.find(rights.ASSIGNMENTS, principal_id=user.id)),
        "group_count": sum(user.id in rights.members(g) for g in records.find(rights.GROUPS)),
        "team_count": sum(user.id in rights.members(t) for t in records.find(rights.TEAMS)),
        "delegation_count": len(_delegations(call, user.id)),
        "absence_count": len(_substitutions(call, user.id)),
        "refused_because": _obstacles(call, user),
    }
    return Reply(200, body)


def _obstacles(context: Context, user: Record) -> list[str]:
    found = []
    if user.doc["is_erased"]:
        found.append("user_erased")
    elif not user.doc["is_active"]:
        found.append("user_not_active")
    if user.id == context.identity.user:
        found.append("deactivates_self")
    if user.doc["is_active"] and is_last_administrator(context, user.id):
        found.append("last_administrator")
    return found


def is_last_administrator(context: Context, user: str, /) -> bool:
    """Tell whether a user is the only one who is an administrator for good."""
    return rights.administrators(context) == {user}


_SAID = {
    "user_erased": "The personal data of this user were erased.",
    "user_not_active": "The user was deactivated before.",
    "deactivates_self": "Ask another administrator to deactivate you.",
    "last_administrator": "No other active user has the role administrator. Give it to somebody first.",
}


@handles("deactivateUser")
def deactivate_user(call: Call) -> Reply:
    """Take access away, and hand work over where a successor is named."""
    obstacles = _obstacles(call, call.found)
    if obstacles:
        raise Problem(obstacles[0], _SAID[obstacles[0]])
    successor = call.body.get("transfer_to_id", "")
    if successor:
        _check_successor(call, successor)
    return single.shown(call, deactivate(call, call.found, call.body["reason"], successor))


def _check_successor(call: Call, successor: str) -> None:
    if call.records.peek(USERS, successor) is None:
        error = {"pointer": "#/transfer_to_id", "code": "invalid_reference", "detail": "leads to no user"}
        raise Problem("validation_failed", "1 field is not valid; see errors.", [error])
    if successor == call.found.id or not is_able(call, successor):
        detail = "The successor is another person of the tenant, and active."
        error = {"pointer": "#/transfer_to_id", "code": "transfer_target_unfit", "detail": detail}
        raise Problem("transfer_target_unfit", detail, [error])


def deactivate(context: Context, user: Record, reason: str = "other", successor: str = "", /) -> Record:
    """Mark a user inactive, end its delegations, and move what a successor takes over.

    :param successor: ID of the successor; nobody where empty.
    :return: The user as it is now.
    """
    patch = {"is_active": False, "deactivated_at": context.now, "deactivation_reason": reason}
    changed = context.records.change(user, patch, action="deactivated")
    data: dict[str, Any] = {"record": context.records.public(changed), "reason": reason}
    context.emit(DEACTIVATED, user.id, data | ({"transfer_to_id": successor} if successor else {}))
    with upkeep(context):
        for delegation in _delegations(context, user.id):
            context.records.delete(delegation, event="crm.delegation.deleted.v1")
        for absence in _substitutions(context, user.id):
            substitute = successor if successor and successor != absence.doc["user_id"] else None
            context.records.change(absence, {"substitute_id": substitute}, event="crm.out_of_office.updated.v1")
        for report in reports_of(context, user.id) if successor else ():
            # A successor who reported to the leaver takes the leaver's place in the line.
            manager = user.doc.get("manager_id") if report.id == successor else successor
            context.records.change(report, {"manager_id": manager}, event=UPDATED)
    return changed


def _delegations(context: Context, user: str) -> list[Record]:
    found = [*context.records.find(DELEGATIONS, delegator_id=user), *context.records.find(DELEGATIONS, delegate_id=user)]
    return [d for d in found if moment_of(d.doc, context.now) != "ended"]


def _substitutions(context: Context, user: str) -> list[Record]:
    return [a for a in context.records.find(ABSENCES, substitute_id=user) if moment_of(a.doc, context.now) != "ended"]


@handles("reactivateUser")
def reactivate_user(call: Call) -> Reply:
    """Give access back."""
    if call.found.doc["is_erased"]:
        raise Problem("user_erased", _SAID["user_erased"])
    if call.found.doc["is_active"]:
        raise Problem("user_is_active", "The user is active.")
    return single.shown(call, reactivate(call, call.found))


def reactivate(context: Context, user: Record, /) -> Record:
    """Mark a user active again.

    :return: The user as it is now.
    """
    patch = {"is_active": True, "deactivated_at": None, "deactivation_reason": None}
    changed = context.records.change(user, patch, action="reactivated")
    context.emit(REACTIVATED, user.id, {"record": context.records.public(changed)})
    return changed


@handles("deleteUser")
def delete_user(call: Call) -> Reply:
    """Move a user to the recycle bin; one who is active loses access by it."""
    user = call.found
    if is_last_administrator(call, user.id):
        raise Problem("last_administrator", _SAID["last_administrator"])
    if user.id == call.identity.user:
        raise Problem("deactivates_self", "Ask another administrator to delete you.")
    if user.doc["is_active"]:
        record = {**call.records.public(user), "is_active": False}
        call.emit(DEACTIVATED, user.id, {"record": record, "reason": "other"})
    return single.delete(call)


@handles("restoreUser", deleted=True)
def restore_user(call: Call) -> Reply:
    """Bring a user back as it was; others hear that it is active again."""
    reply = single.restore(call)
    user = call.records.get(USERS, call.found.id)
    if user.doc["is_active"]:
        call.emit(REACTIVATED, user.id, {"record": call.records.public(user)})
    return reply
