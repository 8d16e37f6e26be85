"""Decisions: the steps from a question to an answer, each with what it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crm_reference.contract import Resource
from crm_reference.emulator import access, field_access
from crm_reference.emulator.access import Subject, people
from crm_reference.emulator.call import Context
from crm_reference.emulator.services.security import policies
from crm_reference.emulator.services.security.definitions import scopes_of
from crm_reference.emulator.services.security.fields import known_object
from crm_reference.emulator.store import Record

Doc = Mapping[str, Any]

#: Generic behaviours whose operation says which scope an action needs.
_BEHAVIOURS = {"read": ("read", "list"), "create": ("create",), "write": ("update", "replace"), "delete": ("delete",)}
_VERBS = {"read": "see", "write": "change", "delete": "delete", "create": "create", "export": "export"}


@dataclass(slots=True)
class Trail:
    """The steps of one decision as they are taken."""

    context: Context
    subject: Subject
    check: Doc
    resource: Resource
    steps: list[dict[str, Any]] = field(default_factory=list)
    denied: tuple[str, str] | None = None
    allowed: tuple[str, str] = ("ungoverned", "")
    found: dict[str, Any] = field(default_factory=dict)
    #: What the policies were asked, and what they said.
    asked: tuple[dict[str, Any], dict[str, Any]] | None = None

    def note(self, step: str, outcome: str, detail: str, /, **members: Any) -> None:
        """Append a step; members that are empty are left out."""
        self.steps.append({"step": step, "outcome": outcome, "detail": detail, **{k: v for k, v in members.items() if v}})

    def deny(self, reason: str, detail: str, /) -> None:
        """Deny, unless an earlier step did."""
        self.denied = self.denied or (reason, detail)

    @property
    def action(self) -> str:
        """What somebody wants to do."""
        return str(self.check["action"])

    @property
    def reach(self) -> str:
        """The action whose level is asked: whoever sees a record may export it, where the scope is there."""
        return "read" if self.action == "export" else self.action

    @property
    def name(self) -> str:
        """The user's name, or ID where the name isn't known."""
        return str(people(self.context).users.get(self.subject.user, {}).get("full_name", self.subject.user))


def decide(context: Context, subject: Subject, check: Doc, pointer: str = "#", /) -> Trail:
    """Take all steps of a decision, also those behind the one that decides.

    :param pointer: Where the check stands in the body.
    :raises Problem: ``validation_failed`` where the kind of record is unknown.
    """
    resource = known_object(context, check["object_type"], f"{pointer}/object_type")
    trail = Trail(context, subject, check, resource)
    _user(trail)
    _scope(trail)
    record = _record(trail)
    _field(trail)
    _policy(trail, record)
    return trail


def verdict(trail: Trail, /) -> dict[str, Any]:
    """Return the decision of a trail as clients see it."""
    reason, detail = trail.denied or trail.allowed
    check = trail.check
    body = {
        "is_allowed": trail.denied is None,
        "reason": reason,
        "detail": detail or f"{trail.name} may {_VERBS[trail.action]} records of the kind {trail.resource.object}.",
        "user_id": trail.subject.user,
        "action": trail.action,
        "object_type": trail.resource.object,
    }
    body |= {name: check[name] for name in ("record_id", "field") if name in check}
    return {**body, **trail.found, "decided_at": trail.context.now}


# -- steps ---------------------------------------------------------------------------------------------------------------------


def _user(trail: Trail) -> None:
    doc = people(trail.context).users.get(trail.subject.user)
    if doc is None or not doc.get("is_active", True):
        detail = f"{trail.name} is deactivated." if doc else "There is no such user."
        trail.note("user", "failed", detail)
        trail.deny("user_inactive", detail)
        return
    trail.note("user", "passed", f"{trail.name} is active.", role_ids=[r["id"] for r in trail.subject.roles])


def scope_for(context: Context, resource: Resource, action: str, /) -> str:
    """Return the scope that an action on a kind of record needs, as the operation that does it says; empty where none does."""
    if action == "export":
        scope = f"{resource.service}.export"
        return scope if scope in context.world.contract.scopes else ""
    operations = context.world.contract.services[resource.service].operations
    for behaviour in _BEHAVIOURS[action]:
        for operation in operations:
            if operation.resource == resource.collection and operation.behaviour == behaviour and operation.scopes:
                return operation.scopes[0]
    return ""


def _scope(trail: Trail) -> None:
    scope = scope_for(trail.context, trail.resource, trail.action)
    if not scope:
        trail.note("scope", "skipped", f"No operation lets anybody {_VERBS[trail.action]} a record of this kind.")
        return
    trail.found["scope"] = scope
    roles = [r for r in trail.subject.roles if scope in scopes_of(trail.context, r)]
    sets = [s for s in trail.subject.sets if scope in scopes_of(trail.context, s)]
    if not roles and not sets:
        detail = f"No role and no permission set of {trail.name} has the scope {scope}."
        trail.note("scope", "failed", detail)
        trail.deny("scope_missing", detail)
        return
    names = " and ".join(str(g["name"]) for g in (*roles, *sets))
    trail.note(
        "scope",
        "passed",
        f"{names} {'has' if len(roles) + len(sets) == 1 else 'have'} the scope {scope}.",
        role_ids=[r["id"] for r in roles],
        permission_set_ids=[s["id"] for s in sets],
    )


def _record(trail: Trail) -> Record | None:
    context, resource, id = trail.context, trail.resource, trail.check.get("record_id")
    if id is None or not resource.owner or trail.action == "create":
        trail.note("record_access", "skipped", "No record was named, or records of this kind are governed by scopes alone.")
        trail.note("sharing", "skipped", "Without a record there is nothing to share.")
        return None if id is None else context.records.peek(resource.collection, id)
    record = context.records.peek(resource.collection, id)
    if record is None:
        _unseen(trail, "There is no such record.")
        trail.note("sharing", "skipped", "Without a record there is nothing to share.")
        return None
    seen = _reached(trail, record, "read")
    done = seen if trail.reach == "read" else _reached(trail, record, trail.reach)
    opening = {a: access.opening_rule(context, trail.subject, resource, record, a) for a in ("read", trail.reach)}
    _levels(trail, seen, done)
    _sharing(trail, opening, is_needed=not (seen and done))
    if not seen and opening["read"] is None:
        trail.deny("record_not_visible", f"{trail.name} sees no such record.")
    elif not done and opening[trail.reach] is None:
        trail.deny("record_read_only", f"{trail.name} sees the record and may not {_VERBS[trail.action]} it.")
    elif done:
        trail.allowed = done
    else:
        rule = opening[trail.reach] or {}
        trail.found["sharing_rule_id"] = rule["id"]
        trail.allowed = ("sharing_rule", f"The sharing rule {rule['name']} opens the record.")
    return record


def _unseen(trail: Trail, detail: str) -> None:
    trail.note("record_access", "failed", detail)
    trail.deny("record_not_visible", f"{trail.name} sees no such record.")


def _reached(trail: Trail, record: Record, action: str) -> tuple[str, str] | None:
    """Return by what a record is within reach of the user's levels, as reason and detail; ``None`` where it isn't."""
    subject, owner = trail.subject, record.doc.get(trail.resource.owner)
    if owner == subject.user:
        return "owner", f"{trail.name} owns the record."
    if not _within(trail, subject, owner, action):
        return None
    level = subject.levels.get((trail.resource.object, action), "")
    if subject.emergencies:
        plain = people(trail.context).subject(subject.user, trail.context.now, removed=subject.emergencies)
        if not _within(trail, plain, owner, action):
            return "break_glass", f"Emergency access of {trail.name} is active."
    if not level:
        return "ungoverned", f"No role of {trail.name} limits records of this kind."
    return "level", f"The level {level} reaches the record."


def _within(trail: Trail, subject: Subject, owner: Any, action: str) -> bool:
    level = subject.level(trail.resource.object, action)
    return level == "all" or owner in subject.owners(level)


def _levels(trail: Trail, seen: tuple[str, str] | None, done: tuple[str, str] | None) -> None:
    roles = [r["id"] for r in trail.subject.roles if _names(r, trail.resource.object)]
    sets = [s["id"] for s in trail.subject.sets if _names(s, trail.resource.object)]
    if seen and done:
        trail.note("record_access", "passed", done[1], role_ids=roles, permission_set_ids=sets)
        return
    action = "read" if not seen else trail.reach
    level = trail.subject.level(trail.resource.object, action)
    detail = f"To {_VERBS[action]} it the level is {level}, and the record belongs to somebody else."
    trail.note("record_access", "failed", detail, role_ids=roles, permission_set_ids=sets)


def _names(grant: Doc, object: str) -> bool:
    return any(entry["object_type"] == object for entry in grant.get("record_access", ()))


def _sharing(trail: Trail, opening: Mapping[str, Doc | None], *, is_needed: bool) -> None:
    rules = list(dict.fromkeys(r["id"] for r in opening.values() if r is not None))
    decisive = opening[trail.reach]
    if decisive is not None:
        trail.note("sharing", "passed", f"The sharing rule {decisive['name']} opens the record.", sharing_rule_ids=rules)
    elif is_needed:
        detail = f"No sharing rule lets {trail.name} {_VERBS[trail.action]} the record."
        trail.note("sharing", "failed", detail, sharing_rule_ids=rules)
    else:
        trail.note("sharing", "skipped", "The levels suffice.")


def _field(trail: Trail) -> None:
    name = trail.check.get("field")
    if name is None:
        trail.note("field_security", "skipped", "No field was named.")
        return
    limited = field_access.rights(trail.context, trail.resource.object, trail.subject.roles, trail.subject.sets)
    right = limited.get(name, "write")
    if right == "hidden":
        trail.note("field_security", "failed", f"{name} is hidden from {trail.name}.")
        trail.deny("field_hidden", f"{name} is hidden from {trail.name}.")
    elif right == "read" and trail.reach != "read":
        trail.note("field_security", "failed", f"{trail.name} may see {name} and not set it.")
        trail.deny("field_read_only", f"{trail.name} may see {name} and not set it.")
    else:
        trail.note("field_security", "passed", f"{trail.name} may {'set' if right == 'write' else 'see'} {name}.")


def _policy(trail: Trail, record: Record | None) -> None:
    said = trail.check.get("circumstances") or {}
    named = {"address": "ip_address", "has_second_factor": "has_second_factor", "client_id": "client_id", "at": "occurs_at"}
    given = {name: said[member] for name, member in named.items() if member in said}
    user = {**people(trail.context).users.get(trail.subject.user, {}), "id": trail.subject.user}
    request = {
        "action": trail.action,
        "object_type": trail.resource.object,
        "user": {**user, "role_keys": list(trail.subject.role_keys)},
        "record": record.doc if record is not None else {},
        "context": {**given, "is_break_glass": bool(trail.subject.emergencies)},
    }
    decided = policies.decision(trail.context, request)
    trail.asked = (request, decided)
    if decided["decision"] == "allow":
        trail.note("policy", "passed", "No access policy stands against it.")
        return
    needs_factor = decided["decision"] == "require_second_factor"
    detail = "An access policy demands a second factor." if needs_factor else "An access policy denies it."
    trail.note("policy", "failed", detail)
    if trail.denied is None and "policy_id" in decided:
        trail.found["policy_id"] = decided["policy_id"]
    trail.deny("second_factor_required" if needs_factor else "policy", detail)
