"""Imports of contacts: the fields of a table, how rows find their contact, and the list to which imported people come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context
from crm_reference.emulator.columns import Columns
from crm_reference.emulator.importing import Codes, Imports
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.refusals import invalid, refused
from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.contacts.jobs import STARTER
from crm_reference.emulator.services.contacts.members import add_members
from crm_reference.emulator.services.contacts.selecting import CONTACTS, LISTS
from crm_reference.emulator.sql import folded
from crm_reference.emulator.store import Record
from crm_reference.emulator.tables import bare_phone

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


# -- tables --------------------------------------------------------------------------------------------------------------------


def _names(cell: str) -> dict[str, str]:
    """Return first and last name of a full name: the last word is the last name."""
    first, _, last = cell.rpartition(" ")
    return {"last_name": last} | ({"first_name": " ".join(first.split())} if first.strip() else {})


COLUMNS = Columns(
    SYNONYMS,
    required=("last_name", "full_name"),
    readings={"phone": bare_phone},
    parts={f"address_{part}": ("address", part) for part in ("street", "city", "region", "postal_code", "country")},
    spread={"full_name": _names},
)


@computes("import_mapping")
def suggest(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Suggest a field for each column.

    :param asked: ``columns``, and ``custom_fields``: a list of ``{name, label}``.
    :return: ``suggestions`` and ``missing_fields``.
    """
    return COLUMNS.suggest(asked)


@computes("import_row")
def row_body(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that a row makes.

    :param row: ``cells`` by column, ``mapping`` by column, ``external_system``, and ``custom_field_types`` by name.
    """
    return COLUMNS.body_of(row)


# -- contacts ------------------------------------------------------------------------------------------------------------------


def _key(match_by: str, body: Mapping[str, Any]) -> str:
    return str(body.get("email", "")).lower()


def _find(context: Context, match_by: str, key: str, body: Mapping[str, Any]) -> Record | None:
    found = context.world.store.select(context.tenant, CONTACTS, f"{folded('email')} = ?", [key], order="", limit=1)
    return found[0] if found else None


def _taken(match_by: str, key: str, present: Record | None) -> Problem:
    code = "email_taken" if match_by == "email" else "external_id_taken"
    return refused(code, f"A contact with {key} is there already.", f"#/{match_by}")


def _create(context: Context, body: dict[str, Any], event: str) -> Record:
    return context.records.create(CONTACTS, {**body, "source": "import"}, event=event)


# -- the list ------------------------------------------------------------------------------------------------------------------


def _check(call: Call) -> dict[str, Any]:
    """Return the list to which people come, as a member of the job."""
    if "list_id" in call.body:
        _check_list(call, call.body["list_id"])
    return {"_list": call.body.get("list_id", "")}


def _check_list(call: Call, id: str) -> None:
    contact_list = call.records.peek(LISTS, id)
    if contact_list is None or not call.records.visible(contact_list):
        raise invalid("#/list_id", "invalid_reference", "There is no list with this ID.")
    if contact_list.doc["kind"] != "static":
        raise Problem("list_is_dynamic", f"{contact_list.doc['name']} takes its members from its criteria.")


def _saved(context: Context, job: dict[str, Any], contact: Record) -> None:
    if job["_list"]:
        job["_listed"] = [*job.get("_listed", ()), contact.id]


def _conclude(context: Context, job: Mapping[str, Any]) -> None:
    contact_list = context.records.peek(LISTS, job["_list"]) if job["_list"] else None
    if contact_list is not None:
        add_members(context, contact_list, job.get("_listed", ()))


Imports(
    STARTER,
    CONTACTS,
    "contact",
    COLUMNS,
    row_body,
    Codes("import_source_unreadable", "mapping_column_missing", "mapping_incomplete"),
    match_by="email",
    key=_key,
    find=_find,
    taken=_taken,
    create=_create,
    check=_check,
    saved=_saved,
    conclude=_conclude,
).offer("startContactImport", suggest="suggestContactImportMapping")
