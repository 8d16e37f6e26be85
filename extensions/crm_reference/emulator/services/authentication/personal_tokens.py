"""Personal tokens: a user's own credentials for scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, hears, presents, sees
from crm_reference.emulator.services.authentication.acting import NO_STORE
from crm_reference.emulator.services.authentication.credentials import PERSONAL_TOKENS, new_secret, revoked, rotated, state_of
from crm_reference.emulator.store import Record

#: The scope of those who see and revoke tokens of others.
ADMINISTRATION = "authentication.api_keys"


@presents(PERSONAL_TOKENS)
def present(context: Context, token: Record) -> Mapping[str, Any]:
    """Tell whether a token holds whenever it is read."""
    return {"status": state_of(token.doc, context.now)}


@sees(PERSONAL_TOKENS)
def see(context: Context, token: Record) -> bool:
    """Show a token to its user, and to who administers API keys."""
    return token.doc["user_id"] == context.identity.user or ADMINISTRATION in context.identity.scopes


@handles("createPersonalToken")
def create(call: Call) -> Reply:
    """Make a token for the caller and give its value out."""
    secret, kept = new_secret(call, "crmp_")
    body = {**call.body, **kept, "user_id": call.identity.user}
    record = call.records.create(PERSONAL_TOKENS, body, event="crm.personal_token.created.v1")
    return _given_out(call, record, secret, 201, Location=single.location(call, record))


@handles("rotatePersonalToken")
def rotate(call: Call) -> Reply:
    """Replace the value of an own token; the value of another's would come into the wrong hands."""
    if call.found.doc["user_id"] != call.identity.user:
        raise Problem("not_found", f"No personal token of yours has the ID {call.found.id}.")
    return _given_out(call, *rotated(call, "crmp_", "crm.personal_token.rotated.v1"))


@handles("revokePersonalToken")
def revoke(call: Call) -> Reply:
    """End a token."""
    return single.shown(call, revoked(call, "crm.personal_token.revoked.v1"))


@hears("crm.user.deactivated.v1")
def user_deactivated(context: Context, event: Mapping[str, Any]) -> None:
    """Revoke the tokens of a user who was deactivated."""
    for token in context.records.find(PERSONAL_TOKENS, user_id=event["data"]["record"]["id"]):
        if state_of(token.doc, context.now) == "active":
            change = {"revoked_at": context.now, "revocation_reason": "The user was deactivated."}
            changed = context.records.change(token, change)
            context.emit("crm.personal_token.revoked.v1", changed.id, {"record": context.records.public(changed)})


def _given_out(call: Call, record: Record, secret: str, status: int = 200, **headers: str) -> Reply:
    answer = {"personal_token": call.records.shown(record), "secret": secret}
    return Reply(status, answer, {"ETag": record.etag, **headers, **NO_STORE})
