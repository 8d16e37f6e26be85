"""What access policies say: pure functions of policies and a request, which the vectors fix.

Nothing here knows of records, callers or clocks, so that any service can decide by its own copy of the policies.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from crm_reference.emulator.registry import computes

#: Operators that compare with ``values``, with nothing, and with ``value`` or ``other_attribute``.
_MANY = frozenset({"in", "not_in", "in_network"})
_NONE = frozenset({"is_set", "is_not_set"})
_PRESENCE = ("is_set", "is_not_set")
_ORDER = ("lt", "lte", "gt", "gte")

#: Operators by the type of an attribute.
OPERATORS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "text": ("eq", "ne", "in", "not_in", "contains", *_PRESENCE),
        "number": ("eq", "ne", *_ORDER, "in", "not_in", *_PRESENCE),
        "boolean": ("eq", "ne", *_PRESENCE),
        "list": ("contains", "in", "not_in", *_PRESENCE),
        "address": ("eq", "ne", "in_network", *_PRESENCE),
        "instant": (*_ORDER, *_PRESENCE),
    }
)

#: Attributes of users and circumstances: type and meaning.
ATTRIBUTES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "context.address": ("address", "The address that the call comes from."),
        "context.at": ("instant", "When the call was made, in UTC."),
        "context.client_id": ("text", "The client that makes the call."),
        "context.has_second_factor": ("boolean", "Whether the session has proved a second factor."),
        "context.hour": ("number", "The hour of the call in UTC, from 0 to 23."),
        "context.is_break_glass": ("boolean", "Whether an emergency access of the user is in use."),
        "context.network_trust": ("text", "What the IP rules say to the address: trusted, allowed or unlisted."),
        "context.weekday": ("text", "The day of the call in UTC: monday to sunday."),
        "user.country": ("text", "The country of the user's address, as ISO 3166-1 writes it."),
        "user.department": ("text", "The user's department."),
        "user.id": ("text", "The user's ID."),
        "user.is_service": ("boolean", "Whether the user is a program."),
        "user.manager_id": ("text", "The ID of the user's manager."),
        "user.role_keys": ("list", "The keys of the user's roles, those of an emergency access included."),
    }
)

_TYPES: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (str,),
    "address": (str,),
    "instant": (str,),
}

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
}


@computes("policy_decision")
def decide(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Decide a request by policies: refuse goes before a second factor, and that before allow; the lowest ID is named.

    :param asked: ``policies`` in force, each with ``id``, ``effect``, ``object_types``, ``actions`` and ``any_of``; and
        ``request`` with ``action``, ``object_type``, ``user``, ``record`` and ``context``.
    :return: ``decision``, and ``policy_id`` where a policy stands against the access.
    """
    request = asked["request"]
    matched = [p for p in sorted(asked["policies"], key=lambda p: str(p.get("id", ""))) if applies(p, request)]
    for effect in ("deny", "require_second_factor"):
        if effect == "require_second_factor" and attribute(request, "context.has_second_factor") is True:
            continue
        for policy in matched:
            if policy["effect"] == effect:
                return {"decision": effect} | ({"policy_id": policy["id"]} if policy.get("id") else {})
    return {"decision": "allow"}


def applies(policy: Mapping[str, Any], request: Mapping[str, Any], /) -> bool:
    """Tell whether a policy is about a request and one of its groups holds."""
    if request["action"] not in policy["actions"] or request["object_type"] not in policy["object_types"]:
        return False
    return any(all(holds(c, request) for c in group["all_of"]) for group in policy["any_of"])


def attribute(request: Mapping[str, Any], name: str, /) -> Any:
    """Return an attribute of a request by its dotted name; ``None`` where it is absent."""
    value: Any = request
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


@computes("policy_condition")
def _condition(asked: Mapping[str, Any]) -> bool:
    """Tell whether one ``condition`` holds for a ``request``."""
    return holds(asked["condition"], asked["request"])


def holds(condition: Mapping[str, Any], request: Mapping[str, Any], /) -> bool:
    """Tell whether a condition holds. An absent attribute meets ``ne``, ``not_in`` and ``is_not_set`` and nothing else."""
    operator: str = condition["operator"]
    value = attribute(request, condition["attribute"])
    if operator in _NONE:
        return (value is None) == (operator == "is_not_set")
    if operator in ("in", "not_in"):
        entries = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        return any(_same(e, v) for e in entries for v in condition["values"]) == (operator == "in")
    if operator == "in_network":
        return any(_within(value, network) for network in condition["values"])
    other = attribute(request, condition["other_attribute"]) if "other_attribute" in condition else condition.get("value")
    if operator in ("eq", "ne"):
        return (value is not None and _same(value, other)) == (operator == "eq")
    if value is None or other is None:
        return False
    if operator == "contains":
        return other in value if isinstance(value, list) else str(other).casefold() in str(value).casefold()
    alike = isinstance(value, str) == isinstance(other, str) and bool not in (type(value), type(other))
    return alike and _COMPARE[operator](value, other)


def _same(value: Any, other: Any) -> bool:
    """Tell whether two values are equal, as JSON sees it: true isn't 1."""
    return value is not None and isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def _within(address: Any, network: Any) -> bool:
    try:
        return ipaddress.ip_address(str(address)) in ipaddress.ip_network(str(network))
    except ValueError:
        return False


def fault(condition: Mapping[str, Any], /) -> tuple[str, str]:
    """Return what is wrong with a condition, and its member that is at fault; two empty texts where nothing is."""
    name, operator = condition["attribute"], condition["operator"]
    kind = ATTRIBUTES.get(name, ("", ""))[0]
    if not kind and not name.startswith("record."):
        return f"{name} is no attribute; the catalogue lists those of users and circumstances.", "attribute"
    if kind and operator not in OPERATORS[kind]:
        return f"{name} is of the type {kind} and takes {', '.join(OPERATORS[kind])}.", "operator"
    given = {"value", "values", "other_attribute"} & condition.keys()
    wanted = {"values"} if operator in _MANY else set() if operator in _NONE else {"value"}
    if given != wanted and not (wanted == {"value"} and given == {"other_attribute"}):
        said = "values" if operator in _MANY else "nothing" if operator in _NONE else "value or other_attribute"
        return f"{operator} compares with {said}.", "operator"
    values = condition.get("values", [condition["value"]] if "value" in condition else [])
    if kind and operator != "in_network" and any(not _fits(kind, v) for v in values):
        return f"{name} is of the type {kind}, and a value is not.", "values" if "values" in condition else "value"
    if operator == "in_network" and any(not _is_network(v) for v in values):
        return "A value is no network, as 198.51.100.0/24 is one.", "values"
    return "", ""


def _fits(kind: str, value: Any) -> bool:
    return isinstance(value, _TYPES[kind]) and isinstance(value, bool) == (kind == "boolean")


def _is_network(value: Any) -> bool:
    try:
        ipaddress.ip_network(str(value))
    except ValueError:
        return False
    return True
