"""The expression language for people who write it: checked, evaluated, and its functions and operands listed."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.behaviours.listing import paged_items
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.custom_fields import formulas, grammar, validation
from crm_reference.emulator.custom_fields.beginning import formatted
from crm_reference.emulator.custom_fields.checking import Checker, checked
from crm_reference.emulator.custom_fields.evaluating import Evaluation, sample_lookup, to_json
from crm_reference.emulator.custom_fields.functions import FUNCTIONS, Function
from crm_reference.emulator.custom_fields.grammar import ExpressionError, place_of
from crm_reference.emulator.custom_fields.scope import PARTS, Operand, seen_operands, takes_expressions
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.custom_objects.samples import named_operands, sample_of

#: How many of the records that a roll-up takes in a preview names.
SAMPLE = 10


@handles("checkCustomFormula")
def check(call: Call) -> Reply:
    """Tell whether an expression fits an object, and everything that is wrong with it."""
    text, purpose = call.body["expression"], call.body.get("purpose", "formula")
    wanted = call.body.get("expected_type", "" if purpose == "formula" else "boolean")
    tree, kind, problems = checked(call, call.body["object_type"], text, purpose=purpose, wanted="" if wanted == "any" else wanted)
    body: dict[str, Any] = {"is_valid": not problems}
    if not problems:
        body["type"] = kind
    body["fields"] = grammar.fields_of(tree) if tree is not None else []
    body["functions"] = [f for f in grammar.functions_of(tree) if f in FUNCTIONS] if tree is not None else []
    body["problems"] = [_problem(text, p) for p in problems]
    return Reply(200, body)


def _problem(text: str, problem: ExpressionError) -> dict[str, Any]:
    line, column = place_of(text, problem.at)
    return {"code": problem.code, "position": problem.at, "line": line, "column": column, "message": problem.message}


@handles("evaluateCustomFormula")
def evaluate(call: Call) -> Reply:
    """Return the value of an expression for a record."""
    text, object_type = call.body["expression"], call.body["object_type"]
    tree, kind, problems = checked(call, object_type, text, purpose="rule")
    if tree is None or problems:
        entries = [formulas.complaint("#/expression", text, p) for p in problems]
        raise Problem("validation_failed", "The expression can't be evaluated; see errors.", entries)
    sample = sample_of(call, object_type, call.body)
    value = to_json(Evaluation(call.now, sample.lookup, sample.before).value(tree))
    body: dict[str, Any] = {"type": kind, "is_blank": value is None}
    if value is not None:
        body["value"] = value
    body["operands"] = named_operands(call, object_type, grammar.fields_of(tree), sample)
    return Reply(200, body)


@handles("listFormulaFunctions")
def list_functions(call: Call) -> Reply:
    """List the functions of the language."""
    wanted = call.query.get("category")
    return paged_items(call, [_function(call.now, f) for f in FUNCTIONS.values() if wanted in (None, f.category)])


def _function(now: str, function: Function) -> dict[str, Any]:
    arguments = [t if i < function.needed else f"[{t}]" for i, t in enumerate(function.takes)]
    arguments += ["..."] if function.repeats else []
    body: dict[str, Any] = {
        "name": function.name,
        "category": function.category,
        "signature": f"{function.name}({', '.join(arguments)})",
        "gives": function.gives,
        "text": function.text,
        "example": function.example,
    }
    tree = grammar.parse(function.example)
    if not grammar.fields_of(tree) and function.name not in ("today", "now", "is_new"):
        value = to_json(Evaluation(now, lambda path: None).value(tree))
        body |= {} if value is None else {"result": value}
    return body


@handles("listFormulaOperands")
def list_operands(call: Call) -> Reply:
    """List what expressions about an object may name, without what is hidden from the caller."""
    object_type = call.path["object_type"]
    if not takes_expressions(call, object_type):
        raise Problem("not_found", f"There is no object {object_type}.")
    known = seen_operands(call, object_type).values()
    return paged_items(call, [_operand(o) for o in known if not formulas.follows_hidden(call, object_type, o.name)])


def _operand(operand: Operand) -> dict[str, Any]:
    said = operand.definition
    source = "built_in" if said is None else "computed" if said["type"] in formulas.COMPUTED else "custom"
    body: dict[str, Any] = {"name": operand.name, "type": operand.type, "source": source}
    if operand.target:
        body["target"] = operand.target
    if operand.type in PARTS:
        body["parts"] = list(PARTS[operand.type])
    return body


@handles("previewRollUp")
def preview_roll_up(call: Call) -> Reply:
    """Return what a roll-up would show on one record."""
    object_type, asked = call.body["object_type"], call.body["roll_up"]
    said = {"type": "roll_up", "name": "preview", "object_type": object_type, "roll_up": asked}
    if entries := formulas.complaints(call, said):
        raise Problem("validation_failed", "The roll-up can't be computed; see errors.", entries)
    sample_of(call, object_type, {"record_id": call.body["record_id"]})
    taken = formulas.children(call, asked, call.body["record_id"])
    referring = formulas.children(call, {k: v for k, v in asked.items() if k != "filter"}, call.body["record_id"])
    body: dict[str, Any] = {}
    if (value := formulas.rolled_up(call, asked, call.body["record_id"])) is not None:
        body["value"] = value
    return Reply(
        200,
        {
            **body,
            "referring_count": len(referring),
            "taken_count": len(taken),
            "sample": [r.id for r in taken if call.records.visible(r)][:SAMPLE],
        },
    )


# -- computations ----------------------------------------------------------------------------------------------------------------


@computes("expression_value")
def expression_value(asked: Any) -> dict[str, Any]:
    """Return the value of an expression over made-up fields.

    :param asked: ``expression``; ``types`` and ``values`` by field; perhaps ``before`` (values) and ``now``.
    """
    kinds, now = asked.get("types", {}), asked.get("now", "2026-01-05T09:00:00Z")
    try:
        tree = grammar.parse(asked["expression"])
    except ExpressionError as problem:
        return {"problem": _problem(asked["expression"], problem)}
    checker = Checker(None, {n: Operand(n, t) for n, t in kinds.items()})
    kind = checker.type(tree)
    if checker.problems:
        return {"problem": _problem(asked["expression"], min(checker.problems, key=lambda p: p.at))}
    before = sample_lookup(kinds, asked["before"]) if "before" in asked else None
    value = Evaluation(now, sample_lookup(kinds, asked.get("values", {})), before).value(tree)
    return {"type": kind, "value": to_json(value)}


@computes("roll_up_value")
def roll_up_value(asked: Any) -> Any:
    """Return a roll-up of plain values.

    :param asked: ``operation``, ``kind`` of the field, ``values`` in the order of the records, perhaps ``decimal_places``.
    """
    if asked["operation"] == "count":
        return len(asked["values"])
    kinds = {"integer": "number", "decimal": "number", "currency": "number"}
    known = [sample_lookup({"v": kinds.get(asked["kind"], asked["kind"])}, {"v": value})("v") for value in asked["values"]]
    kind = "decimal" if asked["kind"] == "integer" and asked["operation"] == "average" else asked["kind"]
    return formulas.shaped(formulas.aggregate(asked["operation"], known), kind, asked.get("decimal_places", formulas.SCALE))


@computes("rule_verdict")
def rule_verdict(asked: Any) -> str:
    """Return the verdict of a rule over made-up fields.

    :param asked: ``condition``, perhaps ``applies_when``; ``types``, ``values`` and perhaps ``before``, as for an expression.
    """
    kinds = asked.get("types", {})
    before = sample_lookup(kinds, asked["before"]) if "before" in asked else None
    return validation.verdict("2026-01-05T09:00:00Z", asked, sample_lookup(kinds, asked.get("values", {})), before)


@computes("automatic_number")
def automatic_number(asked: Any) -> str:
    """Return a number in the format of its series."""
    return formatted(asked["format"], asked["number"])
