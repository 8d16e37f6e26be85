"""Who may see and change which record: what security defined and users assigned, as every service enforces it from its copy.

A user's rights are the union of what roles and permission sets give, and sharing rules add to them; nothing here takes a right
away. Kinds of record that no role or set of a user names are governed by scopes alone. In a world without role assignments the
token's claim ``sees`` decides, and everything may be changed that is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import orjson

from crm_reference.contract import Resource
from crm_reference.emulator import custom_fields
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition, Fields
from crm_reference.emulator.registry import OPENINGS
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record, Store

if TYPE_CHECKING:
    from crm_reference.emulator.call import Call, Context

_T = TypeVar("_T")
Doc = Mapping[str, Any]

#: Levels of access to records, the widest last.
LEVELS = ("none", "own", "team", "hierarchy", "all")
ACTIONS = ("read", "write", "delete")

ROLES, SETS, RULES, ASSIGNMENTS = "roles", "permission-sets", "sharing-rules", "role-assignments"
TEAMS, GROUPS, USERS, EMERGENCIES = "teams", "groups", "users", "break-glass"
#: What a subject is made of.
_SOURCES = (ASSIGNMENTS, ROLES, SETS, TEAMS, GROUPS, USERS, EMERGENCIES)
#: Later than any instant.
_FOR_EVER = "9999"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a user's roles and permission sets come to.

    :param roles: The roles, those of active emergency access included, each once.
    :param emergencies: IDs of the roles that emergency access gives.
    :param targets: Type and ID of everything by which a sharing rule reaches the user.
    :param levels: The widest level by kind of record and action, for the kinds that a role or set names.
    :param team: Owners whom the level ``team`` reaches.
    :param below: Owners whom the level ``hierarchy`` reaches.
    :param holds_until: When an assignment runs out.
    """

    user: str
    roles: tuple[Doc, ...]
    sets: tuple[Doc, ...]
    emergencies: frozenset[str]
    targets: frozenset[tuple[str, str]]
    levels: Mapping[tuple[str, str], str]
    team: frozenset[str]
    below: frozenset[str]
    holds_until: str

    @property
    def role_keys(self) -> tuple[str, ...]:
        """The roles' keys, in alphabetical order."""
        return tuple(sorted(role["key"] for role in self.roles))

    def level(self, object: str, action: str, /) -> str:
        """Return the level for a kind of record and an action.

        It is ``all`` where nothing of the user names the kind, but for a user without any role: whose last role was taken away
        must not see more than before.
        """
        return self.levels.get((object, action), "all" if self.roles else "own")

    def owners(self, level: str, /) -> frozenset[str]:
        """Return the owners whom a level other than ``all`` reaches; what a user owns is always within reach."""
        return {"team": self.team, "hierarchy": self.below}.get(level, frozenset({self.user}))


