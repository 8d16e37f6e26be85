"""The board: a pipeline as columns of cards, and saved ways to look at it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.behaviours.listing import paged
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition, Sort
from crm_reference.emulator.registry import enforces, handles, sees
from crm_reference.emulator.services.deals.common import DEALS, PIPELINES, VIEWS, is_archived, own_deals, stages_of
from crm_reference.emulator.services.deals.totals import Adder, adder, grouped
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record

_CARD = (
    *("id", "object", "name", "stage_id", "account_id", "owner_id", "amount", "weighted_amount", "probability", "priority"),
    *("close_on", "closed_on", "next_step_on", "tags", "days_in_stage", "is_rotting", "board_rank"),
)


def card_of(context: Context, deal: Record, /) -> dict[str, Any]:
    """Return what of a deal fits on a card, as this caller sees it."""
    shown = context.records.shown(deal)
    return {name: shown[name] for name in _CARD if name in shown}


def _filtered(call: Call, filters: Sequence[Mapping[str, Any]] = ()) -> Condition:
    """Return the condition of the deals that a board shows, by the query and by a view's filters."""
    condition, fields = own_deals(call), call.records.fields(DEALS)
    if filters:
        condition = condition.and_(_tolerant(call, filters))
    if call.query.get("owner_id"):
        condition = condition.and_(Condition(f"{member('owner_id')} = ?", [call.query["owner_id"]]))
    if call.query.get("tag"):
        condition = condition.and_(fields.condition("tags", "eq", call.query["tag"]))
    return condition


def _tolerant(context: Context, filters: Sequence[Mapping[str, Any]]) -> Condition:
    """Return the condition of a view's filters; those that have come to fit nothing, as a field went away, match no deal."""
    try:
        return context.records.fields(DEALS).groups(filters)
    except Problem:
        return Condition("false")


@handles("getDealBoard")
def read_board(call: Call) -> Reply:
    """Return a pipeline as a board, with the filters of the query and of a saved view."""
    call.ask("pipelines", "getPipeline")
    view = _view(call)
    said: Mapping[str, Any] = view.doc if view is not None else {}
    pipeline = _pipeline(call, said)
    group = call.query.get("group_by") or said.get("group_by", "none")
    days = said["closed_days"] if view is not None and not _is_sent(call, "closed_days") else call.query["closed_days"]
    since = days_later(call.now, -days)[:10]
    window = Condition(f"{member('status')} = 'open' or {member('closed_on')} >= ?", [since])
    condition = _filtered(call, said.get("filter_groups", ())).and_(window)
    condition = condition.and_(Condition(f"{member('pipeline_id')} = ?", [pipeline.id]))
    order = f"{member('board_rank')}, id"
    found = call.world.store.select(call.tenant, DEALS, condition.sql, condition.arguments, order=order)
    adds, stages = adder(call), stages_of(call, pipeline.id)
    lanes = [_lane(call, adds, key, docs, stages, found) for key, docs in (grouped(found, group) or {"all": []}).items()]
    body: dict[str, Any] = {
        "pipeline_id": pipeline.id,
        "name": pipeline.doc["name"],
        "is_archived": is_archived(call, pipeline),
        "group_by": group,
        "currency": adds.currency,
        "totals": adds.totals([d.doc for d in found if d.doc["status"] == "open"]),
        "lanes": lanes,
        "missing_rates": sorted(adds.missing),
    }
    return Reply(200, body | ({"view_id": view.id} if view is not None else {}))


def _unknown(parameter: str, detail: str) -> Problem:
    entry = {"parameter": parameter, "in": "query", "code": "invalid_reference", "detail": detail}
    return Problem("malformed_parameter", "A parameter leads to no record; see errors.", [entry])


def _is_sent(call: Call, name: str) -> bool:
    return any(key == name for key, _ in call.request.query)


