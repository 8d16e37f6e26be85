"""What holds of every decision about an address, and of every join of a policy with its overrides."""

from __future__ import annotations

import ipaddress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from crm_reference.emulator.services.security import networks
from crm_reference.emulator.services.security.sign_in_policies import strictest

NOW = "2026-01-05T09:00:00Z"

_NETWORKS = st.builds(
    lambda number, prefix: str(ipaddress.ip_network((number, prefix), strict=False)),
    st.integers(0xC0000200, 0xC00002FF),
    st.integers(20, 32),
)
_RULES = st.lists(
    st.tuples(_NETWORKS, st.sampled_from(["allow", "deny", "trust"]), st.booleans()), unique_by=lambda rule: rule[0], max_size=8
)
_ADDRESSES = st.integers(0xC0000200, 0xC00002FF).map(lambda number: str(ipaddress.ip_address(number)))


def _asked(rules: list[tuple[str, str, bool]], address: str) -> dict[str, Any]:
    listed = [
        {"id": f"ipr_{i}", "network": network, "effect": effect, "is_enabled": enabled}
        for i, (network, effect, enabled) in enumerate(rules)
    ]
    return {"rules": listed, "address": address, "role_ids": None, "now": NOW}


@given(_RULES, _ADDRESSES)
def test_order_of_rules_does_not_matter(rules: list[tuple[str, str, bool]], address: str) -> None:
    asked = _asked(rules, address)

    assert networks.decide(asked) == networks.decide({**asked, "rules": asked["rules"][::-1]})


@given(_RULES, _ADDRESSES)
def test_trusted_is_allowed_by_a_rule(rules: list[tuple[str, str, bool]], address: str) -> None:
    decided = networks.decide(_asked(rules, address))

    assert not decided["is_trusted"] or (decided["is_allowed"] and decided["reason"] == "rule")
    assert ("ip_rule_id" in decided) == (decided["reason"] == "rule")


@given(_RULES, _ADDRESSES)
def test_one_rule_for_the_address_alone_decides(rules: list[tuple[str, str, bool]], address: str) -> None:
    others = [rule for rule in rules if rule[0] != f"{address}/32"]

    decided = networks.decide(_asked([*others, (f"{address}/32", "deny", True)], address))

    assert not decided["is_allowed"]
    assert decided["ip_rule_id"] == f"ipr_{len(others)}"


@given(st.lists(st.tuples(st.sampled_from(["rol_1", "rol_2"]), st.integers(8, 64)), max_size=4))
def test_no_override_makes_a_policy_weaker(overrides: list[tuple[str, int]]) -> None:
    policy = {"min_length": 12, "overrides": [{"role_id": role, "min_length": length} for role, length in overrides]}

    settings = strictest({"policy": policy, "role_ids": ["rol_1", "rol_2"]})["settings"]

    assert settings["min_length"] == max([12, *(length for _, length in overrides)])
