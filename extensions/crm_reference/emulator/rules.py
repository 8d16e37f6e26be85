"""Business rules: what ``x-rules`` declares, enforced on every write."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from crm_reference.contract import Resource, Rule
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import CUSTOM_RULES
from crm_reference.emulator.sql import folded, member

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

Doc = Mapping[str, Any]
#: Takes the rule, the record as it would be and as it is (None on create); returns a detail and a field, or None where it holds.
_Check = Callable[["Context", Resource, Rule, Doc, Doc | None], tuple[str, str] | None]

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "eq": operator.eq,
    "ne": operator.ne,
}
_WORDS = {"lt": "less than", "lte": "at most", "gt": "greater than", "gte": "at least", "eq": "equal to", "ne": "other than"}


def enforce(context: Context, resource: Resource, new: Doc, old: Doc | None, /) -> None:
    """Raise the problem of the rules that a write breaks.

    Breaches whose code is a field code come first, together, as ``validation_failed``; then the first rule with a code of its
    own, those that answer 422 before those that answer 409.

    :param new: The record as it would be written.
    :param old: The present record; ``None`` on create.
    :raises Problem: With the field of each breach as pointer.
    """
    declared = context.world.contract.errors
    entries: list[dict[str, str]] = []
    conflicts: list[Problem] = []
    for rule in resource.rules:
        breach = _CHECKS[rule.kind](context, resource, rule, new, old)
        if breach is None:
            continue
        detail, field = breach
        entry = {"pointer": f"#/{field.replace('.', '/')}" if field else "#", "code": rule.error, "detail": detail}
        if declared[rule.error].field:
            entries.append(entry)
        else:
            conflicts.append(Problem(rule.error, detail, [entry] if field else []))
    if entries:
        noun = "field breaks" if len(entries) == 1 else "fields break"
        raise Problem("validation_failed", f"{len(entries)} {noun} a rule; see errors.", entries)
    for problem in sorted(conflicts, key=lambda p: declared[p.code].status == 409):
        raise problem


def value_of(doc: Doc, path: str, /) -> Any:
    """Return a member by its dotted path; ``None`` where there is none. A list on the way gives the list of its entries' members.

    A secret is kept under its name with an underscore in front, where no answer shows it, and is found under its name too.
    """
    if "." not in path:  # nearly always, and asked for some twenty times a write
        return doc[path] if path in doc else doc.get("_" + path)
    value: Any = doc
    for part in path.split("."):
        if isinstance(value, list):
            value = [entry.get(part) for entry in value if isinstance(entry, Mapping)]
        else:
            value = value.get(part, value.get(f"_{part}")) if isinstance(value, Mapping) else None
    return value


def _unique(context: Context, resource: Resource, rule: Rule, new: Doc, old: Doc | None) -> tuple[str, str] | None:
    fields = [*rule.options["fields"], *rule.options.get("scope", ())]
    values = [value_of(new, name) for name in fields]
    if any(value is None for value in values):
        return None
    if old is not None and [value_of(old, name) for name in fields] == values and not old.get("_restoring"):
        return None
    exact = rule.options.get("case_sensitive")
    for names in _pairs(fields, values):
        where = " and ".join(f"{(member if exact else folded)(name)} = ?" for name, _ in names)
        taken = context.world.store.select(
            context.tenant, resource.collection, f"id <> ? and {where}", [new["id"], *(v for _, v in names)], order="", limit=1
        )
        if taken:
            spoken = _listed([_words(name) for name in rule.options["fields"]])
            if isinstance(values[0], Mapping):  # one of several that the record has
                spoken = spoken.removesuffix("s")
            shown = f": {taken[0].id}" if context.records.visible(taken[0]) else ""
            return f"Another {_words(resource.object)} has this {spoken}{shown}.", rule.options["fields"][0]
    return None


def _pairs(fields: list[str], values: list[Any]) -> list[list[tuple[str, Any]]]:
    """Return the combinations to look for: a mapping (external IDs) is unique in each of its members."""
    if len(values) == 1 and isinstance(values[0], Mapping):
        return [[(f'{fields[0]}."{key}"', value)] for key, value in values[0].items()]
    return [list(zip(fields, values, strict=True))]


def _reference(context: Context, resource: Resource, rule: Rule, new: Doc, old: Doc | None) -> tuple[str, str] | None:
    field, target = rule.options["field"], rule.options["target"]
    value = value_of(new, field)
    if value is None or (old is not None and value_of(old, field) == value):
        return None
    _ask_owner(context, resource, target)
    missing = [v for v in (value if isinstance(value, list) else [value]) if not _exists(context, target, v)]
    return (f"{_words(field).capitalize()} leads to no record of {target}.", field) if missing else None


def _ask_owner(context: Context, resource: Resource, target: str) -> None:
    """Note the call to the neighbour that owns the target; while it is down, the local copy of its IDs answers alone."""
    if context.service != resource.service:
        return
    for service, operation in context.world.traits[resource.collection].owners[target]:
        context.ask(service, operation)


def _exists(context: Context, collection: str, id: str) -> bool:
    """Tell whether a reference leads somewhere; a record that the caller may not see counts as none."""
    record = context.records.peek(collection, id)
    return record is not None and (context.is_upkeep or context.records.visible(record))


def _immutable(context: Context, resource: Resource, rule: Rule, new: Doc, old: Doc | None) -> tuple[str, str] | None:
    for field in rule.options["fields"] if old is not None else ():
        if value_of(old or {}, field) is not None and value_of(new, field) != value_of(old or {}, field):
            return f"{_words(field).capitalize()} can't be changed once it is set.", field
    return None


def _transition(context: Context, resource: Resource, rule: Rule, new: Doc, old: Doc | None) -> tuple[str, str] | None:
    field = rule.options["field"]
    to = value_of(new, field)
    if context.is_upkeep:
        return None
    if old is None:
        first = rule.options.get("initial")
        if first and to is not None and to not in first:
            return f"A new {resource.object} begins with {', '.join(first)}, not with {to}.", field
        return None
    at = value_of(old, field)
    if to == at or at is None or to in rule.options["transitions"].get(at, ()):
        return None
    following = ", ".join(rule.options["transitions"].get(at, ())) or "nothing"
    return f"{_words(field).capitalize()} can't go from {at} to {to}; after {at} comes {following}.", field


def _compare(context: Context, resource: Resource, rule: Rule, new: Doc, old: Doc | None) -> tuple[str, str] | None:
    left, right = rule.options["left"], rule.options["right"]
    one, other = value_of(new, left), context.now[:10] if right == "today" else value_of(new, right)
    if one is None or other is None or _OPERATORS[rule.options["operator"]](one, other):
        return None
    return f"{_words(left).capitalize()} must be {_WORDS[rule.options['operator']]} {_words(right)}.", left


def _required_if(context: Context, resource: Resource, rule: Rule, new: Doc, old: Doc | None) -> tuple[str, str] | None:
    for name, wanted in rule.options["when"].items():
        value = value_of(new, name)
        if (value not in wanted) if isinstance(wanted, list) else (value != wanted):
            return None
    fields = rule.options.get("any_of") or [rule.options["field"]]
    if any(value_of(new, name) not in (None, [], {}) for name in fields):
        return None
    names = " or ".join(map(_words, fields))
    conditions = " and ".join(f"{_words(k)} is {_said(v)}" for k, v in rule.options["when"].items())
    return f"{names.capitalize()} must be set{f' while {conditions}' if conditions else ''}.", fields[0]


def _said(value: Any) -> str:
    """Return a value, or a choice of them, as JSON writes it, without quotes."""
    if isinstance(value, list):
        return " or ".join(map(_said, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _listed(words: list[str]) -> str:
    """Return words as a list in a sentence.

    >>> _listed(["contact", "channel", "purpose"])
    'contact, channel and purpose'
    """
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _custom(context: Context, resource: Resource, rule: Rule, new: Doc, old: Doc | None) -> tuple[str, str] | None:
    found = CUSTOM_RULES[resource.service, rule.options["function"]](context, new, old)
    if isinstance(found, tuple):
        return found
    return (found, (rule.options.get("fields") or [""])[0]) if found else None


_CHECKS: Mapping[str, _Check] = {
    "unique": _unique,
    "reference": _reference,
    "immutable": _immutable,
    "transition": _transition,
    "compare": _compare,
    "required-if": _required_if,
    "custom": _custom,
}


def _words(field: str) -> str:
    """Return a field's name as words, without the ``_id`` of a reference.

    >>> _words("reports_to_id")
    'reports to'
    """
    return field.rpartition(".")[2].removesuffix("_id").replace("_", " ")
