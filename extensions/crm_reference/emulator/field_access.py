"""Field security: what a role may do with a field, as the services heard it from security.

Everything may be seen and set by every role until security says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from crm_reference.emulator.messages import Problem
from crm_reference.emulator.store import Record

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

COLLECTION = "field-access"


def keep(context: Context, object: str, role: str, field: str, access: str, /) -> None:
    """Keep what a role may do with a field.

    :param access: ``write``, ``read`` or ``hidden``.
    """
    id = f"{object}.{role}.{field}"
    doc = {"id": id, "object_type": object, "role": role, "field": field, "access": access}
    context.world.store.put(context.tenant, Record(COLLECTION, id, 1, doc))


def limited(context: Context, object: str, /) -> Mapping[str, str]:
    """Return the fields that the caller's role may not set: ``read`` or ``hidden`` by field name."""
    role = context.identity.claims.get("role", "")
    # Every write and every answer comes by here, and few tenants limit fields: the common case must cost nothing.
    if not role or context.is_upkeep or not context.world.store.has(COLLECTION):
        return {}
    store, tenant = context.world.store, context.tenant

    def find() -> dict[str, str]:
        found = store.find(tenant, COLLECTION, object_type=object, role=role)
        return {r.doc["field"]: r.doc["access"] for r in found if r.doc["access"] != "write"}

    return store.remembered(COLLECTION, (tenant, object, role), find)


def check_writable(context: Context, object: str, fields: Iterable[str], /) -> None:
    """Refuse a write that sets a field which the caller's role may not set.

    :raises Problem: ``field_read_only`` (403).
    """
    known = limited(context, object)
    denied = [f for f in fields if f in known] if known else []
    if denied:
        entries = [{"pointer": f"#/{f.replace('.', '/')}", "code": "field_read_only", "detail": "can't be set"} for f in denied]
        raise Problem("field_read_only", f"Your role may not set {', '.join(denied)}.", entries)
