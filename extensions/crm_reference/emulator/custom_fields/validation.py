"""Validation rules: conditions that a record must meet, on every extensible resource, whoever writes it.

A rule is broken where ``applies_when`` (absent: always) is true and ``condition`` is false. Blank is neither: a rule about a field
that isn't set says nothing, unless it asks ``is_blank``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from crm_reference.contract import Resource
from crm_reference.emulator.custom_fields import grammar
from crm_reference.emulator.custom_fields.evaluating import Evaluation, Lookup
from crm_reference.emulator.custom_fields.formulas import RULES, lookup
from crm_reference.emulator.custom_fields.grammar import ExpressionError
from crm_reference.emulator.custom_fields.scope import CUSTOM, extension, operands
from crm_reference.emulator.custom_fields.values import definitions
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.sql import folded, member

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

Doc = Mapping[str, Any]

#: What a broken rule is in a problem's ``errors``.
BROKEN = "validation_rule_broken"
#: What a value is in there that another record has.
TAKEN = "custom_value_taken"


def enforce(context: Context, resource: Resource, new: Doc, old: Doc | None, /, *, is_changed: bool = True) -> None:
    """Refuse a write that repeats a unique value, or breaks active validation rules of its object; all that it breaks are told.

    What follows from another write, or comes back from the recycle bin, was judged by the rules when it was written.

    :param is_changed: Whether the write changes what clients see.
    :raises Problem: ``validation_failed``, with each rule's message at the field that the rule names.
    """
    object_type = extension(context, resource, new)
    if not object_type:
        return
    if errors := list(_repeated(context, resource, object_type, new, old)):
        raise Problem("validation_failed", f"{counted(len(errors), 'unique field')} can't take the value; see errors.", errors)
    if context.is_upkeep or not is_changed:
        return
    if errors := [entry(context, object_type, rule) for rule in broken(context, object_type, new, old)]:
        raise Problem("validation_failed", f"{counted(len(errors), 'validation rule')} refused the record; see errors.", errors)


def _repeated(context: Context, resource: Resource, object_type: str, new: Doc, old: Doc | None) -> Iterator[dict[str, str]]:
    """Yield an entry for each unique custom field whose new value another record of the object has, in any case of letters."""
    before = {} if old is None or old.get("_restoring") else old.get("custom_fields") or {}
    for name, value in (new.get("custom_fields") or {}).items():
        said = definitions(context, object_type).get(name, {})
        if not said.get("is_unique") or value is None or before.get(name) == value:
            continue
        where, arguments = f"id <> ? and {folded(f'custom_fields.{name}')} = ?", [new["id"], value]
        if resource.extensible == CUSTOM:
            where, arguments = f"{where} and {member('object_type')} = ?", [*arguments, object_type]
        if context.world.store.select(context.tenant, resource.collection, where, arguments, order="", limit=1):
            detail = f"another {object_type.replace('_', ' ')} has this {said.get('label', name)}"
            yield {"pointer": f"#/custom_fields/{name}", "code": TAKEN, "detail": detail}


def active(context: Context, object_type: str, /) -> list[Doc]:
    """Return the active rules of an object, the oldest first."""
    store, tenant = context.world.store, context.tenant

    def find() -> list[Doc]:
        return [r.doc for r in store.find(tenant, RULES, object_type=object_type) if r.doc.get("is_active")]

    return store.remembered(RULES, (tenant, object_type), find)


def broken(context: Context, object_type: str, new: Doc, old: Doc | None, /) -> list[Doc]:
    """Return the active rules that a record breaks, the oldest first."""
    rules = active(context, object_type)
    if not rules:
        return []
    now, before = lookup(context, object_type, new), None if old is None else lookup(context, object_type, old)
    wanted = ("always", "create" if old is None else "update")
    return [r for r in rules if r.get("checked_on", "always") in wanted and verdict(context.now, r, now, before) == "broken"]


def verdict(now: str, rule: Doc, lookup: Lookup, before: Lookup | None, /) -> str:
    """Return ``met``, ``broken``, ``not_applicable`` or ``undecided`` (the condition is blank)."""
    try:
        applies = grammar.parse(rule["applies_when"]) if rule.get("applies_when") else None
        condition = grammar.parse(rule["condition"])
    except ExpressionError:  # a rule that came by another way than its check
        return "undecided"
    evaluation = Evaluation(now, lookup, before)
    if applies is not None and evaluation.value(applies) is not True:
        return "not_applicable"
    return {True: "met", False: "broken"}.get(evaluation.value(condition), "undecided")


def entry(context: Context, object_type: str, rule: Doc, /) -> dict[str, str]:
    """Return a broken rule as an entry of a problem: its message at its field, or at the record."""
    return {"pointer": pointer(context, object_type, rule.get("field", "")), "code": BROKEN, "detail": rule["message"]}


def pointer(context: Context, object_type: str, field: str, /) -> str:
    """Return the place of a field in a record's body; the whole record where there is none."""
    operand = operands(context, object_type).get(field)
    if operand is None:
        return "#"
    return f"#/{field}" if operand.definition is None else f"#/custom_fields/{field}"
