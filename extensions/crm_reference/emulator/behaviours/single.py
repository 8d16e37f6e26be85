"""One record: create, read, update, replace, delete, restore."""

from __future__ import annotations

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.jobs import OPEN, POLL_SECONDS
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.store import Record


def shown(call: Call, record: Record, /, status: int = 200, **headers: str) -> Reply:
    """Return a record as this caller sees it, with its ETag."""
    fields = call.query["fields"].split(",") if call.query.get("fields") else ()
    return Reply(status, call.records.shown(record, fields), {"ETag": record.etag, **headers})


def location(call: Call, record: Record, /) -> str:
    """Return the path of a record, parents filled in."""
    path = call.resource(record.collection).path
    for name, value in call.path.items():
        path = path.replace(f"{{{name}}}", value)
    return f"/v1{path}/{record.id}"


def create(call: Call) -> Reply:
    """POST a collection: 201 with Location and ETag."""
    body = dict(call.body)
    parent = call.target.parent
    if parent:
        body[parent["property"]] = call.path[parent["parameter"]]
    record = call.records.create(call.target.collection, body, event=call.event("created"))
    return shown(call, record, 201, Location=location(call, record))


def read(call: Call) -> Reply:
    """GET a record: 200, or 304 where If-None-Match still holds."""
    record = call.found
    if call.headers.get("If-None-Match") in (record.etag, "*"):
        return Reply(304, None, {"ETag": record.etag})
    return shown(call, record)


def update(call: Call) -> Reply:
    """PATCH a record by a merge patch."""
    return shown(call, call.records.change(call.found, call.body, event=call.event("updated")))


def replace(call: Call) -> Reply:
    """PUT a record: what the body leaves out is cleared, but for what the platform sets."""
    kept = {k: v for k, v in call.found.doc.items() if k.startswith("_") or k not in call.target.node.get("properties", {})}
    platform = {k: v for k, v in call.found.doc.items() if call.target.node.get("properties", {}).get(k, {}).get("readOnly")}
    base = {"id": call.found.id, "object": call.target.object, "created_at": call.found.doc.get("created_at")}
    doc = {**base, **platform, **kept, **call.body}
    return shown(call, call.records.replace(call.found, doc, event=call.event("updated")))


def delete(call: Call) -> Reply:
    """DELETE a record: 204, and 404 when repeated."""
    call.records.delete(call.found, event=call.event("deleted"))
    return Reply(204)


def restore(call: Call) -> Reply:
    """POST restore: a soft-deleted record comes back as it was.

    :raises Problem: The operation's own code for a record that isn't deleted (``contact_not_deleted``), where it has one.
    """
    code = next((e for e in call.operation.errors if e.endswith("_not_deleted")), "")
    if code and call.found.deleted_at is None:
        raise Problem(code, f"{call.found.id} is not in the recycle bin.")
    return shown(call, call.records.restore(call.found, event=call.event("restored")))


def read_job(call: Call) -> Reply:
    """GET a job: as any record, and while it is open with how long to wait until the next look."""
    reply = read(call)
    if reply.status == 200 and call.found.doc["status"] in OPEN:
        reply.headers["Retry-After"] = str(POLL_SECONDS)
    return reply
