"""Imports: a job that makes accounts of the rows of a table, and finds those that are there."""

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
from crm_reference.emulator.registry import Task, computes, handles, task
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS, JOBS, seen_account
from crm_reference.emulator.store import Record, folded, member
from crm_reference.emulator.tables import DELIMITERS, TableError, bare_phone, column_key, converted, read_table, unguarded

#: Fields to which a column can be mapped, with other names of columns.
_NAMES: Mapping[str, str] = {
    "name": "company account companyname firm",
    "legal_name": "legalname registeredname",
    "domain": "webdomain",
    "website": "url homepage",
    "email": "mail",
    "phone": "telephone switchboard",
    "registration_number": "registernumber kvk orgnumber",
    "vat_number": "vat vatid",
    "type": "accounttype",
    "tier": "segment",
    "industry": "branch sector",
    "employee_count": "employees headcount",
    "billing_street": "street",
    "billing_city": "city town",
    "billing_postal_code": "postcode zip",
    "billing_country": "country",
    "parent_domain": "parent parentcompany",
    "tags": "labels",
    "description": "notes remarks",
    "external_id": "customernumber key",
}
_FIELD_OF = {key: field for field, others in _NAMES.items() for key in (column_key(field), *others.split())}


# -- start ---------------------------------------------------------------------------------------------------------------------


@handles("startAccountImport")
def start_import(call: Call) -> Reply:
    """Read the table, check mapping and options, and start a job over its rows; it waits while imports is down."""
    body = call.body
    columns, rows = _table(call)
    mapping = _mapping(call, columns)
    mode, match_by = body.get("mode", "upsert"), body.get("match_by", "domain")
    if match_by == "external_id" and "external_system" not in body:
        raise invalid("#/external_system", "required", "external_system is required where match_by is external_id")
    if mode != "update" and all(m.get("field") != "name" for m in mapping.values()):
        raise refused("account_mapping_incomplete", "No column is mapped to name.", "#/column_mappings")
    defaults = body.get("defaults", {})
    if "parent_id" in defaults and seen_account(call, defaults["parent_id"]) is None:
        raise invalid("#/defaults/parent_id", "invalid_reference", "There is no account with this ID.")
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
        raise refused("account_source_unreadable", str(error), "#/source") from None


def _field_name(mapped: Mapping[str, str]) -> str:
    """Return the name under which errors speak of a mapped field."""
    if "custom_field" in mapped:
        return f"custom_fields.{mapped['custom_field']}"
    return {"parent_domain": "parent_id"}.get(mapped["field"], mapped["field"].replace("billing_", "billing_address.", 1))


