"""Access checks as clients ask for them: one, many, explained, under other roles; and who can access a record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from crm_reference.contract import Resource
from crm_reference.emulator import access, field_access
from crm_reference.emulator.access import ACTIONS, Subject, people, subject_of
from crm_reference.emulator.behaviours import listing
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.security import policies
from crm_reference.emulator.services.security.deciding import decide, verdict
from crm_reference.emulator.services.security.definitions import resource_of, scopes_of
from crm_reference.emulator.services.security.fields import invalid
from crm_reference.emulator.store import Record

Doc = Mapping[str, Any]
_READING = "security.read"


def _asked(call: Call, check: Doc) -> Subject:
    """Return whom a check is about.

    :raises Problem: ``insufficient_scope`` where it is another user and the caller may not read roles.
    """
    user = check.get("user_id") or call.identity.user
    if user != call.identity.user and _READING not in call.identity.scopes:
        challenge = f'Bearer realm="crm", error="insufficient_scope", scope="{_READING}"'
        raise Problem(
            "insufficient_scope",
            f"To ask about another user this needs the scope {_READING}.",
            headers={"WWW-Authenticate": challenge},
            required_scopes=[_READING],
        )
    return subject_of(call, user)


@handles("checkAccess")
def check_one(call: Call) -> Reply:
    """Decide one access, and keep what the policies said to it."""
    call.ask("users", "batchReadUsers")
    trail = decide(call, _asked(call, call.body), call.body)
    if trail.asked is not None:
        policies.remember(call, *trail.asked)
    return Reply(200, verdict(trail))


@handles("batchCheckAccess")
def check_many(call: Call) -> Reply:
    """Decide several accesses in the order of the request."""
    checks = call.body["items"]
    found = [verdict(decide(call, _asked(call, check), check, f"#/items/{n}")) for n, check in enumerate(checks)]
    return Reply(200, {"data": found, "allowed_count": sum(v["is_allowed"] for v in found)})


@handles("explainAccess")
def explain(call: Call) -> Reply:
    """Decide one access and show every step."""
    call.ask("users", "batchReadUsers")
    trail = decide(call, _asked(call, call.body), call.body)
    return Reply(200, {"decision": verdict(trail), "steps": trail.steps})


@handles("simulateAccess")
def simulate(call: Call) -> Reply:
    """Decide checks as a user is, and as if roles, sets and teams were others."""
    body = call.body
    user = body.get("user_id") or call.identity.user
    _demand_known(call, body)
    before = subject_of(call, user)
    after = people(call).subject(
        user,
        call.now,
        added=(*body.get("add_role_ids", ()), *body.get("add_permission_set_ids", ())),
        removed=body.get("remove_role_ids", ()),
        teams=body.get("add_team_ids", ()),
    )
    results = []
    for n, check in enumerate(body["checks"]):
        pair = [verdict(decide(call, subject, check, f"#/checks/{n}")) for subject in (before, after)]
        changed = pair[0]["is_allowed"] != pair[1]["is_allowed"]
        results.append({"before": pair[0], "after": pair[1], "is_changed": changed})
    gained = sum(r["is_changed"] and r["after"]["is_allowed"] for r in results)
    lost = sum(r["is_changed"] for r in results) - gained
    return Reply(200, {"data": results, "gained_count": gained, "lost_count": lost})


def _demand_known(call: Call, body: Doc) -> None:
    named = {
        "add_role_ids": access.ROLES,
        "remove_role_ids": access.ROLES,
        "add_permission_set_ids": access.SETS,
        "add_team_ids": access.TEAMS,
    }
    for member, collection in named.items():
        for index, id in enumerate(body.get(member, ())):
            if call.records.peek(collection, id) is None:
                raise invalid(f"#/{member}/{index}", "invalid_reference", f"There is no record of {collection} with this ID.")


# -- who can access a record ----------------------------------------------------------------------------------------------------


@handles("listRecordAccess")
def who(call: Call) -> Reply:
    """List the active users who can access a record, each with how far and by what."""
    resource = resource_of(call, call.path["object_type"])
    if resource is None:
        detail = f"{call.path['object_type']} is no kind of record."
        entry = {"parameter": "object_type", "in": "path", "code": "object_type_unknown", "detail": detail}
        raise Problem("validation_failed", detail, [entry])
    record = call.records.get(resource.collection, call.path["record_id"])
    call.ask("users", "batchReadUsers")
    known = people(call)
    entries = []
    for user in sorted(known.users):
        if not known.users[user].get("is_active", True):
            continue
        found = _entry(call, resource, record, subject_of(call, user))
        if found is not None and _may(found, call.query.get("action")):
            name = known.users[user].get("full_name")
            entries.append(found | ({"full_name": name} if name else {}))
    return listing.paged_items(call, entries)


def _may(entry: Doc, action: str | None) -> bool:
    return bool(entry.get({"write": "can_write", "delete": "can_delete"}.get(action or "", ""), True))


def _entry(call: Call, resource: Resource, record: Record, subject: Subject) -> dict[str, Any] | None:
    """Return how far a user's access to a record goes; ``None`` where the user doesn't see it."""
    owner = record.doc.get(resource.owner) if resource.owner else None
    reached = {a: _reaches(resource, subject, owner, a) for a in ACTIONS}
    rules = {a: access.opening_rule(call, subject, resource, record, a) for a in ("read", "write")}
    if not reached["read"] and rules["read"] is None:
        return None
    entry: dict[str, Any] = {
        "user_id": subject.user,
        "can_write": reached["write"] or rules["write"] is not None,
        "can_delete": reached["delete"],
    }
    if not reached["read"] and rules["read"] is not None:
        return entry | {"reason": "sharing_rule", "sharing_rule_id": rules["read"]["id"]}
    if owner is not None and owner == subject.user:
        return entry | {"reason": "owner"}
    return entry | {"reason": "level" if (resource.object, "read") in subject.levels else "ungoverned"}


def _reaches(resource: Resource, subject: Subject, owner: Any, action: str) -> bool:
    level = subject.level(resource.object, action)
    return not resource.owner or level == "all" or owner in subject.owners(level)


# -- what a service keeps --------------------------------------------------------------------------------------------------------


@handles("getAccessProjection")
def projection(call: Call) -> Reply:
    """Return all that a service must know of a user, with an ETag over it."""
    known, user = people(call), call.path["user_id"]
    if user not in known.users:
        raise Problem("not_found", f"No user has the ID {user}.")
    subject = subject_of(call, user)
    body = {
        "user_id": user,
        "is_active": bool(known.users[user].get("is_active", True)),
        "role_keys": list(subject.role_keys),
        "scopes": sorted({s for grant in (*subject.roles, *subject.sets) for s in scopes_of(call, grant)}),
        "record_access": _access(subject),
        "team_user_ids": sorted(subject.team),
        "hierarchy_user_ids": sorted(subject.below),
        "sharing_rules": _rules(call, subject),
        "limited_fields": _limited(call, subject),
    }
    etag = f'"{hashlib.sha256(orjson.dumps(body)).hexdigest()[:16]}"'
    if call.headers.get("If-None-Match") in (etag, "*"):
        return Reply(304, None, {"ETag": etag})
    return Reply(200, body, {"ETag": etag})


def _access(subject: Subject) -> list[dict[str, str]]:
    objects = sorted({object for object, _ in subject.levels})
    return [{"object_type": o, **{a: subject.levels[o, a] for a in ACTIONS}} for o in objects]


def _rules(context: Context, subject: Subject) -> list[dict[str, Any]]:
    found = [r.doc for r in context.records.find(access.RULES) if r.doc["is_active"]]
    members = ("id", "object_type", "criteria", "access")
    return [
        {name: rule[name] for name in members}
        for rule in found
        if (rule["share_with"]["type"], rule["share_with"]["id"]) in subject.targets
    ]


def _limited(context: Context, subject: Subject) -> list[dict[str, str]]:
    objects = sorted({r.doc["object_type"] for r in context.records.find(field_access.DEFINITIONS)})
    return [
        {"object_type": object, "field": field, "access": right}
        for object in objects
        for field, right in field_access.rights(context, object, subject.roles, subject.sets).items()
    ]
