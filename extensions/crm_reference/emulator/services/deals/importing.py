"""Imports of deals: how rows find their deal, and customers and stages that a row names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.importing import Codes, Imports
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.refusals import invalid, refused
from crm_reference.emulator.services.deals.changing import change_deal
from crm_reference.emulator.services.deals.common import DEALS, currency_of, stages_of
from crm_reference.emulator.services.deals.creating import create_deal
from crm_reference.emulator.services.deals.jobs import JOBS
from crm_reference.emulator.services.deals.records import first_stage
from crm_reference.emulator.services.deals.rows import COLUMNS, row_body
from crm_reference.emulator.sql import folded, member
from crm_reference.emulator.store import Record


def _facts(context: Context, job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the currency of amounts whose row names none."""
    return {"currency": job["_defaults"].get("currency", currency_of(context))}


def _resolved(context: Context, job: Mapping[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Return a body with IDs in place of the names of customer and stage."""
    if "account_name" in body:
        name = body.pop("account_name")
        where = f"{folded('name')} = ?"
        found = context.world.store.select(context.tenant, "accounts", where, [name], limit=1)
        if not found or not context.records.visible(found[0]):
            raise invalid("#/account_name", "invalid_reference", f"no account is called {name}")
        body["account_id"] = found[0].id
    if "stage_name" in body:
        name = body.pop("stage_name")
        first = first_stage(context, job["_defaults"].get("pipeline_id", ""))
        line = stages_of(context, first.doc["pipeline_id"]) if first is not None else []
        stage = next((s for s in line if s.doc["name"].casefold() == name.casefold()), None)
        if stage is None:
            raise invalid("#/stage_name", "invalid_reference", f"no stage of the pipeline is called {name}")
        body["stage_id"] = stage.id
    return body


def _key(match_by: str, body: Mapping[str, Any]) -> str:
    key = f"{body.get('name', '').casefold()}/{body.get('account_id', '')}"
    return key if key.strip("/") else ""


def _find(context: Context, match_by: str, key: str, body: Mapping[str, Any]) -> Record | None:
    where, arguments = f"{folded('name')} = ?", [body.get("name", "")]
    if "account_id" in body:
        where, arguments = f"{where} and {member('account_id')} = ?", [*arguments, body["account_id"]]
    found = context.world.store.select(context.tenant, DEALS, where, arguments, limit=1)
    return found[0] if found else None


def _taken(match_by: str, key: str, present: Record | None) -> Problem:
    matched = present.id if present is not None else "an earlier one"
    return refused("not_unique", f"The row matches {matched}, and deals are to be created only.", f"#/{match_by}")


def _complete(whole: dict[str, Any], body: Mapping[str, Any]) -> None:
    """Drop the default currency, which amounts have by now, and the default pipeline, where the row names a stage."""
    whole.pop("currency", None)
    if "stage_id" in body:
        whole.pop("pipeline_id", None)


Imports(
    JOBS,
    DEALS,
    "deal",
    COLUMNS,
    row_body,
    Codes("deal_import_unreadable", "deal_mapping_column_missing", "deal_mapping_incomplete"),
    match_by="name",
    key=_key,
    find=_find,
    taken=_taken,
    create=lambda context, body, event: create_deal(context, body, event=event, source="import"),
    change=lambda context, deal, patch, event: change_deal(context, deal, patch, event=event),
    facts=_facts,
    resolve=_resolved,
    complete=_complete,
    only_new=("stage_id", "owner_id"),
    points_into_source=True,
    named="this row",
    asks_imports=False,
).offer("startDealImport", suggest="suggestDealImportMapping")
