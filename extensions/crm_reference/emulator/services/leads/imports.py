"""Imports: a job that makes leads of the rows of a table, and finds those that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator import custom_fields
from crm_reference.emulator.behaviours.external import find_external
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import maybe_trial, tally
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.records import merge_patch
from crm_reference.emulator.registry import Task, computes, handles, task
from crm_reference.emulator.services.leads.common import CREATED, JOBS, LEADS, UPDATED, check_owner, invalid, refused
from crm_reference.emulator.services.leads.submissions import open_lead
from crm_reference.emulator.store import Record
from crm_reference.emulator.tables import DELIMITERS, TableError, bare_phone, column_key, converted, read_table, unguarded

#: Fields to which a column can be mapped, with other names of columns.
_NAMES: Mapping[str, str] = {
    "first_name": "given givenname",
    "last_name": "surname familyname",
    "full_name": "name person visitor",
    "email": "mail emailaddress",
    "phone": "telephone mobile",
    "company_name": "company firm organisation",
    "job_title": "position role",
    "website": "url site",
    "street": "road",
    "city": "town",
    "postal_code": "postcode zip",
    "country": "land",
    "industry": "branch sector",
    "employee_count": "employees headcount",
    "interests": "interest product",
    "source_detail": "fair event",
    "tags": "labels",
    "description": "notes remarks question",
    "external_id": "badge key",
}
_FIELD_OF = {key: field for field, others in _NAMES.items() for key in (column_key(field), *others.split())}
_ADDRESS = ("street", "city", "postal_code", "country")


@handles("startLeadImport")
def start_import(call: Call) -> Reply:
    """Read the table, check mapping and options, and start a job over its rows; it waits while imports is down."""
    body = call.body
    columns, rows = _table(call)
    mapping = _mapping(call, columns)
    mode, match_by = body.get("mode", "upsert"), body.get("match_by", "email")
    if match_by == "external_id" and "external_system" not in body:
        raise invalid("#/external_system", "required", "external_system is required where match_by is external_id")
    targets = {m.get("field") for m in mapping.values()}
    if mode != "update" and targets.isdisjoint(("last_name", "full_name", "company_name", "email")):
        raise refused("lead_mapping_incomplete", "No column is mapped to last_name, company_name or email.", "#/column_mappings")
    defaults = {"source": "import", **body.get("defaults", {})}
    if "owner_id" in defaults:
        check_owner(call, defaults["owner_id"], "#/defaults/owner_id")
    call.ask("imports", "createImportJob")
    return JOBS.start(
        call,
        "import",
        [{"row": number, "cells": cells} for number, cells in rows],
        _mapping=mapping,
        _columns={_field_name(m): column for column, m in mapping.items()},
        _mode=mode,
        _match_by=match_by,
        _system=body.get("external_system", ""),
        _defaults=defaults,
        _seen=[],
    )


def _table(call: Call) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    source = call.body["source"]
    text = str(source.get("text", ""))
    if source["type"] == "file":
        file = call.records.peek("files", source["file_id"])
        if file is None:
            raise invalid("#/source/file_id", "invalid_reference", "There is no file with this ID.")
        text = str(file.doc.get("_content", ""))
    try:
        return read_table(text, DELIMITERS[call.body.get("delimiter", "comma")])
    except TableError as error:
        raise refused("lead_source_unreadable", str(error), "#/source") from None


def _field_name(mapped: Mapping[str, str]) -> str:
    """Return the name under which errors speak of a mapped field."""
    if "custom_field" in mapped:
        return f"custom_fields.{mapped['custom_field']}"
    field = mapped["field"]
    return f"address.{field}" if field in _ADDRESS else {"full_name": "last_name"}.get(field, field)


def _mapping(call: Call, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return where each mapped column goes, by its name as the heading has it."""
    if "column_mappings" not in call.body:
        customs = custom_fields.definitions(call, "lead")
        named = {column_key(n): n for n in customs} | {column_key(said.get("label", n)): n for n, said in customs.items()}
        found = {column: {"field": _FIELD_OF[key]} for column in columns if (key := column_key(column)) in _FIELD_OF}
        customised = {column: {"custom_field": named[key]} for column in columns if (key := column_key(column)) in named}
        return customised | found
    by_name = {column.casefold(): column for column in columns}
    mapping = {}
    for index, said in enumerate(call.body["column_mappings"]):
        column = by_name.get(said["column"].casefold(), "")
        if not column:
            detail = f"The first row has no column {said['column']}; it has {', '.join(columns)}."
            raise refused("lead_mapping_column_missing", detail[:500], f"#/column_mappings/{index}/column")
        mapping[column] = {k: said[k] for k in ("field", "custom_field") if k in said}
    return mapping


