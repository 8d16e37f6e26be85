"""The records that a world begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_reference.emulator.clock import WORLD_START, iso
from crm_reference.emulator.query import words_of
from crm_reference.emulator.records import derived
from crm_reference.emulator.rules import value_of
from crm_reference.emulator.store import Record

if TYPE_CHECKING:
    from crm_reference.emulator.call import World

#: The worlds that an emulator can begin with.
WORLDS = ("brightwater", "empty")

#: Collections that an empty world has too: without users and tenants nobody could call.
_ALWAYS = ("tenants", "users")


def seed(world: World, name: str, /) -> None:
    """Write the records of a world.

    :param name: ``brightwater`` or ``empty``.
    :raises ValueError: If there is no world of that name.
    """
    if name not in WORLDS:
        raise ValueError(f"there is no world {name!r}; there are {' and '.join(WORLDS)}")
    start = iso(WORLD_START)
    first = next(iter(world.contract.principals.values())).tenant if world.contract.principals else ""
    with world.store.transaction():
        for collection, records in world.contract.world.items():
            if name == "empty" and collection not in _ALWAYS:
                continue
            resource = world.contract.resources.get(collection)
            for given in records:
                doc = {k: v for k, v in given.items() if k not in ("tenant", "version")}
                doc.setdefault("created_at", start)
                doc.setdefault("updated_at", doc["created_at"])
                if resource is not None:
                    doc.setdefault("object", resource.object)
                doc = derived(None, collection, doc)
                record = Record(collection, doc["id"], int(given.get("version", 1)), doc)
                searchable = [value_of(doc, n) for n, f in resource.query.items() if f.search] if resource else []
                tenant = given.get("tenant", first)
                world.store.put(tenant, record, words_of(searchable))
                actor = doc.get("created_by", "")
                world.store.log(tenant, record, "created", doc["created_at"], actor, {"changes": []})
