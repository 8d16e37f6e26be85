"""The expression language of formulas, roll-up filters and validation rules: from text to a tree, with the place of each error.

::

    expression = or ;
    or         = and , { "or" , and } ;
    and        = not , { "and" , not } ;
    not        = "not" , not | comparison ;
    comparison = sum , [ ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) , sum | [ "not" ] , "in" , list ] ;
    list       = "[" , literal , { "," , literal } , "]" ;
    sum        = product , { ( "+" | "-" | "&" ) , product } ;
    product    = unary , { ( "*" | "/" | "%" ) , unary } ;
    unary      = "-" , unary | primary ;
    primary    = literal | field | function , "(" , [ expression , { "," , expression } ] , ")" | "(" , expression , ")" ;
    literal    = number | text | "true" | "false" | "null" ;
    field      = name , { "." , name } ;

Nothing here knows fields or functions: :mod:`.checking` does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import TypeVar

#: An expression has at most this many characters.
LONGEST = 2000
#: Parentheses, calls and signs stand in each other at most this deep.
DEEPEST = 30
#: A tree has at most this many nodes.
LARGEST = 300
#: A name has at most this many characters, and a path with its dots this many.
LONGEST_NAME, LONGEST_PATH = 60, 120

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[0-9]+(?:\.[0-9]+)?)
    | (?P<text>"(?:[^"\\\n]|\\["\\n])*"|'(?:[^'\\\n]|\\['\\n])*')
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign><=|>=|!=|[=<>+\-*/%&(),.\[\]])
    )""",
    re.VERBOSE,
)
_WORDS = frozenset({"and", "or", "not", "in", "true", "false", "null"})
_COMPARISONS = frozenset({"=", "!=", "<", "<=", ">", ">="})


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression.

    :param at: Where it begins: characters before it.
    """

    at: int


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A number, a text, true, false or null."""

    value: Decimal | str | bool | None


