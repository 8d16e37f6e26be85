"""Territories: their place in the tree, and who works in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import derives, enforces, handles, presents
from crm_reference.emulator.services.accounts import reaching
from crm_reference.emulator.services.accounts.territory_places import (
    ASSIGNMENTS,
    MODELS,
    RULES,
    TERRITORIES,
    current,
    kind_of,
    members,
    refresh,
    withdraw,
)
from crm_reference.emulator.store import Record

ADDED, CHANGED, LEFT = (f"crm.territory_user.{what}.v1" for what in ("added", "updated", "removed"))
MAX_DEPTH = 10


@derives(TERRITORIES)
def derive(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """List who works there, so that territories can be found by a user."""
    return {"user_ids": sorted(doc.get("_members", {}))}


@presents(TERRITORIES)
def present(context: Context, territory: Record) -> Mapping[str, Any]:
    """Compute level and numbers whenever a territory is read."""
    return {
        "level": len(line_of(context, territory.doc)),
        "account_count": len(context.records.find(ASSIGNMENTS, territory_id=territory.id)),
        "rule_count": len(context.records.find(RULES, territory_id=territory.id)),
    }


def line_of(context: Context, doc: Mapping[str, Any], /) -> list[str]:
    """Return the names of a territory and of those above it, the top first. A circle ends where it closes."""
    names, at, seen = [str(doc["name"])], doc.get("parent_id"), {doc["id"]}
    while at and at not in seen:
        seen.add(at)
        above = context.records.peek(TERRITORIES, at)
        if above is None:
            break
        names.append(above.doc["name"])
        at = above.doc.get("parent_id")
    return names[::-1]


# -- rules -----------------------------------------------------------------------------------------------------------


@enforces("territory_model_open")
def territory_model_open(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse writes to territories of an archived model, but for those that follow from another one."""
    return closed(context, new)


def closed(context: Context, territory: Mapping[str, Any], /) -> str:
    """Say why a territory can't change; empty where it can."""
    model = context.records.peek(MODELS, territory["model_id"])
    if context.is_upkeep or model is None or model.doc["status"] != "archived":
        return ""
    return f"{model.doc['name']} is archived. Clone it, and change the copy."


