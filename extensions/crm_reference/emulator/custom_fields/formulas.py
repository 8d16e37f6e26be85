"""Formula and roll-up fields: computed whenever a record is shown, kept nowhere.

A formula sees what its reader sees through a reference: a record out of the reader's reach is blank there. A roll-up counts every
record, whoever asks, so that it is the same number for all. What follows from a field that is hidden from the reader is hidden too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

from crm_reference.contract import Resource
from crm_reference.emulator.custom_fields import grammar
from crm_reference.emulator.custom_fields.checking import checked
from crm_reference.emulator.custom_fields.evaluating import ARITHMETIC, Evaluation, Lookup, from_json, to_json
from crm_reference.emulator.custom_fields.functions import number, rounded
from crm_reference.emulator.custom_fields.grammar import ExpressionError, place_of
from crm_reference.emulator.custom_fields.scope import (
    CUSTOM,
    PARTS,
    Operand,
    extension,
    hidden_names,
    may_ask,
    member_of,
    operands,
    resource_of,
    result_type,
    root_operands,
    seen_operands,
)
from crm_reference.emulator.custom_fields.values import COLLECTION, definitions
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

#: Types of fields that nobody writes.
COMPUTED = ("formula", "roll_up")
#: A formula that names formulas that name formulas: so deep, and no deeper.
DEEPEST = 5
#: A roll-up reads at most so many records; beyond, it is blank.
MOST_CHILDREN = 10_000
RULES = "validation-rules"
#: What a number is rounded to where its definition says nothing.
SCALE = 2

Doc = Mapping[str, Any]
#: What was computed for one answer.
Memo = dict[tuple[Any, ...], Any]


# -- values ----------------------------------------------------------------------------------------------------------------


def lookup(context: Context, object_type: str, doc: Doc, /, depth: int = 0, memo: Memo | None = None) -> Lookup:
    """Return how an expression finds the fields of a record.

    :param depth: How many computed fields and references led here.
    :param memo: What was computed on the way, so that nothing is computed twice: formulas that name formulas would multiply.
    """
    known = operands(context, object_type)
    memo = {} if memo is None else memo
    own: dict[str, Any] = {}

    def find(path: str) -> Any:
        name, _, rest = path.partition(".")
        operand = known.get(name)
        if operand is None:
            return None
        if name not in own:
            own[name] = _raw(context, object_type, doc, operand, depth, memo)
        value = own[name]
        if not rest:
            return from_json(operand.type, value)
        if operand.type in PARTS:
            return from_json(PARTS[operand.type].get(rest, "text"), _part(value, rest))
        return _through(context, operand.target, value, rest, depth, memo)

    return find


def _raw(context: Context, object_type: str, doc: Doc, operand: Operand, depth: int, memo: Memo) -> Any:
    said = operand.definition
    if said is None:
        return doc.get(operand.name)
    if said["type"] in COMPUTED:
        if depth >= DEEPEST:
            return None
        key = ("own", id(doc), operand.name, depth)
        if key not in memo:  # with the document, so that no other takes its place in memory
            memo[key] = doc, computed(context, object_type, said, doc, depth + 1, memo)
        return memo[key][1]
    return (doc.get("custom_fields") or {}).get(operand.name)


def _part(value: Any, name: str) -> Any:
    """Return a part of a value: of a place, which is kept as ``51.9244,4.4777``, or of an amount of money."""
    if isinstance(value, str):
        parts = dict(zip(PARTS["place"], value.split(","), strict=False))
        return parts.get(name)
    return value.get(name) if isinstance(value, Mapping) else None


def _through(context: Context, target: str, id: Any, rest: str, depth: int, memo: Memo) -> Any:
    resource = resource_of(context, target) if target and isinstance(id, str) else None
    record = context.records.peek(resource.collection, id) if resource is not None and may_ask(context, resource) else None
    if record is None or depth >= DEEPEST or not (context.is_upkeep or context.records.visible(record)):
        return None
    key = ("through", target, id, rest, depth)
    if key not in memo:
        seen = rest.split(".")[0] in seen_operands(context, target) and not follows_hidden(context, target, rest)
        memo[key] = lookup(context, target, record.doc, depth + 1, memo)(rest) if seen else None
    return memo[key]


def computed(context: Context, object_type: str, said: Doc, doc: Doc, /, depth: int = 0, memo: Memo | None = None) -> Any:
    """Return the value of a formula or roll-up field, as JSON; ``None`` where it is blank."""
    memo = {} if memo is None else memo
    if said["type"] == "roll_up":
        return rolled_up(context, said["roll_up"], str(doc.get("id", "")), said.get("decimal_places", SCALE), depth, memo)
    asked = said["formula"]
    try:
        tree = grammar.parse(asked["expression"])
    except ExpressionError:  # a definition that came by another way than its check
        return None
    made = Evaluation(context.now, lookup(context, object_type, doc, depth, memo)).value(tree)
    return shaped(made, asked["result_type"], said.get("decimal_places", SCALE))


def shaped(value: Any, kind: str, places: int, /) -> Any:
    """Return a computed value as JSON, as a field of its kind has it: money is a decimal string, other numbers are numbers.

    >>> shaped(Decimal("2.345"), "currency", 2), shaped(Decimal("2.5"), "integer", 2), shaped(Decimal("2.345"), "decimal", 2)
    ('2.35', 3, 2.35)
    """
    if kind == "currency" and isinstance(value, Decimal):
        return f"{rounded(value, places):f}"
    return to_json(value, 0 if kind == "integer" else places)


def children(context: Context, asked: Doc, id: str, /, depth: int = 0, memo: Memo | None = None) -> list[Record]:
    """Return the records that a roll-up takes in: those that refer to a record and meet its filter.

    :param asked: A roll-up's definition: ``object_type``, ``reference_field``, and perhaps ``filter``.
    """
    resource = resource_of(context, asked["object_type"])
    operand = operands(context, asked["object_type"]).get(asked["reference_field"])
    if resource is None or operand is None or not id:
        return []
    field = operand.name if operand.definition is None else f"custom_fields.{operand.name}"
    where, arguments = f"{member(field)} = ?", [id]
    if resource.extensible == CUSTOM:
        where, arguments = f"{where} and {member('object_type')} = ?", [id, asked["object_type"]]
    found = context.world.store.select(context.tenant, resource.collection, where, arguments, limit=MOST_CHILDREN + 1)
    if len(found) > MOST_CHILDREN:
        return []
    condition = asked.get("filter")
    if not condition:
        return found
    tree, memo = grammar.parse(condition), {} if memo is None else memo

    def is_taken(record: Record) -> bool:
        return Evaluation(context.now, lookup(context, asked["object_type"], record.doc, depth, memo)).value(tree) is True

    return [r for r in found if is_taken(r)]


def rolled_up(context: Context, asked: Doc, id: str, places: int = SCALE, /, depth: int = 0, memo: Memo | None = None) -> Any:
    """Return a roll-up of the records that refer to one, as JSON."""
    memo = {} if memo is None else memo
    taken = children(context, asked, id, depth, memo)
    if asked["operation"] == "count":
        return len(taken)
    values = [lookup(context, asked["object_type"], r.doc, depth, memo)(asked.get("field", "")) for r in taken]
    field = operands(context, asked["object_type"]).get(asked.get("field", ""))
    kind = "" if field is None or field.definition is None else field.definition["type"]
    kind = "decimal" if kind == "integer" and asked["operation"] == "average" else kind
    return shaped(aggregate(asked["operation"], values), kind, places)


def aggregate(function: str, values: Iterable[Any], /) -> Any:
    """Return ``sum``, ``min``, ``max`` or ``average`` of the values that aren't blank. A sum of nothing is 0, the others are blank.

    >>> aggregate("average", [Decimal(1), None, Decimal(2)])
    Decimal('1.5')
    """
    known = [v for v in values if v is not None]
    if not known:
        return Decimal(0) if function == "sum" else None
    if function in ("sum", "average"):
        with localcontext(ARITHMETIC):
            total = sum(known, Decimal(0))
            return number(total if function == "sum" else total / len(known))
    return min(known) if function == "min" else max(known)


def presented(context: Context, resource: Resource, record: Record, doc: dict[str, Any], /) -> dict[str, Any]:
    """Return a record's document with its formula and roll-up values among its custom fields."""
    object_type = extension(context, resource, doc)
    if not object_type:
        return doc
    store, tenant = context.world.store, context.tenant

    def find() -> list[Doc]:
        return [d for d in definitions(context, object_type).values() if d["type"] in COMPUTED]

    wanted = store.remembered(COLLECTION, ("computed", tenant, object_type), find)
    if not wanted:
        return doc
    whole, memo = {**record.doc, "id": record.id}, Memo()
    made = {said["name"]: computed(context, object_type, said, whole, 0, memo) for said in wanted}
    values = {**doc.get("custom_fields", {}), **{name: value for name, value in made.items() if value is not None}}
    return {**doc, "custom_fields": values} if values else doc


