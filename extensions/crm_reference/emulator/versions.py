"""Records as earlier writes left them, rebuilt from the change log."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.store import Change, Record


def version_reply(call: Call, collection: str, /, *, hide: Collection[str] = ()) -> Reply:
    """Answer with a record as one write left it; the path's parameters are ``{object}_id`` and ``version``.

    :param hide: Members that are computed when a record is read, and can't be known for the past.
    :raises Problem: ``not_found`` (404) for a version that there never was.
    """
    parameter = f"{call.resource(collection).object}_id"
    present, version = call.records.get(collection, call.path[parameter]), int(call.path["version"])
    log = call.world.store.changes(call.tenant, collection, id=present.id, newest_first=True)
    entry = next((c for c in log if c.version == version), None)
    if entry is None:
        raise Problem("not_found", f"{present.id} has no version {version}.")
    doc = as_it_was(present.doc, [c for c in log if c.version > version]) | {"updated_at": entry.at}
    doc.pop("updated_by", None)
    who = {"changed_by": entry.actor} if entry.actor.startswith("usr_") else {}
    if entry.action != "created" and who:
        doc["updated_by"] = entry.actor
    shown = call.records.shown(Record(collection, present.id, version, doc))
    record = {name: value for name, value in shown.items() if name not in hide}
    body = {parameter: present.id, "version": version, "changed_at": entry.at, **who, "action": entry.action, "record": record}
    return Reply(200, body)


def as_it_was(doc: Mapping[str, Any], later: Sequence[Change], /) -> dict[str, Any]:
    """Return a document before some writes.

    :param later: Entries of the change log, newest first.
    """
    found = {**doc, "custom_fields": dict(doc.get("custom_fields", {}))}
    for change in later:
        for difference in change.detail.get("changes", ()):
            name, target = difference["field"], found
            if name.startswith("custom_fields."):
                target, name = found["custom_fields"], name.removeprefix("custom_fields.")
            if "old_value" in difference:
                target[name] = difference["old_value"]
            else:
                target.pop(name, None)
    if not found["custom_fields"]:
        del found["custom_fields"]
    return found
