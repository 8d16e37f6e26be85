"""Imports: a job that makes deals of the rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator import custom_fields
from crm_reference.emulator.behaviours.external import find_external
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import maybe_trial, tally
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.records import merge_patch
from crm_reference.emulator.refusals import invalid, refused
from crm_reference.emulator.registry import Task, handles, task
from crm_reference.emulator.services.deals.changing import change_deal
from crm_reference.emulator.services.deals.common import DEALS, UPDATED, currency_of, stages_of
from crm_reference.emulator.services.deals.creating import create_deal
from crm_reference.emulator.services.deals.jobs import start
from crm_reference.emulator.services.deals.records import first_stage
from crm_reference.emulator.services.deals.rows import row_body, suggest
from crm_reference.emulator.store import Record, folded, member
from crm_reference.emulator.tables import DELIMITERS, TableError, read_table


def _suggested(context: Context, columns: Sequence[str]) -> dict[str, Any]:
    definitions = custom_fields.definitions(context, "deal").values()
    known = [{"name": d["name"], "label": d.get("label", "")} for d in definitions]
    return dict(suggest({"columns": list(columns), "custom_fields": known}))


@handles("suggestDealImportMapping")
def suggest_mapping(call: Call) -> Reply:
    """Suggest a field for each column of a table."""
    return Reply(200, _suggested(call, call.body["columns"]))


@handles("startDealImport")
def start_import(call: Call) -> Reply:
    """Read the table, check mapping and options, and start a job over its rows."""
    body = call.body
    text, pointer = _source(call)
    try:
        columns, rows = read_table(text, DELIMITERS[body.get("delimiter", "comma")])
    except TableError as error:
        raise refused("deal_import_unreadable", str(error), pointer) from None
    mapping = _mapping(call, columns)
    mode, match_by = body.get("mode", "upsert"), body.get("match_by", "name")
    if match_by == "external_id" and "external_system" not in body:
        raise invalid("#/external_system", "required", "external_system is required where match_by is external_id")
    if "name" not in {m.get("field") for m in mapping.values()} and (mode != "update" or match_by == "name"):
        raise refused("deal_mapping_incomplete", "No column is mapped to name.", "#/column_mappings")
    return start(
        call,
        "import",
        [{"row": number, "cells": cells} for number, cells in rows],
        _mapping=mapping,
        _columns={_field_name(m): column for column, m in mapping.items()},
        _mode=mode,
        _match_by=match_by,
        _system=body.get("external_system", ""),
        _defaults=body.get("defaults", {}),
        _seen=[],
    )


def _field_name(mapped: Mapping[str, str]) -> str:
    """Return the name under which errors speak of a mapped field."""
    if "custom_field" in mapped:
        return f"custom_fields.{mapped['custom_field']}"
    return {"amount": "amount.amount", "currency": "amount.currency"}.get(mapped["field"], mapped["field"])


def _source(call: Call) -> tuple[str, str]:
    """Return the table as text, and where it stands in the body."""
    source = call.body["source"]
    if source["type"] == "text":
        return str(source["text"]), "#/source/text"
    file = call.records.peek("files", source["file_id"])
    if file is None:
        raise invalid("#/source/file_id", "invalid_reference", "There is no file with this ID.")
    return str(file.doc.get("_content", "")), "#/source/file_id"


def _mapping(call: Call, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return where each mapped column goes: by its name as the first row has it, ``{field: ...}`` or ``{custom_field: ...}``."""
    if "column_mappings" not in call.body:
        known = [s for s in _suggested(call, columns)["suggestions"] if s["confidence"] != "none"]
        return {s["column"]: {k: s[k] for k in ("field", "custom_field") if k in s} for s in known}
    by_name = {column.casefold(): column for column in columns}
    mapping = {}
    for index, said in enumerate(call.body["column_mappings"]):
        column = by_name.get(said["column"].casefold())
        if column is None:
            detail = f"The first row has no column {said['column']}; it has {', '.join(columns)}."
            raise refused("deal_mapping_column_missing", detail[:500], f"#/column_mappings/{index}/column")
        mapping[column] = {k: said[k] for k in ("field", "custom_field") if k in said}
    return mapping