def closed(context: Context, resource: Resource, doc: Doc, /) -> list[str]:
    """Return the computed custom fields of a record that follow from a field which is hidden from the caller."""
    object_type = extension(context, resource, doc)
    shown = doc.get("custom_fields") or {}
    if not object_type or not shown or context.is_upkeep:
        return []
    known = definitions(context, object_type)
    made = [n for n in shown if n in known and known[n]["type"] in COMPUTED]
    return [name for name in made if follows_hidden(context, object_type, name)]


def follows_hidden(context: Context, object_type: str, path: str, /) -> bool:
    """Tell whether a computed field follows from a field that is hidden from the caller, over any number of other fields."""
    if context.is_upkeep:
        return False
    head = operands(context, object_type).get(path.partition(".")[0])
    frontier = [] if head is None or head.definition is None else _needs(head.definition, object_type)
    seen: set[tuple[str, str]] = set()
    while frontier:
        at, needed = frontier.pop()
        name, _, rest = needed.partition(".")
        operand = operands(context, at).get(name)
        if operand is None or (at, needed) in seen:
            continue
        seen.add((at, needed))
        if member_of(operand) in hidden_names(context, at):
            return True
        if rest and operand.target:
            frontier.append((operand.target, rest))
        elif operand.definition is not None:
            frontier += _needs(operand.definition, at)
    return False


