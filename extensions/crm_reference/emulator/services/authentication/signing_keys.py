"""Signing keys: rotated, retired and revoked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import iso, seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, handles, presents
from crm_reference.emulator.services.authentication.key_material import make_key, private_jwk, public_jwk, thumbprint
from crm_reference.emulator.services.authentication.keyring import state_of
from crm_reference.emulator.store import Record
from crm_reference.emulator.tokens import KEYS

#: How long a former key verifies where a rotation names no overlap.
OVERLAP_SECONDS = 86_400


@presents(KEYS)
def present(context: Context, key: Record) -> Mapping[str, Any]:
    """Show a retiring key as retired once its time has come."""
    return {"status": state_of(key.doc, context.now)}


@handles("rotateSigningKey")
def rotate(call: Call) -> Reply:
    """Make a key that signs from now on; the former one verifies until the overlap is over."""
    algorithm = call.body["algorithm"]
    until = iso(seconds_of(call.now) + call.body.get("overlap_seconds", OVERLAP_SECONDS))
    former = call.records.find(KEYS, algorithm=algorithm, status="active")
    key = _make(call, algorithm, call.body.get("reason", ""))
    for old in former:
        change = {"status": "retiring", "replaced_at": call.now, "replaced_by_key_id": key.id, "retires_at": until}
        call.records.change(old, change)
    return single.shown(call, key, 201, Location=f"/v1/signing-keys/{key.id}")


@handles("retireSigningKey")
def retire(call: Call) -> Reply:
    """End the overlap of a retiring key."""
    key = call.found
    _refuse_ended(call, key)
    if key.doc["status"] == "active":
        raise Problem("signing_key_active", f"{key.id} signs now. Rotate it first.")
    changed = call.records.change(key, {"status": "retired", "retires_at": call.now})
    call.emit("crm.signing_key.retired.v1", changed.id, {"record": call.records.public(changed)})
    return single.shown(call, changed)


@handles("revokeSigningKey")
def revoke(call: Call) -> Reply:
    """Take a key out of use at once, and put another in its place where it signed."""
    key = call.found
    _refuse_ended(call, key)
    change = {"status": "revoked", "revoked_at": call.now, "reason": call.body["reason"]}
    if key.doc["status"] == "active":
        successor = _make(call, key.doc["algorithm"], f"In place of {key.id}, which was revoked.")
        change |= {"replaced_at": call.now, "replaced_by_key_id": successor.id}
    changed = call.records.change(key, change)
    call.emit("crm.signing_key.revoked.v1", changed.id, {"record": call.records.public(changed)})
    return single.shown(call, changed)


def _refuse_ended(context: Context, key: Record) -> None:
    state = state_of(key.doc, context.now)
    if state in ("retired", "revoked"):
        raise Problem("signing_key_ended", f"{key.id} is {state}.")


def _make(call: Call, algorithm: str, reason: str) -> Record:
    id = call.new_id("sky")
    pair = make_key(algorithm, call.world.secret("signing-key"))
    jwk = public_jwk(pair.public_key())
    doc = {
        "algorithm": algorithm,
        "status": "active",
        "public_key": {**jwk, "kid": id, "use": "sig", "alg": algorithm},
        "thumbprint": thumbprint(jwk),
        "activated_at": call.now,
        "_private_jwk": private_jwk(pair),
        **({"reason": reason} if reason else {}),
    }
    return call.records.create(KEYS, doc, id=id, event="crm.signing_key.rotated.v1")


@computes("jwk_thumbprint")
def jwk_thumbprint(jwk: dict[str, Any]) -> str:
    """Return the thumbprint of a public key."""
    return thumbprint(jwk)


@computes("signing_key_state")
def signing_key_state(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Tell what a key is at an instant, and what follows for tokens that it signed."""
    state = state_of(asked["key"], asked["now"])
    living = state in ("active", "retiring")
    return {"status": state, "signs": state == "active", "verifies": living, "is_published": living}
