"""What an exchange expects of, or takes from, a URL's query: the code of a redirect, for instance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from crm_reference.contract import Contract, load
from crm_reference.exchanges.compose import Composer
from crm_reference.exchanges.errors import ExchangeError
from crm_reference.exchanges.replay import Answer, compare

REDIRECT = "https://tideplanner.example/callback?code=x7&state=a%20b"


@pytest.fixture
def answer(harbour) -> Answer:
    contract: Contract = load(harbour)
    exchange = replace(next(iter(contract.exchanges.values())), expect={"status": 303})
    body = {"redirect_to": REDIRECT}
    return Answer(exchange, None, 303, {"Location": REDIRECT}, body, (), ())  # type: ignore[arg-type]  # nothing was sent


@pytest.mark.parametrize(
    ("key", "wanted", "differs"),
    [
        ("header:Location?code", "x7", False),
        ("header:location?state", "a b", False),
        ("#/redirect_to?code", "x7", False),
        ("header:Location?error", None, False),
        ("header:Location?code", "x8", True),
        ("#/redirect_to?error", "access_denied", True),
    ],
)
def test_an_expectation_looks_into_the_query(answer: Answer, key: str, wanted: Any, differs: bool) -> None:
    found = compare(answer, {"status": 303, key: wanted})

    assert bool(found) == differs


@pytest.mark.parametrize("mark", ["@Location", "#/redirect_to"])
def test_a_reference_takes_one_parameter(answer: Answer, mark: str) -> None:
    composer = Composer(lambda principal: "", lambda name: (answer.body, answer.headers))

    assert composer.fill(answer.exchange, f"${{createBerth/some{mark}?code}}") == "x7"
    with pytest.raises(ExchangeError):
        composer.fill(answer.exchange, f"${{createBerth/some{mark}?nothing}}")
