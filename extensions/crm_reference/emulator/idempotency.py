"""Idempotency keys: the first answer is kept for a day and given again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import orjson

from crm_reference.emulator.call import Reply
from crm_reference.emulator.messages import Problem, Request
from crm_reference.emulator.tokens import Identity

#: How long an answer is kept.
KEEP_SECONDS = 86_400


@dataclass(slots=True)
class Idempotency:
    """Kept answers by tenant, client, operation and key."""

    _kept: dict[tuple[str, str, str, str], tuple[float, str, Reply]] = field(default_factory=dict)

    def look(self, identity: Identity, operation: str, key: str, request: Request, now: float) -> Reply | None:
        """Return the kept answer to the same request, or ``None`` where the key is new.

        :raises Problem: ``idempotency_key_reused`` (422) where the key was used for another request.
        """
        entry = self._kept.get((identity.tenant, identity.client, operation, key))
        if entry is None or now - entry[0] >= KEEP_SECONDS:
            return None
        if entry[1] != _fingerprint(request):
            raise Problem("idempotency_key_reused", "This Idempotency-Key was used with another request. Use a new one.")
        return entry[2]

    def keep(self, identity: Identity, operation: str, key: str, request: Request, now: float, reply: Reply) -> None:
        """Keep an answer; the caller leaves out those of 500 and above."""
        self._kept[identity.tenant, identity.client, operation, key] = (now, _fingerprint(request), reply)

    def reset(self) -> None:
        """Forget all answers."""
        self._kept.clear()


def _fingerprint(request: Request) -> str:
    """Return what makes two requests the same: method, path, query and body.

    Bodies are the same when their JSON is: a client that retries may write its spaces and the order of members otherwise.
    """
    parts = (request.method, request.path, repr(tuple(request.query)))
    try:
        body = orjson.dumps(orjson.loads(request.body), option=orjson.OPT_SORT_KEYS)
    except orjson.JSONDecodeError:
        body = request.body
    return hashlib.sha256("\n".join(parts).encode() + b"\n" + body).hexdigest()
