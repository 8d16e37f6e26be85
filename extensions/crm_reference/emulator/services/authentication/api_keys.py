"""API keys of a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.registry import handles, presents
from crm_reference.emulator.services.authentication.acting import NO_STORE
from crm_reference.emulator.services.authentication.credentials import API_KEYS, new_secret, revoked, rotated, state_of
from crm_reference.emulator.store import Record


@presents(API_KEYS)
def present(context: Context, key: Record) -> Mapping[str, Any]:
    """Tell whether a key holds whenever it is read."""
    return {"status": state_of(key.doc, context.now)}


@handles("createApiKey")
def create(call: Call) -> Reply:
    """Make a key and give its value out."""
    secret, kept = new_secret(call, "crmk_")
    record = call.records.create(API_KEYS, {**call.body, **kept}, event="crm.api_key.created.v1")
    return _given_out(call, record, secret, 201, Location=single.location(call, record))


@handles("rotateApiKey")
def rotate(call: Call) -> Reply:
    """Replace the value of a key and give the new one out."""
    return _given_out(call, *rotated(call, "crmk_", "crm.api_key.rotated.v1"))


@handles("revokeApiKey")
def revoke(call: Call) -> Reply:
    """End a key."""
    return single.shown(call, revoked(call, "crm.api_key.revoked.v1"))


def _given_out(call: Call, record: Record, secret: str, status: int = 200, **headers: str) -> Reply:
    answer = {"api_key": call.records.shown(record), "secret": secret}
    return Reply(status, answer, {"ETag": record.etag, **headers, **NO_STORE})
