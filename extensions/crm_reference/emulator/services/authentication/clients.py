"""OAuth clients: what follows from their members, turning them on and off, deleting them, and what they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import derives, enforces, guards, handles
from crm_reference.emulator.services.authentication import grants
from crm_reference.emulator.store import Record
from crm_reference.emulator.tokens import REVOCATIONS

CLIENTS = "oauth-clients"
SECRETS = "oauth-client-secrets"
_UPDATED = "crm.oauth_client.updated.v1"
#: Ways of proving itself for which a client has secrets.
BY_SECRET = frozenset({"client_secret_basic", "client_secret_post"})


@derives(CLIENTS)
def begin(context: Context | None, client: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give a new client what it doesn't choose: it is on, foreign, and registered by an administrator."""
    return {"is_enabled": True, "is_first_party": False, "source": "console", **client}


@enforces("client_redirects_fit")
def client_redirects_fit(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Look for a URI to come back to, where browsers are sent away."""
    if "authorization_code" in new["grant_types"] and not new.get("redirect_uris"):
        return "is needed for authorization_code"
    return ""


@enforces("client_confidential")
def client_confidential(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Look for a proof, where a client acts in its own name."""
    own_name = {"client_credentials", "token_exchange"}.intersection(new["grant_types"])
    if new["token_endpoint_auth_method"] == "none" and own_name:
        return f"a public client can't have {sorted(own_name)[0]}", "grant_types"
    return ""


@guards(CLIENTS)
def keep_first_party(context: Context, client: Record) -> None:
    """Keep the platform's own programs.

    :raises Problem: ``first_party_client``.
    """
    if client.doc["is_first_party"]:
        raise Problem("first_party_client", f"{client.doc['name']} is the platform's own program.")


def note_token(context: Context, client: Record, /) -> None:
    """Count a token that a client got; the token endpoint calls this."""
    count = client.doc.get("_token_count", 0) + 1
    context.records.note(client, _token_count=count, _last_token_at=context.now)


def end_tokens(context: Context, client_id: str, /) -> None:
    """End every access token that a client, or a service account, has got until now."""
    entry = {"id": client_id, "before": seconds_of(context.now), "created_at": context.now}
    context.world.store.put(context.tenant, Record(REVOCATIONS, client_id, 1, entry))


@handles("disableOauthClient")
def disable(call: Call) -> Reply:
    """Turn a client off and end its tokens."""
    keep_first_party(call, call.found)
    if not call.found.doc["is_enabled"]:
        raise Problem("oauth_client_disabled", f"{call.found.doc['name']} was turned off at {call.found.doc['disabled_at']}.")
    change = {"is_enabled": False, "disabled_reason": call.body["reason"], "disabled_at": call.now}
    end_tokens(call, call.found.id)
    return single.shown(call, call.records.change(call.found, change, event=_UPDATED))


@handles("enableOauthClient")
def enable(call: Call) -> Reply:
    """Turn a client on; what was ended stays ended."""
    if call.found.doc["is_enabled"]:
        raise Problem("oauth_client_enabled", f"{call.found.doc['name']} is on.")
    change = {"is_enabled": True, "disabled_reason": None, "disabled_at": None}
    return single.shown(call, call.records.change(call.found, change, event=_UPDATED))


@handles("deleteOauthClient")
def delete(call: Call) -> Reply:
    """Delete a client with its secrets, its grants and its tokens."""
    keep_first_party(call, call.found)
    for secret in call.records.find(SECRETS, client_id=call.found.id):
        call.records.delete(secret)
    call.records.delete(call.found, event="crm.oauth_client.deleted.v1")
    end_tokens(call, call.found.id)
    grants.revoke_grants(call, client_id=call.found.id, reason="client_deleted")
    return Reply(204)


@handles("getOauthClientUsage")
def usage(call: Call) -> Reply:
    """Count what a client holds."""
    client = call.found
    body: dict[str, Any] = {
        "client_id": client.id,
        "measured_at": call.now,
        "active_grant_count": len(call.records.find(grants.GRANTS, client_id=client.id, status="active")),
        "secret_count": len(living_secrets(call, client)),
        "token_count": client.doc.get("_token_count", 0),
    }
    if client.doc.get("_last_token_at"):
        body["last_token_at"] = client.doc["_last_token_at"]
    return Reply(200, body)


def living_secrets(context: Context, client: Record, /) -> list[Record]:
    """Return the secrets of a client that hold now, oldest first."""
    secrets = context.records.find(SECRETS, client_id=client.id)
    return [s for s in secrets if s.doc.get("expires_at", "9999") > context.now]
