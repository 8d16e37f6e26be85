"""Lists: their rules, their number of members, and what is done with a list as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import access, custom_fields
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Fields, Sort
from crm_reference.emulator.registry import enforces, handles, presents, sees
from crm_reference.emulator.services.contacts.members import count_members
from crm_reference.emulator.services.contacts.selecting import CONTACTS, LISTS, matching, on_list, own_ones, summary
from crm_reference.emulator.store import Record


@presents(LISTS)
def present(context: Context, contact_list: Record) -> Mapping[str, Any]:
    """Count the members whenever the list is read."""
    return {"member_count": count_members(context, contact_list)}


@sees(LISTS)
def see(context: Context, contact_list: Record) -> bool:
    """Hide lists of others from those who see their own only, and criteria on fields that the caller may not see."""
    if not access.may(context, context.resource(LISTS), contact_list, "read"):
        return False
    groups = contact_list.doc.get("criteria", {}).get("filter_groups", ())
    asked = {f["field"].split(".")[0] for group in groups for f in group["filters"]}
    return asked.isdisjoint(context.records.masked(CONTACTS))


@enforces("list_criteria_fit_kind")
def list_criteria_fit_kind(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Compare the kind with whether there are criteria."""
    if new["kind"] == "static" and new.get("criteria"):
        return "A static list has no criteria. Leave them out, or create a dynamic list.", "criteria"
    return ""


@enforces("list_criteria_valid")
def list_criteria_valid(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Check new criteria as a search is checked; what is wrong is told at its place."""
    criteria = new.get("criteria")
    if criteria and (old is None or old.get("criteria") != criteria) and new["kind"] == "dynamic":
        matching(context, criteria, "#/criteria")
    return ""


@handles("updateContactList")
def update_list(call: Call) -> Reply:
    """Change a list; new criteria replace the former ones as a whole, which a merge patch alone would not do."""
    doc = {k: v for k, v in {**call.found.doc, **call.body}.items() if v is not None}
    return single.shown(call, call.records.replace(call.found, doc, event="crm.contact_list.updated.v1"))


@handles("previewContactListCriteria")
def preview(call: Call) -> Reply:
    """Count whom criteria match, and show the first few by name."""
    condition = own_ones(call).and_(matching(call, call.body["criteria"], "#/criteria"))
    order = call.records.fields(CONTACTS).order([Sort("full_name")])
    size = call.body.get("sample_size", 5)
    sample = call.world.store.select(call.tenant, CONTACTS, condition.sql, condition.arguments, order=order, limit=size)
    count = call.world.store.count(call.tenant, CONTACTS, condition.sql, condition.arguments)
    return Reply(200, {"count": count, "sample": [summary(c) for c in sample]})


@handles("convertContactList")
def convert(call: Call) -> Reply:
    """Freeze a dynamic list: whoever of the tenant matches now is put on it."""
    contact_list = call.found
    if contact_list.doc["kind"] == "static":
        raise Problem("list_is_static", f"{contact_list.doc['name']} is static already.")
    resource = call.resource(CONTACTS)
    whole = Fields(resource, custom_fields.query_fields(call, resource.extensible))
    condition = on_list(call, contact_list, fields=whole)
    found = call.world.store.select(call.tenant, CONTACTS, condition.sql, condition.arguments)
    mark = {"added_at": call.now, "added_by": call.identity.actor}
    patch = {"kind": "static", "criteria": None, "converted_at": call.now, "_members": {c.id: mark for c in found}}
    converted = call.records.change(contact_list, patch)
    call.emit("crm.contact_list.converted.v1", converted.id, {"record": call.records.public(converted)})
    return single.shown(call, converted)


@handles("cloneContactList")
def clone(call: Call) -> Reply:
    """Copy a list under another name, owned by the caller; of a static one the members whom the caller may see too."""
    origin = call.found
    body: dict[str, Any] = {k: v for k, v in origin.doc.items() if k in ("kind", "description", "criteria")}
    body |= {"name": call.body["name"], "cloned_from_id": origin.id}
    if origin.doc["kind"] == "static" and call.body.get("has_members", True):
        condition = own_ones(call).and_(on_list(call, origin))
        mark = {"added_at": call.now, "added_by": call.identity.actor}
        found = call.world.store.select(call.tenant, CONTACTS, condition.sql, condition.arguments)
        body["_members"] = {c.id: mark for c in found}
    copy = call.records.create(LISTS, body, event="crm.contact_list.created.v1")
    return single.shown(call, copy, 201, Location=f"/v1/contact-lists/{copy.id}")
