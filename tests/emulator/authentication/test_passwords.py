"""Passwords beyond the published vectors: what holds of every password, and of every run of wrong ones."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_reference.emulator.clock import iso
from crm_reference.emulator.services.authentication.bot_proofs import DIFFICULTY_BITS, is_solved
from crm_reference.emulator.services.authentication.locks import LONGEST_MINUTES, account_lock
from crm_reference.emulator.services.authentication.password_policy import PLATFORM, merged
from crm_reference.emulator.services.authentication.password_strength import BREACHED, breached_range, sha1, strength

_RULES = {"threshold": 5, "window_minutes": 15, "lock_minutes": 15}
_START = 1_767_603_600
_PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)


class TestStrength:
    @given(_PRINTABLE, _PRINTABLE)
    def test_a_longer_password_is_seldom_cheaper(self, password: str, more: str) -> None:
        shorter = strength({"password": password})["guesses_log10"]
        longer = strength({"password": f"{password}\x7f{more}"})["guesses_log10"]

        assert longer > shorter

    @given(_PRINTABLE)
    def test_words_of_the_person_make_it_no_dearer(self, password: str) -> None:
        alone = strength({"password": password})["guesses_log10"]

        assert strength({"password": password, "words": [password]})["guesses_log10"] <= max(alone, 1.3)

    def test_each_breached_password_is_in_its_range(self) -> None:
        for password, count in BREACHED.items():
            digest = sha1(password)

            assert {"suffix": digest[5:], "count": count} in breached_range(digest[:5])


class TestLocks:
    @given(st.lists(st.integers(0, 86_400), max_size=30), st.integers(0, 90_000))
    def test_a_lock_ends_within_a_day(self, instants: list[int], now: int) -> None:
        asked = {"failed_at": [iso(_START + i) for i in instants], **_RULES, "now": iso(_START + now)}
        found = account_lock(asked)

        assert found["failure_count"] < _RULES["threshold"]
        if found["is_locked"]:
            assert asked["now"] < found["lock_ends_at"] <= iso(_START + now + LONGEST_MINUTES * 60)

    @given(st.integers(5, 40))
    def test_guessing_on_makes_no_lock_longer(self, tries: int) -> None:
        instants = [iso(_START + i) for i in range(tries)]

        assert account_lock({"failed_at": instants, **_RULES, "now": instants[-1]})["lock_ends_at"] == iso(_START + 4 + 900)


class TestPolicy:
    @given(st.fixed_dictionaries({}, optional={name: st.integers(-5, 500) for name in PLATFORM}))
    def test_a_tenant_is_never_laxer(self, told: dict[str, int]) -> None:
        policy = merged(told)

        assert policy["minimum_length"] >= PLATFORM["minimum_length"]
        assert policy["minimum_score"] >= PLATFORM["minimum_score"]
        assert policy["history_count"] >= PLATFORM["history_count"]
        assert policy["lockout_threshold"] <= PLATFORM["lockout_threshold"]
        assert policy["is_breach_check_on"]


@pytest.mark.parametrize("challenge", ["a-tide", "an-ebb"])
def test_a_puzzle_has_a_solution_near(challenge: str) -> None:
    proof = {"challenge": challenge, "difficulty_bits": DIFFICULTY_BITS}
    solution = next(i for i in range(1 << 17) if is_solved({**proof, "solution": str(i)}))

    assert hashlib.sha256(f"{challenge}:{solution}".encode()).digest()[0] == 0
