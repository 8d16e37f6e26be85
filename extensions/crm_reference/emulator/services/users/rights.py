"""What a user may do and why: assignments, direct or by groups, and what roles and permission sets give.

Everything is computed from the stored assignments at the moment of the question. Roles and permission sets are security's: this
service reads its copy of them and never writes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes
from crm_reference.emulator.store import Record

USERS, GROUPS, TEAMS, ASSIGNMENTS = "users", "groups", "teams", "role-assignments"
ROLES, PERMISSION_SETS = "roles", "permission-sets"
#: Key of the role that may do everything.
ADMINISTRATOR = "administrator"
#: How many groups may stand in each other.
MAX_DEPTH = 10
#: How far access to records reaches, from nothing to everything.
REACHES = ("none", "own", "team", "hierarchy", "all")
ACTIONS = ("read", "write", "delete")

#: A way to a user through groups: from the group that is asked about inwards; empty for a direct member.
Path = tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """One way by which a user comes by rights.

    :param given: The role or permission set.
    :param groups: From the group that has the assignment inwards to the one that the user is in; empty where it is direct.
    """

    assignment: Record
    given: Record
    groups: Path

    @property
    def is_role(self) -> bool:
        """Whether a role is given rather than a permission set."""
        return self.given.collection == ROLES


def members(record: Record, /) -> Mapping[str, Mapping[str, Any]]:
    """Return the direct members of a group or a team, by ID, with when they came and by whom."""
    found: Mapping[str, Mapping[str, Any]] = record.doc.get("_members", {})
    return found


def all_groups(context: Context, /) -> list[Record]:
    """Return the living groups of the tenant."""
    return context.world.store.remembered(GROUPS, context.tenant, lambda: context.records.find(GROUPS))


def ways_to(context: Context, id: str, /) -> dict[str, tuple[Record, Path]]:
    """Return every group that a user or group is in, by ID, with the shortest way inwards.

    :return: The group, and the groups between it and the one that ``id`` is directly in; no circle can make it endless.
    """
    groups = all_groups(context)
    found: dict[str, tuple[Record, Path]] = {}
    pending: list[tuple[str, Path]] = [(id, ())]
    for _ in range(MAX_DEPTH + 1):
        following: list[tuple[str, Path]] = []
        for inner, path in pending:
            for group in groups:
                if inner in members(group) and group.id not in found and group.id != id:
                    found[group.id] = (group, path)
                    following.append((group.id, (group, *path)))
        pending = following
    return found


def reached(context: Context, group: Record, /) -> dict[str, Path]:
    """Return the users whom a group reaches, by ID in order, with the shortest way through nested groups."""
    by_id = {g.id: g for g in all_groups(context)}
    found: dict[str, Path] = {}
    pending: list[tuple[Record, Path]] = [(group, ())]
    seen = {group.id}
    while pending:
        following: list[tuple[Record, Path]] = []
        for at, path in pending:
            for id in members(at):
                if id.startswith("usr_"):
                    found.setdefault(id, path)
                elif id in by_id and id not in seen:
                    seen.add(id)
                    following.append((by_id[id], (*path, by_id[id])))
        pending = following
    return {id: found[id] for id in sorted(found) if context.records.peek(USERS, id)}


def team_mates(context: Context, user: str, /) -> set[str]:
    """Return everybody who works in a team of a user, the user included."""
    teams = context.world.store.remembered(TEAMS, context.tenant, lambda: context.records.find(TEAMS))
    return {user, *(mate for team in teams if user in members(team) for mate in members(team))}


def holds(assignment: Mapping[str, Any], at: str, /) -> bool:
    """Tell whether an assignment holds at a moment."""
    return "expires_at" not in assignment or assignment["expires_at"] > at


def sources(
    context: Context, user: str, /, at: str = "", extra: Iterable[Record] = (), without: Iterable[str] = ()
) -> list[Source]:
    """Return every way by which a user comes by a role or a permission set.

    :param at: The moment; now where empty.
    :param extra: Assignments that aren't stored, for previews.
    :param without: IDs of assignments to leave out.
    """
    ways: dict[str, Path] = {user: ()}
    ways |= {id: (group, *path) for id, (group, path) in ways_to(context, user).items()}
    gone, moment = set(without), at or context.now
    stored = context.world.store.remembered(ASSIGNMENTS, context.tenant, lambda: context.records.find(ASSIGNMENTS))
    found = []
    for assignment in (*stored, *extra):
        doc = assignment.doc
        if doc["principal_id"] not in ways or assignment.id in gone or not holds(doc, moment):
            continue
        given = given_by(context, doc)
        if given is not None:
            found.append(Source(assignment, given, ways[doc["principal_id"]]))
    return found


def given_by(context: Context, assignment: Mapping[str, Any], /) -> Record | None:
    """Return the role or permission set that an assignment gives; ``None`` where it no longer exists."""
    if "role_id" in assignment:
        return context.records.peek(ROLES, assignment["role_id"])
    return context.records.peek(PERMISSION_SETS, assignment["permission_set_id"])


def scopes_of(context: Context, given: Record, /) -> tuple[str, ...]:
    """Return the scopes of a role or permission set: its own list, or for a default role what the manifests' matrices give it."""
    listed = given.doc.get("scopes")
    if listed is None:
        key = given.doc.get("key", "")
        listed = [name for name, scope in _matrix(context) if key in scope]
    return tuple(sorted(set(listed)))