def _mapping(call: Call, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return where each mapped column goes, by its name as the heading has it."""
    if "column_mappings" not in call.body:
        customs = custom_fields.definitions(call, "account")
        found: dict[str, dict[str, str]] = {}
        for column in columns:
            key = column_key(column)
            custom = next((n for n, said in customs.items() if key in (column_key(n), column_key(said.get("label", n)))), "")
            if key in _FIELD_OF:
                found[column] = {"field": _FIELD_OF[key]}
            elif custom:
                found[column] = {"custom_field": custom}
        return found
    by_name = {column.casefold(): column for column in columns}
    mapping = {}
    for index, said in enumerate(call.body["column_mappings"]):
        column = by_name.get(said["column"].casefold(), "")
        if not column:
            detail = f"The heading has no column {said['column']}; it has {', '.join(columns)}."
            raise refused("account_mapping_column_missing", detail[:500], f"#/column_mappings/{index}/column")
        mapping[column] = {k: said[k] for k in ("field", "custom_field") if k in said}
    return mapping


# -- rows ----------------------------------------------------------------------------------------------------------------------


@computes("account_row")
def account_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that a row makes; ``parent_domain`` stands beside it.

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
        case "domain" | "parent_domain":
            body[field] = domain_of(cell)
        case "tags":
            body["tags"] = list(dict.fromkeys(tag.strip() for tag in cell.split(";") if tag.strip()))
        case "phone":
            body["phone"] = bare_phone(cell)
        case "employee_count":
            body[field] = converted(cell, "integer")
        case "external_id":
            body["external_ids"] = {system or "import": cell}
        case _ if field.startswith("billing_"):
            body.setdefault("billing_address", {})[field.removeprefix("billing_")] = cell
        case _:
            body[field] = cell


@computes("domain_of")
def domain_of(text: str) -> str:
    """Return the domain of a URL, an e-mail address or a domain.

    >>> [domain_of(t) for t in ("https://www.Tidewater.example/about", "office@kestrel.example", "polder.example")]
    ['tidewater.example', 'kestrel.example', 'polder.example']
    """
    bare = text.strip().lower().rpartition("@")[2].partition("://")
    host = (bare[2] or bare[0]).partition("/")[0].partition(":")[0]
    return host.removeprefix("www.")


# -- work ----------------------------------------------------------------------------------------------------------------------


def _take(context: Context, job: dict[str, Any], item: Mapping[str, Any]) -> Any:
    kinds = {name: said["type"] for name, said in custom_fields.definitions(context, "account").items()}
    asked = {"cells": item["cells"], "mapping": job["_mapping"], "external_system": job["_system"], "custom_field_types": kinds}
    body = dict(account_row(asked))
    outcome = maybe_trial(context, job, lambda: _save(context, job, dict(body)))
    if job["is_validate_only"]:
        job["_seen"] = [*job["_seen"], _key(job, body), body.get("domain", "")]
    return outcome


def _key(job: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    if job["_match_by"] == "external_id":
        return str(body.get("external_ids", {}).get(job["_system"], ""))
    return str(body.get(job["_match_by"], ""))


def _save(context: Context, job: Mapping[str, Any], body: dict[str, Any]) -> str:
    """Create or update one account; return what happened."""
    key, mode, trial = _key(job, body), job["_mode"], job["is_validate_only"]
    pointer = f"#/{job['_match_by']}"
    _hang(context, job, body)
    if mode == "update" and not key:
        raise invalid(pointer, "required", "the row has no value to find its account by")
    present = _find(context, job, key) if key else None
    if mode == "create" and (present is not None or (trial and key and key in job["_seen"])):
        code = "account_external_id_taken" if job["_match_by"] == "external_id" else "account_domain_taken"
        raise refused(code, f"An account with {key} is there already.", pointer)
    if present is not None and context.records.visible(present):
        return _update(context, present, body, trial=trial)
    if trial and key and key in job["_seen"]:
        return "updated"
    if mode == "update":
        raise refused("not_found", f"No account is found by {key}.", pointer)
    whole = {**{k: v for k, v in job["_defaults"].items() if k != "tags"}, **body}
    tags = [*body.get("tags", ()), *(t for t in job["_defaults"].get("tags", ()) if t not in body.get("tags", ()))]
    whole |= {"tags": tags} if tags else {}
    _validate(context, "AccountCreate", whole)
    context.records.create(ACCOUNTS, whole, event="" if trial else "crm.account.created.v1")
    return "created"


def _hang(context: Context, job: Mapping[str, Any], body: dict[str, Any]) -> None:
    """Put the ID of the parent in the place of its domain."""
    domain = body.pop("parent_domain", "")
    if not domain:
        return
    found = context.world.store.select(context.tenant, ACCOUNTS, f"{folded('domain')} = ?", [domain], order="", limit=1)
    if found and context.records.visible(found[0]):
        body["parent_id"] = found[0].id
    elif not (job["is_validate_only"] and domain in job["_seen"]):
        raise invalid("#/parent_id", "invalid_reference", f"No account has the domain {domain}.")


def _find(context: Context, job: Mapping[str, Any], key: str) -> Record | None:
    if job["_match_by"] == "external_id":
        return find_external(context, ACCOUNTS, job["_system"], key)
    source = folded("domain") if job["_match_by"] == "domain" else member("registration_number")
    found = context.world.store.select(context.tenant, ACCOUNTS, f"{source} = ?", [key], order="", limit=1)
    return found[0] if found else None


def _update(context: Context, present: Record, body: dict[str, Any], *, trial: bool) -> str:
    if "tags" in body:
        former = present.doc.get("tags", [])
        body = {**body, "tags": [*former, *(t for t in body["tags"] if t not in former)]}
    _validate(context, "AccountUpdate", body)
    changed = context.records.change(present, merge_patch({}, body), event="" if trial else "crm.account.updated.v1")
    return "skipped" if changed is present else "updated"


def _validate(context: Context, schema: str, body: Mapping[str, Any]) -> None:
    found = context.world.validators.errors(context.world.contract.schemas[schema].node, body)
    if found:
        entries = [e.as_dict() for e in found]
        raise Problem("validation_failed", f"{counted(len(found), 'field')} of the row can't be taken; see errors.", entries)


def _finish(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    handed = job.setdefault("_handed_to", context.new_id("imp"))
    return {"matched_count": len(job["_items"]), **tally(outcomes, "created", "updated", "skipped"), "import_job_id": handed}


task("accounts.import", Task(_take, _finish, so_far=_finish, needs="imports"))
