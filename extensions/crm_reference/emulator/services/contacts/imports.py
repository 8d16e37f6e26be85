"""Imports: a mapping of columns, and a job that makes contacts of the rows of a table."""

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
from crm_reference.emulator.services.contacts.jobs import start
from crm_reference.emulator.services.contacts.members import add_members
from crm_reference.emulator.services.contacts.rows import body_of
from crm_reference.emulator.services.contacts.selecting import CONTACTS, LISTS
from crm_reference.emulator.store import Record, folded
from crm_reference.emulator.tables import DELIMITERS, TableError, column_key, read_table

#: Other names of each field, as a column's key has them.
SYNONYMS: Mapping[str, str] = {
    "salutation": "title anrede salut",
    "first_name": "firstname givenname forename vorname prenom",
    "middle_name": "middlename",
    "last_name": "surname familyname lastname nachname nom",
    "full_name": "name contact contactname fullname",
    "preferred_name": "nickname",
    "job_title": "position role jobtitle function funktion",
    "department": "dept division abteilung",
    "email": "emailaddress mail email workemail",
    "phone": "telephone phonenumber tel mobile mobilephone telefon",
    "address_street": "street address addressline1 strasse",
    "address_city": "city town ort ville",
    "address_region": "region state province county",
    "address_postal_code": "zip zipcode postcode postalcode plz",
    "address_country": "country countrycode land pays",
    "website": "url homepage web",
    "born_on": "birthday birthdate dateofbirth dob geburtstag",
    "language": "lang locale",
    "lifecycle_stage": "stage lifecycle",
    "account_id": "accountid companyid",
    "tags": "labels categories keywords",
    "description": "notes comment comments remarks",
    "external_id": "externalid customerid customernumber crmid",
}
_FIELD_OF = {key: field for field, keys in SYNONYMS.items() for key in keys.split()}


# -- mapping -------------------------------------------------------------------------------------------------------------------


