"""What a new record gets by itself: the defaults of its custom fields, and the numbers that the platform draws."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from crm_reference.emulator.custom_fields.values import definitions
from crm_reference.emulator.store import Record

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

#: Where the next number of each series stands, under the ID of the field or type whose series it is.
SERIES = "number-series"
_ZEROS = re.compile(r"\{(0+)\}")


def with_defaults(context: Context, object_type: str, doc: dict[str, Any], /) -> dict[str, Any]:
    """Return a new record's document with the default of each field that it leaves out."""
    values = doc.get("custom_fields") or {}
    missing = {
        name: said["default_value"]
        for name, said in definitions(context, object_type).items()
        if "default_value" in said and name not in values
    }
    return {**doc, "custom_fields": {**values, **missing}} if missing else doc


def with_numbers(context: Context, object_type: str, doc: dict[str, Any], /) -> dict[str, Any]:
    """Return a new record's document with its automatic numbers."""
    wanted = {n: said for n, said in definitions(context, object_type).items() if said["type"] == "auto_number"}
    if not wanted:
        return doc
    drawn = {name: draw(context, said["id"], said["auto_number"]) for name, said in wanted.items()}
    return {**doc, "custom_fields": {**(doc.get("custom_fields") or {}), **drawn}}


def next_number(context: Context, series: str, said: Mapping[str, Any], /) -> int:
    """Return the number that a series gives next."""
    known = context.world.store.get(context.tenant, SERIES, f"series-{series}")
    return max(int(known.doc["next_number"]) if known is not None else 1, int(said.get("next_number", 1)))


def draw(context: Context, series: str, said: Mapping[str, Any], /) -> str:
    """Draw the next number of a series and return it in its format. No two records get the same one."""
    number, id = next_number(context, series, said), f"series-{series}"
    context.world.store.put(context.tenant, Record(SERIES, id, 1, {"id": id, "next_number": number + 1}))
    return formatted(said["format"], number)


def formatted(format: str, number: int, /) -> str:
    """Return a number in a format: zeros in braces stand for it, at least so many digits.

    >>> formatted("PC-{00000}", 42), formatted("{0}/26", 123)
    ('PC-00042', '123/26')
    """
    return _ZEROS.sub(lambda m: str(number).rjust(len(m[1]), "0"), format)
