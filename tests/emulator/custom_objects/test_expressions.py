"""The expression language: what is read, what is refused and where, and what comes out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from crm_reference.emulator.custom_fields import formulas, functions, grammar
from crm_reference.emulator.custom_fields.beginning import formatted
from crm_reference.emulator.custom_fields.checking import Checker
from crm_reference.emulator.custom_fields.evaluating import Evaluation, sample_lookup, to_json
from crm_reference.emulator.custom_fields.functions import FUNCTIONS
from crm_reference.emulator.custom_fields.grammar import ExpressionError
from crm_reference.emulator.custom_fields.scope import Operand

NOW = "2026-01-05T09:00:00Z"
KINDS = {"n": "number", "t": "text", "b": "boolean", "d": "date", "i": "date_time", "l": "list", "p": "place"}
FIELDS = {name: Operand(name, kind) for name, kind in KINDS.items()}


def value_of(text: str, /, **values: Any) -> Any:
    return to_json(Evaluation(NOW, sample_lookup(KINDS, values)).value(grammar.parse(text)))


def problems_of(text: str, /, purpose: str = "rule") -> list[str]:
    checker = Checker(None, FIELDS, purpose=purpose)
    checker.type(grammar.parse(text))
    return [p.code for p in checker.problems]


class TestReading:
    @pytest.mark.parametrize("text", ["1 +", "(1", "'abc", "1 2", "a.", "n in [n]", "f(1,)", "1 < 2 < 3", "n ? 1"])
    def test_unreadable(self, text: str) -> None:
        with pytest.raises(ExpressionError) as refused:
            grammar.parse(text)

        assert refused.value.code == "syntax_error"
        assert 0 <= refused.value.at <= len(text)

    @pytest.mark.parametrize(
        "text",
        [
            "1" * (grammar.LONGEST + 1),
            "(" * 31 + "1" + ")" * 31,
            "-" * 31 + "1",
            "not " * 31 + "b",
            "+".join(["1"] * 200),
            "n" * 61,
            ".".join(["name" * 10] * 4),
        ],
    )
    def test_too_complex(self, text: str) -> None:
        with pytest.raises(ExpressionError) as refused:
            grammar.parse(text)

        assert refused.value.code == "too_complex"

    def test_place_counts_lines_and_columns_from_one(self) -> None:
        assert grammar.place_of("n +\n  tonnage", 6) == (2, 3)

    def test_names_in_the_order_of_the_text(self) -> None:
        tree = grammar.parse("if(b, n, coalesce(n, len(t)))")

        assert grammar.fields_of(tree) == ["b", "n", "t"]
        assert grammar.functions_of(tree) == ["if", "coalesce", "len"]

    def test_escapes_in_texts(self) -> None:
        assert value_of(r'"a\"b\\c\nd"') == 'a"b\\c\nd'


class TestChecking:
    @pytest.mark.parametrize("function", FUNCTIONS.values(), ids=lambda function: function.name)
    def test_examples_of_functions_fit(self, function: functions.Function) -> None:
        fields = {**FIELDS, "ports": Operand("ports", "list"), "flag": Operand("flag", "text")}
        checker = Checker(None, {**fields, "gross_tonnage": Operand("gross_tonnage", "number")})
        kind = checker.type(grammar.parse(function.example))

        assert not checker.problems
        assert function.gives in (kind, "same")

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("m + 1", "unknown_field"),
            ("Len(t)", "unknown_function"),
            ("len()", "wrong_argument_count"),
            ("case(t, 'a', 1, 'b', 2)", "wrong_argument_count"),
            ("n + t", "wrong_argument_type"),
            ("n = t", "wrong_argument_type"),
            ("b < true", "wrong_argument_type"),
            ("l = l", "wrong_argument_type"),
            ("if(b, 1, 'x')", "wrong_argument_type"),
            ("case(t, 1, 2, 3)", "wrong_argument_type"),
            ("p = 1", "wrong_argument_type"),
            ("is_changed(1)", "wrong_argument_type"),
            ("t.length > 1", "unknown_field"),
            ("t in [1]", "wrong_argument_type"),
        ],
    )
    def test_refused(self, text: str, code: str) -> None:
        assert problems_of(text) == [code]

    def test_writes_are_known_to_rules_alone(self) -> None:
        assert problems_of("is_new()") == []
        assert problems_of("is_new()", purpose="formula") == ["not_allowed_here"]

    def test_parts_of_a_place(self) -> None:
        assert problems_of("p.latitude > 50") == []


class TestEvaluating:
    @pytest.mark.parametrize(
        ("text", "value"),
        [("0.1 + 0.2", 0.3), ("-7 % 3", 2), ("7 % -3", -2), ("1 / 0", None), ("2 * -3", -6), ("1 / 3 * 3 = 1", False)],
    )
    def test_numbers(self, text: str, value: Any) -> None:
        assert value_of(text) == value

    @pytest.mark.parametrize(
        ("text", "value"),
        [("b and false", False), ("b or true", True), ("b and true", None), ("not b", None), ("t & 'x'", "x"), ("t = null", True)],
    )
    def test_blanks(self, text: str, value: Any) -> None:
        assert value_of(text) == value

    def test_dates_among_instants(self) -> None:
        assert value_of("d < i", d="2026-01-05", i="2026-01-05T00:00:01Z") is True

    @pytest.mark.parametrize(("text", "value"), [("today()", "2026-01-05"), ("now()", NOW), ("add_days(i, 1)", None)])
    def test_times(self, text: str, value: Any) -> None:
        assert value_of(text) == value

    def test_values_of_another_type_are_blank(self) -> None:
        assert value_of("n + 1", n="many") is None
        assert value_of("d > date(2026, 1, 1)", d="soon") is None

    def test_before_and_after(self) -> None:
        now, before = sample_lookup(KINDS, {"n": 2}), sample_lookup(KINDS, {"n": 1})

        assert Evaluation(NOW, now, before).value(grammar.parse("is_changed(n) and previous(n) = 1 and not is_new()")) is True
        assert Evaluation(NOW, now).value(grammar.parse("is_changed(n) and is_blank(previous(n)) and is_new()")) is True

    @pytest.mark.parametrize(
        ("text", "value"), [("like(t, '*****a')", True), ("like(t, 'b*n?n*')", True), ("like(t, 'b*n')", False)]
    )
    def test_forms_with_many_stars(self, text: str, value: bool) -> None:
        assert value_of(text, t="banana") is value

    def test_form_that_would_take_for_ever(self) -> None:
        assert value_of("like(t, '*a*a*a*a*ab')", t="a" * 200) is False


class TestShaping:
    @pytest.mark.parametrize(
        ("value", "kind", "shaped"),
        [("2.345", "currency", "2.35"), ("2.5", "integer", 3), ("-2.5", "integer", -3), ("2.345", "decimal", 2.35)],
    )
    def test_kinds(self, value: str, kind: str, shaped: Any) -> None:
        assert formulas.shaped(Decimal(value), kind, 2) == shaped

    @pytest.mark.parametrize(("operation", "value"), [("sum", Decimal(0)), ("min", None), ("max", None), ("average", None)])
    def test_of_nothing(self, operation: str, value: Any) -> None:
        assert formulas.aggregate(operation, [None, None]) == value

    def test_numbers_are_never_cut(self) -> None:
        assert formatted("PC-{000}", 12345) == "PC-12345"


class TestHostileExpressions:
    """What came to mind to make the language fail, hang or swell."""

    @pytest.mark.parametrize(
        "text",
        [
            "1000000000000000 % to_number('0.00000000000000000001')",
            "9" * 1900 + " % 3",
            "round(" + "9" * 1900 + ", 10)",
            "-" + "9" * 1900,
            "1 / 0." + "0" * 1900 + "1",
            "add_months(date(9999, 12, 31), 999999999999999)",
            "to_date('20260105')",
            "to_date('2026-W01-1')",
            "to_number('\N{ARABIC-INDIC DIGIT THREE}')",
            "like('a', '" + "*a" * 200 + "')",
        ],
    )
    def test_what_cannot_be_computed_is_blank(self, text: str) -> None:
        assert value_of(text) is None

    @pytest.mark.parametrize("text", [" and ".join(["b"] * 149), " + ".join(["1"] * 149), "not " * 30 + "b"])
    def test_long_chains_take_no_stack(self, text: str) -> None:
        assert problems_of(text) == []
        assert value_of(text, b=True) is not None

    def test_not_and_parentheses_count_together(self) -> None:
        with pytest.raises(ExpressionError) as refused:
            grammar.parse("not not (" * 15 + "b" + ")" * 15)

        assert refused.value.code == "too_complex"

    @pytest.mark.parametrize(
        ("text", "form", "wanted"),
        [
            ("", "", True),
            ("", "*", True),
            ("abc", "a*c", True),
            ("abc", "*b*", True),
            ("abcabd", "*ab?", True),
            ("aa", "a*a*a", False),
            ("a.c", "a.c", True),
            ("abc", "a.c", False),
            ("x\ny", "x?y", True),
            ("ab", "*a", False),
            ("PC-7", "@@-#", True),
        ],
    )
    def test_likeness(self, text: str, form: str, *, wanted: bool) -> None:
        assert functions.like(text, form) is wanted

    def test_a_text_that_is_replaced_stays_bounded(self) -> None:
        assert value_of("len(replace(t, 'a', t))", t="a" * 5000) == functions.LONGEST_TEXT
        assert value_of("replace(t, 'aa', 'b')", t="a" * 5) == "bba"
