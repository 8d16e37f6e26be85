"""Which objects take fields, and what the tenant uses of its plan."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.behaviours.listing import paged_items
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.custom_objects.definitions import (
    FIELD_LIMIT,
    FIELDS,
    RECORDS,
    SETS,
    TYPES,
    built_in,
    fields_of,
    records_of,
)
from crm_reference.emulator.services.custom_objects.dependencies import count

_LIMITS = (
    ("object_types", TYPES, 100),
    ("custom_fields", FIELDS, 2_000),
    ("global_value_sets", SETS, 200),
    ("validation_rules", "validation-rules", 500),
    ("relationship_types", "relationship-types", 100),
    ("custom_records", RECORDS, 1_000_000),
)


@handles("getSchemaUsage")
def usage(call: Call) -> Reply:
    """Count the tenant's definitions and records beside what the plan includes."""
    store, tenant = call.world.store, call.tenant
    items = [{"name": name, "used": store.count(tenant, collection), "limit": limit} for name, collection, limit in _LIMITS]
    return Reply(200, {"measured_at": call.now, "items": items})


@handles("listExtensibleObjects")
def extensible(call: Call) -> Reply:
    """Answer the objects that take custom fields, built-in ones first; drafts are left out."""
    found: list[dict[str, Any]] = []
    for name, resource in sorted(built_in(call).items()):
        about = {"object_type": name, "kind": "built_in", "service": resource.service, "label": name.replace("_", " ").capitalize()}
        number = count(call, name)
        counts = {"field_count": len(fields_of(call, name)), "field_limit": FIELD_LIMIT}
        found.append({**about, **counts, **({"record_count": number} if number is not None else {})})
    for record in call.world.store.select(call.tenant, TYPES):
        if record.doc["status"] != "draft":
            name = record.doc["name"]
            about = {"object_type": name, "kind": "custom", "service": "custom-objects", "label": record.doc["label"]}
            counts = {"field_count": len(fields_of(call, name)), "field_limit": FIELD_LIMIT}
            counts["record_count"] = len(records_of(call, name))
            found.append({**about, "object_type_id": record.id, **counts})
    return paged_items(call, found)
