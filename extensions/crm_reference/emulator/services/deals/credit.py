"""Who is credited with a deal: the agreed shares, or the owner with all of it. And who stands below whom."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from crm_reference.emulator.access import derived
from crm_reference.emulator.call import Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.services.deals.money import decimal_of
from crm_reference.emulator.services.deals.shares import allot
from crm_reference.emulator.store import Record

SPLITS = "deal-splits"
USERS = "users"


def splits(context: Context, /) -> Mapping[str, Mapping[str, int]]:
    """Return the agreed shares of all deals: percent by user, by deal."""

    def make(records: list[Record]) -> dict[str, dict[str, int]]:
        return {r.doc["deal_id"]: {s["user_id"]: int(s["percent"]) for s in r.doc["shares"]} for r in records}

    return derived(context, (SPLITS,), "credit", make)


def shares_of(context: Context, deal: Mapping[str, Any], /) -> Mapping[str, int]:
    """Return who is credited with a deal, in percent by user."""
    return splits(context).get(str(deal["id"])) or {str(deal["owner_id"]): 100}


def credited(context: Context, deal: Mapping[str, Any], users: frozenset[str] | None, /) -> tuple[int, Decimal | None]:
    """Return which part of a deal some users are credited with: in percent, and as an amount in the deal's currency.

    :param users: Everybody where ``None``.
    :return: No amount where the deal has none.
    """
    shares = shares_of(context, deal)
    counts = [users is None or user in users for user in shares]
    percent = sum(p for p, counted in zip(shares.values(), counts, strict=True) if counted)
    if not deal.get("amount"):
        return percent, None
    parts = allot(decimal_of(deal["amount"]), list(shares.values()), str(deal["amount"]["currency"]))
    return percent, sum((part for part, counted in zip(parts, counts, strict=True) if counted), Decimal(0))


def below(context: Context, user: str, /) -> frozenset[str]:
    """Return everybody who reports to a user, directly or through others."""

    def make(records: list[Record]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for record in records:
            found.setdefault(str(record.doc.get("manager_id", "")), []).append(record.id)
        return found

    reports = derived(context, (USERS,), "reports", make)
    found: set[str] = set()
    frontier = [user]
    while frontier:
        frontier = [u for above in frontier for u in reports.get(above, ()) if u not in found and u != user]
        found.update(frontier)
    return frozenset(found)


def direct_reports(context: Context, user: str, /) -> list[str]:
    """Return who reports to a user directly, by ID."""
    return sorted(r.id for r in context.records.find(USERS, manager_id=user))


def people_of(context: Context, user: str, scope: str, /) -> frozenset[str]:
    """Return whose deals count: the user's, or also those of everybody below."""
    return frozenset({user}) | (below(context, user) if scope == "team" else frozenset())


def may_read_of(context: Context, owner: str, /) -> bool:
    """Tell whether the caller may read what somebody expects: that person, those above in the line, administrators, services."""
    identity = context.identity
    if context.is_upkeep or not identity.user or identity.user == owner or identity.claims.get("role") == "administrator":
        return True
    return owner in below(context, identity.user)


def asked_user(context: Context, query: Mapping[str, Any], name: str = "user_id", /) -> str:
    """Return the user whom a query parameter names, or the caller.

    :raises Problem: ``malformed_parameter`` where the tenant has no such user.
    """
    asked = query.get(name) or context.identity.user
    if not asked or context.records.peek(USERS, str(asked)) is None:
        entry = {"parameter": name, "in": "query", "code": "invalid_reference", "detail": "No user of the tenant has this ID."}
        raise Problem("malformed_parameter", f"{name} names nobody; see errors.", [entry])
    return str(asked)
