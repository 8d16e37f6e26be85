"""Territory models: drafts, the one in force, and those before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import maybe_trial
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, presents
from crm_reference.emulator.services.accounts import reaching
from crm_reference.emulator.services.accounts.territory_places import ASSIGNMENTS, MODELS, RULES, TERRITORIES, assign, refresh
from crm_reference.emulator.store import Record

CREATED = "crm.territory_model.created.v1"
ARCHIVED = "crm.territory_model.archived.v1"
ACTIVATED = "crm.territory_model.activated.v1"
#: What a copy of a territory takes over as it is.
_COPIED = ("name", "code", "kind", "access_level", "description")


@presents(MODELS)
def present(context: Context, model: Record) -> Mapping[str, Any]:
    """Count territories, rules and assignments whenever a model is read."""
    return {
        "territory_count": len(context.records.find(TERRITORIES, model_id=model.id)),
        "rule_count": len(context.records.find(RULES, model_id=model.id)),
        "assignment_count": len(context.records.find(ASSIGNMENTS, model_id=model.id)),
    }


@handles("createTerritoryModel")
def create(call: Call) -> Reply:
    """Create an empty draft."""
    model = call.records.create(MODELS, {**call.body, "status": "draft"}, event=CREATED)
    return single.shown(call, model, 201, Location=single.location(call, model))


@handles("deleteTerritoryModel")
def delete(call: Call) -> Reply:
    """Delete a model that is not in force, with all that hangs on it."""
    if call.found.doc["status"] == "active":
        raise Problem(
            "territory_model_in_use", f"{call.found.doc['name']} is in force. Archive it, or activate another model first."
        )
    return single.delete(call)


@handles("cloneTerritoryModel")
def clone(call: Call) -> Reply:
    """Copy a model into a new draft."""
    source, body = call.found, call.body
    description = body.get("description", source.doc.get("description"))
    head = {"name": body["name"], "description": description, "status": "draft", "cloned_from_id": source.id}
    head["is_automatic"] = source.doc.get("is_automatic", False)
    model = call.records.create(MODELS, head)
    copies = _copy_territories(call, source, model, with_users=body.get("has_users", True))
    if body.get("has_rules", True):
        for rule in call.records.find(RULES, model_id=source.id):
            kept = {k: rule.doc[k] for k in ("name", "priority", "filter_groups", "is_active")}
            call.records.create(RULES, {**kept, "territory_id": copies[rule.doc["territory_id"]]})
    call.emit(CREATED, model.id, {"record": call.records.public(model)})
    return single.shown(call, model, 201, Location=f"/v1/territory-models/{model.id}")


def _copy_territories(context: Context, source: Record, model: Record, *, with_users: bool) -> dict[str, str]:
    """Copy territories from the top downwards, and return the copies' IDs by the originals'."""
    copies: dict[str, str] = {}
    waiting = context.records.find(TERRITORIES, model_id=source.id)
    while waiting:
        ready = [t for t in waiting if t.doc.get("parent_id") in (None, *copies)]
        for territory in ready:
            doc: dict[str, Any] = {k: territory.doc[k] for k in _COPIED if k in territory.doc}
            doc |= {"model_id": model.id, "parent_id": copies.get(territory.doc.get("parent_id", ""))}
            people = territory.doc.get("_members", {}) if with_users else {}
            doc["_members"] = {id: mark for id, mark in people.items() if reaching.is_active(context, id)}
            copies[territory.id] = context.records.create(TERRITORIES, doc).id
        waiting = [t for t in waiting if t.id not in copies]
    return copies


@handles("archiveTerritoryModel")
def archive(call: Call) -> Reply:
    """Take the model in force out of force."""
    model = call.found
    if model.doc["status"] != "active":
        raise Problem("territory_model_not_active", f"{model.doc['name']} is {_said(model)} and can't be taken out of force.")
    return single.shown(call, _retire(call, model))


def _said(model: Record) -> str:
    return "a draft" if model.doc["status"] == "draft" else model.doc["status"]


def _retire(context: Context, model: Record) -> Record:
    retired = context.records.change(model, {"status": "archived", "archived_at": context.now})
    context.emit(ARCHIVED, model.id, {"record": context.records.public(retired)})
    for account in _accounts_of(context, model):
        refresh(context, account)
    return retired


def _accounts_of(context: Context, model: Record) -> list[str]:
    return sorted({a.doc["account_id"] for a in context.records.find(ASSIGNMENTS, model_id=model.id)})


@handles("activateTerritoryModel")
def activate(call: Call) -> Reply:
    """Put a draft in force in the place of the model before it."""
    if call.found.doc["status"] != "draft":
        raise Problem(
            "territory_model_not_draft", f"{call.found.doc['name']} is {call.found.doc['status']}. Clone it and activate the copy."
        )
    if not call.records.find(TERRITORIES, model_id=call.found.id):
        raise Problem("territory_model_empty", f"{call.found.doc['name']} has no territory to put an account into.")
    trial = {"is_validate_only": bool(call.body.get("validate_only"))}
    done: dict[str, Any] = {}
    maybe_trial(call, trial, lambda: done.update(_switch(call, call.found, keep_pins=bool(call.body.get("keep_pins")))))
    return Reply(200, done | trial)


def _switch(context: Context, model: Record, *, keep_pins: bool) -> dict[str, Any]:
    before = context.records.find(MODELS, status="active")
    for old in before:
        _retire(context, old)
    current = context.records.change(model, {"status": "active", "activated_at": context.now})
    told: dict[str, Any] = {"record": context.records.public(current)}
    outcome: dict[str, Any] = {"kept_pin_count": 0, "lost_pin_count": 0}
    for old in before:
        told["replaced_model_id"] = outcome["replaced_model_id"] = old.id
    context.emit(ACTIVATED, model.id, told)
    codes = {t.doc["code"]: t for t in context.records.find(TERRITORIES, model_id=model.id) if "code" in t.doc}
    for old in before:
        for pin in context.records.find(ASSIGNMENTS, model_id=old.id, is_pinned=True):
            territory = context.records.peek(TERRITORIES, pin.doc["territory_id"])
            place = codes.get(territory.doc.get("code", "")) if territory is not None else None
            if keep_pins and place is not None:
                assign(context, pin.doc["account_id"], place, "activation", is_pinned=True, note=pin.doc.get("note"))
            outcome["kept_pin_count" if keep_pins and place is not None else "lost_pin_count"] += 1
    for account in _accounts_of(context, model):
        refresh(context, account)
    return outcome | {"model": context.records.public(current)}