class People:
    """Users, their assignments, groups and teams of one tenant, as the store has them."""

    def __init__(self, *sources: Sequence[Record]) -> None:
        assignments, roles, sets, teams, groups, users, emergencies = ([r.doc for r in s] for s in sources)
        self.roles = {doc["id"]: doc for doc in roles}
        self.sets = {doc["id"]: doc for doc in sets}
        self.users = {doc["id"]: doc for doc in users}
        self._assignments, self._groups, self._emergencies = assignments, groups, emergencies
        self._teams = {doc["id"]: frozenset(_members(doc)) | {doc.get("lead_id", "")} - {""} for doc in teams}

    @property
    def has_assignments(self) -> bool:
        """Whether roles are assigned at all."""
        return bool(self._assignments)

    def groups_of(self, user: str, /) -> frozenset[str]:
        """Return the groups that a user is in, directly or through groups within groups."""
        found: set[str] = set()
        frontier = {user}
        while frontier:
            above = {g["id"] for g in self._groups if not frontier.isdisjoint(_members(g))} - found
            found |= above
            frontier = above
        return frozenset(found)

    def ancestors(self, role: str, /) -> list[str]:
        """Return the roles above a role, nearest first."""
        line: list[str] = []
        above = self.roles.get(role, {}).get("parent_role_id")
        while above and above != role and above not in line:
            line.append(above)
            above = self.roles.get(above, {}).get("parent_role_id")
        return line

    def assigned(self, user: str, now: str, /) -> Iterator[Doc]:
        """Yield the assignments that hold for a user, directly or through a group."""
        principals = {user, *self.groups_of(user)}
        for doc in self._assignments:
            if doc["principal_id"] in principals and doc.get("expires_at", _FOR_EVER) > now:
                yield doc

    def holders(self, role: str, now: str, /) -> list[str]:
        """Return the users who have a role or permission set, in the order of their IDs."""
        return [u for u in sorted(self.users) if any(role in _granted(doc) for doc in self.assigned(u, now))]

    def subject(
        self,
        user: str,
        now: str,
        /,
        *,
        added: Iterable[str] = (),
        removed: Iterable[str] = (),
        teams: Iterable[str] = (),
    ) -> Subject:
        """Return what a user's rights come to.

        :param added: Roles and permission sets to count as if they were assigned.
        :param removed: Roles and permission sets not to count.
        :param teams: Teams to count the user in.
        """
        assigned = list(self.assigned(user, now))
        open_ones = [
            e for e in self._emergencies if e.get("user_id") == user and e.get("status") == "active" and e["ends_at"] > now
        ]
        emergencies = frozenset(e["role_id"] for e in open_ones)
        ids = dict.fromkeys([*(i for doc in assigned for i in _granted(doc)), *sorted(emergencies), *added])
        held = [i for i in ids if i not in frozenset(removed)]
        roles = tuple(self.roles[i] for i in held if i in self.roles)
        sets = tuple(self.sets[i] for i in held if i in self.sets)
        own_teams = {t for t, members in self._teams.items() if user in members} | set(teams)
        mates = frozenset({user}).union(*(self._teams.get(t, frozenset()) for t in own_teams))
        role_ids = [role["id"] for role in roles]
        targets = {("user", user)} | {("group", g) for g in self.groups_of(user)} | {("team", t) for t in own_teams}
        targets |= {("role", r) for r in role_ids}
        targets |= {("role_and_subordinates", above) for r in role_ids for above in (r, *self.ancestors(r))}
        ends = [doc["expires_at"] for doc in assigned if "expires_at" in doc] + [e["ends_at"] for e in open_ones]
        return Subject(
            user,
            roles,
            sets,
            emergencies,
            frozenset(targets),
            levels_of([*roles, *sets]),
            mates,
            mates | self._below(user, role_ids, now),
            min(ends, default=_FOR_EVER),
        )

    def _below(self, user: str, role_ids: Iterable[str], now: str) -> frozenset[str]:
        """Return the users whose role stands below one of the roles, and those who report to the user."""
        wanted = set(role_ids)
        found = {
            u
            for u in self.users
            if any(not wanted.isdisjoint(self.ancestors(i)) for doc in self.assigned(u, now) for i in _granted(doc))
        }
        frontier = {user}
        while frontier:
            frontier = {u for u, doc in self.users.items() if doc.get("manager_id") in frontier} - found - {user}
            found |= frontier
        return frozenset(found)


def _members(doc: Doc) -> Iterable[str]:
    found: Iterable[str] = doc.get("_members", ())
    return found


def _granted(assignment: Doc) -> list[str]:
    return [assignment[name] for name in ("role_id", "permission_set_id") if name in assignment]


def levels_of(grants: Iterable[Doc], /) -> dict[tuple[str, str], str]:
    """Return the widest level of roles and permission sets by kind of record and action."""
    levels: dict[tuple[str, str], str] = {}
    for grant in grants:
        for entry in grant.get("record_access", ()):
            for action in ACTIONS:
                key = (entry["object_type"], action)
                levels[key] = max(levels.get(key, "none"), entry[action], key=LEVELS.index)
    return levels


# -- who calls -------------------------------------------------------------------------------------------------------------


def derived(context: Context, collections: Sequence[str], key: Hashable, make: Callable[..., _T], /) -> _T:
    """Return what ``make`` makes of all records of some collections, without making it again until one of them changes."""
    store, tenant = context.world.store, context.tenant
    cache: dict[Hashable, tuple[int, Any, Any]] = store.remembered(collections[0], ("derived", tenant), dict)
    kept = cache.get(key)
    if kept is not None and kept[0] == store.revision:  # nothing at all was written since, which is nearly always
        return cast("_T", kept[2])
    sources = tuple(_all(store, tenant, name) for name in collections)
    if kept is None or any(a is not b for a, b in zip(kept[1], sources, strict=True)):
        kept = (0, sources, make(*sources))
    cache[key] = (store.revision, sources, kept[2])
    return cast("_T", kept[2])


def _all(store: Store, tenant: str, collection: str) -> list[Record]:
    return store.remembered(collection, ("all", tenant), lambda: store.select(tenant, collection))


def people(context: Context, /) -> People:
    """Return the people of the context's tenant."""
    return derived(context, _SOURCES, "people", People)


def subject_of(context: Context, user: str, /) -> Subject:
    """Return what a user's rights come to now."""
    known, now = people(context), context.now
    cache: dict[str, tuple[str, Subject]] = derived(context, _SOURCES, "subjects", lambda *_: {})
    since, found = cache.get(user, (now, None))
    # A world that is begun anew is earlier than what was computed in the last one.
    if found is None or not since <= now < found.holds_until:
        found = known.subject(user, now)
        cache[user] = now, found
    return found


