"""Field security: what a role may do with a field, as the services heard it from security.

Everything may be seen and set by every role until security says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from crm_reference.emulator import access
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.store import Record

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

Doc = Mapping[str, Any]

#: What a service heard: a record for each kind of record, role and field.
COLLECTION = "field-access"
#: What security itself keeps, where it is part of the world; what was heard goes before it.
DEFINITIONS = "field-security"
#: What may be done with a field, the widest last.
LEVELS = ("hidden", "read", "write")


def keep(context: Context, object: str, role: str, field: str, access: str, /) -> None:
    """Keep what a role may do with a field.

    :param access: ``write``, ``read`` or ``hidden``.
    """
    id = f"{object}.{role}.{field}"
    doc = {"id": id, "object_type": object, "role": role, "field": field, "access": access}
    context.world.store.put(context.tenant, Record(COLLECTION, id, 1, doc))


def limited(context: Context, object: str, /) -> Mapping[str, str]:
    """Return the fields that the caller's roles may not set: ``read`` or ``hidden`` by field name."""
    # Every write and every answer comes by here, and few tenants limit fields: the common case must cost nothing.
    store = context.world.store
    if context.is_upkeep or not (store.has(COLLECTION) or store.has(DEFINITIONS)):
        return {}
    subject = access.caller(context)
    if subject is not None:
        return rights(context, object, subject.roles, subject.sets)
    role = context.identity.claims.get("role", "")
    return rights(context, object, ({"id": "", "key": role},), ()) if role else {}


def rights(context: Context, object: str, roles: Sequence[Doc], sets: Sequence[Doc], /) -> Mapping[str, str]:
    """Return what is left of the rights on fields where it is less than all: ``read`` or ``hidden`` by field name.

    The widest right of the roles counts, and permission sets add to it.

    :param roles: Documents of roles, with ``id`` and ``key``.
    :param sets: Documents of permission sets, with ``field_grants``.
    """
    grants = {(g["field"], g["access"]) for s in sets for g in s.get("field_grants", ()) if g["object_type"] == object}
    key = (object, tuple(role["key"] for role in roles), frozenset(grants))

    def find(heard: Sequence[Record], defined: Sequence[Record]) -> dict[str, str]:
        told = {(r.doc["role"], r.doc["field"]): r.doc["access"] for r in heard if r.doc["object_type"] == object}
        known = {r.doc["field"]: r.doc for r in defined if r.doc["object_type"] == object}
        found = {}
        for field in sorted({field for _, field in told} | known.keys()):
            levels = [told.get((role["key"], field)) or _defined(known.get(field), role["id"]) for role in roles]
            right = widest([*levels, *(granted for name, granted in grants if name == field)])
            if right != "write":
                found[field] = right
        return found

    return access.derived(context, (COLLECTION, DEFINITIONS), ("rights", key), find)


def widest(levels: Iterable[str], /) -> str:
    """Return the widest of some rights on a field; ``write`` where there are none.

    >>> widest(["hidden", "read"])
    'read'
    """
    return max(levels, default="write", key=LEVELS.index)


def _defined(definition: Doc | None, role: str) -> str:
    """Return what security says of a role and a field: its grant, else the default."""
    if definition is None:
        return "write"
    return next((g["access"] for g in definition.get("grants", ()) if g["role_id"] == role), str(definition["default_access"]))


def check_writable(context: Context, object: str, fields: Iterable[str], /) -> None:
    """Refuse a write that sets a field which the caller's role may not set.

    :raises Problem: ``field_read_only`` (403).
    """
    known = limited(context, object)
    denied = [f for f in fields if f in known] if known else []
    if denied:
        entries = [{"pointer": f"#/{f.replace('.', '/')}", "code": "field_read_only", "detail": "can't be set"} for f in denied]
        raise Problem("field_read_only", f"Your role may not set {', '.join(denied)}.", entries)