@computes("import_mapping")
def suggest(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Suggest a field for each column.

    :param asked: ``columns``, and ``custom_fields``: a list of ``{name, label}``.
    :return: ``suggestions`` and ``missing_fields``.
    """
    exact = {column_key(field): ("field", field) for field in SYNONYMS}
    for said in asked.get("custom_fields", ()):
        for text in (said["name"], said.get("label", "")):
            exact.setdefault(column_key(text), ("custom_field", said["name"]))
    taken: set[tuple[str, str]] = set()
    suggestions = []
    for column in asked["columns"]:
        key = column_key(column)
        found, confidence = exact.get(key), "exact"
        if found is None and key in _FIELD_OF:
            found, confidence = ("field", _FIELD_OF[key]), "synonym"
        if found is None or found in taken:
            suggestions.append({"column": column, "confidence": "none"})
            continue
        taken.add(found)
        suggestions.append({"column": column, found[0]: found[1], "confidence": confidence})
    named = {("field", "last_name"), ("field", "full_name")} & taken
    return {"suggestions": suggestions, "missing_fields": [] if named else ["last_name"]}


def _suggested(context: Context, columns: Sequence[str]) -> dict[str, Any]:
    definitions = custom_fields.definitions(context, "contact").values()
    known = [{"name": d["name"], "label": d.get("label", "")} for d in definitions]
    return dict(suggest({"columns": list(columns), "custom_fields": known}))


@handles("suggestContactImportMapping")
def suggest_mapping(call: Call) -> Reply:
    """Suggest a field for each column of a table."""
    return Reply(200, _suggested(call, call.body["columns"]))


# -- start ---------------------------------------------------------------------------------------------------------------------


@handles("startContactImport")
def start_import(call: Call) -> Reply:
    """Read the table, check mapping and options, and start a job over its rows; it waits while imports is down."""
    body = call.body
    try:
        columns, rows = read_table(_source(call), DELIMITERS[body.get("delimiter", "comma")])
    except TableError as error:
        raise refused("import_source_unreadable", str(error), "#/source") from None
    mapping = _mapping(call, columns)
    mode, match_by = body.get("mode", "upsert"), body.get("match_by", "email")
    if match_by == "external_id" and "external_system" not in body:
        raise invalid("#/external_system", "required", "external_system is required where match_by is external_id")
    fields = {m.get("field") for m in mapping.values()}
    if mode != "update" and not fields & {"last_name", "full_name"}:
        raise refused("mapping_incomplete", "No column is mapped to last_name or full_name.", "#/column_mappings")
    if "list_id" in body:
        _check_list(call, body["list_id"])
    call.ask("imports", "createImportJob")
    items = [{"row": number, "cells": cells} for number, cells in rows]
    return start(
        call,
        "import",
        items,
        _mapping=mapping,
        _columns={_field_name(m): column for column, m in mapping.items()},
        _mode=mode,
        _match_by=match_by,
        _system=body.get("external_system", ""),
        _defaults=body.get("defaults", {}),
        _list=body.get("list_id", ""),
        _seen=[],
    )


def _field_name(mapped: Mapping[str, str]) -> str:
    """Return the name under which errors speak of a mapped field."""
    if "custom_field" in mapped:
        return f"custom_fields.{mapped['custom_field']}"
    return mapped["field"].replace("address_", "address.", 1)


def _source(call: Call) -> str:
    source = call.body["source"]
    if source["type"] == "text":
        return str(source["text"])
    file = call.records.peek("files", source["file_id"])
    if file is None:
        raise invalid("#/source/file_id", "invalid_reference", "There is no file with this ID.")
    return str(file.doc.get("_content", file.doc.get("_text", "")))


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
            raise refused("mapping_column_missing", detail[:500], f"#/column_mappings/{index}/column")
        mapping[column] = {k: said[k] for k in ("field", "custom_field") if k in said}
    return mapping


def _check_list(call: Call, id: str) -> None:
    contact_list = call.records.peek(LISTS, id)
    if contact_list is None or not call.records.visible(contact_list):
        raise invalid("#/list_id", "invalid_reference", "There is no list with this ID.")
    if contact_list.doc["kind"] != "static":
        raise Problem("list_is_dynamic", f"{contact_list.doc['name']} takes its members from its criteria.")


# -- work ----------------------------------------------------------------------------------------------------------------------


def _take(context: Context, job: dict[str, Any], item: Mapping[str, Any]) -> Any:
    body = body_of(context, item["cells"], job["_mapping"], job["_system"])
    outcome, id = maybe_trial(context, job, lambda: _save(context, job, body))
    if job["is_validate_only"]:
        job["_seen"] = [*job["_seen"], _key(job, body)]
    elif job["_list"]:
        job["_listed"] = [*job.get("_listed", ()), id]
    return outcome


def _key(job: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    if job["_match_by"] == "email":
        return str(body.get("email", "")).lower()
    return str(body.get("external_ids", {}).get(job["_system"], ""))


def _save(context: Context, job: Mapping[str, Any], body: dict[str, Any]) -> tuple[str, str]:
    """Create or update one contact; return what happened and its ID."""
    key, mode, trial = _key(job, body), job["_mode"], job["is_validate_only"]
    pointer = "#/email" if job["_match_by"] == "email" else "#/external_id"
    if mode == "update" and not key:
        raise invalid(pointer, "required", "the row has no value to find its contact by")
    present = _find(context, job, key) if key else None
    if mode == "create" and (present is not None or (trial and key in job["_seen"])):
        code = "email_taken" if job["_match_by"] == "email" else "external_id_taken"
        raise refused(code, f"A contact with {key} is there already.", pointer)
    if present is not None and context.records.visible(present):
        return _update(context, present, body, trial=trial)
    if trial and key and key in job["_seen"]:
        return "updated", ""
    if mode == "update":
        raise refused("not_found", f"No contact is found by {key}.", pointer)
    whole = {**{k: v for k, v in job["_defaults"].items() if k != "tags"}, **body}
    tags = [*body.get("tags", ()), *(t for t in job["_defaults"].get("tags", ()) if t not in body.get("tags", ()))]
    whole |= {"tags": tags} if tags else {}
    _validate(context, "ContactCreate", whole)
    event = "" if trial else "crm.contact.created.v1"
    return "created", context.records.create(CONTACTS, {**whole, "source": "import"}, event=event).id


def _find(context: Context, job: Mapping[str, Any], key: str) -> Record | None:
    if job["_match_by"] == "external_id":
        return find_external(context, CONTACTS, job["_system"], key)
    found = context.world.store.select(context.tenant, CONTACTS, f"{folded('email')} = ?", [key], order="", limit=1)
    return found[0] if found else None


def _update(context: Context, present: Record, body: dict[str, Any], *, trial: bool) -> tuple[str, str]:
    if "tags" in body:
        former = present.doc.get("tags", [])
        body = {**body, "tags": [*former, *(t for t in body["tags"] if t not in former)]}
    _validate(context, "ContactUpdate", body)
    event = "" if trial else "crm.contact.updated.v1"
    changed = context.records.change(present, merge_patch({}, body), event=event)
    return ("skipped" if changed is present else "updated"), present.id


def _validate(context: Context, schema: str, body: Mapping[str, Any]) -> None:
    found = context.world.validators.errors(context.world.contract.schemas[schema].node, body)
    if found:
        entries = [e.as_dict() for e in found]
        raise Problem("validation_failed", f"{counted(len(found), 'field')} of the row can't be taken; see errors.", entries)


def _finish(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    contact_list = context.records.peek(LISTS, job["_list"]) if job["_list"] else None
    if contact_list is not None:
        add_members(context, contact_list, job.get("_listed", ()))
    handed = job.setdefault("_handed_to", context.new_id("imp"))
    return {"matched_count": len(job["_items"]), **tally(outcomes, "created", "updated", "skipped"), "import_job_id": handed}


task("contacts.import", Task(_take, _finish, so_far=_finish, needs="imports"))
