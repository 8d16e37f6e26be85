"""Tables of deals: columns to fields, and rows to bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.columns import Columns
from crm_reference.emulator.registry import computes

#: Other names of each field, as a column's key has them.
SYNONYMS: Mapping[str, str] = {
    "name": "deal dealname opportunity opportunityname title geschaft naam",
    "amount": "value dealvalue price sum betrag bedrag",
    "currency": "currencycode iso4217 wahrung valuta",
    "close_on": "closedate closingdate expectedclose expectedclosedate abschluss sluitdatum",
    "account_id": "accountid companyid customerid",
    "account_name": "account company customer firma klant kunde",
    "stage_id": "stageid",
    "stage_name": "stage phase step fase",
    "owner_id": "ownerid salesrepid",
    "type": "dealtype kind",
    "priority": "urgency prioritat",
    "next_step": "nextstep todo",
    "description": "notes comment comments remarks",
    "tags": "labels keywords",
    "external_id": "externalid opportunitynumber dealnumber crmid",
}


def _plain(cell: str) -> str:
    """Return an amount or a currency without blanks, in capital letters."""
    return cell.replace(" ", "").upper()


COLUMNS = Columns(
    SYNONYMS,
    required=("name",),
    readings={"amount": _plain, "currency": _plain, "type": str.lower, "priority": str.lower},
    parts={"amount": ("amount", "amount"), "currency": ("amount", "currency")},
)


@computes("deal_import_mapping")
def suggest(asked: Mapping[str, Any], /) -> dict[str, Any]:
    """Suggest a field for each column.

    :param asked: ``columns``, and ``custom_fields``: a list of ``{name, label}``.
    :return: ``suggestions`` and ``missing_fields``.
    """
    return COLUMNS.suggest(asked)


@computes("deal_import_row")
def row_body(row: Mapping[str, Any], /) -> dict[str, Any]:
    """Return the body that a row makes. Empty cells are left out.

    :param row: ``cells`` by column, ``mapping`` by column, ``external_system``, ``currency`` of amounts whose row names none, and
        ``custom_field_types`` by name.
    """
    body = COLUMNS.body_of(row)
    amount = body.get("amount")
    if amount is not None and "amount" not in amount:
        del body["amount"]
    elif amount is not None and "currency" not in amount and row.get("currency"):
        amount["currency"] = row["currency"]
    return body
