"""Whether one contact meets criteria, and by which group: the meaning of filters, spelled out for a single record.

Lists and searches ask the database; this says the same of a document alone, and a test holds the two against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.query import words_of
from crm_reference.emulator.registry import computes
from crm_reference.emulator.rules import value_of

#: Fields that words look into: those that ``x-query`` of Contact marks as searchable.
SEARCHABLE = (
    "first_name",
    "last_name",
    "job_title",
    "middle_name",
    "preferred_name",
    "department",
    "email",
    "other_emails.address",
    "description",
)


@computes("segment_match")
def segment_match(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Tell whether a contact meets criteria.

    :param asked: ``contact``, its document, and ``criteria`` with ``filter_groups`` and perhaps ``query``.
    :return: ``is_member``, and ``matched_group`` where it is one: the place of the first group that holds.
    """
    group = matched_group(asked["contact"], asked["criteria"])
    return {"is_member": False} if group is None else {"is_member": True, "matched_group": group}


def matched_group(doc: Mapping[str, Any], criteria: Mapping[str, Any], /) -> int | None:
    """Return the place of the first filter group that holds for a document, or ``None``; the query must hold too."""
    words = words_of([value_of(doc, name) for name in SEARCHABLE])
    if any(f" {word}" not in words for word in words_of(criteria.get("query", "")).split()):
        return None
    groups = criteria["filter_groups"]
    return next((g for g, group in enumerate(groups) if all(holds(doc, f) for f in group["filters"])), None)


def holds(doc: Mapping[str, Any], filter_: Mapping[str, Any], /) -> bool:
    """Tell whether one filter holds. On a list, one of its entries suffices."""
    found = value_of(doc, filter_["field"])
    values = [v for v in (found if isinstance(found, list) else [found]) if v is not None]
    match filter_["operator"]:
        case "is_set":
            return bool(values)
        case "is_not_set":
            return not values
        case "ne":
            return filter_["value"] not in values
        case "not_in":
            return not any(v in filter_["values"] for v in values)
    return any(_compare(v, filter_) for v in values)


def _compare(value: Any, filter_: Mapping[str, Any]) -> bool:
    operator, wanted = filter_["operator"], filter_.get("value")
    match operator:
        case "eq":
            return bool(value == wanted)
        case "in":
            return value in filter_["values"]
        case "contains":
            return str(wanted).lower() in str(value).lower()
        case "starts_with":
            return str(value).lower().startswith(str(wanted).lower())
        case "between":
            return bool(filter_["from"] <= value <= filter_["to"])
        case "lt":
            return bool(value < wanted)
        case "lte":
            return bool(value <= wanted)
        case "gt":
            return bool(value > wanted)
    return bool(value >= wanted)
