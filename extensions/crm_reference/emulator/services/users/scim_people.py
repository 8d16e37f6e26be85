"""Users as a directory knows them: SCIM attributes to the fields of a user and back.

What the directory wrote stays with the user as it was sent. A field that was changed here since shows in the answer; every other
attribute comes back as the directory sent it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.services.users import rights
from crm_reference.emulator.services.users.leaving import deactivate, reactivate
from crm_reference.emulator.services.users.people import UPDATED, USERS
from crm_reference.emulator.services.users.scim_patch import refusal
from crm_reference.emulator.services.users.scim_schemas import ENTERPRISE, USER
from crm_reference.emulator.services.users.scim_support import base, meta, referred, ruled
from crm_reference.emulator.store import Record

_E164 = re.compile(r"\+[1-9]\d{6,14}")
#: Attribute of the core schema to the field that it fills.
_PLAIN = {"title": "job_title", "preferredLanguage": "language", "timezone": "time_zone"}
_ENTERPRISE_FIELDS = {
    "employeeNumber": "employee_number",
    "costCenter": "cost_center",
    "division": "division",
    "department": "department",
}
#: Attribute to the fields that decide whether it is still as the directory sent it.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "name": ("first_name", "last_name"),
    "displayName": ("first_name", "last_name"),
    "emails": ("email",),
    "phoneNumbers": ("phone", "mobile_phone"),
    "active": ("is_active",),
    "externalId": ("external_id",),
    **{attribute: (field,) for attribute, field in _PLAIN.items()},
}
#: Attributes that the server sets; what a client sends for them is ignored (RFC 7644, section 3.3).
IGNORED = frozenset({"id", "meta", "groups", "schemas"})


def fields_of(sent: Mapping[str, Any], /) -> dict[str, Any]:
    """Return the fields of a user that follow from what a directory sent; ``None`` for one that it left out."""
    names, emails = sent.get("name") or {}, sent.get("emails") or [{}]
    first = next((e for e in emails if e.get("primary")), emails[0])
    phones = [(p.get("type", "work"), _plain_number(p.get("value", ""))) for p in sent.get("phoneNumbers", ())]
    inside = sent.get(ENTERPRISE) or {}
    found: dict[str, Any] = {
        "first_name": names.get("givenName"),
        "last_name": names.get("familyName") or (sent.get("displayName") or sent["userName"])[:80],
        "email": first.get("value", "").lower() or None,
        "phone": next((number for kind, number in phones if number and kind != "mobile"), None),
        "mobile_phone": next((number for kind, number in phones if number and kind == "mobile"), None),
        "is_active": sent.get("active", True),
        "external_id": sent.get("externalId"),
        "manager_id": (inside.get("manager") or {}).get("value"),
    }
    found |= {field: sent.get(attribute) for attribute, field in _PLAIN.items()}
    return found | {field: inside.get(attribute) for attribute, field in _ENTERPRISE_FIELDS.items()}


def _plain_number(text: str) -> str:
    """Return a telephone number in E.164, or nothing where it isn't one."""
    number = re.sub(r"[ ().-]", "", text.removeprefix("tel:"))
    return number if _E164.fullmatch(number) else ""


def _present_fields(user: Record) -> dict[str, Any]:
    doc = user.doc
    return {**doc, "external_id": doc.get("external_ids", {}).get("scim")}


def attributes_of(user: Record, /) -> dict[str, Any]:
    """Return what a directory may change of a user: as it was sent, where the fields say the same."""
    present = _present_fields(user)
    sent: Mapping[str, Any] | None = user.doc.get("_scim")
    fresh = _from_fields(present)
    if sent is None:
        return fresh
    meant = fields_of(sent)
    shown: dict[str, Any] = {"userName": sent["userName"]}
    for attribute in dict.fromkeys((*fresh, *sent)):
        if attribute in (ENTERPRISE, "userName"):
            continue
        stays = all(meant[f] == present.get(f) for f in _FIELDS.get(attribute, ()))
        value = sent.get(attribute) if stays else fresh.get(attribute)
        if value is not None:
            shown[attribute] = value
    if "displayName" not in sent:
        shown.pop("displayName", None)
    if ENTERPRISE in fresh:
        shown[ENTERPRISE] = _enterprise(present, sent.get(ENTERPRISE) or {})
    return shown


def _enterprise(present: Mapping[str, Any], sent: Mapping[str, Any]) -> dict[str, Any]:
    fresh: dict[str, Any] = _from_fields(present).get(ENTERPRISE, {})
    manager = sent.get("manager") or {}
    if "manager" in fresh and manager.get("value") == fresh["manager"]["value"]:
        fresh["manager"] = dict(manager)
    return fresh


