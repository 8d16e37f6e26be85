"""Effective permissions: what a user may do with every reason, compared with another's, and who holds a scope."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.behaviours import listing
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.users import rights
from crm_reference.emulator.services.users.rights import ACTIONS, USERS, Source, shown


@handles("getEffectivePermissions")
def effective(call: Call) -> Reply:
    """Return everything that a user may do at a moment, with its reasons."""
    user = call.records.get(USERS, call.path["user_id"]).id
    at = call.query.get("effective_at") or call.now
    if at < call.now:
        raise _bad("effective_at", "lies in the past; the audit trail tells what held then")
    active = rights.is_active(call, user)
    found = rights.sources(call, user, at) if active else []
    scopes = rights.scopes_with_sources(call, found)
    wanted = call.query.get("scope")
    body: dict[str, Any] = {
        "user_id": user,
        "effective_at": at,
        "is_active": active,
        "roles": _roles(found),
        "scopes": [{"scope": s, "sources": [shown(x) for x in by]} for s, by in scopes.items() if wanted in (None, s)],
        "record_access": rights.record_access(found),
    }
    ends = [s.assignment.doc["expires_at"] for s in found if "expires_at" in s.assignment.doc]
    return Reply(200, body | ({"next_change_at": min(ends)} if ends else {}))


def _roles(found: list[Source]) -> list[dict[str, Any]]:
    by_role: dict[str, list[Source]] = {}
    for source in found:
        if source.is_role:
            by_role.setdefault(source.given.id, []).append(source)
    roles = []
    for id, sources in by_role.items():
        doc = sources[0].given.doc
        roles.append({"role_id": id, "key": doc["key"], "name": doc["name"], "sources": [shown(s) for s in sources]})
    return sorted(roles, key=lambda role: str(role["key"]))


@handles("compareEffectivePermissions")
def compare(call: Call) -> Reply:
    """Return what two users may do both, and what one of them alone."""
    users = [call.records.get(USERS, id).id for id in (call.query["user_id"], call.query["with_user_id"])]
    found = [rights.sources(call, user) if rights.is_active(call, user) else [] for user in users]
    first, second = (set(rights.scopes_with_sources(call, sources)) for sources in found)
    reach = [{level["object_type"]: level for level in rights.record_access(sources)} for sources in found]
    differences = []
    for name in sorted({*reach[0], *reach[1]}):
        for action in ACTIONS:
            one, other = (levels.get(name, {}).get(action, "none") for levels in reach)
            if one != other:
                differences.append({"object_type": name, "action": action, "first": one, "second": other})
    body = {
        "user_id": users[0],
        "with_user_id": users[1],
        "common_scopes": sorted(first & second),
        "only_first_scopes": sorted(first - second),
        "only_second_scopes": sorted(second - first),
        "record_access_differences": differences,
    }
    return Reply(200, body)


@handles("listScopeHolders")
def holders(call: Call) -> Reply:
    """Return the active users who hold a scope, by ID, with every way to it."""
    scope = call.query["scope"]
    if scope not in call.world.contract.scopes:
        raise _bad("scope", "is no scope of the platform")
    found = []
    for user in call.records.find(USERS):
        if rights.is_active(call, user.id):
            sources = rights.scopes_with_sources(call, rights.sources(call, user.id)).get(scope)
            if sources:
                name = user.doc.get("full_name", user.id)
                found.append({"user_id": user.id, "full_name": name, "sources": [shown(s) for s in sources]})
    return listing.paged_items(call, found)


def _bad(parameter: str, detail: str) -> Problem:
    error = {"parameter": parameter, "in": "query", "code": "invalid_value", "detail": detail}
    return Problem("malformed_parameter", "1 parameter can't be read; see errors.", [error])
