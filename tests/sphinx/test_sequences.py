"""Sequence diagrams of exchanges, without a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_reference.contract import Contract, load
from crm_reference.sphinx.sequences import Step, draw_sequence, parse_step

LINES = ("Maya > Desk: asks for a berth", "", "Platform > Maya: a letter")


@pytest.fixture
def harbour_contract(harbour: Path) -> Contract:
    return load(harbour)


def _steps(contract: Contract) -> list[Step]:
    name = next(iter(contract.exchanges))
    lines = [LINES[0], f"Desk > Platform: {name}", LINES[2]]
    steps = [parse_step(line, contract) for line in lines]
    return [step for step in steps if isinstance(step, Step)]


def test_a_step_shows_method_path_and_answer(harbour_contract: Contract) -> None:
    exchange = next(iter(harbour_contract.exchanges.values()))
    operation = harbour_contract.operations[exchange.operation]

    step = parse_step(f"Desk > Platform: {exchange.id}", harbour_contract)

    assert isinstance(step, Step)
    assert step.text.startswith(f"{operation.method} /")
    assert step.text.endswith(f"→ {exchange.status}")


@pytest.mark.parametrize("line", ["Desk calls", "Desk > Platform: createBerth/no-such-exchange"])
def test_a_wrong_line_is_told(harbour_contract: Contract, line: str) -> None:
    assert isinstance(parse_step(line, harbour_contract), str)


def test_everybody_has_one_lifeline(harbour_contract: Contract) -> None:
    drawing = draw_sequence("Getting a berth", _steps(harbour_contract))

    assert [box.title for box in drawing.boxes] == ["Maya", "Desk", "Platform"]
    assert len(drawing.lines) == 3
    assert [edge.style for edge in drawing.edges] == ["async", "required", "async"]
    assert all(0 <= x <= drawing.width and y <= drawing.height for x, y, _ in drawing.headings)


def test_the_words_tell_what_the_arrows_show(harbour_contract: Contract) -> None:
    text = draw_sequence("Getting a berth", _steps(harbour_contract)).text

    assert text.startswith("Maya to Desk: asks for a berth.")
    assert "answered" in text
