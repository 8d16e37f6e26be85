"""Fields of deals that guards and rules can name, and whether a condition holds for a deal.

The list is what deals documents, with the tenant's custom fields of deals. A condition is the filter groups of a search, evaluated
on one document instead of on a table, with the meaning that a search gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from crm_reference.emulator import custom_fields, field_access
from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import computes

Doc = Mapping[str, Any]

_EQUAL, _SET = ("eq", "ne"), ("is_set", "is_not_set")
_CHOICE = (*_EQUAL, "in", "not_in", *_SET)
_ORDERED = ("eq", "ne", "lt", "lte", "gt", "gte", "between", *_SET)
#: Operators by the type of a field.
OPERATORS: Mapping[str, tuple[str, ...]] = {
    "text": ("eq", "ne", "contains", "starts_with", "in", "not_in", *_SET),
    "choice": _CHOICE,
    "list": _CHOICE,
    "boolean": (*_EQUAL, *_SET),
    "object": _SET,
    **dict.fromkeys(("decimal", "integer", "date", "date_time"), _ORDERED),
}
#: Name to type, and whether a rule's action can set the field.
FIELDS: Mapping[str, tuple[str, bool]] = {
    "name": ("text", False),
    "amount": ("object", False),
    "amount.amount": ("decimal", False),
    "amount.currency": ("choice", False),
    "close_on": ("date", True),
    "type": ("choice", True),
    "priority": ("choice", True),
    "source": ("choice", False),
    "status": ("choice", False),
    "forecast_category": ("choice", True),
    "probability": ("integer", False),
    "account_id": ("text", False),
    "primary_contact_id": ("text", False),
    "owner_id": ("text", False),
    "next_step": ("text", True),
    "next_step_on": ("date", True),
    "description": ("text", True),
    "tags": ("list", False),
    "close_reason_id": ("text", False),
    "lost_to_competitor_id": ("text", False),
    "cloned_from_id": ("text", False),
    "stage_entered_at": ("date_time", False),
    "created_at": ("date_time", False),
}
#: Types of custom fields as types of conditions; any other is text.
_CUSTOM = {
    **{n: n for n in ("integer", "decimal", "boolean", "date", "date_time")},
    **{"currency": "decimal", "percent": "decimal", "picklist": "choice", "multi_picklist": "list", "roll_up": "decimal"},
}


def catalogue(context: Context, /) -> list[dict[str, Any]]:
    """Return every field that conditions can name and the caller may see, custom fields last.

    Settable is what a rule can set and the caller may set by hand.
    """
    limits = field_access.limited(context, "deal")
    hidden = {name for name, access in limits.items() if access == "hidden"}
    seen = {name: said for name, said in FIELDS.items() if name.split(".")[0] not in hidden}
    found = [_field(name, kind, settable and name not in limits) for name, (kind, settable) in seen.items()]
    for name, said in sorted(custom_fields.definitions(context, "deal").items()):
        if f"custom_fields.{name}" not in hidden:
            settable = said["type"] not in ("formula", "roll_up", "auto_number") and f"custom_fields.{name}" not in limits
            found.append(_field(f"custom_fields.{name}", _CUSTOM.get(said["type"], "text"), settable, custom=True))
    return found


def _field(name: str, kind: str, settable: bool, *, custom: bool = False) -> dict[str, Any]:
    return {"name": name, "type": kind, "operators": list(OPERATORS[kind]), "is_settable": settable, "is_custom": custom}


def wrong_filter(known: Mapping[str, Doc], groups: Sequence[Doc], /) -> str:
    """Return what is wrong with a condition's first bad filter, or an empty text.

    :param known: The catalogue by name.
    """
    for filter_ in (f for group in groups for f in group["filters"]):
        field = known.get(filter_["field"])
        if field is None:
            return f"{filter_['field']} is no field of deals that conditions take."
        if filter_["operator"] not in field["operators"]:
            return f"{filter_['field']} takes {', '.join(field['operators'])}, not {filter_['operator']}."
    return ""


def value_at(deal: Doc, name: str, /) -> Any:
    """Return a deal's value by dotted name; ``None`` where it has none."""
    value: Any = deal
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def is_set(value: Any, /) -> bool:
    """Tell whether a value counts as set: false and zero do, empty texts, lists and objects don't."""
    return value is not None and value not in ("", [], {})


def results(groups: Sequence[Doc], deal: Doc, /) -> Iterator[dict[str, Any]]:
    """Yield each filter with whether it holds and the deal's value."""
    for number, group in enumerate(groups):
        for filter_ in group["filters"]:
            value = value_at(deal, filter_["field"])
            said = {"group": number, "field": filter_["field"], "operator": filter_["operator"], "is_met": _met(filter_, value)}
            yield said | ({"actual": value} if value is not None else {})


def holds(groups: Sequence[Doc], deal: Doc, /) -> bool:
    """Tell whether a condition holds: one group of which every filter does. No groups hold for every deal.

    >>> group = {"filters": [{"field": "amount.amount", "operator": "gte", "value": 50000}]}
    >>> holds([group], {"amount": {"amount": "84000.00", "currency": "EUR"}})
    True
    """
    return not groups or any(all(_met(f, value_at(deal, f["field"])) for f in group["filters"]) for group in groups)


@computes("deal_condition")
def deal_condition(input: Doc, /) -> bool:
    """Return whether the condition of ``filter_groups`` holds for ``deal``."""
    return holds(input["filter_groups"], input["deal"])


def _met(filter_: Doc, value: Any) -> bool:
    operator = filter_["operator"]
    if operator in ("is_set", "is_not_set"):
        return is_set(value) is (operator == "is_set")
    if operator in ("ne", "not_in"):
        return not _positive({**filter_, "operator": "eq" if operator == "ne" else "in"}, value)
    return is_set(value) and _positive(filter_, value)


def _positive(filter_: Doc, value: Any) -> bool:
    if isinstance(value, list):
        return any(_positive(filter_, entry) for entry in value)
    if not is_set(value):
        return False
    operator = filter_["operator"]
    if operator == "in":
        return any(_equal(value, wanted) for wanted in filter_["values"])
    if operator == "between":
        return _compare(value, filter_["from"], lambda a, b: a >= b) and _compare(value, filter_["to"], lambda a, b: a <= b)
    return _SIMPLE[operator](value, filter_["value"])


def _number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, str) and isinstance(wanted, str):
        return value == wanted
    one, other = _number(value), _number(wanted)
    return one is not None and one == other


def _compare(value: Any, wanted: Any, relation: Callable[[Any, Any], bool]) -> bool:
    one, other = _number(value), _number(wanted)
    if one is not None and other is not None:
        return relation(one, other)
    return isinstance(value, str) and isinstance(wanted, str) and relation(value, wanted)


_SIMPLE: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": _equal,
    "lt": lambda value, wanted: _compare(value, wanted, lambda a, b: a < b),
    "lte": lambda value, wanted: _compare(value, wanted, lambda a, b: a <= b),
    "gt": lambda value, wanted: _compare(value, wanted, lambda a, b: a > b),
    "gte": lambda value, wanted: _compare(value, wanted, lambda a, b: a >= b),
    "contains": lambda value, wanted: str(wanted).lower() in str(value).lower(),
    "starts_with": lambda value, wanted: str(value).lower().startswith(str(wanted).lower()),
}
