"""Custom fields: values against the definitions that the tenant made.

Definitions are records of the collection ``custom-fields``: ``object_type``, ``name``, ``label``, ``type``, ``is_required``,
``is_active``, and by type ``choices``, ``minimum``, ``maximum``, ``max_length``, ``pattern``, ``decimal_places``, ``target``,
``controlling_field`` and ``dependency``. What a formula, a roll-up or a counter gives, nobody writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from crm_reference.contract import QueryField
from crm_reference.emulator.custom_fields import patterns

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

COLLECTION = "custom-fields"

_DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"\+[1-9]\d{6,14}")
_URL = re.compile(r"https://[^\s/?#]+\S*")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_AMOUNT = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,8})?")
_PLACE = re.compile(r"-?\d{1,2}(\.\d{1,6})?,-?\d{1,3}(\.\d{1,6})?")
#: Collection of the records of the tenant's own types.
_RECORDS = "custom-records"

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
    "currency": _LISTED,
    "percent": _ORDERED,
    "time": _ORDERED,
    "auto_number": _TEXTUAL,
    "geolocation": ("is_set", "is_not_set"),
}
#: Types whose values the service makes.
COMPUTED = frozenset({"formula", "roll_up", "auto_number"})
#: Types that can't be sorted by.
_UNSORTED = frozenset({"long_text", "multi_picklist", "currency", "geolocation"})


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
        full, operators = f"custom_fields.{name}", OPERATORS.get(said["type"])
        if operators is not None:  # formulas and roll-ups are stored nowhere
            found[full] = QueryField(full, operators, said["type"] not in _UNSORTED, False, "", {})
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
        said = known.get(name)
        if said is None:
            if value is not None:
                errors.append(_entry(name, "unknown_field", f"{object_type} has no custom field {name}"))
        elif value is not None and (found := complaint(context, said, value)):
            errors.append(_entry(name, *found))
    for name, said in known.items():
        if said.get("is_required") and values.get(name) is None and (touched is None or name in touched):
            errors.append(_entry(name, "required", f"{name} is required on every {object_type}"))
        controlling = said.get("controlling_field")
        if controlling and not {name, controlling}.isdisjoint(written):
            refused = (set(_listed(values.get(name))) & set(said.get("choices", ()))) - allowed(said, values.get(controlling))
            if refused:
                errors.append(_entry(name, "invalid_choice", f"{controlling} doesn't allow {', '.join(sorted(refused))}"))
    return errors


def allowed(said: Mapping[str, Any], controlling: Any, /) -> set[str]:
    """Return the values that a picklist takes under a value of the picklist that controls it."""
    rows = {row["controlling_value"]: row["values"] for row in said.get("dependency", ())}
    return set(rows.get(controlling, ()))


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _entry(name: str, code: str, detail: str) -> dict[str, str]:
    return {"pointer": f"#/custom_fields/{name}", "code": code, "detail": detail}


def complaint(context: Context, said: Mapping[str, Any], value: Any, /) -> tuple[str, str] | None:
    """Return why a field doesn't take a value, as code and detail; ``None`` where it does.

    :param said: The field's definition.
    """
    kind = said["type"]
    if kind in COMPUTED:
        return "read_only", "is computed and can't be written"
    match kind:
        case "boolean":
            return None if isinstance(value, bool) else ("wrong_type", "must be true or false")
        case "integer" | "decimal" | "percent":
            return _number(said, value, whole=kind == "integer")
        case "multi_picklist":
            return _choices(said, value)
    if not isinstance(value, str):
        return "wrong_type", "must be a string"
    match kind:
        case "picklist":
            return None if value in said.get("choices", ()) else _not_among(said)
        case "reference":
            return _reference(context, said.get("target", ""), value)
        case "currency":
            return _amount(said, value)
    limit = said.get("max_length", 5000 if kind == "long_text" else 255)
    if len(value) > limit:
        return "too_long", f"must have at most {limit} characters"
    if said.get("pattern") and not patterns.fits(said["pattern"], value):
        return "invalid_format", f"must match {said['pattern']}"
    form = _FORMS.get(kind)
    return None if form is None or form(value) else ("invalid_format", f"must be {_FORM_NAMES[kind]}")


def _reference(context: Context, target: str, id: str) -> tuple[str, str] | None:
    if context.world.store.get(context.tenant, target, id):
        return None
    record = context.world.store.get(context.tenant, _RECORDS, id)
    if record is not None and record.doc["object_type"] == target:
        return None
    return "invalid_reference", f"no record of {target} has this ID"


def _amount(said: Mapping[str, Any], value: str) -> tuple[str, str] | None:
    places = said.get("decimal_places", 2)
    if not _AMOUNT.fullmatch(value) or len(value.partition(".")[2]) > places:
        return "invalid_format", f"must be an amount with at most {places} decimals, as a string"
    return _bounds(said, float(value))


def _place(value: str) -> bool:
    if not _PLACE.fullmatch(value):
        return False
    latitude, longitude = (float(part) for part in value.split(","))
    return abs(latitude) <= 90 and abs(longitude) <= 180


_FORMS: Mapping[str, Callable[[str], Any]] = {
    "date": _DAY.fullmatch,
    "date_time": _INSTANT.fullmatch,
    "url": _URL.fullmatch,
    "email": _EMAIL.fullmatch,
    "phone": _PHONE.fullmatch,
    "time": _TIME.fullmatch,
    "geolocation": _place,
}
_FORM_NAMES = {
    "date": "a date as 2026-01-05",
    "date_time": "an instant as 2026-01-05T09:30:00Z",
    "url": "an https URL",
    "email": "an e-mail address",
    "phone": "a telephone number in E.164",
    "time": "a time of day as 14:30",
    "geolocation": "latitude and longitude as 51.9244,4.4777",
}


def _number(said: Mapping[str, Any], value: Any, *, whole: bool) -> tuple[str, str] | None:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return "wrong_type", f"must be {'an integer' if whole else 'a number'}"
    places = said.get("decimal_places")
    if places is not None and round(value, places) != value:
        return "invalid_format", f"must have at most {places} decimals"
    return _bounds(said, value)


def _bounds(said: Mapping[str, Any], value: float) -> tuple[str, str] | None:
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
