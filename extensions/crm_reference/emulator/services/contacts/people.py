"""People one by one: what follows from their fields, their rules, owners, employers, tags, earlier versions, and the search."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from crm_reference.emulator import owners
from crm_reference.emulator.behaviours import listing
from crm_reference.emulator.behaviours.single import shown
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.refusals import invalid
from crm_reference.emulator.registry import computes, derives, enforces, guards, handles
from crm_reference.emulator.services.contacts.relationships import RELATIONSHIPS, repeated
from crm_reference.emulator.services.contacts.selecting import CONTACTS
from crm_reference.emulator.store import Record
from crm_reference.emulator.tags import changed_tags
from crm_reference.emulator.versions import version_reply

#: How far the line of managers is followed.
MAX_MANAGERS = 50

#: Operations that may write a contact whose processing is restricted.
_UNRESTRICTED = {"setContactProcessingRestriction", "setContactDoNotContact", "eraseContact"}


@derives(CONTACTS)
def follow(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive the full name, addresses in lower case, whether the owner is active, and the marks that are always there."""
    names = (doc.get("first_name"), doc.get("middle_name"), doc.get("last_name"))
    owner = doc.get("owner_id", "")
    derived: dict[str, Any] = {
        "full_name": " ".join(n for n in names if n) or None,
        "is_do_not_contact": doc.get("is_do_not_contact", False),
        "is_processing_restricted": doc.get("is_processing_restricted", False),
        "is_owner_active": doc.get("is_owner_active", True) if context is None else owners.is_active(context, owner),
    }
    if doc.get("email"):
        derived["email"] = doc["email"].lower()
    if doc.get("other_emails"):
        derived["other_emails"] = [{**e, "address": e["address"].lower()} for e in doc["other_emails"]]
    if doc.get("address") == {}:
        derived["address"] = None
    return derived


# -- rules ---------------------------------------------------------------------------------------------------------------------


@enforces("reporting_line_acyclic")
def reporting_line_acyclic(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Walk the managers upwards from the new one; meeting the contact itself breaks the rule."""
    manager = new.get("reports_to_id")
    if context.is_upkeep or manager == new["id"] or (old is not None and old.get("reports_to_id") == manager):
        return ""
    for _ in range(MAX_MANAGERS):
        above = context.records.peek(CONTACTS, manager) if manager else None
        if above is None:
            return ""
        manager = above.doc.get("reports_to_id")
        if manager == new["id"]:
            return f"The new manager reports to this contact, over {above.doc['full_name']}."
    return ""


@enforces("addresses_differ")
def addresses_differ(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Find the first further address or number that repeats the primary one or an earlier entry."""
    place: str = first_repetition(new)
    return ("This entry repeats the primary one or another entry.", place) if place else ""


@computes("first_repetition")
def first_repetition(new: Mapping[str, Any]) -> str:
    """Return the dotted place of the first entry that repeats the primary address or number or an earlier entry, else ``""``."""
    for primary, further, member in (("email", "other_emails", "address"), ("phone", "other_phones", "number")):
        known = {new.get(primary, "").lower()}
        for index, entry in enumerate(new.get(further, ())):
            if entry[member].lower() in known:
                return f"{further}.{index}.{member}"
            known.add(entry[member].lower())
    return ""


@enforces("born_in_past")
def born_in_past(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare the date of birth with today in UTC."""
    return f"A date of birth is {context.now[:10]} at the latest." if new.get("born_on", "") > context.now[:10] else ""


@enforces("processing_not_restricted")
def processing_not_restricted(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse every change that somebody asks for while the present record is restricted."""
    if old is None or not old.get("is_processing_restricted") or context.is_upkeep:
        return ""
    operation = context.operation.id if isinstance(context, Call) else ""
    return "" if operation in _UNRESTRICTED else "Processing of this person's data is restricted."


@guards(CONTACTS)
def refuse_restricted(context: Context, contact: Record) -> None:
    """Refuse to touch a contact under a restriction.

    :raises Problem: ``processing_restricted``.
    """
    if contact.doc.get("is_processing_restricted"):
        raise Problem("processing_restricted", f"Processing of {contact.id} is restricted. Release the restriction first.")


@enforces("owner_is_active")
def owner_is_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a user who was deactivated as the owner of a new contact."""
    return owners.inactive(context, new, old)


# -- operations ----------------------------------------------------------------------------------------------------------------


@handles("searchContacts")
def search_contacts(call: Call) -> Reply:
    """Search by the service's own index, whether or not search answers with synonyms."""
    call.ask("search", "searchRecords")
    return listing.search(call)


@handles("changeContactOwner")
def change_owner(call: Call) -> Reply:
    """Give one contact to another user."""
    check_owner(call, call.body["owner_id"], "#/owner_id")
    return shown(call, hand_over(call, call.found, call.body["owner_id"], reason=call.body.get("reason")))


def check_owner(context: Context, user: str, pointer: str, /) -> None:
    """Refuse a user who can't become an owner; see :func:`crm_reference.emulator.owners.check_owner`."""
    owners.check_owner(context, user, pointer, "owner_inactive")


def hand_over(context: Context, contact: Record, owner: str, /, **told: str | None) -> Record:
    """Set another owner of a contact whose processing isn't restricted, and tell of it."""
    refuse_restricted(context, contact)
    return owners.hand_over(context, contact, owner, "crm.contact.owner_changed.v1", **told)


@handles("changeContactAccount")
def change_account(call: Call) -> Reply:
    """Move a person to another employer; the former one stays on record as an ended relationship."""
    contact, account = call.found, call.body["account_id"]
    former = contact.doc.get("account_id")
    if account == former:
        refuse_restricted(call, contact)
        raise Problem("account_unchanged", f"The contact belongs to {account} already.")
    first_day = date.fromisoformat(call.body.get("changed_on", call.now[:10]))
    if first_day == date.min:
        raise invalid("#/changed_on", "invalid_value", "has no day before it, on which the former position could end")
    last_day = (first_day - timedelta(days=1)).isoformat()
    patch = {"account_id": account, "job_title": call.body.get("job_title"), "reports_to_id": None}
    changed = call.records.change(contact, patch, action="account_changed")
    data: dict[str, Any] = {"record": call.records.public(changed)}
    if former:
        data["previous_account_id"] = former
        if call.body.get("is_former_kept", True):
            kept = {"contact_id": contact.id, "type": "former_employee_of", "account_id": former, "ends_on": last_day}
            known = repeated(call, {**kept, "id": ""})
            if not known:
                known = call.records.create(RELATIONSHIPS, kept, event="crm.contact_relationship.created.v1").id
            data["relationship_id"] = known
    call.emit("crm.contact.account_changed.v1", contact.id, data)
    return shown(call, changed)


@handles("changeContactTags")
def change_tags(call: Call) -> Reply:
    """Add and remove single tags."""
    tags = changed_tags(call, "tag_limit_exceeded", "The contact")
    refuse_restricted(call, call.found)
    if tags == call.found.doc.get("tags", []):
        return shown(call, call.found)
    return shown(call, call.records.change(call.found, {"tags": tags}, event="crm.contact.updated.v1"))


@handles("getContactVersion")
def read_version(call: Call) -> Reply:
    """Rebuild a contact as one write left it, by taking back what came later."""
    return version_reply(call, CONTACTS)
