"""Sequence diagrams of exchanges, without a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from crm_reference.contract import Contract, load
from crm_reference.emulator import Engine, session
from crm_reference.sphinx.sequences import Step, draw_sequence, parse_step, steps_of
from crm_reference.trace.evidence import Hit, Result

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


class TestCalled:
    """What a narrative really called."""

    @staticmethod
    def _block(number: int, *hits: Hit) -> Result:
        return Result(f"guide#{number}", "docs/guide.md:1", "passed", "narrative", hits)

    def test_calls_neighbours_and_events_are_drawn_in_order(self, harbour_contract: Contract) -> None:
        title = harbour_contract.services["berths"].title
        made = Hit("createBerth", 201, True, (("berths", "berths", "getBerth"),), ("crm.berth.created.v1",))

        steps = steps_of([self._block(1, made), self._block(2, Hit("listBerths", 200, True))], harbour_contract, "Maya")

        assert [(s.caller, s.called, s.text, s.is_call) for s in steps] == [
            ("Maya", title, "POST /berths → 201", True),
            (title, "Events", "berth.created", False),
            ("Maya", title, "GET /berths → 200", True),
        ]

    def test_the_engine_notes_calls_and_events(self, harbour_contract: Contract) -> None:
        engine = Engine(harbour_contract)
        session(engine, "maya").post("/v1/berths", json={"name": "Long Quay"})

        assert engine.hits[-1].events == ("crm.berth.created.v1",)
