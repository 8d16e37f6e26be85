"""Secrets of OAuth clients: made, listed without their value, ended by an overlap, deleted."""

from __future__ import annotations

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.clock import iso, seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Sort
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication.acting import NO_STORE
from crm_reference.emulator.services.authentication.clients import BY_SECRET, SECRETS, living_secrets
from crm_reference.emulator.services.authentication.credentials import new_secret, require_ahead

#: How many secrets of a client hold at once.
LIMIT = 2


@handles("listOauthClientSecrets")
def list_secrets(call: Call) -> Reply:
    """List the secrets of a client, oldest first."""
    return listing.list_records(call, (Sort("created_at"), Sort("id")))


@handles("createOauthClientSecret")
def create(call: Call) -> Reply:
    """Make a secret, give it out, and let the present ones end where the body says so."""
    client = call.parents["client_id"]
    if client.doc["token_endpoint_auth_method"] not in BY_SECRET:
        raise Problem(
            "client_takes_no_secret", f"{client.doc['name']} proves itself by {client.doc['token_endpoint_auth_method']}."
        )
    if call.body.get("expires_at"):
        require_ahead(call, call.body["expires_at"])
    overlap = call.body.get("overlap_seconds")
    present = living_secrets(call, client)
    if len(present) >= LIMIT and overlap is None:
        raise Problem(
            "secret_limit_reached", f"{client.doc['name']} has {len(present)} secrets. Delete one, or send overlap_seconds."
        )
    for secret in present if overlap is not None else ():
        end = min(iso(seconds_of(call.now) + overlap), secret.doc.get("expires_at", "9999"))
        call.records.change(secret, {"expires_at": end})
    value, kept = new_secret(call, "crms_")
    body = {k: v for k, v in call.body.items() if k != "overlap_seconds"}
    event = "crm.oauth_client_secret.rotated.v1"
    record = call.records.create(SECRETS, {**body, **kept, "client_id": client.id}, event=event)
    answer = {"oauth_client_secret": call.records.shown(record), "client_secret": value}
    return Reply(201, answer, {"Location": single.location(call, record), **NO_STORE})


@handles("deleteOauthClientSecret")
def delete(call: Call) -> Reply:
    """Delete a secret, unless a client that is on would have none."""
    client = call.parents["client_id"]
    others = [s for s in living_secrets(call, client) if s.id != call.found.id]
    if client.doc["is_enabled"] and client.doc["token_endpoint_auth_method"] in BY_SECRET and not others:
        raise Problem("last_client_secret", f"{client.doc['name']} is on and has no other secret.")
    call.records.delete(call.found, event="crm.oauth_client_secret.deleted.v1")
    return Reply(204)
