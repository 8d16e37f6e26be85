"""What policies say, beyond the published vectors: what is refused when a policy is written, and what holds of every request."""

from __future__ import annotations

from typing import Any

import pytest

from crm_reference.emulator.services.security.policy_rules import ATTRIBUTES, OPERATORS, applies, decide, fault, holds


def _condition(attribute: str, operator: str, **members: Any) -> dict[str, Any]:
    return {"attribute": attribute, "operator": operator, **members}


class TestFault:
    """Tests of what a condition must be."""

    @pytest.mark.parametrize(
        "condition",
        [
            _condition("user.id", "eq", value="usr_1"),
            _condition("user.id", "ne", other_attribute="record.owner_id"),
            _condition("user.role_keys", "in", values=["viewer"]),
            _condition("context.hour", "gte", value=20),
            _condition("context.address", "in_network", values=["10.0.0.0/8", "2001:db8::/32"]),
            _condition("context.has_second_factor", "is_not_set"),
            _condition("record.anything.at_all", "lt", value="text"),
        ],
    )
    def test_sense(self, condition: dict[str, Any]) -> None:
        assert fault(condition) == ("", "")

    @pytest.mark.parametrize(
        ("condition", "member"),
        [
            (_condition("user.shoe_size", "eq", value=44), "attribute"),
            (_condition("context.hour", "contains", value=2), "operator"),
            (_condition("user.id", "eq"), "operator"),
            (_condition("user.id", "eq", value="usr_1", values=["usr_1"]), "operator"),
            (_condition("user.id", "is_set", value="usr_1"), "operator"),
            (_condition("user.role_keys", "in", value="viewer"), "operator"),
            (_condition("context.hour", "eq", value="nine"), "value"),
            (_condition("context.hour", "eq", value=True), "value"),
            (_condition("context.has_second_factor", "eq", value=1), "value"),
            (_condition("user.country", "in", values=["NL", 31]), "values"),
            (_condition("context.address", "in_network", values=["10.0.0.1/8"]), "values"),
        ],
    )
    def test_nonsense_is_found_at_its_member(self, condition: dict[str, Any], member: str) -> None:
        detail, found = fault(condition)

        assert detail
        assert found == member

    def test_every_attribute_takes_an_operator(self) -> None:
        assert {kind for kind, _ in ATTRIBUTES.values()} <= set(OPERATORS)


class TestHolds:
    """Tests of comparisons at their edges."""

    @pytest.mark.parametrize("operator", ["eq", "in", "lt", "lte", "gt", "gte", "contains", "in_network", "is_set"])
    def test_absent_attribute_meets_nothing(self, operator: str) -> None:
        values = {"in": {"values": ["x"]}, "in_network": {"values": ["10.0.0.0/8"]}, "is_set": {}}

        assert not holds(_condition("user.country", operator, **values.get(operator, {"value": "x"})), {})

    @pytest.mark.parametrize("operator", ["ne", "not_in", "is_not_set"])
    def test_absent_attribute_meets_negations(self, operator: str) -> None:
        values = {"not_in": {"values": ["x"]}, "is_not_set": {}}

        assert holds(_condition("user.country", operator, **values.get(operator, {"value": "x"})), {})

    def test_no_order_between_types(self) -> None:
        request = {"context": {"hour": True}}

        assert not holds(_condition("context.hour", "gte", value=0), request)


def test_no_group_applies_to_nobody() -> None:
    policy = {"effect": "deny", "object_types": ["contact"], "actions": ["read"], "any_of": []}

    assert not applies(policy, {"action": "read", "object_type": "contact"})


def test_policy_without_id_is_not_named() -> None:
    group = {"all_of": [_condition("user.id", "is_not_set")]}
    policy = {"effect": "deny", "object_types": ["contact"], "actions": ["read"], "any_of": [group]}

    assert decide({"policies": [policy], "request": {"action": "read", "object_type": "contact"}}) == {"decision": "deny"}
