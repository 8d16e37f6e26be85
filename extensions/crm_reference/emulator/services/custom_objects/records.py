"""Records of the tenant's own types, one by one. Their type stands in the path; it must be one that the tenant published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator import custom_fields, owners
from crm_reference.emulator.behaviours import external, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.custom_fields.beginning import draw
from crm_reference.emulator.custom_fields.scope import type_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.records import merge_patch
from crm_reference.emulator.registry import derives, enforces, enters, handles
from crm_reference.emulator.services.custom_objects import letting_go
from crm_reference.emulator.services.custom_objects.definitions import RECORDS
from crm_reference.emulator.store import Record

EVENT = "crm.custom_record."
MAX_TAGS = 50
#: Kinds of fields whose values a copy never gets.
_OWN = ("auto_number", "formula", "roll_up")

Doc = Mapping[str, Any]


# -- types -----------------------------------------------------------------------------------------------------------------


@enters(RECORDS)
def known_type(call: Call) -> None:
    """Refuse a path whose type the tenant doesn't have, or has as a draft.

    :raises Problem: ``not_found``.
    """
    name = call.path["object_type"]
    found = type_of(call, name)
    if found is None or found["status"] == "draft":
        raise Problem("not_found", f"No object type in use is named {name}.")


def demand_open(call: Call, /) -> Doc:
    """Return the type in the path.

    :raises Problem: ``object_type_archived``.
    """
    found = type_of(call, call.path["object_type"])
    if found is None or found["status"] == "archived":
        raise Problem("object_type_archived", f"{call.path['object_type']} is archived: its records can be read and not written.")
    return found


def of_type(call: Call, record: Record, /) -> Record:
    """Return a record, if it has the type in the path.

    :raises Problem: ``not_found``.
    """
    if record.doc["object_type"] != call.path["object_type"]:
        raise Problem("not_found", f"No {call.path['object_type'].replace('_', ' ')} has the ID {record.id}.")
    return record


# -- what follows, and rules -------------------------------------------------------------------------------------------------


@derives(RECORDS)
def follow(context: Context | None, doc: Doc) -> Doc:
    """Derive the name of a numbered record, whether the owner is active, and the schema's version."""
    owner = doc.get("owner_id", "")
    if context is None:
        return {"is_owner_active": doc.get("is_owner_active", True)}
    found: dict[str, Any] = {"is_owner_active": owners.is_active(context, owner)}
    kind = type_of(context, doc["object_type"])
    if kind is not None and not context.is_upkeep:
        found["schema_version"] = kind.get("schema_version", 1)
        if kind["name_field"]["kind"] == "auto_number" and "name" not in doc:
            found |= {"name": draw(context, kind["id"], kind["name_field"]), "_numbered": True}
    return found


@enforces("record_owner_active")
def record_owner_active(context: Context, new: Doc, old: Doc | None) -> str:
    """Refuse a user who was deactivated as the owner of a new record."""
    owner = new.get("owner_id", "")
    if context.is_upkeep or old is not None or context.records.peek("users", owner) is None or owners.is_active(context, owner):
        return ""
    return f"{owner} was deactivated. Choose an active user."


@enforces("record_name_fits")
def record_name_fits(context: Context, new: Doc, old: Doc | None) -> str:
    """Demand a name where people give it, and refuse one where the platform does."""
    kind = type_of(context, new["object_type"])
    if context.is_upkeep or kind is None:
        return ""
    if kind["name_field"]["kind"] == "auto_number":
        given = old is not None and old.get("name") != new.get("name")
        return f"Records of {new['object_type']} are numbered by the platform." if given or not new.get("_numbered", old) else ""
    return "" if new.get("name") else f"{kind['name_field']['label']} is required."


# -- events ------------------------------------------------------------------------------------------------------------------


