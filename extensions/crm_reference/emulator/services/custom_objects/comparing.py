"""How two versions of a schema differ, and which differences can make a stored record invalid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.custom_objects.definitions import definition

Doc = Mapping[str, Any]

#: Members whose number may fall or rise without harm; the other way records can break.
_UPPER, _LOWER = ("maximum", "max_length", "decimal_places"), ("minimum",)


def breaks(old: Doc | None, new: Doc | None, /) -> str:
    """Return why records that were valid under one definition of a field may not be under the other; empty where they are.

    :param old: The earlier definition; ``None`` where there was no such field, or it was inactive.
    :param new: The later one.
    """
    if new is None:
        return "The field is gone." if old is not None else ""
    if old is None:
        return "The new field is required and has no default." if new.get("is_required") and "default_value" not in new else ""
    if old["type"] != new["type"]:
        return "The type changed."
    if new.get("is_required") and not old.get("is_required"):
        return "The field became required."
    if new.get("is_unique") and not old.get("is_unique"):
        return "Values must differ from now on."
    if _is_tighter(old, new):
        return "The bounds are tighter."
    if set(old.get("choices", ())) - set(new.get("choices", ())):
        return "A value can't be chosen any more."
    if new.get("dependency") and new.get("dependency") != old.get("dependency"):
        return "Choices depend on another field."
    return ""


def _is_tighter(old: Doc, new: Doc) -> bool:
    for name in _UPPER:
        if name in new and (name not in old or new[name] < old[name]):
            return True
    for name in _LOWER:
        if name in new and (name not in old or new[name] > old[name]):
            return True
    return "pattern" in new and new["pattern"] != old.get("pattern")


def changes(old: Doc, new: Doc, /) -> list[dict[str, Any]]:
    """Return the members of two definitions that differ, by name."""
    one, other = definition(old), definition(new)
    found = []
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            entry: dict[str, Any] = {"field": name}
            if name in one:
                entry["old_value"] = one[name]
            if name in other:
                entry["new_value"] = other[name]
            found.append(entry)
    return found


def compare(before: Iterable[Doc], after: Iterable[Doc], /) -> list[dict[str, Any]]:
    """Return how the fields of two schemas differ, by name. An inactive field counts as none."""
    old = {f["name"]: f for f in before if f.get("is_active", True)}
    new = {f["name"]: f for f in after if f.get("is_active", True)}
    found = []
    for name in sorted({*old, *new}):
        one, other = old.get(name), new.get(name)
        differing = changes(one, other) if one and other else []
        if one and other and not differing:
            continue
        kind = "field_changed" if one and other else "field_added" if other else "field_removed"
        reason = breaks(one, other)
        entry = {"kind": kind, "field": name, "is_breaking": bool(reason), **({"reason": reason} if reason else {})}
        found.append({**entry, "changes": differing})
    return found


@computes("schema_differences")
def schema_differences(input: Mapping[str, Any], /) -> list[dict[str, Any]]:
    """Compare the lists of fields ``before`` and ``after``, as vectors give them."""
    return compare(input["before"], input["after"])