def _from_fields(present: Mapping[str, Any]) -> dict[str, Any]:
    """Return a user's fields as SCIM attributes."""
    found: dict[str, Any] = {"userName": present.get("email", present["id"]), "active": present.get("is_active", True)}
    names = {"familyName": present.get("last_name"), "givenName": present.get("first_name")}
    found["name"] = {k: v for k, v in names.items() if v}
    found["displayName"] = present.get("full_name")
    if present.get("email"):
        found["emails"] = [{"value": present["email"], "type": "work", "primary": True}]
    phones = [("work", present.get("phone")), ("mobile", present.get("mobile_phone"))]
    found["phoneNumbers"] = [{"value": number, "type": kind} for kind, number in phones if number]
    found["externalId"] = present.get("external_id")
    found |= {attribute: present.get(field) for attribute, field in _PLAIN.items()}
    inside: dict[str, Any] = {a: present[f] for a, f in _ENTERPRISE_FIELDS.items() if present.get(f)}
    if present.get("manager_id"):
        inside["manager"] = {"value": present["manager_id"]}
    found[ENTERPRISE] = inside
    return {k: v for k, v in found.items() if v not in (None, [], {})}


def shown(context: Context, user: Record, /) -> dict[str, Any]:
    """Return a user as a SCIM resource."""
    attributes = attributes_of(user)
    inside = attributes.pop(ENTERPRISE, None)
    body: dict[str, Any] = {"schemas": [USER, ENTERPRISE] if inside else [USER], "id": user.id, **attributes}
    groups = [_group(context, group, path) for group, path in rights.ways_to(context, user.id).values()]
    if groups:
        body["groups"] = sorted(groups, key=lambda g: g["value"])
    if inside:
        if "manager" in inside:
            inside["manager"] = {**inside["manager"], "$ref": f"{base(context)}/Users/{inside['manager']['value']}"}
        body[ENTERPRISE] = inside
    return body | {"meta": meta(context, user, "User", "Users")}


def _group(context: Context, group: Record, path: rights.Path) -> dict[str, str]:
    kind = "indirect" if path else "direct"
    return {"value": group.id, "$ref": f"{base(context)}/Groups/{group.id}", "display": group.doc["name"], "type": kind}


def listed(context: Context, /) -> list[Record]:
    """Return the users that a directory may know of: people whose data weren't erased, by ID."""
    return [u for u in context.records.find(USERS) if u.doc.get("kind") != "integration" and not u.doc.get("is_erased")]


# -- writing ---------------------------------------------------------------------------------------------------------


def kept(context: Context, body: Mapping[str, Any], /) -> dict[str, Any]:
    """Return what a directory sent without what the server sets itself."""
    sent = {k: v for k, v in body.items() if k not in IGNORED and v not in (None, [], {})}
    if "name" in sent:
        sent["name"] = {k: v for k, v in sent["name"].items() if k != "formatted"}
    if "manager" in sent.get(ENTERPRISE, {}):
        manager = sent[ENTERPRISE]["manager"]
        sent[ENTERPRISE] = {**sent[ENTERPRISE], "manager": {"value": referred(context, manager, ["Users"])}}
    return {k: v for k, v in sent.items() if v not in (None, [], {})}


def create(context: Context, body: Mapping[str, Any], /) -> Record:
    """Create a user from what a directory sent.

    :raises Problem: ``scim_not_unique``, or ``validation_failed`` for what a rule of users refuses.
    """
    sent = kept(context, body)
    _check_user_name(context, sent, "")
    doc = {k: v for k, v in _document(sent, {}).items() if v is not None}
    doc |= {"source": "provisioning", "is_active": True, "_scim": sent}
    with ruled():
        user = context.records.create(USERS, doc, event="crm.user.created.v1")
    return _activated(context, user, sent)


def replace(context: Context, user: Record, body: Mapping[str, Any], /) -> Record:
    """Write what a directory sent in the place of what it sent before."""
    sent = kept(context, body)
    _check_user_name(context, sent, user.id)
    doc = {**user.doc, **_document(sent, user.doc), "_scim": sent}
    with ruled():
        changed = context.records.replace(user, {k: v for k, v in doc.items() if v is not None}, event=UPDATED)
    return _activated(context, changed, sent)


def _document(sent: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
    fields = fields_of(sent)
    del fields["is_active"]
    keys = {**present.get("external_ids", {}), "scim": fields.pop("external_id")}
    fields["external_ids"] = {k: v for k, v in keys.items() if v is not None} or None
    return fields


def _check_user_name(context: Context, sent: Mapping[str, Any], own: str) -> None:
    names = {sent["userName"].casefold(), (fields_of(sent)["email"] or "").casefold()}
    for user in context.records.find(USERS):
        known = {user.doc.get("email", "").casefold(), user.doc.get("_scim", {}).get("userName", "").casefold()} - {""}
        if user.id != own and names & known:
            raise refusal("scim_not_unique", f"{user.id} has this userName or e-mail address.", "uniqueness")


def _activated(context: Context, user: Record, sent: Mapping[str, Any]) -> Record:
    wanted = sent.get("active", True)
    if wanted and not user.doc["is_active"]:
        return reactivate(context, user)
    if not wanted and user.doc["is_active"]:
        rights.guard_last_administrator(context, user.id)
        return deactivate(context, user)
    return user


def remove(context: Context, user: Record, /) -> None:
    """Deactivate a user whom the directory no longer has, and move it to the recycle bin.

    :raises Problem: ``last_administrator``.
    """
    rights.guard_last_administrator(context, user.id)
    if user.doc["is_active"]:
        user = deactivate(context, user)
    with ruled():
        context.records.delete(user, event="crm.user.deleted.v1")
