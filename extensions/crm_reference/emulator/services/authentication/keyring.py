"""The keys that sign a tenant's tokens: which one signs now, which ones still verify, and what the JWKS publishes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import World
from crm_reference.emulator.tokens import KEYS


def state_of(doc: Mapping[str, Any], now: str, /) -> str:
    """Return a key's status at an instant: a retiring key is retired once its time has come.

    >>> state_of({"status": "retiring", "retires_at": "2026-01-05T10:00:00Z"}, "2026-01-05T10:00:00Z")
    'retired'
    """
    status: str = doc["status"]
    return "retired" if status == "retiring" and doc["retires_at"] <= now else status


def verifies(doc: Mapping[str, Any], now: str, /) -> bool:
    """Tell whether tokens that a key signed still hold."""
    return state_of(doc, now) in ("active", "retiring")


def published_keys(world: World, /) -> list[dict[str, Any]]:
    """Return the public keys of all tenants as JWKs, by ID: the active ones, and those whose tokens have not all run out."""
    keys = [r for tenant in world.store.tenants(KEYS) for r in world.store.select(tenant, KEYS)]
    return [r.doc["public_key"] for r in sorted(keys, key=lambda r: r.id) if verifies(r.doc, world.clock.now())]
