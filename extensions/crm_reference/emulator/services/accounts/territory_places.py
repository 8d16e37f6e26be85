"""Where an account is: assignments to territories, the accounts' own list of them, and the history that every change leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.services.accounts import reaching
from crm_reference.emulator.store import Record

MODELS, TERRITORIES, RULES = "territory-models", "territories", "territory-rules"
ASSIGNMENTS, MOVES = "territory-assignments", "territory-moves"
ASSIGNED, UPDATED, REMOVED = (f"crm.account_territory.{what}.v1" for what in ("assigned", "updated", "removed"))


def active_model(context: Context, /) -> Record | None:
    """Return the model in force."""
    found = context.records.find(MODELS, status="active")
    return found[0] if found else None


def model_of(context: Context, id: str | None, /) -> Record:
    """Return the model with an ID, or without one that in force.

    :raises Problem: ``not_found``; ``territory_model_not_active`` where none is in force.
    """
    if id:
        return context.records.get(MODELS, id)
    model = active_model(context)
    if model is None:
        raise Problem("territory_model_not_active", "No territory model is in force. Activate one, or name a draft.")
    return model


def members(territory: Record, /) -> Mapping[str, Mapping[str, Any]]:
    """Return who works in a territory, by user ID, with role, since when and by whom."""
    found: Mapping[str, Mapping[str, Any]] = territory.doc.get("_members", {})
    return found


def assign(
    context: Context,
    account: str,
    territory: Record,
    source: str,
    /,
    *,
    is_pinned: bool = False,
    job: str = "",
    **members: Any,
) -> Record:
    """Put an account into a territory, tell of it and note it. The account's own list is left to :func:`refresh`.

    :param source: How it came about.
    :param job: The run that does it.
    :param members: ``rule_id`` and ``note``, as far as there are some.
    """
    body = {"account_id": account, "territory_id": territory.id, "model_id": territory.doc["model_id"], "source": source}
    made = context.records.create(ASSIGNMENTS, {**body, "is_pinned": is_pinned, **members})
    context.emit(ASSIGNED, made.id, {"record": context.records.public(made)})
    note_move(context, made, "assigned", job=job)
    return made


def withdraw(context: Context, assignment: Record, /, *, job: str = "") -> None:
    """Take an account out of a territory, tell of it and note it."""
    before = context.records.public(assignment)
    context.records.delete(assignment)
    context.emit(REMOVED, assignment.id, {"record": before})
    note_move(context, assignment, "removed", job=job)


def note_move(context: Context, assignment: Record, action: str, /, *, job: str = "") -> None:
    """Append to the history of an account's territories."""
    doc = assignment.doc
    territory = context.records.peek(TERRITORIES, doc["territory_id"])
    entry = {
        "account_id": doc["account_id"],
        "territory_id": doc["territory_id"],
        "territory_name": territory.doc["name"] if territory is not None else doc["territory_id"],
        "model_id": doc["model_id"],
        "action": action,
        "source": doc["source"],
        "rule_id": doc.get("rule_id"),
        "job_id": job or None,
        "happened_at": context.now,
        "actor_id": context.identity.user or None,
    }
    id = context.new_id("tmv")
    kept = {k: v for k, v in entry.items() if v is not None}
    context.world.store.put(context.tenant, Record(MOVES, id, 1, {"id": id, **kept}))


def current(context: Context, account: str, model: str, /) -> list[Record]:
    """Return an account's assignments under a model, by ID."""
    return context.records.find(ASSIGNMENTS, account_id=account, model_id=model)


def kind_of(context: Context, territory: str, /) -> str:
    """Return the kind of a territory."""
    record = context.records.peek(TERRITORIES, territory)
    return str(record.doc["kind"]) if record is not None else "standard"


def refresh(context: Context, account: str, /) -> None:
    """Write the territories of the model in force to the account itself, where they changed."""
    record, model = context.records.peek(reaching.ACCOUNTS, account), active_model(context)
    if record is None:
        return
    now = sorted(a.doc["territory_id"] for a in current(context, account, model.id)) if model is not None else []
    if now != record.doc.get("territory_ids", []):
        with upkeep(context):
            context.records.change(
                record, {"territory_ids": now or None}, event="crm.account.updated.v1", action="territory_changed", touched={}
            )