def _matrix(context: Context) -> Iterator[tuple[str, tuple[str, ...]]]:
    for service in context.world.contract.services.values():
        for name, scope in service.manifest.scopes.items():
            yield name, scope.roles


def is_active(context: Context, user: str, /) -> bool:
    """Tell whether a user exists and is active."""
    record = context.records.peek(USERS, user)
    return record is not None and bool(record.doc.get("is_active", True))


def scopes_with_sources(context: Context, found: Iterable[Source], /) -> dict[str, list[Source]]:
    """Return the scopes that sources give together, each with its sources, in the order of the alphabet."""
    by_scope: dict[str, list[Source]] = {}
    for source in found:
        for scope in scopes_of(context, source.given):
            by_scope.setdefault(scope, []).append(source)
    return dict(sorted(by_scope.items()))


@computes("widest_record_access")
def widest_record_access(levels: list[dict[str, str]]) -> list[dict[str, str]]:
    """Join the record access of several roles and permission sets: for each kind of record and each action the widest reach.

    :param levels: Entries ``{object_type, read, write, delete}``, a reach each; what is left out is ``none``.
    :return: One entry for each kind of record, by its name. Nobody changes or deletes what they can't read.
    """
    joined: dict[str, dict[str, str]] = {}
    for level in levels:
        entry = joined.setdefault(level["object_type"], dict.fromkeys(ACTIONS, "none"))
        for action in ACTIONS:
            entry[action] = max(entry[action], level.get(action, "none"), key=REACHES.index)
    for entry in joined.values():
        for action in ("write", "delete"):
            entry[action] = min(entry[action], entry["read"], key=REACHES.index)
    return [{"object_type": name, **joined[name]} for name in sorted(joined)]


def record_access(found: Iterable[Source], /) -> list[dict[str, str]]:
    """Return how far sources together reach into each kind of record."""
    joined: list[dict[str, str]] = widest_record_access(
        [level for source in found for level in source.given.doc.get("record_access", ())]
    )
    return joined


def shown(source: Source, /) -> dict[str, Any]:
    """Return a source as an answer has it."""
    body: dict[str, Any] = {"role_assignment_id": source.assignment.id, "kind": "role" if source.is_role else "permission_set"}
    body["role_id" if source.is_role else "permission_set_id"] = source.given.id
    body["name"] = source.given.doc["name"]
    if source.groups:
        body["group_path"] = [summary(group) for group in source.groups]
    if "expires_at" in source.assignment.doc:
        body["expires_at"] = source.assignment.doc["expires_at"]
    return body


def summary(group: Record, /) -> dict[str, str]:
    """Return a group as a reference shows it."""
    return {"id": group.id, "name": group.doc["name"]}


def above(context: Context, role: Record, /) -> list[str]:
    """Return the IDs of a role and of every role that stands above it, from the role upwards."""
    found, at = [role.id], role.doc.get("parent_role_id")
    while at and at not in found:
        found.append(at)
        parent = context.records.peek(ROLES, at)
        at = parent.doc.get("parent_role_id") if parent else None
    return found


def may_give(context: Context, given: Record, /) -> bool:
    """Tell whether the caller may give a role (one of its own, or below one) or a permission set (administrators alone).

    A client without a user is the platform's own: what it may do its scope decides.
    """
    user = context.identity.user
    if not user or context.is_upkeep:
        return True
    own = [s.given for s in sources(context, user) if s.is_role]
    if any(role.doc.get("key") == ADMINISTRATOR for role in own):
        return True
    return given.collection == ROLES and not {r.id for r in own}.isdisjoint(above(context, given))


def administrators(context: Context, /, without: Iterable[str] = (), but: Callable[[str], bool] = lambda user: False) -> set[str]:
    """Return the active users who are administrators for good.

    :param without: IDs of assignments to leave out.
    :param but: Tells which users to leave out.
    """
    gone, found = set(without), set()
    for role in context.records.find(ROLES, key=ADMINISTRATOR):
        for assignment in context.records.find(ASSIGNMENTS, role_id=role.id):
            if assignment.id in gone or "expires_at" in assignment.doc:
                continue
            principal = assignment.doc["principal_id"]
            group = context.records.peek(GROUPS, principal) if principal.startswith("grp_") else None
            found |= set(reached(context, group)) if group else {principal}
    return {user for user in found if is_active(context, user) and not but(user)}


def guard_last_administrator(context: Context, user: str, /) -> None:
    """Refuse that the last active administrator is deactivated or deleted.

    :raises Problem: ``last_administrator``.
    """
    if not context.is_upkeep and user in administrators(context) and not administrators(context, but=lambda id: id == user):
        raise no_administrator_left()


def no_administrator_left() -> Problem:
    """Return the problem that tells that a change would leave no administrator."""
    return Problem("last_administrator", "No active user would be an administrator for good. Make somebody else one first.")
