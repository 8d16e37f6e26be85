"""Companies one by one: what follows from their fields, their rules, owners, tags, people and earlier versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import access, owners
from crm_reference.emulator.behaviours import listing
from crm_reference.emulator.behaviours.single import shown
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.registry import computes, derives, enforces, handles
from crm_reference.emulator.services.accounts import tree
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS
from crm_reference.emulator.store import Record
from crm_reference.emulator.tags import changed_tags
from crm_reference.emulator.versions import version_reply

OWNER_CHANGED = "crm.account.owner_changed.v1"
#: Figures that other services' events make, with what a new account has.
_FIGURES: Mapping[str, Any] = {
    "contact_count": 0,
    "open_deal_count": 0,
    "open_deal_amounts": [],
    "won_deal_count": 0,
    "won_deal_amounts": [],
}
#: Fields of a person that the list of an account's people shows.
_PERSON = ("id", "object", "full_name", "email", "phone", "job_title", "account_id")


@derives(ACCOUNTS)
def follow(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive domains in lower case, whether the owner is active, and the members that are always there."""
    derived: dict[str, Any] = {
        "type": doc.get("type", "prospect"),
        "is_sole_proprietor": doc.get("is_sole_proprietor", False),
        "is_owner_active": doc.get("is_owner_active", True)
        if context is None
        else owners.is_active(context, doc.get("owner_id", "")),
        **{name: doc.get(name, value) for name, value in _FIGURES.items()},
    }
    if doc.get("domain"):
        derived["domain"] = doc["domain"].lower()
    if doc.get("other_domains"):
        derived["other_domains"] = [domain.lower() for domain in doc["other_domains"]]
    for name in ("billing_address", "shipping_address"):
        if doc.get(name) == {}:
            derived[name] = None
    return derived


# -- rules ---------------------------------------------------------------------------------------------------------------------


@enforces("account_domains_differ")
def account_domains_differ(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Find the first further domain that repeats the primary one or an earlier entry."""
    index: int = repeated_domain(new)
    return ("This domain repeats the primary one or another entry.", f"other_domains.{index}") if index >= 0 else ""


@computes("repeated_domain")
def repeated_domain(new: Mapping[str, Any]) -> int:
    """Return the place of the first further domain that repeats the primary one or an earlier entry; -1 where none does."""
    known = {new.get("domain", "").lower()}
    for index, domain in enumerate(new.get("other_domains", ())):
        if domain.lower() in known:
            return index
        known.add(domain.lower())
    return -1


@enforces("account_owner_is_active")
def account_owner_is_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a user who was deactivated as the owner of a new account."""
    return owners.inactive(context, new, old)


@enforces("account_primary_contact_belongs")
def account_primary_contact_belongs(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare the tree of the person's account with that of the account."""
    id = new.get("primary_contact_id")
    if context.is_upkeep or not id or (old is not None and old.get("primary_contact_id") == id):
        return ""
    person = context.records.peek("contacts", id)
    if person is None:  # the reference rule tells
        return ""
    home = person.doc.get("account_id")
    if home == new["id"] or (home and _top(context, home) == _top_of_new(context, new)):
        return ""
    return f"{person.doc.get('full_name', id)} belongs to no account of this tree."


def _top(context: Context, id: str) -> str:
    account = context.records.peek(ACCOUNTS, id)
    return [account, *tree.ancestors(context, account)][-1].id if account is not None else id


def _top_of_new(context: Context, new: Mapping[str, Any]) -> str:
    return _top(context, new["parent_id"]) if new.get("parent_id") else str(new["id"])


# -- owners and tags -----------------------------------------------------------------------------------------------------------


def check_owner(context: Context, user: str, pointer: str, /) -> None:
    """Refuse a user who can't become an owner; see :func:`crm_reference.emulator.owners.check_owner`."""
    owners.check_owner(context, user, pointer, "account_owner_inactive")


def hand_over(context: Context, account: Record, owner: str, /, **told: str | None) -> Record:
    """Set another owner of an account and tell of it."""
    return owners.hand_over(context, account, owner, OWNER_CHANGED, **told)


@handles("changeAccountOwner")
def change_owner(call: Call) -> Reply:
    """Give one account to another user, and what stands below it where that is wanted."""
    owner, reason = call.body["owner_id"], call.body.get("reason")
    check_owner(call, owner, "#/owner_id")
    below = [r for r, depth in tree.branch(call, call.found) if depth > 1] if call.body.get("has_subsidiaries") else []
    changeable = [r for r in below if access.may(call, call.resource(ACCOUNTS), r, "write")]
    changed = hand_over(call, call.found, owner, reason=reason)
    for account in changeable:
        hand_over(call, account, owner, reason=reason)
    return shown(call, changed)


@handles("changeAccountTags")
def change_tags(call: Call) -> Reply:
    """Add and remove single tags."""
    access.demand(call, call.found, "write")
    tags = changed_tags(call, "account_tag_limit_exceeded", call.found.doc["name"])
    if tags == call.found.doc.get("tags", []):
        return shown(call, call.found)
    return shown(call, call.records.change(call.found, {"tags": tags}, event="crm.account.updated.v1"))


# -- people and versions -------------------------------------------------------------------------------------------------------


@handles("listAccountContacts")
def list_contacts(call: Call) -> Reply:
    """Ask contacts for the people of an account; while it is down the primary contact is all that is known."""
    account, limit = call.found, call.query.get("limit") or 25
    primary = account.doc.get("primary_contact_id")
    asked: dict[str, Any] = {
        "filter_groups": [{"filters": [{"field": "account_id", "operator": "eq", "value": account.id}]}],
        "sorts": [{"field": "last_name"}],
        "limit": limit,
    }
    if call.query.get("cursor"):
        asked["cursor"] = call.query["cursor"]
    answer = call.call("contacts", "searchContacts", asked)
    if answer is None:
        known = [{"id": primary, "object": "contact", "account_id": account.id, "is_primary": True}] if primary else []
        return Reply(200, {"data": known, "has_more": False, "is_complete": False})
    people = [{k: p[k] for k in _PERSON if k in p} | {"is_primary": p["id"] == primary} for p in answer["data"]]
    body: dict[str, Any] = {"data": people, "has_more": answer["has_more"]}
    headers = {}
    if answer["has_more"]:
        body["next_cursor"] = answer["next_cursor"]
        headers["Link"] = listing.next_link(call, answer["next_cursor"])
    return Reply(200, body | {"is_complete": True}, headers)


@handles("getAccountVersion")
def read_version(call: Call) -> Reply:
    """Rebuild an account as one write left it, by taking back what came later."""
    return version_reply(call, ACCOUNTS)