def caller(context: Context, /) -> Subject | None:
    """Return the caller's rights; ``None`` where roles don't decide: for clients without a user, upkeep, worlds without roles."""
    user = context.identity.user
    if not user or context.is_upkeep or not context.world.store.has(ASSIGNMENTS):
        return None
    return subject_of(context, user) if people(context).has_assignments else None


# -- records ---------------------------------------------------------------------------------------------------------------


def condition(context: Context, resource: Resource, /, action: str = "read") -> Condition:
    """Return the condition of the records of a resource with which the caller may do something; none where all are."""
    if not resource.owner:
        return Condition()
    subject = caller(context)
    if subject is None:
        if context.identity.sees != "own" or context.is_upkeep:
            return Condition()
        return Condition(f"{member(resource.owner)} = ?", [context.identity.user])
    return reach(context, subject, resource, action)


def reach(context: Context, subject: Subject, resource: Resource, action: str, /) -> Condition:
    """Return the condition of the records with which a subject may do something."""
    level = subject.level(resource.object, action)
    if level == "all":
        return Condition()
    owners = sorted(subject.owners(level))
    owned = Condition(f"{member(resource.owner)} in (select value from json_each(?))", [orjson.dumps(owners).decode()])
    for rule in shared(context, subject, resource.object, action):
        owned = owned.or_(criteria_of(context, resource, rule))
    opening = OPENINGS.get(resource.collection)
    return owned.or_(opening(context, subject.user, action)) if opening and action != "delete" else owned


def may(context: Context, resource: Resource, record: Record, action: str, /) -> bool:
    """Tell whether the caller may do something with a record."""
    if not resource.owner:
        return True
    subject = caller(context)
    if subject is None:
        return context.is_upkeep or context.identity.sees != "own" or record.doc.get(resource.owner) == context.identity.user
    level = subject.level(resource.object, action)
    if level == "all" or record.doc.get(resource.owner) in subject.owners(level):
        return True
    return opening_rule(context, subject, resource, record, action) is not None or _is_opened(context, subject, record, action)


def _is_opened(context: Context, subject: Subject, record: Record, action: str) -> bool:
    """Tell whether the record's own service opens it to a subject."""
    opening = OPENINGS.get(record.collection)
    if opening is None or action == "delete":
        return False
    found = Condition("id = ?", [record.id]).and_(opening(context, subject.user, action))
    return bool(context.world.store.select(context.tenant, record.collection, found.sql, found.arguments, limit=1, deleted=None))


def opening_rule(context: Context, subject: Subject, resource: Resource, record: Record, action: str, /) -> Doc | None:
    """Return the first sharing rule that lets a subject do something with a record, or ``None``."""
    for rule in shared(context, subject, resource.object, action):
        found = Condition("id = ?", [record.id]).and_(criteria_of(context, resource, rule))
        if context.world.store.select(context.tenant, resource.collection, found.sql, found.arguments, limit=1, deleted=None):
            return rule
    return None


def shared(context: Context, subject: Subject, object: str, action: str, /) -> list[Doc]:
    """Return the active sharing rules that open records of a kind to a subject; none opens a deletion."""
    if action == "delete" or not context.world.store.has(RULES):
        return []
    accesses = ("read", "write") if action == "read" else ("write",)
    rules = _all(context.world.store, context.tenant, RULES)
    return [r.doc for r in rules if r.doc["object_type"] == object and _opens(r.doc, subject, accesses)]


def _opens(rule: Doc, subject: Subject, accesses: Sequence[str]) -> bool:
    with_whom = rule["share_with"]
    return rule["is_active"] and rule["access"] in accesses and (with_whom["type"], with_whom["id"]) in subject.targets


def criteria_of(context: Context, resource: Resource, rule: Doc, /) -> Condition:
    """Return the condition of a sharing rule. One that has come to fit nothing, as a field went away, matches no record."""
    extension = custom_fields.extension(context, resource)
    custom = custom_fields.query_fields(context, extension) if extension else {}
    try:
        return Fields(resource, custom).groups(rule["criteria"]["filter_groups"], "#/criteria/filter_groups")
    except Problem:
        return Condition("false")


def demand(context: Context, record: Record, action: str, /) -> None:
    """Refuse to change or delete a record that the caller may see and no more.

    :raises Problem: ``record_read_only`` (403).
    """
    resource = context.world.contract.resources.get(record.collection)
    if resource is not None and resource.owner and not may(context, resource, record, action):
        done = "delete" if action == "delete" else "change"
        raise Problem("record_read_only", f"You may see {record.id} and not {done} it.")


def demand_of_call(call: Call, /) -> None:
    """Refuse a request that would change the record of its path, before its preconditions are looked at.

    :raises Problem: ``record_read_only`` (403).
    """
    operation = call.operation
    writes = operation.method in ("PATCH", "PUT", "DELETE") or (operation.method == "POST" and "412" in operation.responses)
    if writes and call.record is not None:
        demand(call, call.record, "delete" if operation.behaviour == "delete" else "write")
