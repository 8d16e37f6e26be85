"""Service accounts, the keys by which they prove themselves, and the assertions that these keys sign (RFC 7523)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Sort
from crm_reference.emulator.registry import handles, presents
from crm_reference.emulator.services.authentication.acting import NO_STORE
from crm_reference.emulator.services.authentication.clients import end_tokens
from crm_reference.emulator.services.authentication.credentials import require_ahead
from crm_reference.emulator.services.authentication.key_material import make_key, public_jwk, thumbprint, to_pem
from crm_reference.emulator.store import Record

ACCOUNTS = "service-accounts"
KEYS = "service-account-keys"
#: How many keys an account has at most.
KEY_LIMIT = 5
_MEMBERS = {"EdDSA": ("OKP", ("crv", "x")), "RS256": ("RSA", ("n", "e"))}
_LEAST_BITS = 2048


@presents(ACCOUNTS)
def present(context: Context, account: Record) -> Mapping[str, Any]:
    """Count the keys whenever an account is read."""
    return {"key_count": len(context.records.find(KEYS, service_account_id=account.id))}


@handles("deleteServiceAccount")
def delete_account(call: Call) -> Reply:
    """Delete an account with its keys and its tokens."""
    for key in call.records.find(KEYS, service_account_id=call.found.id):
        call.records.delete(key)
    call.records.delete(call.found, event="crm.service_account.deleted.v1")
    end_tokens(call, call.found.id)
    return Reply(204)


@handles("listServiceAccountKeys")
def list_keys(call: Call) -> Reply:
    """List the keys of an account, oldest first."""
    return listing.list_records(call, (Sort("created_at"), Sort("id")))


@handles("createServiceAccountKey")
def create_key(call: Call) -> Reply:
    """Take a public key, or make a pair and give its private half out."""
    account = call.parents["service_account_id"]
    algorithm = call.body["algorithm"]
    if call.body.get("expires_at"):
        require_ahead(call, call.body["expires_at"])
    private = ""
    if upload := call.body.get("upload"):
        jwk = _checked(algorithm, upload)
    else:
        pair = make_key(algorithm, call.world.secret("service-account-key"))
        jwk, private = public_jwk(pair.public_key()), to_pem(pair)
    if len(call.records.find(KEYS, service_account_id=account.id)) >= KEY_LIMIT:
        raise Problem("service_account_key_limit_reached", f"{account.doc['name']} has {KEY_LIMIT} keys. Delete one of them first.")
    id = call.new_id("sak")
    doc = {k: v for k, v in call.body.items() if k != "upload"}
    doc |= {"service_account_id": account.id, "thumbprint": thumbprint(jwk)}
    doc["public_key"] = {**jwk, "kid": id, "use": "sig", "alg": algorithm}
    record = call.records.create(KEYS, doc, id=id, event="crm.service_account_key.created.v1")
    answer = {"service_account_key": call.records.shown(record), **({"private_key": private} if private else {})}
    return Reply(201, answer, {"Location": single.location(call, record), **NO_STORE})


def _checked(algorithm: str, upload: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of an uploaded key once it can be used.

    :raises Problem: ``public_key_invalid``.
    """
    kind, members = _MEMBERS[algorithm]
    if upload["kty"] != kind or set(upload) != {"kty", *members}:
        raise Problem("public_key_invalid", f"A key for {algorithm} has kty {kind}, {' and '.join(members)}, and nothing else.")
    jwk = dict(upload)
    try:
        key = jwt.PyJWK(jwk, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError):
        raise Problem("public_key_invalid", "The members make no key that can verify anything.") from None
    if algorithm == "RS256" and key.key_size < _LEAST_BITS:
        raise Problem("public_key_invalid", f"The modulus has {key.key_size} bits, fewer than {_LEAST_BITS}.")
    return jwk
