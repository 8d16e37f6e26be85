"""Conditions on fields of a lead, as scoring models and assignment rules write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from crm_reference.contract.schema_tree import property_node
from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import computes
from crm_reference.emulator.rules import value_of

#: Operators without a value, and with several.
_NONE, _MANY = frozenset({"is_set", "is_not_set"}), frozenset({"in"})


@computes("lead_conditions")
def conditions_hold(input: Mapping[str, Any], /) -> bool:
    """Tell whether all conditions hold for a lead.

    :param input: ``conditions`` and ``lead``.

    >>> conditions_hold({"lead": {"source": "event"}, "conditions": [{"field": "source", "operator": "eq", "values": ["event"]}]})
    True
    """
    return all(holds(condition, input["lead"]) for condition in input["conditions"])


def holds(condition: Mapping[str, Any], lead: Mapping[str, Any], /) -> bool:
    """Tell whether one condition holds. A list holds where one of its entries does, and ``ne`` where none does."""
    found = value_of(lead, condition["field"])
    values = [str(v).casefold() for v in condition.get("values", ())]
    texts = [_text(entry) for entry in (found if isinstance(found, list) else [found]) if entry is not None]
    operator = condition["operator"]
    if operator in _NONE:
        return bool(texts) is (operator == "is_set")
    if operator == "ne":
        return not any(t in values for t in texts)
    compare = _COMPARISONS[operator]
    return any(compare(text, value) for text in texts for value in values)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).casefold()


def _at_least(text: str, value: str) -> bool:
    try:
        return Decimal(text) >= Decimal(value)
    except InvalidOperation:  # times and days are ordered as text
        return text >= value


_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "eq": lambda text, value: text == value,
    "in": lambda text, value: text == value,
    "contains": lambda text, value: value in text,
    "starts_with": lambda text, value: text.startswith(value),
    "gte": _at_least,
    "lte": lambda text, value: _at_least(value, text),
}


def fault(context: Context, conditions: Sequence[Mapping[str, Any]], /) -> str:
    """Return what is wrong with conditions; empty where they can be judged."""
    node = context.resource("leads").node
    for condition in conditions:
        path, count = condition["field"].split("."), len(condition.get("values", ()))
        if path[0] != "custom_fields" and property_node(node, path) is None:
            return f"Leads have no field {condition['field']}."
        operator = condition["operator"]
        if (count > 0) == (operator in _NONE) or (count > 1 and operator not in _MANY):
            return f"{condition['field']} {operator} takes {_taken(operator)}."
    return ""


def _taken(operator: str) -> str:
    if operator in _NONE:
        return "no value"
    return "one value or more" if operator in _MANY else "one value"
