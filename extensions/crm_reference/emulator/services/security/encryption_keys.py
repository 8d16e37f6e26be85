"""Encryption keys: their material, rotation, and end. Material stands in members that no operation shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import derives, enforces, handles
from crm_reference.emulator.services.security import key_wrapping
from crm_reference.emulator.store import Record

KEYS = "encryption-keys"
FIELDS = "field-encryption"
ROTATED = "crm.encryption_key.rotated.v1"
STATUS = "crm.encryption_key.status_changed.v1"


@derives(KEYS)
def follow(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive the algorithm, the public key for imports, and when new material is due."""
    derived: dict[str, Any] = {"algorithm": "aes_256_gcm"}
    if "_import_private" in doc:
        derived["import_key"] = key_wrapping.public_key(doc["_import_private"])
    versions = doc.get("versions") or []
    is_due = doc.get("rotation_days") and versions and doc.get("status") == "enabled"
    derived["next_rotation_at"] = days_later(versions[0]["created_at"], doc["rotation_days"]) if is_due else None
    return derived


@enforces("external_key_not_rotated")
def external_not_rotated(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a rotation of material that the platform doesn't make."""
    is_external = new["origin"] == "external" and new.get("rotation_days")
    return "The tenant brings the material of this key; leave rotation_days out." if is_external else ""


def with_material(doc: Mapping[str, Any], material: bytes, now: str, /) -> dict[str, Any]:
    """Return a key's document with new material as its newest version, and the key enabled."""
    versions = [{**v, "is_current": False} for v in doc.get("versions", ())]
    number = 1 + len(versions)
    newest = {"number": number, "fingerprint": key_wrapping.fingerprint(material), "is_current": True, "created_at": now}
    return {
        **doc,
        "status": "enabled",
        "versions": [newest, *versions],
        "_materials": {**doc.get("_materials", {}), str(number): material.hex()},
    }


def _new_material(context: Context) -> bytes:
    return key_wrapping.decoded(context.world.secret("encryption-key-material", key_wrapping.MATERIAL_BYTES))


def lapse(context: Context, key: Record, /) -> Record:
    """Write down what time did to a key: material that is due, a destruction that has come."""
    doc = key.doc
    if doc["status"] == "pending_destruction" and doc["destroy_at"] <= context.now:
        gone = {**doc, "status": "destroyed", "_materials": {}}
        return context.records.replace(key, gone, action="destroyed")
    if doc.get("next_rotation_at", "9") <= context.now:
        return _rotate(context, key, _new_material(context))
    return key


def _rotate(context: Context, key: Record, material: bytes) -> Record:
    rotated = context.records.replace(key, with_material(key.doc, material, context.now), action="rotated")
    context.emit(ROTATED, rotated.id, {"record": context.records.public(rotated)})
    return rotated


# -- operations ----------------------------------------------------------------------------------------------------------------


@handles("listEncryptionKeys")
def list_keys(call: Call) -> Reply:
    """List keys as they are now."""
    for key in call.records.find(KEYS):
        lapse(call, key)
    return listing.list_records(call)


@handles("getEncryptionKey")
def get(call: Call) -> Reply:
    """Read a key as it is now."""
    call.record = lapse(call, call.found)
    return single.read(call)


@handles("createEncryptionKey")
def create(call: Call) -> Reply:
    """Create a key: with material of the platform, or with a key for bringing it."""
    body: dict[str, Any] = {**call.body, "status": "pending_import", "versions": []}
    if body["origin"] == "external":
        body["_import_private"] = call.world.secret("encryption-key-import", 32)
    else:
        body = with_material(body, _new_material(call), call.now)
    key = call.records.create(KEYS, body, event="crm.encryption_key.created.v1")
    return single.shown(call, key, 201, Location=f"/v1/encryption-keys/{key.id}")


@handles("rotateEncryptionKey")
def rotate(call: Call) -> Reply:
    """Make new material."""
    key = lapse(call, call.found)
    if key.doc["origin"] == "external":
        raise Problem("key_material_external", "Bring new material with the import operation.")
    enabled(key)
    return single.shown(call, _rotate(call, key, _new_material(call)))


@handles("importEncryptionKeyMaterial")
def bring(call: Call) -> Reply:
    """Take material that the tenant wrapped."""
    key = lapse(call, call.found)
    if key.doc["origin"] != "external":
        raise Problem("key_material_platform", "The key is of the platform's origin.")
    try:
        material = key_wrapping.unwrap(call.body["jwe"], key.doc["_import_private"])
    except ValueError:
        raise _unreadable("jwe") from None
    if call.body.get("fingerprint", key_wrapping.fingerprint(material)) != key_wrapping.fingerprint(material):
        raise _unreadable("fingerprint")
    if key.doc["status"] in ("destroyed", "pending_destruction"):
        raise Problem("encryption_key_destroyed", f"The key is {key.doc['status']}.")
    return single.shown(call, _rotate(call, key, material))


def _unreadable(member: str) -> Problem:
    detail = "can't be unwrapped to 32 bytes" if member == "jwe" else "is not that of the material"
    entry = {"pointer": f"#/{member}", "code": "key_material_unreadable", "detail": detail}
    return Problem("validation_failed", "1 field breaks a rule; see errors.", [entry])


def enabled(key: Record, /) -> Record:
    """Return a key that can encrypt.

    :raises Problem: ``encryption_key_not_enabled`` otherwise.
    """
    if key.doc["status"] != "enabled":
        raise Problem("encryption_key_not_enabled", f"The key is {key.doc['status']}.")
    return key


def _unused(call: Call, key: Record) -> None:
    fields = [f"{f.doc['object_type']}.{f.doc['field']}" for f in call.records.find(FIELDS, encryption_key_id=key.id)]
    if fields:
        raise Problem("encryption_key_in_use", f"The key encrypts {', '.join(fields[:5])}.")


def _set_status(call: Call, key: Record, status: str, /, **members: Any) -> Reply:
    return single.shown(call, call.records.change(key, {"status": status, **members}, event=STATUS, action=status))


@handles("disableEncryptionKey")
def disable(call: Call) -> Reply:
    """Stop every use of a key."""
    key = enabled(lapse(call, call.found))
    _unused(call, key)
    return _set_status(call, key, "disabled")


@handles("enableEncryptionKey")
def enable(call: Call) -> Reply:
    """Let a key be used again, and drop the schedule of its destruction."""
    key = lapse(call, call.found)
    if key.doc["status"] not in ("disabled", "pending_destruction") or not key.doc["versions"]:
        raise Problem("encryption_key_not_disabled", f"The key is {key.doc['status']}.")
    return _set_status(call, key, "enabled", destroy_at=None)


@handles("scheduleEncryptionKeyDestruction")
def schedule_destruction(call: Call) -> Reply:
    """Disable a key and have its material destroyed later."""
    key = lapse(call, call.found)
    if key.doc["status"] in ("destroyed", "pending_destruction"):
        raise Problem("encryption_key_destroyed", f"The key is {key.doc['status']}.")
    _unused(call, key)
    days = (call.body or {}).get("waiting_days", 30)
    return _set_status(call, key, "pending_destruction", destroy_at=days_later(call.now, days))
