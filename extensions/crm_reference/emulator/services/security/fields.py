"""Field security: what roles may do with fields, one by one, as a batch and as a matrix, and the events that tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.contract import Resource
from crm_reference.emulator import custom_fields, field_access
from crm_reference.emulator.access import ROLES
from crm_reference.emulator.behaviours import batch, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.security.definitions import has_field, resource_of, summary
from crm_reference.emulator.store import Record

FIELDS = field_access.DEFINITIONS
CHANGED = "crm.field_security.changed.v1"
#: Members that every record needs, or that the platform sets.
_FIXED = frozenset({"id", "object", "created_at", "updated_at", "created_by", "updated_by", "version", "deleted_at"})

Doc = Mapping[str, Any]


def invalid(pointer: str, code: str, detail: str, /) -> Problem:
    """Return a ``validation_failed`` about one place of the body."""
    return Problem("validation_failed", "1 field is not valid; see errors.", [{"pointer": pointer, "code": code, "detail": detail}])


def known_object(context: Context, object: str, pointer: str, /) -> Resource:
    """Return the resource of a kind of record.

    :raises Problem: ``validation_failed`` with ``object_type_unknown`` where there is none.
    """
    resource = resource_of(context, object)
    if resource is None:
        raise invalid(pointer, "object_type_unknown", f"{object} is no kind of record.")
    return resource


def find(context: Context, object: str, field: str, /) -> Record | None:
    """Return the security of a field, or ``None`` where it has none."""
    found = context.records.find(FIELDS, object_type=object, field=field)
    return found[0] if found else None


def _of_path(call: Call) -> Record:
    """Return the security that the path names, its ETag compared.

    :raises Problem: ``not_found``, ``version_mismatch``.
    """
    found = find(call, call.path["object_type"], call.path["field"])
    if found is None:
        raise Problem("not_found", f"{call.path['field']} of {call.path['object_type']} has no field security.")
    _compare_etag(call, found)
    return found


def _compare_etag(call: Call, present: Record | None) -> None:
    wanted = call.headers.get("If-Match")
    if wanted is not None and (present is None or wanted not in (present.etag, "*")):
        there = f"the ETag is {present.etag}" if present is not None else "there is no field security"
        raise Problem("version_mismatch", f"If-Match is {wanted}, and {there}.")


# -- one field ------------------------------------------------------------------------------------------------------------------


@handles("getFieldSecurity")
def read(call: Call) -> Reply:
    """Return the security of one field."""
    call.record = _of_path(call)
    return single.read(call)


@handles("setFieldSecurity")
def put(call: Call) -> Reply:
    """Set the security of one field: 201 where it had none."""
    object, field = call.path["object_type"], call.path["field"]
    present = find(call, object, field)
    _compare_etag(call, present)
    record = write(call, {"object_type": object, "field": field, **call.body})
    place = {} if present is not None else {"Location": f"/v1/field-security/by-field/{object}/{field}"}
    return single.shown(call, record, 200 if present is not None else 201, **place)


@handles("resetFieldSecurity")
def reset(call: Call) -> Reply:
    """Remove the security of one field, and tell every role that was limited."""
    record = _of_path(call)
    before = _rights(call, record.doc)
    call.records.delete(record)
    _tell(call, record, before, dict.fromkeys(before, "write"))
    return Reply(204)


def write(context: Context, item: Doc, /) -> Record:
    """Set the security of a field and tell of each role whose right changed.

    :param item: ``object_type``, ``field``, ``default_access``, ``grants``.
    :raises Problem: Where the field or a role is unknown, or the field can't be limited.
    """
    _check(context, item)
    present = find(context, item["object_type"], item["field"])
    body = {"grants": [], **item}
    before = _rights(context, present.doc if present is not None else None)
    records = context.records
    record = records.create(FIELDS, body) if present is None else records.replace(present, {**present.doc, **body})
    _tell(context, record, before, _rights(context, record.doc))
    return record


def _check(context: Context, item: Doc) -> None:
    resource, field = known_object(context, item["object_type"], "#/object_type"), item["field"]
    if not has_field(context, resource, field):
        raise invalid("#/field", "field_unknown", f"{resource.object} has no field {field}.")
    creates = context.world.contract.schemas.get(resource.create)
    if field in _FIXED or (creates is not None and field in creates.node.get("required", ())):
        raise invalid("#/field", "field_not_restrictable", f"Every {resource.object} needs {field}.")
    seen: set[str] = set()
    for index, grant in enumerate(item.get("grants", ())):
        if context.records.peek(ROLES, grant["role_id"]) is None:
            raise invalid(f"#/grants/{index}/role_id", "invalid_reference", "There is no role with this ID.")
        if grant["role_id"] in seen:
            raise invalid(f"#/grants/{index}/role_id", "not_unique", "The role stands here twice.")
        seen.add(grant["role_id"])


def _rights(context: Context, doc: Doc | None) -> dict[str, str]:
    """Return what each role may do with a field, by the role's key."""
    granted: dict[str, str] = {g["role_id"]: g["access"] for g in doc.get("grants", ())} if doc is not None else {}
    default = str(doc["default_access"]) if doc is not None else "write"
    return {r.doc["key"]: granted.get(r.id, default) for r in context.records.find(ROLES)}