@dataclass(frozen=True, slots=True)
class Field(Node):
    """A field by its dotted path."""

    path: str


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """``-`` or ``not`` before an operand."""

    sign: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """Two operands and a sign between them, ``and`` and ``or`` included."""

    sign: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Membership(Node):
    """``value in [literals]``."""

    value: Node
    items: tuple[Literal, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function and its arguments."""

    name: str
    arguments: tuple[Node, ...]


_N = TypeVar("_N", bound=Node)


class ExpressionError(Exception):
    """An expression can't be used.

    :param code: ``syntax_error``, ``unknown_field`` or another code of the chapter's table.
    :param at: Characters before the place of the error.
    """

    def __init__(self, code: str, at: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.at = at
        self.message = message


def place_of(text: str, at: int, /) -> tuple[int, int]:
    """Return line and column of a place, both from 1.

    >>> place_of("a +\\n b", 5)
    (2, 2)
    """
    before = text[:at]
    return before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            what = "the text has no end" if text[at] in "\"'" else f"{text[at]!r} means nothing here"
            raise ExpressionError("syntax_error", at, what)
        kind = str(match.lastgroup)
        content = match[kind]
        if kind == "name" and len(content) > LONGEST_NAME:
            raise ExpressionError("too_complex", match.start(kind), f"a name has at most {LONGEST_NAME} characters")
        found.append(_Token("word" if kind == "name" and content in _WORDS else kind, content, match.start(kind)))
        at = match.end()
    return [*found, _Token("end", "", end)]


def _quoted(token: _Token) -> str:
    """Return a token for a message, its beginning where it is long."""
    if not token.text:
        return "the end"
    return repr(token.text if len(token.text) <= 40 else f"{token.text[:40]}…")


@lru_cache(maxsize=1024)
def parse(text: str, /) -> Node:
    """Return the tree of an expression.

    :raises ExpressionError: ``syntax_error`` or ``too_complex``, with its place.

    >>> parse("1 + 2").sign
    '+'
    """
    if len(text) > LONGEST:
        raise ExpressionError("too_complex", LONGEST, f"an expression has at most {LONGEST} characters")
    parser = _Parser(_tokens(text))
    tree = parser.expression()
    parser.demand_end()
    return tree


class _Parser:
    """Recursive descent over the tokens: a method for each rule of the grammar."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._index = 0
        self._depth = -1  # the expression itself stands in nothing
        self._size = 0

    def expression(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise ExpressionError("too_complex", self._next.at, f"parentheses and calls stand at most {DEEPEST} deep")
        left = self._and()
        while self._taken("word", "or"):
            left = self._made(Binary(left.at, "or", left, self._and()))
        self._depth -= 1
        return left

    def demand_end(self) -> None:
        if self._next.kind != "end":
            raise ExpressionError("syntax_error", self._next.at, f"{_quoted(self._next)} stands where the expression should end")

    @property
    def _next(self) -> _Token:
        return self._tokens[self._index]

    def _taken(self, kind: str, text: str) -> bool:
        if self._next.kind == kind and self._next.text == text:
            self._index += 1
            return True
        return False

    def _demand(self, text: str) -> None:
        if not self._taken("sign", text):
            raise ExpressionError("syntax_error", self._next.at, f"{text!r} is expected, not {_quoted(self._next)}")

    def _made(self, node: _N) -> _N:
        self._size += 1
        if self._size > LARGEST:
            raise ExpressionError("too_complex", node.at, f"an expression has at most {LARGEST} parts")
        return node

    def _and(self) -> Node:
        left = self._not()
        while self._taken("word", "and"):
            left = self._made(Binary(left.at, "and", left, self._not()))
        return left

    def _not(self) -> Node:
        at, depth = self._next.at, 0
        while self._taken("word", "not"):
            depth += 1
        self._depth += depth
        if self._depth > DEEPEST:
            raise ExpressionError("too_complex", at, f"parentheses, calls and 'not' stand at most {DEEPEST} deep")
        node = self._comparison()
        self._depth -= depth
        for _ in range(depth):
            node = self._made(Unary(at, "not", node))
        return node

    def _comparison(self) -> Node:
        left = self._sum()
        if self._next.kind == "sign" and self._next.text in _COMPARISONS:
            sign = self._next.text
            self._index += 1
            return Binary(left.at, sign, left, self._made(self._sum()))
        negated = self._next.text == "not" and self._tokens[self._index + 1].text == "in"
        if negated:
            self._index += 1
        if self._taken("word", "in"):
            self._demand("[")
            items = [self._literal()]
            while self._taken("sign", ","):
                items.append(self._literal())
            self._demand("]")
            return Membership(left.at, left, tuple(items), negated)
        return left

    def _sum(self) -> Node:
        left = self._product()
        while self._next.kind == "sign" and self._next.text in "+-&":
            sign = self._next.text
            self._index += 1
            left = self._made(Binary(left.at, sign, left, self._product()))
        return left

    def _product(self) -> Node:
        left = self._unary()
        while self._next.kind == "sign" and self._next.text in "*/%":
            sign = self._next.text
            self._index += 1
            left = self._made(Binary(left.at, sign, left, self._unary()))
        return left

    def _unary(self) -> Node:
        at = self._next.at
        if self._taken("sign", "-"):
            self._depth += 1
            if self._depth > DEEPEST:
                raise ExpressionError("too_complex", at, f"signs stand at most {DEEPEST} deep")
            node = self._made(Unary(at, "-", self._unary()))
            self._depth -= 1
            return node
        return self._primary()

    def _primary(self) -> Node:
        token = self._next
        if self._taken("sign", "("):
            node = self.expression()
            self._demand(")")
            return node
        if token.kind == "name":
            self._index += 1
            return self._call(token) if self._taken("sign", "(") else self._field(token)
        return self._literal()

    def _call(self, name: _Token) -> Node:
        arguments: list[Node] = []
        if not self._taken("sign", ")"):
            arguments.append(self.expression())
            while self._taken("sign", ","):
                arguments.append(self.expression())
            self._demand(")")
        return self._made(Call(name.at, name.text, tuple(arguments)))

    def _field(self, name: _Token) -> Node:
        parts = [name.text]
        while self._taken("sign", "."):
            if self._next.kind not in ("name", "word"):
                raise ExpressionError("syntax_error", self._next.at, "a name is expected after the dot")
            parts.append(self._next.text)
            self._index += 1
        path = ".".join(parts)
        if len(path) > LONGEST_PATH:
            raise ExpressionError("too_complex", name.at, f"the path of a field has at most {LONGEST_PATH} characters")
        return self._made(Field(name.at, path))

    def _literal(self) -> Literal:
        token = self._next
        at = token.at
        if token.kind == "sign" and token.text == "-" and self._tokens[self._index + 1].kind == "number":
            self._index += 2
            return self._made(Literal(at, -Decimal(self._tokens[self._index - 1].text)))
        value: Decimal | str | bool | None
        if token.kind == "number":
            value = Decimal(token.text)
        elif token.kind == "text":
            value = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], token.text[1:-1])
        elif token.kind == "word" and token.text in ("true", "false", "null"):
            value = {"true": True, "false": False, "null": None}[token.text]
        else:
            raise ExpressionError("syntax_error", at, f"a value is expected, not {_quoted(token)}")
        self._index += 1
        return self._made(Literal(at, value))


def walk(node: Node, /) -> list[Node]:
    """Return a tree's nodes, each before what it consists of."""
    found: list[Node] = []
    stack = [node]
    while stack:
        one = stack.pop()
        found.append(one)
        match one:
            case Unary(operand=operand):
                stack.append(operand)
            case Binary(left=left, right=right):
                stack += [right, left]
            case Membership(value=value, items=items):
                stack += [*reversed(items), value]
            case Call(arguments=arguments):
                stack += reversed(arguments)
    return found


def chain(node: Binary, /) -> tuple[Sequence[Binary], Node]:
    """Return the pairs of ``a + b + c ...`` from the left, and what the first begins with."""
    spine, first = [node], node.left
    while isinstance(first, Binary):
        spine.append(first)
        first = first.left
    return spine[::-1], first


def fields_of(node: Node, /) -> list[str]:
    """Return the paths of the fields that an expression names, each once, in the order of their first place."""
    return list(dict.fromkeys(n.path for n in walk(node) if isinstance(n, Field)))


def functions_of(node: Node, /) -> list[str]:
    """Return the names of the functions that an expression calls, each once."""
    return list(dict.fromkeys(n.name for n in walk(node) if isinstance(n, Call)))