def _view(call: Call) -> Record | None:
    if not call.query.get("view_id"):
        return None
    view = call.records.peek(VIEWS, call.query["view_id"])
    if view is None or not see_view(call, view):
        raise _unknown("view_id", "no view has this ID")
    return view


def _pipeline(call: Call, said: Mapping[str, Any]) -> Record:
    wanted, saved = call.query.get("pipeline_id"), said.get("pipeline_id")
    if wanted and saved and wanted != saved:
        raise Problem("deal_view_other_pipeline", f"The view was saved for {saved}.")
    if wanted or saved:
        found = call.records.peek(PIPELINES, wanted or saved or "")
    else:
        found = next((p for p in call.records.find(PIPELINES) if p.doc.get("is_default")), None)
    if found is None:
        raise _unknown("pipeline_id", "there is no such pipeline")
    return found


def _lane(
    call: Call, adds: Adder, key: str, docs: Sequence[Mapping[str, Any]], stages: Sequence[Record], found: Sequence[Record]
) -> dict[str, Any]:
    ids = {doc["id"] for doc in docs}
    inside = [deal for deal in found if deal.id in ids]
    columns = [_column(call, adds, stage, [d for d in inside if d.doc["stage_id"] == stage.id]) for stage in stages]
    return {"key": key, "totals": adds.totals([d.doc for d in inside if d.doc["status"] == "open"]), "columns": columns}


def _column(call: Call, adds: Adder, stage: Record, deals: Sequence[Record]) -> dict[str, Any]:
    cards, size = [card_of(call, deal) for deal in deals], call.query["cards"]
    return {
        "stage_id": stage.id,
        "name": stage.doc["name"],
        "position": stage.doc["position"],
        "category": stage.doc["category"],
        "probability": stage.doc["probability"],
        "totals": adds.totals([d.doc for d in deals]),
        "rotting_count": sum(bool(card.get("is_rotting")) for card in cards),
        "cards": cards[:size],
        "has_more": len(cards) > size,
    }


@handles("listDealCards")
def list_cards(call: Call) -> Reply:
    """Return the cards of one stage by rank; a stage that isn't there has none."""
    condition = _filtered(call).and_(Condition(f"{member('stage_id')} = ?", [call.query["stage_id"]]))
    return paged(
        call,
        condition,
        fields=call.records.fields(DEALS),
        sorts=(Sort("board_rank", False),),
        select=lambda where, arguments, order, limit: listing.seen(call, DEALS, where, arguments, order, limit),
        show=lambda deal: card_of(call, deal),
    )


# -- views ---------------------------------------------------------------------------------------------------------------------


@sees(VIEWS)
def see_view(context: Context, view: Record) -> bool:
    """Show a view to its owner, and to everybody where it is shared."""
    return bool(context.is_upkeep or view.doc["is_shared"] or view.doc["owner_id"] == context.identity.user)


@enforces("view_filters_fit")
def view_filters_fit(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Refuse filters that deals don't take."""
    if context.is_upkeep or not new.get("filter_groups"):
        return ""
    try:
        context.records.fields(DEALS).groups(new["filter_groups"])
    except Problem as problem:
        first = problem.errors[0]
        return str(first["detail"]), str(first["pointer"]).removeprefix("#/").replace("/", ".")
    return ""


def _own(call: Call) -> None:
    if call.found.doc["owner_id"] != call.identity.user:
        raise Problem("deal_view_of_other_user", "The view belongs to a colleague. Save one of your own.")


@handles("listDealViews")
def list_views(call: Call) -> Reply:
    """Return one's own views and shared ones, by name."""
    return listing.list_records(call, default=(Sort("name", False),))


@handles("updateDealView")
def update_view(call: Call) -> Reply:
    """Change a view of one's own."""
    _own(call)
    return single.update(call)


@handles("deleteDealView")
def delete_view(call: Call) -> Reply:
    """Remove a view of one's own."""
    _own(call)
    return single.delete(call)
