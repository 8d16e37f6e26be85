"""Rows of a table to bodies of contacts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import custom_fields
from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.contacts.scoring import normalise_phone

#: What an export puts before a cell that a spreadsheet would take for a formula; an import takes the apostrophe away again.
_GUARDED = ("'=", "'+", "'-", "'@")


def body_of(context: Context, cells: Mapping[str, str], mapping: Mapping[str, Mapping[str, str]], system: str, /) -> dict[str, Any]:
    """Return the body that a row makes. Empty cells are left out.

    :param cells: Trimmed cells by column.
    :param mapping: Where each column goes.
    :param system: The system whose keys a column mapped to ``external_id`` holds.
    """
    kinds = {name: said["type"] for name, said in custom_fields.definitions(context, "contact").items()}
    return dict(row_body({"cells": cells, "mapping": mapping, "external_system": system, "custom_field_types": kinds}))


@computes("import_row")
def row_body(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body that a row makes.

    :param row: ``cells`` by column, ``mapping`` by column, ``external_system``, and ``custom_field_types`` by name.
    """
    body: dict[str, Any] = {}
    for column, mapped in row["mapping"].items():
        cell = row["cells"].get(column, "").strip()
        if cell.startswith(_GUARDED):
            cell = cell[1:]
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
            body["last_name"] = last
            if first.strip():
                body["first_name"] = " ".join(first.split())
        case "tags":
            body["tags"] = list(dict.fromkeys(tag.strip() for tag in cell.split(";") if tag.strip()))
        case "phone":
            body["phone"] = normalise_phone(cell)
        case "external_id":
            body["external_ids"] = {system or "import": cell}
        case _ if field.startswith("address_"):
            body.setdefault("address", {})[field.removeprefix("address_")] = cell
        case _:
            body[field] = cell


def converted(cell: str, kind: str, /) -> Any:
    """Return a cell in the JSON type of a custom field; one that doesn't fit stays text, and the definition refuses it."""
    if kind in ("integer", "decimal") and re.fullmatch(r"-?\d{1,15}", cell):
        return int(cell)
    if kind == "decimal" and re.fullmatch(r"-?\d{1,15}\.\d{1,6}", cell):
        return float(cell)
    if kind == "boolean" and cell.lower() in ("true", "false"):
        return cell.lower() == "true"
    if kind == "multi_picklist":
        return [choice.strip() for choice in cell.split(";") if choice.strip()]
    return cell