@enforces("territory_parent_fits")
def territory_parent_fits(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare the models, look for a circle, and count levels above and below."""
    above = context.records.peek(TERRITORIES, new.get("parent_id", ""))
    if above is None or (old is not None and old.get("parent_id") == above.id):
        return ""
    if above.doc["model_id"] != new["model_id"]:
        return f"{above.doc['name']} belongs to another model."
    at: Record | None = above
    seen: set[str] = set()
    while at is not None and at.id not in seen:
        if at.id == new["id"]:
            return f"{above.doc['name']} is this territory or stands below it."
        seen.add(at.id)
        at = context.records.peek(TERRITORIES, at.doc.get("parent_id", ""))
    if len(seen) + _height(context, new["id"]) > MAX_DEPTH:
        return f"More than {MAX_DEPTH} territories would stand below each other."
    return ""


def _height(context: Context, id: str) -> int:
    return 1 + max((_height(context, below.id) for below in context.records.find(TERRITORIES, parent_id=id)), default=0)


# -- the territory itself --------------------------------------------------------------------------------------------


@handles("updateTerritory")
def update(call: Call) -> Reply:
    """Change a territory; an overlay becomes standard only where that puts no account into two standard territories."""
    territory = call.found
    if call.body.get("kind") == "standard" and territory.doc["kind"] == "overlay":
        for assignment in call.records.find(ASSIGNMENTS, territory_id=territory.id):
            account = assignment.doc["account_id"]
            others = (a.doc["territory_id"] for a in current(call, account, territory.doc["model_id"]))
            if any(kind_of(call, other) == "standard" for other in others):
                raise Problem("territory_kind_in_use", f"{reaching.name_of(call, account)} is in a standard territory as well.")
    return single.update(call)


@handles("deleteTerritory")
def delete(call: Call) -> Reply:
    """Delete a territory with its rules and assignments; those below move up to where it stood."""
    territory = call.found
    _check_open(call, territory)
    with upkeep(call):
        for below in call.records.find(TERRITORIES, parent_id=territory.id):
            call.records.change(below, {"parent_id": territory.doc.get("parent_id")}, event="crm.territory.updated.v1")
    assignments = call.records.find(ASSIGNMENTS, territory_id=territory.id)
    for assignment in assignments:
        withdraw(call, assignment)
    for assignment in assignments:
        refresh(call, assignment.doc["account_id"])
    call.records.delete(territory, event="crm.territory.deleted.v1")
    return Reply(204)


def _check_open(context: Context, territory: Record) -> None:
    detail = closed(context, territory.doc)
    if detail:
        raise Problem("territory_model_archived", detail)


@handles("getTerritoryTree")
def read_tree(call: Call) -> Reply:
    """Return all territories of a model, each behind the one above it."""
    territories = {t.id: t for t in call.records.find(TERRITORIES, model_id=call.found.id)}
    below: dict[str, list[Record]] = {}
    for territory in sorted(territories.values(), key=lambda t: (t.doc["name"].casefold(), t.id)):
        above = territory.doc.get("parent_id", "")
        below.setdefault(above if above in territories else "", []).append(territory)
    inside: dict[str, set[str]] = {id: set() for id in territories}
    for assignment in call.records.find(ASSIGNMENTS, model_id=call.found.id):
        inside[assignment.doc["territory_id"]].add(assignment.doc["account_id"])
    nodes = [_node(t, path, below, inside) for t, path in _walk(below, "", ())]
    return Reply(200, {"model_id": call.found.id, "depth": max((n["level"] for n in nodes), default=0), "nodes": nodes})


def _walk(below: Mapping[str, list[Record]], at: str, path: tuple[str, ...]) -> Iterator[tuple[Record, tuple[str, ...]]]:
    for territory in below.get(at, ()):
        here = (*path, territory.doc["name"])
        yield territory, here
        yield from _walk(below, territory.id, here)


def _node(
    territory: Record, path: tuple[str, ...], below: Mapping[str, list[Record]], inside: Mapping[str, set[str]]
) -> dict[str, Any]:
    whole = inside[territory.id].union(*(inside[t.id] for t, _ in _walk(below, territory.id, ())))
    node = {"territory_id": territory.id, "name": territory.doc["name"], "path": " / ".join(path), "level": len(path)}
    node |= {"kind": territory.doc["kind"], "user_count": len(members(territory)), "account_count": len(inside[territory.id])}
    if "parent_id" in territory.doc:
        node["parent_id"] = territory.doc["parent_id"]
    return node | {"total_account_count": len(whole)}


# -- people ----------------------------------------------------------------------------------------------------------


def _person(context: Context, territory: Record, id: str, mark: Mapping[str, Any] | None = None) -> dict[str, Any]:
    known = mark if mark is not None else members(territory)[id]
    body = {"territory_id": territory.id, "user_id": id, "full_name": reaching.full_name(context, id), "role": known["role"]}
    body["is_active"] = reaching.is_active(context, id)
    return body | {k: known[k] for k in ("added_at", "added_by") if k in known}


@handles("listTerritoryUsers")
def list_users(call: Call) -> Reply:
    """Return who works in a territory, by ID."""
    wanted = call.query.get("role")
    found = [_person(call, call.found, id) for id in sorted(members(call.found))]
    return listing.paged_items(call, [p for p in found if wanted in (None, p["role"])])


@handles("setTerritoryUser")
def set_user(call: Call) -> Reply:
    """Put a user into a territory, or change the place there."""
    territory, id = call.parents["territory_id"], call.records.get(reaching.USERS, call.path["user_id"]).id
    _check_open(call, territory)
    known = members(territory).get(id)
    if not reaching.is_active(call, id):
        raise Problem("territory_user_inactive", f"{reaching.full_name(call, id)} is deactivated and can't work in a territory.")
    mark = {"added_at": call.now, "added_by": call.identity.actor, **(known or {}), "role": call.body["role"]}
    changed = call.records.change(territory, {"_members": {id: mark}})
    body = _person(call, changed, id)
    if known is None:
        call.emit(ADDED, territory.id, {"user": body})
    elif known["role"] != mark["role"]:
        call.emit(CHANGED, territory.id, {"user": body})
    headers = {} if known else {"Location": f"/v1/territories/{territory.id}/users/{id}"}
    return Reply(200 if known else 201, body, headers)


@handles("removeTerritoryUser")
def remove_user(call: Call) -> Reply:
    """Take a user out of a territory."""
    territory, id = call.parents["territory_id"], call.path["user_id"]
    _check_open(call, territory)
    if id not in members(territory):
        raise Problem("not_found", f"{id} doesn't work in this territory.")
    take_out(call, territory, id)
    return Reply(204)


def take_out(context: Context, territory: Record, id: str, /) -> None:
    """Take a user out of a territory and tell of it."""
    gone = _person(context, territory, id)
    context.records.change(territory, {"_members": {id: None}})
    context.emit(LEFT, territory.id, {"user": gone})
