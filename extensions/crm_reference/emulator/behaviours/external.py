"""Records by their key in another system."""

from __future__ import annotations

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.store import Record


def find_external(context: Context, collection: str, system: str, key: str, /) -> Record | None:
    """Return the living record that has a key in another system, or ``None``."""
    # The system's name is bound through json_each, so that no name can reach the SQL text.
    where = "exists (select 1 from json_each(doc, '$.external_ids') item where item.key = ? and item.value = ?)"
    found = context.world.store.select(context.tenant, collection, where, (system, key), order="", limit=1)
    return found[0] if found else None


def read(call: Call) -> Reply:
    """GET by-external-id/{system}/{key}."""
    system, key = list(call.path.values())[-2:]
    record = find_external(call, call.target.collection, system, key)
    if record is None or not call.records.visible(record):
        raise Problem("not_found", f"No record has the key {key} in {system}.")
    call.record = record
    return single.read(call)


def upsert(call: Call) -> Reply:
    """PUT by-external-id/{system}/{key}: 201 with Location where it is new, else 200."""
    from crm_reference.emulator.behaviours.batch import write_external

    system, key = list(call.path.values())[-2:]
    wanted, present = call.headers.get("If-Match"), find_external(call, call.target.collection, system, key)
    if wanted is not None and (present is None or wanted not in (present.etag, "*")):
        raise Problem("version_mismatch", f"If-Match is {wanted}, and no record with this key has that ETag.")
    status, record = write_external(call, system, key, call.body)
    headers = {"Location": f"/v1{call.target.path}/{record.id}"} if status == 201 else {}
    return single.shown(call, record, status, **headers)