@computes("lead_row")
def lead_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that a row makes.

    :param row: ``cells`` by column, ``mapping`` by column, ``external_system``, and ``custom_field_types`` by name.
    """
    body: dict[str, Any] = {}
    for column, mapped in row["mapping"].items():
        cell = unguarded(row["cells"].get(column, ""))
        if not cell:
            continue
        if "custom_field" in mapped:
            name = mapped["custom_field"]
            body.setdefault("custom_fields", {})[name] = converted(cell, row["custom_field_types"].get(name, "text"))
        else:
            _set(body, mapped["field"], cell, row.get("external_system", ""))
    return body


def _set(body: dict[str, Any], field: str, cell: str, system: str) -> None:
    match field:
        case "full_name":
            first, _, last = cell.rpartition(" ")
            body |= {"last_name": last} | ({"first_name": first.strip()} if first else {})
        case "tags" | "interests":
            body[field] = list(dict.fromkeys(tag.strip() for tag in cell.split(";") if tag.strip()))
        case "phone":
            body["phone"] = bare_phone(cell)
        case "email":
            body["email"] = cell.lower()
        case "employee_count":
            body[field] = converted(cell, "integer")
        case "external_id":
            body["external_ids"] = {system or "import": cell}
        case _ if field in _ADDRESS:
            body.setdefault("address", {})[field] = cell
        case _:
            body[field] = cell


# -- work ----------------------------------------------------------------------------------------------------------------------


def _take(context: Context, job: dict[str, Any], item: Mapping[str, Any]) -> Any:
    kinds = {name: said["type"] for name, said in custom_fields.definitions(context, "lead").items()}
    asked = {"cells": item["cells"], "mapping": job["_mapping"], "external_system": job["_system"], "custom_field_types": kinds}
    body = lead_row(asked)
    outcome = maybe_trial(context, job, lambda: _save(context, job, dict(body)))
    if job["is_validate_only"]:
        job["_seen"] = [*job["_seen"], _key(job, body)]
    return outcome


def _key(job: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    if job["_match_by"] == "external_id":
        return str(body.get("external_ids", {}).get(job["_system"], ""))
    return str(body.get("email", ""))


def _save(context: Context, job: Mapping[str, Any], body: dict[str, Any]) -> str:
    """Create or update one lead; return what happened."""
    key, mode, trial = _key(job, body), job["_mode"], job["is_validate_only"]
    pointer = f"#/{'external_ids' if job['_match_by'] == 'external_id' else 'email'}"
    if mode == "update" and not key:
        raise invalid(pointer, "required", "the row has no value to find its lead by")
    present = _find(context, job, key) if key else None
    if present is not None and not context.records.visible(present):
        present = None
    seen = trial and bool(key) and key in job["_seen"]
    if mode == "create" and (present is not None or seen):
        raise invalid(pointer, "not_unique", f"A lead with {key} is there already.")
    if present is not None:
        return _update(context, present, body, trial=trial)
    if seen:
        return "updated"
    if mode == "update":
        raise refused("not_found", f"No lead is found by {key}.", pointer)
    defaults = job["_defaults"]
    whole = {**{k: v for k, v in defaults.items() if k != "tags"}, **body}
    tags = list(dict.fromkeys([*body.get("tags", ()), *defaults.get("tags", ())]))
    whole |= {"tags": tags} if tags else {}
    _validate(context, "LeadCreate", whole)
    context.records.create(LEADS, whole, event="" if trial else CREATED)
    return "created"


def _find(context: Context, job: Mapping[str, Any], key: str) -> Record | None:
    if job["_match_by"] == "external_id":
        return find_external(context, LEADS, job["_system"], key)
    return open_lead(context, key)


def _update(context: Context, present: Record, body: dict[str, Any], *, trial: bool) -> str:
    for name in ("tags", "interests"):
        if name in body:
            body = {**body, name: list(dict.fromkeys([*present.doc.get(name, ()), *body[name]]))}
    _validate(context, "LeadUpdate", body)
    changed = context.records.change(present, merge_patch({}, body), event="" if trial else UPDATED)
    return "skipped" if changed is present else "updated"


def _validate(context: Context, schema: str, body: Mapping[str, Any]) -> None:
    found = context.world.validators.errors(context.world.contract.schemas[schema].node, body)
    if found:
        entries = [e.as_dict() for e in found]
        raise Problem("validation_failed", f"{counted(len(found), 'field')} of the row can't be taken; see errors.", entries)


def _finish(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    handed = job.setdefault("_handed_to", context.new_id("imp"))
    return {"matched_count": len(job["_items"]), **tally(outcomes, "created", "updated", "skipped"), "import_job_id": handed}


task("leads.import", Task(_take, _finish, so_far=_finish, needs="imports"))