# -- work ----------------------------------------------------------------------------------------------------------------------


def _take(context: Context, job: dict[str, Any], item: Mapping[str, Any]) -> Any:
    kinds = {name: said["type"] for name, said in custom_fields.definitions(context, "deal").items()}
    currency = job["_defaults"].get("currency", currency_of(context))
    asked = {"cells": item["cells"], "mapping": job["_mapping"], "external_system": job["_system"], "currency": currency}
    body = _resolved(context, job, dict(row_body(asked | {"custom_field_types": kinds})))
    outcome = maybe_trial(context, job, lambda: _save(context, job, body))
    if job["is_validate_only"]:
        job["_seen"] = [*job["_seen"], _key(job, body)]
    return outcome


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


def _key(job: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    if job["_match_by"] == "name":
        return f"{body.get('name', '').casefold()}/{body.get('account_id', '')}"
    return str(body.get("external_ids", {}).get(job["_system"], ""))


def _save(context: Context, job: Mapping[str, Any], body: dict[str, Any]) -> str:
    """Create or update one deal and return what happened."""
    mode, trial, key = job["_mode"], job["is_validate_only"], _key(job, body)
    pointer = "#/name" if job["_match_by"] == "name" else "#/external_id"
    if mode == "update" and not key.strip("/"):
        raise invalid(pointer, "required", "the row has no value to find its deal by")
    present = _find(context, job, body)
    if present is not None and mode == "create":
        raise refused("not_unique", f"The row matches {present.id}, and deals are to be created only.", pointer)
    event = "" if trial else UPDATED
    if present is not None and context.records.visible(present):
        body = {k: v for k, v in body.items() if k not in ("stage_id", "owner_id")}
        if "tags" in body:
            former = present.doc.get("tags", [])
            body["tags"] = [*former, *(t for t in body["tags"] if t not in former)]
        _validate(context, "DealUpdate", body)
        changed = change_deal(context, present, merge_patch({}, body), event=event)
        return "skipped" if changed is present else "updated"
    if trial and key in job["_seen"]:
        return "updated"
    if mode == "update":
        raise refused("not_found", "No deal is found by this row.", pointer)
    whole = {k: v for k, v in job["_defaults"].items() if k not in ("tags", "currency")} | body
    tags = [*body.get("tags", ()), *(t for t in job["_defaults"].get("tags", ()) if t not in body.get("tags", ()))]
    whole |= {"tags": tags} if tags else {}
    if "stage_id" in body:
        whole.pop("pipeline_id", None)
    _validate(context, "DealCreate", whole)
    create_deal(context, whole, event="" if trial else "crm.deal.created.v1", source="import")
    return "created"


def _find(context: Context, job: Mapping[str, Any], body: Mapping[str, Any]) -> Record | None:
    if job["_match_by"] == "external_id":
        key = _key(job, body)
        return find_external(context, DEALS, job["_system"], key) if key else None
    where, arguments = f"{folded('name')} = ?", [body.get("name", "")]
    if "account_id" in body:
        where, arguments = f"{where} and {member('account_id')} = ?", [*arguments, body["account_id"]]
    found = context.world.store.select(context.tenant, DEALS, where, arguments, limit=1)
    return found[0] if found else None


def _validate(context: Context, schema: str, body: Mapping[str, Any]) -> None:
    found = context.world.validators.errors(context.world.contract.schemas[schema].node, body)
    if found:
        entries = [e.as_dict() for e in found]
        raise Problem("validation_failed", f"{counted(len(found), 'field')} of the row can't be taken; see errors.", entries)


def _finish(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return {"matched_count": len(job["_items"]), **tally(outcomes, "created", "updated", "skipped")}


task("deals.import", Task(_take, _finish, so_far=_finish))
