"""Imports of accounts: the fields of a table, how rows find their account, and the parent that a row names by its domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context
from crm_reference.emulator.columns import Columns
from crm_reference.emulator.importing import Codes, Imports
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.refusals import invalid, refused
from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS, JOBS, seen_account
from crm_reference.emulator.sql import folded, member
from crm_reference.emulator.store import Record
from crm_reference.emulator.tables import bare_phone, converted

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


# -- tables --------------------------------------------------------------------------------------------------------------------


@computes("domain_of")
def domain_of(text: str) -> str:
    """Return the domain of a URL, an e-mail address or a domain.

    >>> [domain_of(t) for t in ("https://www.Tidewater.example/about", "office@kestrel.example", "polder.example")]
    ['tidewater.example', 'kestrel.example', 'polder.example']
    """
    bare = text.strip().lower().rpartition("@")[2].partition("://")
    host = (bare[2] or bare[0]).partition("/")[0].partition(":")[0]
    return host.removeprefix("www.")


COLUMNS = Columns(
    _NAMES,
    required=("name",),
    readings={
        "domain": domain_of,
        "parent_domain": domain_of,
        "phone": bare_phone,
        "employee_count": lambda cell: converted(cell, "integer"),
    },
    parts={f"billing_{part}": ("billing_address", part) for part in ("street", "city", "postal_code", "country")},
    reported={"parent_domain": "parent_id"},
)


@computes("account_row")
def account_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that a row makes; ``parent_domain`` stands beside it.

    :param row: ``cells`` by column, ``mapping`` by column, ``external_system``, and ``custom_field_types`` by name.
    """
    return COLUMNS.body_of(row)


# -- accounts ------------------------------------------------------------------------------------------------------------------


def _check(call: Call) -> dict[str, Any]:
    parent = call.body.get("defaults", {}).get("parent_id")
    if parent is not None and seen_account(call, parent) is None:
        raise invalid("#/defaults/parent_id", "invalid_reference", "There is no account with this ID.")
    return {}


def _key(match_by: str, body: Mapping[str, Any]) -> str:
    return str(body.get(match_by, ""))


def _find(context: Context, match_by: str, key: str, body: Mapping[str, Any]) -> Record | None:
    source = folded("domain") if match_by == "domain" else member("registration_number")
    found = context.world.store.select(context.tenant, ACCOUNTS, f"{source} = ?", [key], order="", limit=1)
    return found[0] if found else None


def _taken(match_by: str, key: str, present: Record | None) -> Problem:
    code = "account_external_id_taken" if match_by == "external_id" else "account_domain_taken"
    return refused(code, f"An account with {key} is there already.", f"#/{match_by}")


def _hang(context: Context, job: Mapping[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Return a body with the ID of the parent in the place of its domain."""
    domain = body.pop("parent_domain", "")
    found = _find(context, "domain", domain, body) if domain else None
    if found is not None and context.records.visible(found):
        return {**body, "parent_id": found.id}
    if domain and not (job["is_validate_only"] and domain in job["_seen"]):
        raise invalid("#/parent_id", "invalid_reference", f"No account has the domain {domain}.")
    return body


Imports(
    JOBS,
    ACCOUNTS,
    "account",
    COLUMNS,
    account_row,
    Codes("account_source_unreadable", "account_mapping_column_missing", "account_mapping_incomplete"),
    match_by="domain",
    key=_key,
    find=_find,
    taken=_taken,
    create=lambda context, body, event: context.records.create(ACCOUNTS, body, event=event),
    check=_check,
    resolve=_hang,
    marks=("domain",),
    heading="The heading",
).offer("startAccountImport")
