"""Tables of deals: columns to fields, and rows to bodies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.registry import computes
from crm_reference.emulator.tables import column_key, converted, unguarded

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
_FIELD_OF = {key: field for field, keys in SYNONYMS.items() for key in keys.split()}


@computes("deal_import_mapping")
def suggest(asked: Mapping[str, Any], /) -> dict[str, Any]:
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
    return {"suggestions": suggestions, "missing_fields": [] if ("field", "name") in taken else ["name"]}


@computes("deal_import_row")
def row_body(row: Mapping[str, Any], /) -> dict[str, Any]:
    """Return the body that a row makes. Empty cells are left out.

    :param row: ``cells`` by column, ``mapping`` by column, ``external_system``, ``currency`` of amounts whose row names none, and
        ``custom_field_types`` by name.
    """
    body: dict[str, Any] = {}
    for column, mapped in row["mapping"].items():
        cell = unguarded(row["cells"].get(column, ""))
        if not cell:
            continue
        if "custom_field" in mapped:
            name = mapped["custom_field"]
            body.setdefault("custom_fields", {})[name] = converted(cell, row.get("custom_field_types", {}).get(name, "text"))
        elif mapped["field"] in ("amount", "currency"):
            body.setdefault("amount", {})[mapped["field"]] = cell.replace(" ", "").upper()
        elif mapped["field"] == "tags":
            body["tags"] = list(dict.fromkeys(tag.strip() for tag in cell.split(";") if tag.strip()))
        elif mapped["field"] == "external_id":
            body["external_ids"] = {row.get("external_system") or "import": cell}
        else:
            body[mapped["field"]] = cell.lower() if mapped["field"] in ("type", "priority") else cell
    amount = body.get("amount")
    if amount is not None and "amount" not in amount:
        del body["amount"]
    elif amount is not None and "currency" not in amount and row.get("currency"):
        amount["currency"] = row["currency"]
    return body
