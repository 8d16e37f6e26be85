"""What all of custom objects shares: where definitions are kept, which objects take fields, and how changes are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.contract import Resource
from crm_reference.emulator.call import Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.store import Record

SERVICE = "custom-objects"
TYPES, FIELDS, SETS = "object-types", "custom-fields", "global-value-sets"
VERSIONS, JOBS, RECORDS = "schema-versions", "schema-jobs", "custom-records"
FIELD_CHANGED, FIELD_DELETED = "crm.custom_field.changed.v1", "crm.custom_field.deleted.v1"
#: ``x-extensible`` of the resource that keeps the records of all types of tenants.
CUSTOM = "custom_record"
PICKLISTS = ("picklist", "multi_picklist")
#: Scope of who designs schemas, and sees drafts.
DESIGN = "custom-objects.schema"
#: How many fields an object may have.
FIELD_LIMIT = 200
#: Members of a definition that say nothing about values.
_AROUND = ("id", "object", "created_at", "updated_at", "created_by", "updated_by", "version", "deleted_at", "object_type")

Doc = Mapping[str, Any]


def built_in(context: Context, /) -> dict[str, Resource]:
    """Return the resources of the platform whose records take custom fields, by the name of their object."""
    found = (r for r in context.world.contract.resources.values() if r.extensible not in ("", CUSTOM))
    return {r.extensible: r for r in found}


def type_named(context: Context, name: str, /) -> Record | None:
    """Return the object type of the tenant that has a name, or ``None``."""
    found = context.world.store.find(context.tenant, TYPES, name=name)
    return found[0] if found else None


def fields_of(context: Context, object_type: str, /, *, deleted: bool | None = False) -> list[Record]:
    """Return the fields of an object in the order of their creation.

    :param deleted: As :meth:`Store.select` takes it.
    """
    where = "json_extract(doc, '$.object_type') = ?"
    order = "json_extract(doc, '$.created_at'), id"
    return context.world.store.select(context.tenant, FIELDS, where, (object_type,), order=order, deleted=deleted)


def records_of(context: Context, object_type: str, /) -> list[Record]:
    """Return the records of a type of the tenant, whoever may see them."""
    return context.world.store.find(context.tenant, RECORDS, object_type=object_type)


def definition(field: Doc, /) -> dict[str, Any]:
    """Return what of a field is definition: without IDs, times and versions."""
    return {k: v for k, v in field.items() if k not in _AROUND and not k.startswith("_")}


def frozen(context: Context, field: Record, /) -> dict[str, Any]:
    """Return a field as versions and events carry it."""
    return context.records.public(field)


def tell_field(context: Context, field: Record, action: str, /) -> None:
    """Emit what happened to a field.

    :param action: As ``CustomFieldAction`` names it.
    """
    data = {"action": action, "object_type": field.doc["object_type"], "field": frozen(context, field)}
    context.emit(FIELD_CHANGED, field.id, data)


def tell_gone(context: Context, field: Record, /) -> None:
    """Emit that a field is gone, and drop its values from records of the tenant's own types."""
    object_type, name = field.doc["object_type"], field.doc["name"]
    rest = {"version": field.version + 1, "deleted_at": context.now}
    record = {"id": field.id, "object": "custom_field", "object_type": object_type, "name": name, **rest}
    context.emit(FIELD_DELETED, field.id, {"object_type": object_type, "record": record})
    for holder in context.world.store.select(
        context.tenant, RECORDS, "json_extract(doc, '$.object_type') = ?", (object_type,), deleted=None
    ):
        values = holder.doc.get("custom_fields", {})
        if name in values:
            context.records.note(holder, custom_fields={k: v for k, v in values.items() if k != name})


def refused(code: str, detail: str, pointer: str = "#", /) -> Problem:
    """Return a problem with a code of its own that blames one member."""
    return Problem(code, detail, [{"pointer": pointer, "code": code, "detail": detail}] if pointer != "#" else [])


def demand_writable(context: Context, object_type: str, /) -> None:
    """Raise where an object's type is archived.

    :raises Problem: ``object_type_archived``.
    """
    found = type_named(context, object_type)
    if found is not None and found.doc["status"] == "archived":
        raise Problem("object_type_archived", f"{object_type} is archived; unarchive it to change its schema.")


def open_job(context: Context, /, **about: str) -> None:
    """Raise where a job on the same type, field or set has not ended.

    :param about: Member of the job to its value: ``custom_field_id=…``.
    :raises Problem: ``schema_job_running``.
    """
    for job in context.world.store.find(context.tenant, JOBS, **about):
        if job.doc["status"] in ("queued", "running"):
            raise Problem("schema_job_running", f"{job.id} is at work on it; wait for it or cancel it.")


def spoken(names: Sequence[str], /) -> str:
    """Return names as a list in a sentence.

    >>> spoken(["maximum", "label"])
    'label and maximum'
    """
    *head, last = sorted(names)
    return f"{', '.join(head)} and {last}" if head else last
