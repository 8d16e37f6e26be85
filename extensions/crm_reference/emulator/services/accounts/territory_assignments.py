"""Accounts in territories by hand: put in, pinned, released, taken out; and where an account was before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import derives, enforces, handles, presents, sees
from crm_reference.emulator.services.accounts.reaching import is_reached, name_of
from crm_reference.emulator.services.accounts.territory_places import (
    ASSIGNED,
    ASSIGNMENTS,
    MODELS,
    MOVES,
    TERRITORIES,
    UPDATED,
    current,
    kind_of,
    note_move,
    refresh,
    withdraw,
)
from crm_reference.emulator.store import Record


@derives(ASSIGNMENTS)
def derive(context: Context | None, assignment: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the model from the territory."""
    territory = context.records.peek(TERRITORIES, assignment["territory_id"]) if context is not None else None
    return {"model_id": territory.doc["model_id"]} if territory is not None else {}


@presents(ASSIGNMENTS)
def present(context: Context, assignment: Record) -> Mapping[str, Any]:
    """Name account and territory, and tell whether the model is in force."""
    territory = context.records.peek(TERRITORIES, assignment.doc["territory_id"])
    model = context.records.peek(MODELS, assignment.doc["model_id"])
    return {
        "account_name": name_of(context, assignment.doc["account_id"]),
        "territory_name": territory.doc["name"] if territory is not None else assignment.doc["territory_id"],
        "is_current": model is not None and model.doc["status"] == "active",
    }


@sees(ASSIGNMENTS)
def see(context: Context, assignment: Record) -> bool:
    """Show an assignment to those who may see its account."""
    return is_reached(context, assignment.doc["account_id"])


@enforces("territory_assignment_model_active")
def territory_assignment_model_active(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse territories of a model that is not in force, but for what follows from another write."""
    model = context.records.peek(MODELS, new.get("model_id", ""))
    if context.is_upkeep or model is None or model.doc["status"] == "active":
        return ""
    return f"{model.doc['name']} is not in force, so no account is put into its territories."


@handles("createTerritoryAssignment")
def create(call: Call) -> Reply:
    """Put an account into a territory by hand, out of the standard territory where it was."""
    body = {**call.body, "source": "manual"}
    made = call.records.create(ASSIGNMENTS, body)
    if kind_of(call, made.doc["territory_id"]) == "standard":
        for other in current(call, made.doc["account_id"], made.doc["model_id"]):
            if other.id == made.id or kind_of(call, other.doc["territory_id"]) != "standard":
                continue
            if other.doc["is_pinned"]:
                shown = call.records.public(other)["territory_name"]
                raise Problem("territory_assignment_pinned", f"The account is pinned to {shown} by {other.id}.")
            withdraw(call, other)
    call.emit(ASSIGNED, made.id, {"record": call.records.public(made)})
    note_move(call, made, "assigned")
    refresh(call, made.doc["account_id"])
    return single.shown(call, made, 201, Location=single.location(call, made))


@handles("updateTerritoryAssignment")
def update(call: Call) -> Reply:
    """Pin or release, and note it in the history."""
    changed = call.records.change(call.found, call.body, event=UPDATED)
    if changed.doc["is_pinned"] != call.found.doc["is_pinned"]:
        note_move(call, changed, "pinned" if changed.doc["is_pinned"] else "unpinned")
    return single.shown(call, changed)


@handles("deleteTerritoryAssignment")
def delete(call: Call) -> Reply:
    """Take an account out of a territory."""
    withdraw(call, call.found)
    refresh(call, call.found.doc["account_id"])
    return Reply(204)


@handles("listAccountTerritoryHistory")
def list_history(call: Call) -> Reply:
    """Return where an account was, the latest move first."""
    moves: list[dict[str, Any]] = [m.doc for m in call.world.store.find(call.tenant, MOVES, account_id=call.found.id)]
    ordered = sorted(moves, key=lambda m: (m["happened_at"], m["id"]), reverse=True)
    return listing.paged_items(call, [{k: v for k, v in m.items() if k not in ("id", "created_at", "updated_at")} for m in ordered])