def tell(context: Context, what: str, record: Record, before: Doc | None = None, /, **more: Any) -> None:
    """Emit an event of a record, with its type.

    :param what: ``created``, ``updated``, ``restored`` or ``owner_changed``.
    :param before: The document before a change; nothing is told where nothing changed.
    """
    data: dict[str, Any] = {"object_type": record.doc["object_type"], "record": context.records.public(record), **more}
    if before is not None:
        was, now = _flat(before), _flat(record.doc)
        changed = [n for n in dict.fromkeys((*was, *now)) if was.get(n) != now.get(n)]
        if not changed:
            return
        data |= {"changed_fields": changed, "previous": {n: was[n] for n in changed if n in was}}
    context.emit(f"{EVENT}{what}.v1", record.id, data)


def _flat(doc: Doc) -> dict[str, Any]:
    """Return the members that clients write, custom fields one by one."""
    names = ("name", "owner_id", "tags", "external_ids")
    found = {n: doc[n] for n in names if n in doc}
    return found | {f"custom_fields.{n}": v for n, v in (doc.get("custom_fields") or {}).items()}


def create(call: Call, body: Doc, /) -> Record:
    """Create a record of the type in the path, and tell of it."""
    record = call.records.create(RECORDS, {**body, "object_type": call.path["object_type"]})
    tell(call, "created", record)
    return record


def change(context: Context, record: Record, patch: Doc, /) -> Record:
    """Change a record by a merge patch, and tell of it."""
    changed = context.records.change(record, patch)
    tell(context, "updated", changed, record.doc)
    return changed


def write_external(call: Call, system: str, key: str, body: Doc, /) -> tuple[int, Record]:
    """Create or change the record that has a key in another system; return 201 or 200 and the record.

    :raises Problem: ``record_external_id_taken`` where a record has the key that the caller may not see or that has another type.
    """
    present = external.find_external(call, RECORDS, system, key)
    patch = merge_patch(body, {"external_ids": {system: key}})
    if present is None:
        return 201, create(call, patch)
    if not call.records.visible(present) or present.doc["object_type"] != call.path["object_type"]:
        raise Problem("record_external_id_taken", f"{key} of {system} can't be used.")
    return 200, change(call, present, patch)


# -- operations --------------------------------------------------------------------------------------------------------------


@handles("createCustomRecord")
def create_record(call: Call) -> Reply:
    """Create a record of a published type."""
    demand_open(call)
    record = create(call, call.body)
    return single.shown(call, record, 201, Location=single.location(call, record))


@handles("updateCustomRecord")
def update_record(call: Call) -> Reply:
    """Change a record by a merge patch."""
    demand_open(call)
    return single.shown(call, change(call, call.found, call.body))


@handles("getCustomRecordByExternalId")
def read_external(call: Call) -> Reply:
    """Read the record of the type that has a key in another system."""
    found = external.find_external(call, RECORDS, call.path["system"], call.path["key"])
    if found is None or not call.records.visible(found) or found.doc["object_type"] != call.path["object_type"]:
        raise Problem("not_found", f"No {call.path['object_type']} has the key {call.path['key']} in {call.path['system']}.")
    call.record = found
    return single.read(call)


@handles("upsertCustomRecordByExternalId")
def upsert_record(call: Call) -> Reply:
    """Create or change the record of the type that has a key in another system."""
    demand_open(call)
    system, key, wanted = call.path["system"], call.path["key"], call.headers.get("If-Match")
    present = external.find_external(call, RECORDS, system, key)
    if wanted is not None and (present is None or wanted not in (present.etag, "*")):
        raise Problem("version_mismatch", f"If-Match is {wanted}, and no record with this key has that ETag.")
    status, record = write_external(call, system, key, call.body)
    headers = {"Location": f"/v1/custom-records/{call.path['object_type']}/{record.id}"} if status == 201 else {}
    return single.shown(call, record, status, **headers)


@handles("deleteCustomRecord")
def delete_record(call: Call) -> Reply:
    """Move a record to the recycle bin, with what goes along."""
    letting_go.delete(call, call.found)
    return Reply(204)


@handles("restoreCustomRecord", deleted=True)
def restore_record(call: Call) -> Reply:
    """Bring a record back with what went along."""
    if call.found.deleted_at is None:
        raise Problem("custom_record_not_deleted", f"{call.found.id} is not in the recycle bin.")
    restored = letting_go.restore(call, call.found)
    tell(call, "restored", restored)
    return single.shown(call, restored)


