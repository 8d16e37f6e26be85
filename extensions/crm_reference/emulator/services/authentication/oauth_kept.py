"""Secrets that live minutes or weeks (codes, refresh tokens, pushed requests), kept by their hash and shown by no operation.

A record's ID is the SHA-256 of the secret, so that whoever reads the store can't use it, and a look-up needs no index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.store import Record

CODES, REFRESH_TOKENS, PUSHED = "authorization-codes", "refresh-tokens", "pushed-requests"
DEVICES, ASSERTIONS = "device-authorizations", "client-assertions"
#: Users who were deactivated, by ID.
INACTIVE_USERS = "inactive-users"


def digest(secret: str, /) -> str:
    """Return a secret's SHA-256 in hex.

    >>> digest("abc")[:8]
    'ba7816bf'
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def keep(context: Context, collection: str, key: str, members: Mapping[str, Any], /) -> Record:
    """Write a hidden record; all its members begin with an underscore.

    :param key: The hash of its secret, or another ID.
    """
    record = Record(collection, key, 1, {"id": key, **{f"_{name}": value for name, value in members.items()}})
    context.world.store.put(context.tenant, record)
    return record


def make(context: Context, collection: str, purpose: str, members: Mapping[str, Any], /, size: int = 32) -> str:
    """Keep a hidden record under a new secret and return the secret."""
    secret = context.world.secret(purpose, size)
    keep(context, collection, digest(secret), members)
    return secret


def look(context: Context, collection: str, key: str, /) -> dict[str, Any] | None:
    """Return the members of a hidden record, without their underscores."""
    record = context.world.store.get(context.tenant, collection, key)
    return None if record is None else {n[1:]: v for n, v in record.doc.items() if n.startswith("_")}


def change(context: Context, collection: str, key: str, /, **members: Any) -> None:
    """Change members of a hidden record that is there."""
    known = look(context, collection, key)
    if known is not None:
        keep(context, collection, key, {**known, **members})


def every(context: Context, collection: str, /, **equal: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return key and members of the hidden records whose members equal the given values."""
    found = context.world.store.find(context.tenant, collection, **{f"_{name}": value for name, value in equal.items()})
    return [(r.id, {n[1:]: v for n, v in r.doc.items() if n.startswith("_")}) for r in found]


def epoch(context: Context, /) -> int:
    """Return the present in whole seconds since 1970."""
    return int(context.world.clock.time())


def epoch_of(instant: str, /) -> int:
    """Return an RFC 3339 instant in seconds since 1970."""
    return seconds_of(instant)
