"""What roles and permission sets consist of: scopes, access to records, rights on fields, and the rules about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crm_reference.contract import Resource
from crm_reference.contract.schema_tree import property_node
from crm_reference.emulator import custom_fields, field_access
from crm_reference.emulator.access import ACTIONS, LEVELS, ROLES, levels_of, people
from crm_reference.emulator.behaviours import listing
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, enforces, guards, handles, presents
from crm_reference.emulator.store import Record

Doc = Mapping[str, Any]


def scopes_of(context: Context, grant: Doc, /) -> list[str]:
    """Return the scopes of a role or permission set, in alphabetical order.

    Those of a role of the platform are what the services' manifests give it.
    """
    if grant.get("is_system"):
        return sorted(name for name, scope in context.world.contract.scopes.items() if grant["key"] in scope.roles)
    return sorted(grant.get("scopes", ()))


def resource_of(context: Context, object: str, /) -> Resource | None:
    """Return the resource of a kind of record, or ``None``."""
    return next((r for r in context.world.contract.resources.values() if r.object == object), None)


def has_field(context: Context, resource: Resource, field: str, /) -> bool:
    """Tell whether a kind of record has a field, built in or made by the tenant."""
    head, _, name = field.partition(".")
    if head == "custom_fields" and resource.extensible:
        return name in custom_fields.definitions(context, resource.extensible)
    return property_node(resource.node, field.split(".")) is not None


def summary(role: Doc, /) -> dict[str, Any]:
    """Return the few members by which people recognise a role."""
    return {"id": role["id"], "object": "role", "key": role["key"], "name": role["name"]}


@presents(ROLES)
def present(context: Context, role: Record) -> Doc:
    """Show the scopes of a role, which services may have added to since it was written."""
    return {"scopes": scopes_of(context, role.doc), "is_system": bool(role.doc.get("is_system"))}


@guards(ROLES)
def keep_system_roles(context: Context, role: Record) -> None:
    """Keep the roles of the platform."""
    if role.doc.get("is_system"):
        raise Problem("role_is_system", f"{role.doc['name']} is a role of the platform and can't be deleted.")


# -- rules -------------------------------------------------------------------------------------------------------------------


@enforces("role_hierarchy_acyclic")
def role_hierarchy_acyclic(context: Context, new: Doc, old: Doc | None) -> str:
    """Walk upwards from the new parent."""
    parent = new.get("parent_role_id")
    if parent is None or (old is not None and old.get("parent_role_id") == parent):
        return ""
    if new["id"] in (parent, *people(context).ancestors(parent)):
        return "The hierarchy would run in a circle: the new parent is this role or stands below it."
    return ""


@enforces("scopes_known")
def scopes_known(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Look each scope up in the catalogue."""
    if old is not None and old.get("scopes") == new.get("scopes"):
        return ""
    catalogue = context.world.contract.scopes
    for index, scope in enumerate(new.get("scopes", ())):
        if scope not in catalogue:
            return f"{scope} is no scope of the platform.", f"scopes.{index}"
    return ""


@enforces("scopes_held")
def scopes_held(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Compare the scopes that are added with those of the caller's token."""
    added = set(new.get("scopes", ())) - set((old or {}).get("scopes", ())) - context.identity.scopes
    return f"You don't hold {', '.join(sorted(added))}." if added and not context.is_upkeep else ""


@enforces("record_access_sound")
def record_access_sound(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Check that each kind of record exists, stands once, and isn't changed more widely than seen."""
    entries = new.get("record_access", ())
    if old is not None and old.get("record_access") == entries:
        return ""
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        place, object = f"record_access.{index}", entry["object_type"]
        resource = resource_of(context, object)
        if resource is None or not resource.owner:
            return f"{object} is no kind of record that has owners.", f"{place}.object_type"
        if object in seen:
            return f"{object} stands here twice.", f"{place}.object_type"
        seen.add(object)
        for action in ("write", "delete"):
            if LEVELS.index(entry[action]) > LEVELS.index(entry["read"]):
                return f"{action} reaches {entry[action]}, and reading only {entry['read']}.", f"{place}.{action}"
    return ""


@enforces("field_grants_known")
def field_grants_known(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Check that each right on a field names a field that there is."""
    for index, grant in enumerate(new.get("field_grants", ())):
        resource = resource_of(context, grant["object_type"])
        if resource is None or not has_field(context, resource, grant["field"]):
            return f"{grant['object_type']} has no field {grant['field']}.", f"field_grants.{index}.field"
    return ""


@enforces("system_role_fixed")
def system_role_fixed(context: Context, new: Doc, old: Doc | None) -> str:
    """Compare what belongs to the platform in its roles."""
    if old is None or not old.get("is_system") or context.is_upkeep:
        return ""
    changed = [n for n in ("name", "parent_role_id", "scopes") if new.get(n) != old.get(n)]
    return f"{old['name']} is a role of the platform; its {changed[0].replace('_', ' ')} can't be changed." if changed else ""


# -- the catalogue -------------------------------------------------------------------------------------------------------------


@handles("listSecurityScopes")
def list_scopes(call: Call) -> Reply:
    """Return the scopes of all services, each with the roles of the platform that hold it."""
    return listing.paged_items(call, list(_catalogue(call, call.query.get("service"), call.query.get("role"))))


def _catalogue(context: Context, service: str | None, role: str | None) -> Iterable[dict[str, Any]]:
    for slug, known in sorted(context.world.contract.services.items()):
        for name, scope in sorted(known.manifest.scopes.items()):
            if service in (None, slug) and (role is None or role in scope.roles):
                yield {"name": name, "service": slug, "description": scope.description, "roles": list(scope.roles)}


# -- computations --------------------------------------------------------------------------------------------------------------


@computes("record_levels")
def record_levels(asked: Doc) -> list[dict[str, str]]:
    """Return the union of the access to records of several roles and permission sets.

    :param asked: ``grants``, a list of lists of entries.
    """
    levels = levels_of({"record_access": entries} for entries in asked["grants"])
    objects = sorted({object for object, _ in levels})
    return [{"object_type": o, **{a: levels[o, a] for a in ACTIONS}} for o in objects]


@computes("field_right")
def field_right(asked: Doc) -> str:
    """Return what a user may do with a field.

    :param asked: ``default_access`` and ``grants`` of the field, ``role_ids`` of the user, and ``set_rights``, what permission
        sets add.
    """
    granted = {g["role_id"]: g["access"] for g in asked["grants"]}
    levels = [str(granted.get(role, asked["default_access"])) for role in asked["role_ids"]]
    return field_access.widest([*levels, *asked["set_rights"]])
