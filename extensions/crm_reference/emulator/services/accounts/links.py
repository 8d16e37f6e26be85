"""What hangs on an account and moves with it in a merge: relationships, places in its team, territories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.services.accounts.relations import RELATIONSHIPS, account_relationship_once
from crm_reference.emulator.services.accounts.teams import ADDED, CHANGED, REMOVED, TEAMS
from crm_reference.emulator.services.accounts.territory_places import ASSIGNED, ASSIGNMENTS, UPDATED, current, kind_of, refresh
from crm_reference.emulator.services.accounts.territory_places import REMOVED as WITHDRAWN
from crm_reference.emulator.store import Record

#: Events of a link that moves, one that is dropped, and one that comes back.
_TOLD = {
    RELATIONSHIPS: tuple(f"crm.account_relationship.{what}.v1" for what in ("updated", "deleted", "restored")),
    TEAMS: (CHANGED, REMOVED, ADDED),
    ASSIGNMENTS: (UPDATED, WITHDRAWN, ASSIGNED),
}


def move_links(context: Context, source: str, target: str, /) -> list[dict[str, Any]]:
    """Let what hangs on one account hang on another; what would stand there twice is removed.

    :return: What was done, for :func:`move_links_back`.
    """
    with upkeep(context):
        done = [*_move_relationships(context, source, target), *_move_team(context, source, target)]
        done += _move_territories(context, source, target)
    refresh(context, target)
    return done


def _move_relationships(context: Context, source: str, target: str) -> list[dict[str, Any]]:
    done = []
    for field in ("account_id", "related_account_id"):
        for relationship in context.records.find(RELATIONSHIPS, **{field: source}):
            moved = {**relationship.doc, field: target}
            if moved["account_id"] == moved["related_account_id"] or account_relationship_once(context, moved, None):
                done.append(_drop(context, relationship))
            else:
                context.records.change(relationship, {field: target}, event=_TOLD[RELATIONSHIPS][0])
                done.append({"collection": RELATIONSHIPS, "id": relationship.id, "field": field, "from": source})
    return done


def _move_team(context: Context, source: str, target: str) -> list[dict[str, Any]]:
    done = []
    for place in context.records.find(TEAMS, account_id=source):
        if context.records.find(TEAMS, account_id=target, user_id=place.doc["user_id"]):
            done.append(_drop(context, place))
        else:
            context.records.change(place, {"account_id": target}, event=CHANGED)
            done.append({"collection": TEAMS, "id": place.id, "field": "account_id", "from": source})
    return done


def _move_territories(context: Context, source: str, target: str) -> list[dict[str, Any]]:
    done = []
    for assignment in context.records.find(ASSIGNMENTS, account_id=source):
        place, model = assignment.doc["territory_id"], assignment.doc["model_id"]
        there = {a.doc["territory_id"] for a in current(context, target, model)}
        taken = kind_of(context, place) == "standard" and any(kind_of(context, t) == "standard" for t in there)
        if place in there or taken:
            done.append(_drop(context, assignment))
        else:
            before = assignment.doc["source"]
            context.records.change(assignment, {"account_id": target, "source": "merge"}, event=UPDATED)
            done.append({"collection": ASSIGNMENTS, "id": assignment.id, "field": "account_id", "from": source, "source": before})
    return done


def _drop(context: Context, record: Record) -> dict[str, Any]:
    if record.collection == RELATIONSHIPS:
        context.records.delete(record, event=_TOLD[RELATIONSHIPS][1])
    else:
        before = context.records.public(record)
        context.records.delete(record)
        context.emit(_TOLD[record.collection][1], record.id, {"record": before})
    return {"collection": record.collection, "id": record.id, "version": record.version + 1, "doc": record.doc}


def move_links_back(context: Context, done: Sequence[dict[str, Any]], /) -> None:
    """Undo :func:`move_links`, but for what has changed hands or gone since."""
    touched: set[str] = set()
    with upkeep(context):
        for entry in reversed(done):
            holder = context.world.store.get(context.tenant, entry["collection"], entry["id"], deleted=True)
            if "doc" in entry:
                _bring_back(context, entry, holder)
            elif holder is not None and holder.deleted_at is None:
                touched.add(holder.doc[entry["field"]])
                back = {entry["field"]: entry["from"]} | ({"source": entry["source"]} if "source" in entry else {})
                context.records.change(holder, back, event=_TOLD[holder.collection][0])
                touched.add(entry["from"])
    for account in sorted(touched):
        refresh(context, account)


def _bring_back(context: Context, entry: dict[str, Any], holder: Record | None) -> None:
    """Undo :func:`_drop`, unless the record is back already."""
    told = _TOLD[entry["collection"]][2]
    if holder is None:
        revived = context.records.revive(entry["collection"], entry["doc"], entry["version"] + 1)
        context.emit(told, revived.id, {"record": context.records.public(revived)})
    elif holder.deleted_at is not None:
        context.records.restore(holder, event=told)
