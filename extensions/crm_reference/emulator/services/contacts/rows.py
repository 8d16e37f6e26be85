"""Rows of a table to bodies of contacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import custom_fields
from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import computes
from crm_reference.emulator.tables import bare_phone, converted, unguarded


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
            body["last_name"] = last
            if first.strip():
                body["first_name"] = " ".join(first.split())
        case "tags":
            body["tags"] = list(dict.fromkeys(tag.strip() for tag in cell.split(";") if tag.strip()))
        case "phone":
            body["phone"] = bare_phone(cell)
        case "external_id":
            body["external_ids"] = {system or "import": cell}
        case _ if field.startswith("address_"):
            body.setdefault("address", {})[field.removeprefix("address_")] = cell
        case _:
            body[field] = cell