@handles("eraseCustomRecord", deleted=True)
def erase_record(call: Call) -> Reply:
    """Remove a record for good, and answer with numbers only."""
    record, object_type = call.found, call.found.doc["object_type"]
    history, links, references = letting_go.erase(call, record)
    told = {"object_type": object_type, "custom_record_id": record.id}
    request = {k: v for k, v in call.body.items() if k == "data_subject_request_id"}
    call.emit(f"{EVENT}erased.v1", record.id, {**told, **request})
    counts = {"history_count": history, "link_count": links, "reference_count": references}
    return Reply(200, {**told, **counts, "erased_at": call.now})


@handles("changeCustomRecordOwner")
def change_owner(call: Call) -> Reply:
    """Give a record to another user."""
    demand_open(call)
    check_owner(call, call.body["owner_id"], "#/owner_id")
    return single.shown(call, hand_over(call, call.found, call.body["owner_id"], call.body.get("reason", "")))


def check_owner(context: Context, user: str, pointer: str, /) -> None:
    """Refuse a user who can't become an owner.

    :raises Problem: ``validation_failed`` with ``invalid_reference``, or ``record_owner_inactive``.
    """
    entry = {"pointer": pointer, "code": "invalid_reference", "detail": f"no user has the ID {user}"}
    if context.records.peek("users", user) is None:
        raise Problem("validation_failed", "The new owner doesn't exist; see errors.", [entry])
    if not owners.is_active(context, user):
        entry |= {"code": "record_owner_inactive", "detail": f"{user} was deactivated"}
        raise Problem("validation_failed", "The new owner is deactivated; see errors.", [entry])


def hand_over(context: Context, record: Record, user: str, reason: str = "", /) -> Record:
    """Give a record to a user, and tell of it unless it was the user's already."""
    changed = context.records.change(record, {"owner_id": user})
    if changed.version != record.version:
        more = {"from_owner_id": record.doc["owner_id"], "to_owner_id": user} | ({"reason": reason} if reason else {})
        tell(context, "owner_changed", changed, **more)
    return changed


@handles("changeCustomRecordTags")
def change_tags(call: Call) -> Reply:
    """Add and remove single tags."""
    demand_open(call)
    adds, removes = call.body.get("add", ()), call.body.get("remove", ())
    if set(adds) & set(removes):
        raise Problem("record_tag_conflict", f"{', '.join(sorted(set(adds) & set(removes)))} can't be added and removed at once.")
    tags = [t for t in dict.fromkeys((*call.found.doc.get("tags", ()), *adds)) if t not in removes]
    if len(tags) > MAX_TAGS:
        raise Problem("record_tag_conflict", f"A record has at most {MAX_TAGS} tags, and this one would have {len(tags)}.")
    return single.shown(call, change(call, call.found, {"tags": tags or None}))


@handles("cloneCustomRecord")
def clone_record(call: Call) -> Reply:
    """Copy what the caller can read of a record, but for what only one record can have."""
    kind = demand_open(call)
    seen = call.records.shown(call.found)
    values = {n: v for n, v in seen.get("custom_fields", {}).items() if n not in _single(call, call.found.doc["object_type"])}
    body: dict[str, Any] = {"custom_fields": merge_patch(values, call.body.get("custom_fields", {}))}
    if "tags" in seen:
        body["tags"] = seen["tags"]
    if "name" in call.body:
        body["name"] = call.body["name"]
    elif kind["name_field"]["kind"] == "text":
        body["name"] = f"{seen['name']} (copy)"[:120]
    record = create(call, body)
    if call.body.get("with_links"):
        letting_go.copy_links(call, call.found, record)
    return single.shown(call, record, 201, Location=single.location(call, record))


def _single(context: Context, object_type: str) -> Sequence[str]:
    said = custom_fields.definitions(context, object_type)
    return [name for name, d in said.items() if d.get("is_unique") or d["type"] in _OWN]