# -- definitions -----------------------------------------------------------------------------------------------------------


def complaints(context: Context, said: Doc, /) -> list[dict[str, str]]:
    """Return what is wrong with the definition of a formula or roll-up field, as entries of a problem."""
    return _of_roll_up(context, said) if said["type"] == "roll_up" else _of_formula(context, said)


def _of_formula(context: Context, said: Doc) -> list[dict[str, str]]:
    asked = said["formula"]
    pointer = "#/formula/expression"
    text, object_type = asked["expression"], said["object_type"]
    tree, _, problems = checked(context, object_type, text, purpose="formula", wanted=result_type(asked["result_type"]))
    if problems or tree is None:
        return [complaint(pointer, text, p) for p in problems]
    return _of_circle(context, said, pointer)


def _of_circle(context: Context, said: Doc, pointer: str) -> list[dict[str, str]]:
    circle = _circle(context, said["object_type"], said["name"], _needs(said, said["object_type"]))
    detail = f"{said['name']} would follow from itself, by way of {circle}"
    return [{"pointer": pointer, "code": "expression_invalid", "detail": detail}] if circle else []


def complaint(pointer: str, text: str, problem: ExpressionError, /) -> dict[str, str]:
    """Return an expression's problem as an entry of a problem document."""
    line, column = place_of(text, problem.at)
    return {"pointer": pointer, "code": "expression_invalid", "detail": f"line {line}, column {column}: {problem.message}"}


