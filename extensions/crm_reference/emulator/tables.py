"""Tables of records as imports read and exports write them: CSV (RFC 4180) and lines of JSON."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

DELIMITERS: Mapping[str, str] = {"comma": ",", "semicolon": ";", "tab": "\t"}
MEDIA_TYPES: Mapping[str, str] = {"csv": "text/csv", "ndjson": "application/x-ndjson"}
MAX_ROWS = 1_000_000

#: A spreadsheet takes a cell that begins so for a formula. An export puts an apostrophe before it; an import takes it away again.
_FORMULA = ("=", "+", "-", "@")
_GUARDED = tuple(f"'{sign}" for sign in _FORMULA)


class TableError(ValueError):
    """A text isn't a table; the message says why."""


def read_table(text: str, delimiter: str, /) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Read CSV.

    :return: The names of the columns, and each row's number, the heading being row 1, with its trimmed cells by column.
    :raises TableError: If it can't be read, has a column twice or rows of unlike length, or too few or too many rows.
    """
    try:
        lines = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise TableError(f"The source can't be read as a table: {error}.") from None
    columns = [name.strip() for name in lines[0]] if lines else []
    if len({name.casefold() for name in columns}) < len(columns):
        raise TableError("The first row has a column name twice.")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        if len(line) != len(columns):
            raise TableError(f"Row {number} has {len(line)} cells, and the first row has {len(columns)}.")
        rows.append((number, {column: cell.strip() for column, cell in zip(columns, line, strict=True)}))
    if not rows or len(rows) > MAX_ROWS:
        raise TableError(f"The source has {len(rows)} rows beneath the first one; between 1 and {MAX_ROWS} can be imported.")
    return columns, rows


def column_key(name: str, /) -> str:
    """Return a column's name as it is compared: letters and digits in lower case, without accents.

    >>> column_key("E-Mail"), column_key("Prénom")
    ('email', 'prenom')
    """
    return "".join(c for c in unicodedata.normalize("NFKD", name).lower() if c.isalnum())


def unguarded(cell: str, /) -> str:
    """Return a cell without the apostrophe by which :func:`cell` kept it from being a formula, and without blanks around it.

    >>> unguarded(" '+31104400101 ")
    '+31104400101'
    """
    text = cell.strip()
    return text[1:] if text.startswith(_GUARDED) else text


def converted(cell: str, kind: str, /) -> Any:
    """Return a cell in the JSON type of a custom field; one that doesn't fit stays text, and the definition refuses it."""
    if kind in ("integer", "decimal", "percent") and re.fullmatch(r"-?\d{1,15}", cell):
        return int(cell)
    if kind in ("decimal", "percent") and re.fullmatch(r"-?\d{1,15}\.\d{1,6}", cell):
        return float(cell)
    if kind == "boolean" and cell.lower() in ("true", "false"):
        return cell.lower() == "true"
    if kind == "multi_picklist":
        return [choice.strip() for choice in cell.split(";") if choice.strip()]
    return cell


def bare_phone(number: str, /) -> str:
    """Return a telephone number as an import stores it: E.164 without blanks, hyphens, points, slashes and brackets.

    A leading ``00`` is the international prefix. Numbers without a country stay as they are written, and the schema refuses them:
    guessing a country makes wrong numbers.

    >>> bare_phone("+31 (0)10 440-0101"), bare_phone("0047 55 30 02 02")
    ('+31104400101', '+4755300202')
    """
    bare = re.sub(r"[\s().\-/]", "", number.replace("(0)", ""))
    return "+" + bare[2:] if bare.startswith("00") else bare


def cell(value: Any, /) -> str:
    """Return a value as a cell of CSV, so that no spreadsheet takes it for a formula.

    >>> [cell(v) for v in (None, True, ["a", "b"], "+31104400101", {"city": "Bergen"})]
    ['', 'true', 'a;b', "'+31104400101", '{"city":"Bergen"}']
    """
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(v, str) for v in value):
        text = ";".join(value)
    else:
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return f"'{text}" if text.startswith(_FORMULA) else text


def as_csv(fields: Sequence[str], rows: Sequence[Mapping[str, Any]], /) -> str:
    """Return rows as CSV, field names first; a row without a field has an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(fields)
    writer.writerows([cell(row.get(name)) for name in fields] for row in rows)
    return out.getvalue()


def as_ndjson(rows: Sequence[Mapping[str, Any]], /) -> str:
    """Return one JSON object a line, with the fields that are set."""
    return "".join(orjson.dumps({k: v for k, v in row.items() if v is not None}).decode() + "\n" for row in rows)


def digest(content: bytes, /) -> str:
    """Return a SHA-256 as Content-Digest writes it (RFC 9530).

    >>> digest(b"")
    'sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:'
    """
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
