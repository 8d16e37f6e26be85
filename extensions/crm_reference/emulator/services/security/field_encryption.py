"""Which fields are encrypted, and the jobs that encrypt stored values anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.contract import Resource
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.jobs import POLL_SECONDS
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import Task, enforces, handles, task
from crm_reference.emulator.services.security.encryption_keys import FIELDS, KEYS, enabled, lapse
from crm_reference.emulator.store import Record

JOBS = "security-jobs"
FINISHED = "crm.security_job.finished.v1"
CHANGED = "crm.field_encryption.changed.v1"

#: Filter operators that a field can still serve, by mode.
_SERVED = {
    "deterministic": frozenset({"eq", "ne", "in", "not_in", "is_set", "is_not_set"}),
    "randomized": frozenset({"is_set", "is_not_set"}),
}
#: Members of every record by which the platform itself finds it.
_PLATFORM = frozenset({"id", "object", "created_at", "updated_at", "created_by", "updated_by", "version", "deleted_at", "owner_id"})


def _resource(context: Context, object_type: str) -> Resource | None:
    return next((r for r in context.world.contract.resources.values() if r.object == object_type), None)


@enforces("field_encryptable")
def encryptable(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a field that isn't there, or by which lists and searches find records."""
    resource, field = _resource(context, new["object_type"]), new["field"]
    if resource is None or field in _PLATFORM or field not in resource.node.get("properties", {}):
        return f"{new['object_type']} has no field {field} that can be encrypted."
    query = resource.query.get(field)
    if query is None:
        return ""
    if query.sort or query.search:
        return f"Lists sort by {field}, or searches look into it."
    unserved = sorted(set(query.operators) - _SERVED[new["mode"]])
    return f"{field} can be filtered by {', '.join(unserved)}, which this mode can't serve." if unserved else ""


@enforces("field_encryption_key")
def key_exists(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a key that the tenant doesn't have."""
    return "" if context.records.peek(KEYS, new["encryption_key_id"]) is not None else "No key has this ID."


@enforces("field_key_purpose")
def key_purpose(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a key that is for something else."""
    key = context.records.peek(KEYS, new["encryption_key_id"])
    return f"The key is for {key.doc['purpose']}." if key is not None and key.doc["purpose"] != "fields" else ""


def _find(call: Call) -> Record | None:
    found = call.records.find(FIELDS, object_type=call.path["object_type"], field=call.path["field"])
    return found[0] if found else None


@handles("setFieldEncryption")
def set_encryption(call: Call) -> Reply:
    """Have a field encrypted from its next write on."""
    key = call.records.peek(KEYS, call.body["encryption_key_id"])
    present = _find(call)
    place = {"object_type": call.path["object_type"], "field": call.path["field"]}
    record = call.records.create(FIELDS, {**place, **call.body}) if present is None else call.records.change(present, call.body)
    if key is not None:
        enabled(lapse(call, key))
    call.emit(CHANGED, record.id, {**place, "is_encrypted": True, **call.body})
    if present is not None:
        return single.shown(call, record)
    return single.shown(call, record, 201, Location=f"/v1/field-encryption/by-field/{place['object_type']}/{place['field']}")


@handles("removeFieldEncryption")
def remove_encryption(call: Call) -> Reply:
    """Stop encrypting a field on writing."""
    present = _find(call)
    if present is None:
        raise Problem("not_found", f"{call.path['object_type']}.{call.path['field']} isn't encrypted.")
    call.records.delete(present)
    place = {"object_type": call.path["object_type"], "field": call.path["field"]}
    call.emit(CHANGED, present.id, {**place, "is_encrypted": False})
    return Reply(204)


# -- jobs ----------------------------------------------------------------------------------------------------------------------


@handles("startReEncryption")
def re_encrypt(call: Call) -> Reply:
    """Start to encrypt the values of a key's fields with its newest material."""
    key = enabled(lapse(call, call.found))
    for job in call.records.find(JOBS, encryption_key_id=key.id):
        if job.doc["status"] in ("queued", "running"):
            raise Problem("re_encryption_running", f"{job.id} is {job.doc['status']}.")
    items = [
        [f"{entry.doc['object_type']}.{entry.doc['field']}", record.id]
        for entry in call.records.find(FIELDS, encryption_key_id=key.id)
        if (resource := _resource(call, entry.doc["object_type"])) is not None
        for record in call.world.store.select(call.tenant, resource.collection, deleted=None)
        if record.doc.get(entry.doc["field"]) is not None
    ]
    job = call.jobs.start(
        JOBS,
        "security.re_encryption",
        items,
        event=FINISHED,
        failed_event=FINISHED,
        kind="re_encryption",
        encryption_key_id=key.id,
        _key_version=key.doc["versions"][0]["number"],
    )
    return single.shown(call, job, 202, **{"Location": f"/v1/security-jobs/{job.id}", "Retry-After": str(POLL_SECONDS)})


def _step(context: Context, job: dict[str, Any], item: Any) -> str:
    """Encrypt one value anew. The emulator keeps values readable: what counts is which were handled."""
    return str(item[0])


def _finish(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    """Return what was done.

    :raises Problem: Where the key was disabled meanwhile, so that nothing shows whether values can be read.
    """
    key = context.records.peek(KEYS, job["encryption_key_id"])
    if key is not None:
        enabled(key)
    return _result(context, job, outcomes)


def _result(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"encrypted_count": len(outcomes), "field_count": len(set(map(str, outcomes))), "key_version": job["_key_version"]}


task("security.re_encryption", Task(step=_step, finish=_finish, so_far=_result))


handles("getSecurityJob")(single.read_job)


@handles("cancelSecurityJob")
def cancel_job(call: Call) -> Reply:
    """Stop a job; what it did stays."""
    return single.shown(call, call.jobs.cancel(call.found, "security_job_finished", event=FINISHED))