def _tell(context: Context, record: Record, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    for role in sorted(after):
        if before.get(role, "write") != after[role]:
            _emit(context, record, role, after[role])


def _emit(context: Context, record: Record, role: str, access: str) -> None:
    changed = [{"field": record.doc["field"], "access": access}]
    context.emit(CHANGED, record.id, {"object_type": record.doc["object_type"], "role": role, "fields": changed})


# -- roles that come and go -------------------------------------------------------------------------------------------------------


def tell_of_role(context: Context, role: Record, /) -> None:
    """Tell of the fields that a new role may not set."""
    for record in context.records.find(FIELDS):
        access = _rights(context, record.doc)[role.doc["key"]]
        if access != "write":
            _emit(context, record, role.doc["key"], access)


def copy_grants(context: Context, origin: str, copy: str, /) -> None:
    """Give a role's copy the grants of its origin."""
    for record in context.records.find(FIELDS):
        grant = next((g for g in record.doc.get("grants", ()) if g["role_id"] == origin), None)
        if grant is not None:
            context.records.change(record, {"grants": [*record.doc["grants"], {**grant, "role_id": copy}]})


def forget_role(context: Context, role: str, /) -> None:
    """Take a role that is gone out of all grants."""
    with upkeep(context):
        for record in context.records.find(FIELDS):
            kept = [g for g in record.doc.get("grants", ()) if g["role_id"] != role]
            if len(kept) < len(record.doc.get("grants", ())):
                context.records.change(record, {"grants": kept})


# -- many fields -----------------------------------------------------------------------------------------------------------------


@handles("batchSetFieldSecurity", by_item=True)
def set_many(call: Call) -> Reply:
    """Set the security of several fields, with an outcome for each."""

    def one(item: Doc) -> tuple[int, Record]:
        is_new = find(call, item["object_type"], item["field"]) is None
        return 201 if is_new else 200, write(call, item)

    return batch.run_items(call, call.body["items"], one)


@handles("getFieldSecurityMatrix")
def matrix(call: Call) -> Reply:
    """Return roles by fields of one kind of record."""
    resource = resource_of(call, call.query["object_type"])
    if resource is None:
        raise _bad_query("object_type", "object_type_unknown", f"{call.query['object_type']} is no kind of record.")
    roles = sorted(call.records.find(ROLES), key=lambda r: str(r.doc["key"]))
    if call.query.get("role_id"):
        roles = [r for r in roles if r.id == call.query["role_id"]]
        if not roles:
            raise _bad_query("role_id", "invalid_reference", "There is no role with this ID.")
    known = {r.doc["field"]: _rights(call, r.doc) for r in call.records.find(FIELDS, object_type=resource.object)}
    rows = [
        {"field": field, "rights": [{"role_id": r.id, "access": rights[r.doc["key"]]} for r in roles]}
        for field, rights in sorted(known.items())
    ]
    body = {
        "object_type": resource.object,
        "roles": [summary(r.doc) for r in roles],
        "fields": rows,
        "unrestricted_fields": [f for f in _all_fields(call, resource) if f not in known],
    }
    return Reply(200, body)


def _bad_query(name: str, code: str, detail: str) -> Problem:
    return Problem("validation_failed", detail, [{"parameter": name, "in": "query", "code": code, "detail": detail}])


def _all_fields(context: Context, resource: Resource) -> list[str]:
    own = [n for n in resource.node.get("properties", {}) if n not in _FIXED and n != "custom_fields"]
    made = custom_fields.definitions(context, resource.extensible) if resource.extensible else {}
    return sorted([*own, *(f"custom_fields.{name}" for name in made)])
