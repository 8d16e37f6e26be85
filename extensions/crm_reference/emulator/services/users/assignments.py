"""Role assignments: giving, copying and revoking roles, and what a change of them would mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import derives, enforces, handles, hears, presents
from crm_reference.emulator.services.users import rights
from crm_reference.emulator.services.users.rights import ASSIGNMENTS, GROUPS, PERMISSION_SETS, ROLES, USERS
from crm_reference.emulator.store import Record

#: How many users a preview lists.
_PREVIEWED = 100


@derives(ASSIGNMENTS)
def derive(context: Context | None, assignment: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read off the ID whether a user or a group has it."""
    return {"principal_type": "user" if assignment["principal_id"].startswith("usr_") else "group"}


@presents(ASSIGNMENTS)
def present(context: Context, assignment: Record) -> Mapping[str, Any]:
    """Tell whether it holds now."""
    return {"is_active": rights.holds(assignment.doc, context.now)}


# -- rules -----------------------------------------------------------------------------------------------------------


@enforces("assignment_principal_exists")
def assignment_principal_exists(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Look the principal up among users and groups."""
    id = new["principal_id"]
    found = context.records.peek(USERS if id.startswith("usr_") else GROUPS, id)
    return "" if found else "Principal leads to no user and no group."


@enforces("assignment_names_one")
def assignment_names_one(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Count what is given."""
    return "" if ("role_id" in new) != ("permission_set_id" in new) else "Send either role_id or permission_set_id."


@enforces("assignment_not_above_own")
def assignment_not_above_own(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare the role with those of the caller."""
    given = rights.given_by(context, new) if ("role_id" in new) != ("permission_set_id" in new) else None
    if given is None or rights.may_give(context, given):
        return ""
    return f"{given.doc['name']} stands above your own roles, or takes an administrator to give."


@enforces("assignment_ends_later")
def assignment_ends_later(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare a new end with the present moment."""
    end = new.get("expires_at")
    if end is None or (old is not None and old.get("expires_at") == end) or end > context.now:
        return ""
    return f"The end must be later than {context.now}."


# -- changes ---------------------------------------------------------------------------------------------------------


@handles("updateRoleAssignment")
def update(call: Call) -> Reply:
    """Change end or reason, unless the last administrator's role would end."""
    reply = single.update(call)
    if call.body.get("expires_at") and "expires_at" not in call.found.doc:
        _keep_administrators(call, call.found)
    return reply


@handles("deleteRoleAssignment")
def delete(call: Call) -> Reply:
    """Revoke an assignment, unless it stands above the caller or is the last one that makes an administrator."""
    given = rights.given_by(call, call.found.doc)
    if given is not None and not rights.may_give(call, given):
        detail = f"{given.doc['name']} stands above your own roles, or takes an administrator to revoke."
        raise Problem("role_above_own", detail)
    _keep_administrators(call, call.found)
    return single.delete(call)


def _keep_administrators(context: Context, assignment: Record) -> None:
    given = rights.given_by(context, assignment.doc)
    is_lasting = given is not None and given.doc.get("key") == rights.ADMINISTRATOR and "expires_at" not in assignment.doc
    if is_lasting and not rights.administrators(context, without=[assignment.id]):
        raise rights.no_administrator_left()


@handles("copyRoleAssignments")
def copy(call: Call) -> Reply:
    """Give one user the direct assignments of another."""
    origin, target = call.body["from_user_id"], call.body["to_user_id"]
    for member, id in (("from_user_id", origin), ("to_user_id", target)):
        if call.records.peek(USERS, id) is None:
            error = {"pointer": f"#/{member}", "code": "invalid_reference", "detail": "leads to no user"}
            raise Problem("validation_failed", "1 field is not valid; see errors.", [error])
    if origin == target:
        raise Problem("copy_to_self", "Name the newcomer in to_user_id and the colleague in from_user_id.")
    present_ones = {_given_id(a.doc) for a in call.records.find(ASSIGNMENTS, principal_id=target)}
    created: list[dict[str, Any]] = []
    skipped: list[dict[str, Any]] = []
    for assignment in call.records.find(ASSIGNMENTS, principal_id=origin):
        if not rights.holds(assignment.doc, call.now):
            skipped.append({"from_assignment_id": assignment.id, "why": "expired"})
        elif _given_id(assignment.doc) in present_ones:
            skipped.append({"from_assignment_id": assignment.id, "why": "already_assigned"})
        else:
            created.append(_copied(call, assignment, target))
    return Reply(200, {"created": created, "skipped": skipped})


def _given_id(doc: Mapping[str, Any]) -> str:
    id: str = doc.get("role_id") or doc["permission_set_id"]
    return id


def _copied(call: Call, assignment: Record, target: str) -> dict[str, Any]:
    body: dict[str, Any] = {k: v for k, v in assignment.doc.items() if k in ("role_id", "permission_set_id", "expires_at")}
    entry = {"from_assignment_id": assignment.id, **{k: v for k, v in body.items() if k != "expires_at"}}
    given = rights.given_by(call, body)
    if given is not None and not rights.may_give(call, given):
        raise Problem("role_above_own", f"{given.doc['name']} stands above your own roles, or takes an administrator to give.")
    if not call.body.get("validate_only"):
        body |= {"principal_id": target, **({"reason": call.body["reason"]} if "reason" in call.body else {})}
        entry["role_assignment_id"] = call.records.create(ASSIGNMENTS, body, event="crm.role_assignment.created.v1").id
    return entry


# -- preview ---------------------------------------------------------------------------------------------------------


@handles("previewRoleAssignments")
def preview(call: Call) -> Reply:
    """Tell which scopes active users would gain and lose, and store nothing."""
    principal = call.body["principal_id"]
    extra = [_planned(call, principal, index, grant) for index, grant in enumerate(call.body.get("grants", ()))]
    revoked = call.body.get("revoked_assignment_ids", ())
    for index, id in enumerate(revoked):
        assignment = call.records.peek(ASSIGNMENTS, id)
        if assignment is None or assignment.doc["principal_id"] != principal:
            raise _dangling(f"#/revoked_assignment_ids/{index}", "leads to no assignment of this user or group")
    affected = []
    for user in _reached(call, principal):
        before = set(rights.scopes_with_sources(call, rights.sources(call, user)))
        after = set(rights.scopes_with_sources(call, rights.sources(call, user, extra=extra, without=revoked)))
        if before != after:
            affected.append({"user_id": user, "gained_scopes": sorted(after - before), "lost_scopes": sorted(before - after)})
    return Reply(200, {"principal_id": principal, "affected_count": len(affected), "users": affected[:_PREVIEWED]})


def _reached(call: Call, principal: str) -> list[str]:
    if principal.startswith("usr_"):
        if call.records.peek(USERS, principal) is None:
            raise _dangling("#/principal_id", "leads to no user and no group")
        return [principal] if rights.is_active(call, principal) else []
    group = call.records.peek(GROUPS, principal)
    if group is None:
        raise _dangling("#/principal_id", "leads to no user and no group")
    return [user for user in rights.reached(call, group) if rights.is_active(call, user)]


def _planned(call: Call, principal: str, index: int, grant: Mapping[str, str]) -> Record:
    (member, id), *_ = grant.items()
    if call.records.peek(ROLES if member == "role_id" else PERMISSION_SETS, id) is None:
        raise _dangling(f"#/grants/{index}/{member}", "leads to no role and no permission set")
    return Record(ASSIGNMENTS, f"planned {index}", 1, {"principal_id": principal, member: id})


def _dangling(pointer: str, detail: str) -> Problem:
    error = {"pointer": pointer, "code": "invalid_reference", "detail": detail}
    return Problem("validation_failed", "1 field is not valid; see errors.", [error])


# -- what security tells ---------------------------------------------------------------------------------------------


@hears("crm.role.deleted.v1")
def hear_role_deleted(context: Context, event: Mapping[str, Any]) -> None:
    """Revoke every assignment of a role that is gone."""
    _revoke(context, role_id=event["data"]["record"]["id"])


@hears("crm.permission_set.deleted.v1")
def hear_permission_set_deleted(context: Context, event: Mapping[str, Any]) -> None:
    """Revoke every assignment of a permission set that is gone."""
    _revoke(context, permission_set_id=event["data"]["record"]["id"])


@hears("crm.access_review.completed.v1")
def hear_review_completed(context: Context, event: Mapping[str, Any]) -> None:
    """Revoke what the reviewers decided to revoke, but for what would leave the tenant without an administrator."""
    for revocation in event["data"].get("revocations", ()):
        id = revocation["role_assignment_id"]
        if rights.administrators(context) and not rights.administrators(context, without=[id]):
            continue
        _revoke(context, id=id)


def _revoke(context: Context, **given: str) -> None:
    for assignment in context.records.find(ASSIGNMENTS, **given):
        context.records.delete(assignment, event="crm.role_assignment.deleted.v1")
