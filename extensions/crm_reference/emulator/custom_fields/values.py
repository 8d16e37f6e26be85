"""Custom fields: values against the definitions that the tenant made.

Definitions are records of the collection ``custom-fields``: ``object_type``, ``name``, ``label``, ``type``, ``is_required``,
``is_active``, and by type ``choices``, ``minimum``, ``maximum``, ``max_length``, ``target``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from crm_reference.contract import QueryField

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

COLLECTION = "custom-fields"

_DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"\+[1-9]\d{6,14}")
_URL = re.compile(r"https://[^\s/?#]+\S*")

_ORDERED = ("eq", "ne", "lt", "lte", "gt", "gte", "in", "not_in", "between", "is_set", "is_not_set")
_TEXTUAL = ("eq", "ne", "in", "not_in", "contains", "starts_with", "is_set", "is_not_set")
_LISTED = ("eq", "ne", "in", "not_in", "is_set", "is_not_set")

#: Filter operators by a custom field's type.
OPERATORS: Mapping[str, tuple[str, ...]] = {
    "text": _TEXTUAL,
    "long_text": ("contains", "is_set", "is_not_set"),
    "integer": _ORDERED,
    "decimal": _ORDERED,
    "boolean": ("eq", "ne", "is_set", "is_not_set"),
    "date": _ORDERED,
    "date_time": _ORDERED,
    "picklist": _LISTED,
    "multi_picklist": _LISTED,
    "url": _TEXTUAL,
    "email": _TEXTUAL,
    "phone": _TEXTUAL,
    "reference": _LISTED,
}


def definitions(context: Context, object_type: str, /) -> dict[str, Mapping[str, Any]]:
    """Return the tenant's active definitions for an object, by field name."""
    store, tenant = context.world.store, context.tenant

    def find() -> dict[str, Mapping[str, Any]]:
        found = store.find(tenant, COLLECTION, object_type=object_type)
        return {r.doc["name"]: r.doc for r in found if r.doc.get("is_active", True)}

    return store.remembered(COLLECTION, (tenant, object_type), find)


def query_fields(context: Context, object_type: str, /) -> dict[str, QueryField]:
    """Return what lists and searches may do with the custom fields of an object."""
    found = {}
    for name, said in definitions(context, object_type).items():
        full = f"custom_fields.{name}"
        operators = OPERATORS[said["type"]]
        found[full] = QueryField(full, operators, said["type"] not in ("long_text", "multi_picklist"), False, "", {})
    return found


def check(
    context: Context, object_type: str, values: Mapping[str, Any], /, *, touched: Mapping[str, Any] | None = None
) -> list[dict[str, str]]:
    """Return what is wrong with a record's custom fields, as entries of a problem.

    A value whose definition went away stays readable and is not complained about until somebody writes it again.

    :param values: All values that the record would have.
    :param touched: Only those that the request sets; ``None`` where it sets all of them.
    """
    known = definitions(context, object_type)
    written = values if touched is None else touched
    errors = []
    for name, value in written.items():
        pointer = f"#/custom_fields/{name}"
        said = known.get(name)
        if said is None:
            if value is not None:
                errors.append({"pointer": pointer, "code": "unknown_field", "detail": f"{object_type} has no custom field {name}"})
        elif value is not None and (complaint := _complaint(context, said, value)):
            code, detail = complaint
            errors.append({"pointer": pointer, "code": code, "detail": detail})
    for name, said in known.items():
        if said.get("is_required") and values.get(name) is None and (touched is None or name in touched):
            detail = f"{name} is required on every {object_type}"
            errors.append({"pointer": f"#/custom_fields/{name}", "code": "required", "detail": detail})
    return errors


def _complaint(context: Context, said: Mapping[str, Any], value: Any) -> tuple[str, str] | None:
    kind = said["type"]
    match kind:
        case "boolean":
            return None if isinstance(value, bool) else ("wrong_type", "must be true or false")
        case "integer" | "decimal":
            return _number(said, value, whole=kind == "integer")
        case "multi_picklist":
            return _choices(said, value)
    if not isinstance(value, str):
        return "wrong_type", "must be a string"
    if kind == "picklist":
        return None if value in said.get("choices", ()) else _not_among(said)
    if kind == "reference":
        collection = said.get("target", "")
        seen = context.world.store.get(context.tenant, collection, value)
        return None if seen else ("invalid_reference", f"no record of {collection} has this ID")
    if len(value) > said.get("max_length", 5000 if kind == "long_text" else 255):
        return "too_long", f"must have at most {said.get('max_length', 255)} characters"
    form = _FORMS.get(kind)
    return None if form is None or form(value) else ("invalid_format", f"must be {_FORM_NAMES[kind]}")


_FORMS: Mapping[str, Callable[[str], Any]] = {
    "date": _DAY.fullmatch,
    "date_time": _INSTANT.fullmatch,
    "url": _URL.fullmatch,
    "email": _EMAIL.fullmatch,
    "phone": _PHONE.fullmatch,
}
_FORM_NAMES = {
    "date": "a date as 2026-01-05",
    "date_time": "an instant as 2026-01-05T09:30:00Z",
    "url": "an https URL",
    "email": "an e-mail address",
    "phone": "a telephone number in E.164",
}


def _number(said: Mapping[str, Any], value: Any, *, whole: bool) -> tuple[str, str] | None:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return "wrong_type", f"must be {'an integer' if whole else 'a number'}"
    if value < said.get("minimum", value):
        return "out_of_range", f"must be at least {said['minimum']}"
    if value > said.get("maximum", value):
        return "out_of_range", f"must be at most {said['maximum']}"
    return None


def _choices(said: Mapping[str, Any], value: Any) -> tuple[str, str] | None:
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        return "wrong_type", "must be a list of strings"
    if len(set(value)) < len(value):
        return "not_unique", "must not hold a choice twice"
    return None if set(value) <= set(said.get("choices", ())) else _not_among(said)


def _not_among(said: Mapping[str, Any]) -> tuple[str, str]:
    return "invalid_choice", "must be one of " + ", ".join(said.get("choices", ()))