def _circle(context: Context, object_type: str, name: str, needs: Iterable[tuple[str, str]]) -> str:
    """Return the field by which a computed field would come back to itself, or ""."""
    seen: set[tuple[str, str]] = set()
    frontier = list(needs)
    while frontier:
        at, path = frontier.pop()
        head, _, rest = path.partition(".")
        operand = operands(context, at).get(head)
        if (at, head) == (object_type, name):
            return path
        if operand is None or (at, path) in seen:
            continue
        seen.add((at, path))
        if rest and operand.target:
            frontier.append((operand.target, rest))
        elif operand.definition is not None:
            for place, needed in _needs(operand.definition, at):
                if (place, needed.partition(".")[0]) == (object_type, name):
                    return path
                frontier.append((place, needed))
    return ""


def _needs(said: Doc, object_type: str) -> list[tuple[str, str]]:
    """Return the fields from which a computed field follows, each with its object."""
    if said["type"] == "formula":
        return [(object_type, path) for path in _named(said["formula"]["expression"])]
    if said["type"] == "roll_up":
        asked = said["roll_up"]
        named = [asked["reference_field"], *([asked["field"]] if asked.get("field") else [])]
        return [(asked["object_type"], path) for path in (*named, *_named(asked.get("filter", "")))]
    return []


def _named(text: str) -> list[str]:
    try:
        return grammar.fields_of(grammar.parse(text)) if text else []
    except ExpressionError:
        return []


def _of_roll_up(context: Context, said: Doc) -> list[dict[str, str]]:
    asked = said["roll_up"]
    child = root_operands(context, asked["object_type"])
    reference = child.get(asked["reference_field"])
    found: list[dict[str, str]] = []

    def refuse(member: str, detail: str) -> None:
        found.append({"pointer": f"#/roll_up/{member}", "code": "expression_invalid", "detail": detail})

    if not child:
        refuse("object_type", f"there is no object {asked['object_type']}")
    elif reference is None or reference.target != said["object_type"]:
        name, child_type = asked["reference_field"], asked["object_type"]
        refuse("reference_field", f"{name} is no field of {child_type} that refers to {said['object_type']}")
    function = asked["operation"]
    if function != "count" and not found:
        field = asked.get("field", "")
        tree, kind, problems = checked(context, asked["object_type"], field, purpose="filter") if field else (None, "", [])
        takes = ("number",) if function in ("sum", "average") else ("number", "date", "date_time")
        if not isinstance(tree, grammar.Field) or problems or kind not in takes:
            refuse("field", f"{function} needs a field of type {' or '.join(takes)}")
    condition = asked.get("filter")
    if condition and not found:
        problems = checked(context, asked["object_type"], condition, purpose="filter", wanted="boolean")[2]
        found += [complaint("#/roll_up/filter", condition, p) for p in problems]
    return found or _of_circle(context, said, "#/roll_up/field" if asked.get("field") else "#/roll_up/filter")


def dependents(context: Context, object_type: str, name: str, /) -> list[dict[str, str]]:
    """Return what names a field: formulas, roll-ups and validation rules, ordered by kind and name."""
    found: list[dict[str, str]] = []
    for record in context.records.find(COLLECTION):
        said = record.doc
        needs = _needs(said, said["object_type"]) if said["type"] in COMPUTED else []
        if any(_leads(context, *need, object_type, name) for need in needs):
            found.append({"kind": said["type"], "id": record.id, "name": said["name"], "object_type": said["object_type"]})
    for record in context.records.find(RULES):
        said = record.doc
        named = [*_named(said["condition"]), *_named(said.get("applies_when", ""))]
        if any(_leads(context, said["object_type"], path, object_type, name) for path in named):
            found.append({"kind": "validation_rule", "id": record.id, "name": said["name"], "object_type": said["object_type"]})
    return sorted(found, key=lambda d: (d["kind"], d["object_type"], d["name"]))


def _leads(context: Context, at: str, path: str, object_type: str, name: str) -> bool:
    """Tell whether a path, from an object, names a field of another."""
    head, _, rest = path.partition(".")
    if (at, head) == (object_type, name):
        return True
    operand = operands(context, at).get(head)
    return bool(rest and operand and operand.target and _leads(context, operand.target, rest, object_type, name))
