"""Leads one by one: what follows from their fields, their rules, owners, tags, consent and earlier versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import access, owners
from crm_reference.emulator.behaviours.single import shown
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.registry import computes, derives, enforces, handles
from crm_reference.emulator.services.leads.common import LEADS, UPDATED, check_owner, hand_over, invalid, refused
from crm_reference.emulator.versions import version_reply

MAX_TAGS = 50


@computes("lead_full_name")
def full_name(doc: Mapping[str, Any]) -> str:
    """Return the name under which a lead is shown: first and last name, else the company, else the address."""
    person = " ".join(doc[name] for name in ("first_name", "last_name") if doc.get(name))
    return str(person or doc.get("company_name") or doc.get("email", "").lower())


@derives(LEADS)
def follow(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive the full name, the address in lower case, whether the owner is active, and the members that are always there."""
    active = doc.get("is_owner_active", True) if context is None else owners.is_active(context, doc.get("owner_id", ""))
    derived: dict[str, Any] = {
        "full_name": full_name(doc) or None,
        "status": doc.get("status", "new"),
        "source": doc.get("source", "manual"),
        "email_consent": doc.get("email_consent", "unknown"),
        "submission_count": doc.get("submission_count", 0),
        "is_owner_active": active,
    }
    if doc.get("email"):
        derived["email"] = doc["email"].lower()
    if doc.get("address") == {}:
        derived["address"] = None
    return derived


@enforces("lead_owner_is_active")
def lead_owner_is_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a user who was deactivated as the owner of a new lead."""
    owner = new.get("owner_id", "")
    known = context.records.peek("users", owner)
    if context.is_upkeep or old is not None or known is None or owners.is_active(context, owner):
        return ""
    return f"{owner} was deactivated. Choose an active user."


@enforces("lead_is_open")
def lead_is_open(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a change of a converted lead that nothing but a caller wants."""
    if context.is_upkeep or old is None or old.get("_restoring") or old.get("status") != "converted":
        return ""
    heard = {"is_owner_active", "updated_at", "updated_by", "version", "email_consent", "email_consent_at"}
    if all(new.get(name) == old.get(name) for name in {*new, *old} - heard):
        return ""
    return f"{new['id']} was converted. Change what it became."


# -- owners, tags, consent -----------------------------------------------------------------------------------------------------


@handles("changeLeadOwner")
def change_owner(call: Call) -> Reply:
    """Give one lead to another user."""
    check_owner(call, call.body["owner_id"], "#/owner_id")
    return shown(call, hand_over(call, call.found, call.body["owner_id"], reason=call.body.get("reason")))


@handles("changeLeadTags")
def change_tags(call: Call) -> Reply:
    """Add and remove single tags."""
    access.demand(call, call.found, "write")
    adds, removes = call.body.get("add", ()), call.body.get("remove", ())
    for index, tag in enumerate(removes):
        if tag in adds:
            raise invalid(f"#/remove/{index}", "invalid_value", f"{tag} stands in both lists")
    present = call.found.doc.get("tags", [])
    kept = [t for t in present if t not in removes]
    tags = kept + [t for t in adds if t not in kept]
    if len(tags) > MAX_TAGS:
        raise refused("lead_tag_limit_exceeded", f"The lead would have {len(tags)} tags; {MAX_TAGS} are allowed.", "#/add")
    if tags == present:
        return shown(call, call.found)
    return shown(call, call.records.change(call.found, {"tags": tags}, event=UPDATED))


@handles("changeLeadConsent")
def change_consent(call: Call) -> Reply:
    """Record what a person decided about mails, and how that is known."""
    patch = {"email_consent": call.body["decision"], "email_consent_at": call.now}
    lead = call.found
    if lead.doc.get("email_consent") == call.body["decision"]:
        return shown(call, lead)
    changed = call.records.change(lead, patch, event=UPDATED, action="consent_changed")
    proofs = [*lead.doc.get("_evidence", ()), {"at": call.now, **call.body}]
    return shown(call, call.records.note(changed, _evidence=proofs))


# -- versions ------------------------------------------------------------------------------------------------------------------


@handles("getLeadVersion")
def read_version(call: Call) -> Reply:
    """Rebuild a lead as one write left it."""
    return version_reply(call, LEADS)
