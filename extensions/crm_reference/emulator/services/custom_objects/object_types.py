"""Object types: designed as drafts, published, archived, cloned, deleted and brought back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import enforces, handles, presents, sees
from crm_reference.emulator.services.custom_objects import fields, versions
from crm_reference.emulator.services.custom_objects.definitions import (
    DESIGN,
    FIELDS,
    TYPES,
    built_in,
    definition,
    demand_writable,
    fields_of,
    records_of,
    spoken,
    tell_field,
    tell_gone,
)
from crm_reference.emulator.services.custom_objects.dependencies import of_type
from crm_reference.emulator.store import Record

_EVENT = "crm.object_type.{}.v1"
#: Names that objects of the platform have or will have.
_RESERVED = frozenset(
    {"account", "activity", "contact", "contract", "deal", "event", "file", "lead", "note", "order", "price_book", "product"}
    | {"quote", "report", "task", "team", "ticket", "user"}
)

Doc = Mapping[str, Any]


def listed_values(keys: Iterable[str], /) -> list[dict[str, Any]]:
    """Return values of a picklist from their keys; labels are the keys as words."""
    return [{"value": k, "label": k.replace("_", " ").capitalize(), "is_default": False, "is_active": True} for k in keys]


TEMPLATES: tuple[dict[str, Any], ...] = (
    {
        "key": "asset",
        "label": "Asset",
        "text": "A thing of a customer that is installed, serviced and replaced.",
        "fields": [
            {"name": "serial_number", "label": "Serial number", "type": "text", "is_unique": True, "max_length": 40},
            {"name": "account", "label": "Account", "type": "reference", "target": "accounts"},
            {"name": "installed_on", "label": "Installed on", "type": "date"},
            {"name": "condition", "label": "Condition", "type": "picklist", "values": listed_values(["good", "worn", "broken"])},
        ],
    },
    {
        "key": "inspection",
        "label": "Inspection",
        "text": "A visit with a date, a result and findings.",
        "fields": [
            {"name": "inspected_on", "label": "Inspected on", "type": "date", "is_required": True},
            {"name": "result", "label": "Result", "type": "picklist", "values": listed_values(["passed", "conditional", "failed"])},
            {"name": "findings", "label": "Findings", "type": "long_text", "max_length": 4000},
        ],
    },
    {
        "key": "subscription",
        "label": "Subscription",
        "text": "Something that is paid again and again for a time.",
        "fields": [
            {"name": "account", "label": "Account", "type": "reference", "target": "accounts"},
            {"name": "starts_on", "label": "Starts on", "type": "date"},
            {"name": "ends_on", "label": "Ends on", "type": "date"},
            {"name": "seats", "label": "Seats", "type": "integer"},
        ],
    },
    {
        "key": "event",
        "label": "Event",
        "text": "Something that happens at a place and time with people.",
        "fields": [
            {"name": "starts_at", "label": "Starts at", "type": "date_time"},
            {"name": "place", "label": "Place", "type": "text", "max_length": 120, "help_text": "Hall and city, as on the ticket."},
            {"name": "is_online", "label": "Online", "type": "boolean"},
        ],
    },
)


@presents(TYPES)
def present(context: Context, record: Record, /) -> dict[str, Any]:
    """Return the numbers of fields and records of a type."""
    name = record.doc["name"]
    return {"field_count": len(fields_of(context, name)), "record_count": len(records_of(context, name))}


@sees(TYPES)
def see(context: Context, record: Record, /) -> bool:
    """Show a draft to designers alone."""
    return record.doc["status"] != "draft" or DESIGN in context.identity.scopes


@enforces("type_name_free")
def type_name_free(context: Context, new: Doc, old: Doc | None, /) -> str:
    """Refuse names of built-in objects."""
    taken = new["name"] in _RESERVED or new["name"] in built_in(context)
    return f"{new['name']} is an object of the platform." if taken else ""


@enforces("name_format_given")
def name_format_given(context: Context, new: Doc, old: Doc | None, /) -> tuple[str, str] | str:
    """Demand a format of numbers, and none of names."""
    said = new.get("name_field", {})
    if (said.get("kind") == "auto_number") == ("format" in said):
        return ""
    return "Records that are numbered need a format, and others have none.", "name_field.format"


@enforces("name_kind_kept")
def name_kind_kept(context: Context, new: Doc, old: Doc | None, /) -> tuple[str, str] | str:
    """Keep how records are named once there can be some."""
    if old is None or "published_at" not in old or new["name_field"].get("kind") == old["name_field"].get("kind"):
        return ""
    return f"Records of {new['name']} are named by {old['name_field'].get('kind')} since it was published.", "name_field.kind"


def new_type(context: Context, body: Doc, /) -> Record:
    """Create a draft."""
    name_field = {"label": "Name", "kind": "text", **body.get("name_field", {})}
    settings = {"is_searchable": True, "is_reportable": True, "has_activities": False, **body.get("settings", {})}
    rest = {"name_field": name_field, "settings": settings, "status": "draft", "schema_version": 0}
    return context.records.create(TYPES, {**body, **rest})


def told(context: Context, record: Record, what: str, /) -> None:
    """Emit what happened to a type."""
    context.emit(_EVENT.format(what), record.id, {"record": context.records.public(record)})


@handles("createObjectType")
def create(call: Call) -> Reply:
    """Create a draft, with the fields of a template where one is named."""
    record = new_type(call, call.body)
    told(call, record, "created")
    template = next((t for t in TEMPLATES if t["key"] == call.body.get("template")), None)
    for field in template["fields"] if template else ():
        fields.create_field(call, {**field, "object_type": record.doc["name"]})
    return single.shown(call, record, 201, Location=single.location(call, record))


@handles("listObjectTypeTemplates")
def templates(call: Call) -> Reply:
    """Answer the templates of the platform."""
    return Reply(200, {"data": list(TEMPLATES)})


@handles("updateObjectType")
def update(call: Call) -> Reply:
    """Change a type; in use, its schema has a version more."""
    record = call.found
    demand_writable(call, record.doc["name"])
    changed = call.records.change(record, call.body, event=_EVENT.format("updated"))
    if changed is not record and record.doc["status"] == "published":
        names = [n for n in call.body if changed.doc.get(n) != record.doc.get(n)]
        versions.note(call, changed, "type_changed", f"{record.doc['label']} was changed: {spoken(names)}.")
        changed = call.records.get(TYPES, record.id)
    return single.shown(call, changed)


@handles("publishObjectType")
def publish(call: Call) -> Reply:
    """Open a draft for records."""
    record = call.found
    if record.doc["status"] != "draft":
        raise Problem("object_type_not_draft", f"{record.doc['name']} is {record.doc['status']}.")
    if not any(f.doc["is_active"] for f in fields_of(call, record.doc["name"])):
        raise Problem("object_type_without_fields", f"{record.doc['name']} has no active field.")
    changed = call.records.change(record, {"status": "published", "published_at": call.now}, action="published")
    versions.note(call, changed, "published", f"{record.doc['label']} was published.")
    return _shown(call, "published")


@handles("archiveObjectType")
def archive(call: Call) -> Reply:
    """Take a type out of use."""
    record = call.found
    if record.doc["status"] != "published":
        raise Problem("object_type_not_published", f"{record.doc['name']} is {record.doc['status']}.")
    call.records.change(record, {"status": "archived", "archived_at": call.now}, action="archived")
    return _shown(call, "archived")


@handles("unarchiveObjectType")
def unarchive(call: Call) -> Reply:
    """Take a type back into use."""
    record = call.found
    if record.doc["status"] != "archived":
        raise Problem("object_type_not_archived", f"{record.doc['name']} is {record.doc['status']}.")
    patch = {"status": "published", "archived_at": None, "published_at": call.now}
    call.records.change(record, patch, action="unarchived")
    return _shown(call, "published")


def _shown(call: Call, what: str) -> Reply:
    record = call.records.get(TYPES, call.found.id)
    told(call, record, what)
    return single.shown(call, record)


@handles("cloneObjectType")
def clone(call: Call) -> Reply:
    """Make a draft with the settings and fields of another type."""
    source, body = call.found, dict(call.body)
    inactive = body.pop("has_inactive_fields", False)
    kept: dict[str, Any] = {k: source.doc[k] for k in ("description", "icon", "color", "name_field", "settings") if k in source.doc}
    record = new_type(call, {**kept, **body})
    told(call, record, "created")
    with upkeep(call):  # formulas name fields that come later
        for field in fields_of(call, source.doc["name"]):
            if field.doc["is_active"] or inactive:
                doc = {k: v for k, v in definition(field.doc).items() if k != "choices"}
                copied = call.records.create(FIELDS, {**doc, "object_type": record.doc["name"]})
                tell_field(call, copied, "created")
    return single.shown(call, record, 201, Location=f"/v1/object-types/{record.id}")


@handles("deleteObjectType")
def delete(call: Call) -> Reply:
    """Move a type without dependents to the recycle bin, and its fields with it."""
    record = call.found
    if record.doc["status"] == "published":
        raise Problem("object_type_in_use", f"{record.doc['name']} is published; archive it first.")
    blocking = [d for d in of_type(call, record) if d["is_blocking"]]
    if blocking:
        first = blocking[0]
        raise Problem("object_type_in_use", f"{first['name']} ({first['kind']}) depends on {record.doc['name']}.")
    living = fields_of(call, record.doc["name"])
    with upkeep(call):
        for field in living:
            call.records.delete(field)
            tell_gone(call, field)
    call.records.note(record, _fields=[f.id for f in living])
    call.records.delete(call.records.get(TYPES, record.id), event=_EVENT.format("deleted"))
    return Reply(204)


@handles("restoreObjectType", deleted=True)
def restore(call: Call) -> Reply:
    """Bring a type back, and the fields that went with it."""
    if call.found.deleted_at is None:
        return single.shown(call, call.found)
    record = call.records.restore(call.found, event=_EVENT.format("restored"))
    with upkeep(call):
        for id in record.doc.get("_fields", ()):
            field = call.records.restore(call.records.get(FIELDS, id, deleted=True))
            tell_field(call, field, "restored")
    return single.shown(call, record)
