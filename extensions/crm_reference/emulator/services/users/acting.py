"""Who acts for a user at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.users.absences import ABSENCES, DELEGATIONS, moment_of
from crm_reference.emulator.services.users.people import USERS

#: How many steps are followed from an absent user.
MAX_STEPS = 5
_WAYS = (("substitute", "substitute_id"), ("delegate", "delegate_id"), ("manager", "manager_id"))


@computes("acting_user")
def acting_user(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Follow substitute, delegate and manager, in this order, from an absent user to the first who is there.

    :param asked: ``user_id``, and ``users`` by ID with ``is_present`` and the IDs of those three, as far as there are any.
    :return: ``reason``, ``via_user_ids``, and ``acting_user_id`` where somebody acts.
    """
    users, at, reason = asked["users"], asked["user_id"], "present"
    via = [at]
    for _ in range(MAX_STEPS + 1):
        known = users.get(at, {})
        if known.get("is_present"):
            return {"reason": reason, "acting_user_id": at, "via_user_ids": via}
        step = next(((why, known[member]) for why, member in _WAYS if known.get(member)), None)
        if step is None or step[1] in via or len(via) > MAX_STEPS:
            break
        reason, at = step
        via.append(at)
    return {"reason": "nobody", "via_user_ids": via}


@handles("resolveActingUsers")
def resolve(call: Call) -> Reply:
    """Tell for each user who acts in its place at the moment that is asked about."""
    at = call.body.get("checked_at", call.now)
    for index, id in enumerate(call.body["user_ids"]):
        if call.records.peek(USERS, id) is None:
            error = {"pointer": f"#/user_ids/{index}", "code": "invalid_reference", "detail": "leads to no user"}
            raise Problem("validation_failed", "1 field is not valid; see errors.", [error])
    users = _as_of(call, at)
    return Reply(200, {"checked_at": at, "results": [_result(users, id) for id in call.body["user_ids"]]})


def _result(users: Mapping[str, Mapping[str, Any]], id: str) -> dict[str, Any]:
    body = {"user_id": id, "is_absent": not users[id]["is_present"], **acting_user({"user_id": id, "users": users})}
    return body | ({"back_at": users[id]["back_at"]} if "back_at" in users[id] else {})


def _as_of(context: Context, at: str) -> dict[str, dict[str, Any]]:
    """Return every user with what decides: whether it is there, and who could act."""
    found: dict[str, dict[str, Any]] = {}
    for user in context.records.find(USERS):
        is_present = user.doc["is_active"] and user.doc.get("kind") != "integration"
        found[user.id] = {"is_present": is_present, "manager_id": user.doc.get("manager_id")}
    for delegation in context.records.find(DELEGATIONS, kind="all_work"):
        if moment_of(delegation.doc, at) == "active":
            found.get(delegation.doc["delegator_id"], {})["delegate_id"] = delegation.doc["delegate_id"]
    for absence in context.records.find(ABSENCES):
        if moment_of(absence.doc, at) == "active" and absence.doc["user_id"] in found:
            away = {"is_present": False, "back_at": absence.doc["ends_at"], "substitute_id": absence.doc.get("substitute_id")}
            found[absence.doc["user_id"]] |= away
    return found
