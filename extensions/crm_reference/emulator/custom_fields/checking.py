"""Whether an expression fits an object: its fields, functions and types, before anything is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from crm_reference.emulator.custom_fields import grammar
from crm_reference.emulator.custom_fields.functions import FUNCTIONS, OF_WRITES, Function
from crm_reference.emulator.custom_fields.grammar import ExpressionError, Node
from crm_reference.emulator.custom_fields.scope import PARTS, Operand, root_operands, seen_operands

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

#: What an expression may be for. A formula and a filter know no write that is going on.
PURPOSES = ("formula", "filter", "rule")
#: Fields of a field that refers to another record; no further.
HOPS = 1

#: Signs, the type that they want on both sides, and the one that they give.
_PAIRS = (
    (frozenset({"and", "or"}), "boolean", "boolean"),
    (frozenset({"&"}), "text|number|boolean|date|date_time", "text"),
    (frozenset({"+", "-", "*", "/", "%"}), "number", "number"),
)
_ORDERED = frozenset({"<", "<=", ">", ">="})
_TIMES = frozenset({"date", "date_time"})
_SCALARS = frozenset({"number", "text", "boolean", "date", "date_time"})


class Checker:
    """Finds the type of an expression, and the first thing that is wrong with each of its parts.

    :param fields: What the expression may name; ``nested`` answers for what a reference leads to.
    """

    def __init__(self, context: Context | None, fields: Mapping[str, Operand], /, purpose: str = "rule") -> None:
        self._context = context
        self._fields = fields
        self._purpose = purpose
        self.problems: list[ExpressionError] = []

    def type(self, node: Node, /) -> str:
        """Return the type of a part; ``any`` for a blank and for what has a problem."""
        try:
            match node:
                case grammar.Literal():
                    return _literal_type(node)
                case grammar.Field():
                    return self._field(node).type
                case grammar.Unary():
                    return self._wanted(node.operand, "boolean" if node.sign == "not" else "number")
                case grammar.Binary():
                    return self._binary(node)
                case grammar.Membership():
                    return self._membership(node)
                case grammar.Call():
                    return self._call(node)
        except ExpressionError as problem:
            self.problems.append(problem)
        return "any"

    def _wanted(self, node: Node, wanted: str) -> str:
        return self._demand(node, self.type(node), wanted)

    def _demand(self, node: Node, found: str, wanted: str) -> str:
        if not _fits(found, wanted):
            self._refuse("wrong_argument_type", node, f"{_spoken(wanted)} is expected here, not {_spoken(found)}")
        return wanted if "|" not in wanted else found

    def _refuse(self, code: str, node: Node, message: str) -> None:
        self.problems.append(ExpressionError(code, node.at, message))

    def _field(self, node: grammar.Field) -> Operand:
        fields, parts = self._fields, node.path.split(".")
        for hop, name in enumerate(parts):
            operand = fields.get(name)
            if operand is None:
                raise ExpressionError("unknown_field", node.at, f"there is no field {'.'.join(parts[: hop + 1])} here")
            rest = parts[hop + 1 :]
            if not rest:
                if operand.type in PARTS:
                    members = " or ".join(f"{node.path}.{m}" for m in PARTS[operand.type])
                    raise ExpressionError("wrong_argument_type", node.at, f"{node.path} has parts: write {members}")
                return operand
            if operand.type in PARTS and len(rest) == 1 and rest[0] in PARTS[operand.type]:
                return Operand(node.path, PARTS[operand.type][rest[0]])
            if not operand.target or hop >= HOPS or self._context is None:
                raise ExpressionError("unknown_field", node.at, f"{'.'.join(parts[: hop + 1])} has no field {rest[0]} here")
            fields = seen_operands(self._context, operand.target)
        raise ExpressionError("unknown_field", node.at, f"there is no field {node.path}")  # pragma: no cover  (a path has a name)

    def _binary(self, node: grammar.Binary) -> str:
        spine, first = grammar.chain(node)
        found = self.type(first)
        for one in spine:  # a loop, for a chain may be long
            found = self._pair(one, found)
        return found

    def _pair(self, node: grammar.Binary, left: str) -> str:
        for signs, wanted, gives in _PAIRS:
            if node.sign in signs:
                self._demand(node.left, left, wanted)
                self._wanted(node.right, wanted)
                return gives
        right = self.type(node.right)
        if "any" not in (left, right) and left != right and not {left, right} <= _TIMES:
            self._refuse("wrong_argument_type", node.right, f"{_spoken(left)} can't be compared with {_spoken(right)}")
        elif node.sign in _ORDERED and "boolean" in (left, right):
            self._refuse("wrong_argument_type", node.right, "true and false have no order; compare them with = or !=")
        elif "list" in (left, right):
            self._refuse("wrong_argument_type", node.left, "a list is asked by includes() or count()")
        return "boolean"

    def _membership(self, node: grammar.Membership) -> str:
        found = self.type(node.value)
        for item in node.items:
            kind = _literal_type(item)
            if "any" not in (found, kind) and kind != found and not (found in _TIMES and kind == "text"):
                self._refuse("wrong_argument_type", item, f"{_spoken(found)} is never {_spoken(kind)}")
        return "boolean"

    def _call(self, node: grammar.Call) -> str:
        function = FUNCTIONS.get(node.name)
        if function is None:
            near = next((f for f in FUNCTIONS if f == node.name.lower()), "")
            hint = f"; write {near}" if near else ""
            raise ExpressionError("unknown_function", node.at, f"there is no function {node.name}{hint}")
        if node.name in OF_WRITES and self._purpose != "rule":
            message = f"{node.name} belongs into a validation rule: nothing else knows a write"
            raise ExpressionError("not_allowed_here", node.at, message)
        self._demand_count(function, node)
        if function.takes == ("field",):
            if not isinstance(node.arguments[0], grammar.Field):
                raise ExpressionError("wrong_argument_type", node.arguments[0].at, f"{node.name} takes the name of a field")
            kind = self.type(node.arguments[0])
            return kind if function.gives == "same" else function.gives
        free = self._arguments(function, node)
        return function.gives if function.gives != "same" else self._common(free)

    def _demand_count(self, function: Function, node: grammar.Call) -> None:
        given, most = len(node.arguments), len(function.takes)
        uneven = function.repeats > 1 and (given - most) % function.repeats
        if given < function.needed or (given > most and not function.repeats) or (given > most and uneven):
            more = " or more" if function.repeats else ""
            span = str(most) if function.needed == most else f"{function.needed} to {most}"
            wanted = f"{function.needed}{more}" if function.repeats else span
            raise ExpressionError("wrong_argument_count", node.at, f"{node.name} takes {wanted} arguments and has {given}")

    def _arguments(self, function: Function, node: grammar.Call) -> list[tuple[Node, str]]:
        """Check each argument and return those whose type decides that of the result."""
        free: list[tuple[Node, str]] = []
        if function.name == "case":
            return self._case(node)
        for index, argument in enumerate(node.arguments):
            wanted = function.takes[min(index, len(function.takes) - 1)]
            if wanted == "any":
                free.append((argument, self.type(argument)))
            else:
                found = self._wanted(argument, wanted)
                if "|" in wanted and function.gives == "same":
                    free.append((argument, found))
        return free

    def _case(self, node: grammar.Call) -> list[tuple[Node, str]]:
        subject, *rest = node.arguments
        whens, thens = rest[:-1:2], rest[1:-1:2]
        self._common([(subject, self.type(subject)), *((w, self.type(w)) for w in whens)])
        return [(t, self.type(t)) for t in (*thens, rest[-1])]

    def _common(self, typed: list[tuple[Node, str]]) -> str:
        known = [(n, t) for n, t in typed if t != "any"]
        for node, kind in known[1:]:
            if kind != known[0][1]:
                message = f"{_spoken(known[0][1])} is expected here, as before, not {_spoken(kind)}"
                self._refuse("wrong_argument_type", node, message)
        return known[0][1] if known else "any"


def _literal_type(node: grammar.Literal) -> str:
    if node.value is None:
        return "any"
    return "boolean" if isinstance(node.value, bool) else "text" if isinstance(node.value, str) else "number"


def _fits(found: str, wanted: str) -> bool:
    return found == "any" or wanted == "any" or found in wanted.split("|")


def _spoken(kind: str) -> str:
    words = {"number": "a number", "text": "a text", "boolean": "true or false", "date": "a date", "list": "a list"}
    words |= {"date_time": "an instant", "any": "a value"}
    return " or ".join(words.get(k, k) for k in kind.split("|"))


def checked(
    context: Context, object_type: str, text: str, /, *, purpose: str = "rule", wanted: str = ""
) -> tuple[Node | None, str, list[ExpressionError]]:
    """Parse and check an expression about an object. A field that is hidden from the caller is unknown to it.

    :param wanted: Type that it must have; any where empty.
    :return: The tree (``None`` where it can't be read), its type, and what is wrong, in the order of the text.
    """
    try:
        tree = grammar.parse(text)
    except ExpressionError as problem:
        return None, "any", [problem]
    checker = Checker(context, root_operands(context, object_type), purpose=purpose)
    found = checker.type(tree)
    problems = checker.problems
    if not problems and found not in (*_SCALARS, "any"):
        problems.append(ExpressionError("wrong_result_type", tree.at, f"the result is {_spoken(found)}, which is no single value"))
    if not problems and wanted and not _fits(found, wanted):
        message = f"the result must be {_spoken(wanted)} and is {_spoken(found)}"
        problems.append(ExpressionError("wrong_result_type", tree.at, message))
    return tree, found, sorted(problems, key=lambda p: p.at)
