"""Columns of a table that is imported: to which field each goes, and what its cells make of a body. Nothing here reads a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crm_reference.emulator.tables import column_key, converted, unguarded

#: Makes a field's value of a cell that isn't empty.
Reading = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Columns:
    """The fields to which a service maps columns.

    The fields ``tags`` and ``external_id`` are read alike everywhere: tags are parted by semicolons, and an external ID becomes the
    key of the import's system.

    :param synonyms: Other names of each field, as :func:`crm_reference.emulator.tables.column_key` makes them, parted by blanks.
    :param required: Fields of which a record needs one; the first is reported where all are missing.
    :param readings: How cells of a field become its value; text where it isn't named.
    :param parts: Fields that are a part of another: its member, and the part's name in it.
    :param spread: Fields whose cell makes several members.
    :param reported: Under which name errors speak of a field, where it isn't its own.
    """

    synonyms: Mapping[str, str]
    required: tuple[str, ...]
    readings: Mapping[str, Reading] = field(default_factory=dict)
    parts: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    spread: Mapping[str, Callable[[str], Mapping[str, Any]]] = field(default_factory=dict)
    reported: Mapping[str, str] = field(default_factory=dict)

    def suggest(self, asked: Mapping[str, Any], /) -> dict[str, Any]:
        """Suggest a field for each column; a field goes to the first column that fits.

        :param asked: ``columns``, and ``custom_fields``: a list of ``{name, label}``.
        :return: ``suggestions`` and ``missing_fields``.
        """
        others = {key: name for name, keys in self.synonyms.items() for key in keys.split()}
        exact = {column_key(name): ("field", name) for name in self.synonyms}
        for said in asked.get("custom_fields", ()):
            for text in (said["name"], said.get("label", "")):
                exact.setdefault(column_key(text), ("custom_field", said["name"]))
        taken: set[tuple[str, str]] = set()
        suggestions = []
        for column in asked["columns"]:
            key = column_key(column)
            found, confidence = exact.get(key), "exact"
            if found is None and key in others:
                found, confidence = ("field", others[key]), "synonym"
            if found is None or found in taken:
                suggestions.append({"column": column, "confidence": "none"})
                continue
            taken.add(found)
            suggestions.append({"column": column, found[0]: found[1], "confidence": confidence})
        is_named = any(("field", name) in taken for name in self.required)
        return {"suggestions": suggestions, "missing_fields": [] if is_named else [self.required[0]]}

    def body_of(self, row: Mapping[str, Any], /) -> dict[str, Any]:
        """Return the body that a row makes. Empty cells are left out.

        :param row: ``cells`` by column, ``mapping`` by column, ``external_system``, and ``custom_field_types`` by name.
        """
        body: dict[str, Any] = {}
        for column, mapped in row["mapping"].items():
            cell = unguarded(row["cells"].get(column, ""))
            if not cell:
                continue
            if "custom_field" in mapped:
                name = mapped["custom_field"]
                kind = row.get("custom_field_types", {}).get(name, "text")
                body.setdefault("custom_fields", {})[name] = converted(cell, kind)
            else:
                self._take(body, mapped["field"], cell, row.get("external_system") or "import")
        return body

    def _take(self, body: dict[str, Any], name: str, cell: str, system: str) -> None:
        if name == "tags":
            body["tags"] = list(dict.fromkeys(tag.strip() for tag in cell.split(";") if tag.strip()))
        elif name == "external_id":
            body["external_ids"] = {system: cell}
        elif name in self.spread:
            body |= self.spread[name](cell)
        else:
            value = self.readings[name](cell) if name in self.readings else cell
            member, part = self.parts.get(name, (name, ""))
            if part:
                body.setdefault(member, {})[part] = value
            else:
                body[member] = value

    def name_of(self, mapped: Mapping[str, str], /) -> str:
        """Return the name under which errors speak of a mapped field: ``address.city``."""
        if "custom_field" in mapped:
            return f"custom_fields.{mapped['custom_field']}"
        name = mapped["field"]
        return self.reported.get(name) or ".".join(self.parts.get(name, (name,)))
