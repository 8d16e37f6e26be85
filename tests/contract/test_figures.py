"""Figures of the bundle: what they count, and that the project's own are as high as it promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crm_reference.contract import Contract, load
from crm_reference.contract.bundle import write_bundle
from crm_reference.contract.figures import Figure, figures, share, table
from crm_reference.trace.evidence import RESULTS
from crm_reference.trace.report import proof_figures

Change = Callable[[dict[str, Any]], None]

NAMES = (
    "request examples send every property and parameter",
    "each success status has an example",
    "each own error code has an example",
    "scopes, or the reason why it is public",
    "policy class",
    "requirement IDs",
    "what an implementer must guard against",
    "answer 429 (probes are asked by no client)",
    "description of 40 characters or more",
)
AVERAGES = ("distinct success examples an operation", "distinct error examples an operation")


@pytest.fixture(scope="module")
def real(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figure]:
    folder = tmp_path_factory.mktemp("bundle")
    write_bundle(contract, folder)
    return {f.name: f for f in figures(folder)}


@pytest.fixture
def bundle(harbour_original: Path, tmp_path: Path) -> Path:
    write_bundle(load(harbour_original), tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def count(bundle: Path) -> Callable[[str, Change], dict[str, Figure]]:
    """Return a function that changes one of the written documents and counts."""

    def run(name: str, change: Change) -> dict[str, Figure]:
        path = bundle / "berths" / name
        document = json.loads(path.read_bytes())
        change(document)
        path.write_text(json.dumps(document), encoding="utf-8")
        return {f.name: f for f in figures(bundle)}

    return run


def create(document: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = document["paths"]["/berths"]["post"]
    return operation


def remove(*keys: str) -> Change:
    """Return a change that takes something out of createBerth."""

    def change(document: dict[str, Any]) -> None:
        part = create(document)
        for key in keys[:-1]:
            part = part[key]
        del part[keys[-1]]

    return change


class TestProject:
    def test_counts_what_was_promised(self, real: dict[str, Figure]) -> None:
        assert list(real) == [*NAMES, *AVERAGES]

    @pytest.mark.parametrize("name", NAMES)
    def test_holds_of_every_operation(self, real: dict[str, Figure], name: str) -> None:
        assert real[name].lacking == ()
        assert real[name].of > 0

    @pytest.mark.parametrize(("name", "least"), [(AVERAGES[0], 1.3), (AVERAGES[1], 3.3)])
    def test_examples_are_more_than_others_publish(self, real: dict[str, Figure], name: str, least: float) -> None:
        assert real[name].value >= least
        assert real[name].holds

    def test_answers_are_computed_and_capabilities_proved(self, contract: Contract) -> None:
        root = contract.library.root
        if not (root / RESULTS).is_file():
            pytest.skip("the examples weren't run; build with the doctest builder first")
        live, proved = proof_figures(root, contract)

        assert live.value >= 0.95, live.lacking
        assert proved.lacking == ()
        assert proved.of > 0


class TestCounting:
    @pytest.mark.parametrize(
        ("figure", "change"),
        [
            (NAMES[0], remove("requestBody", "content", "application/json", "examples")),
            (NAMES[1], remove("responses", "201", "content", "application/json", "examples")),
            (NAMES[2], remove("responses", "409", "content", "application/problem+json", "examples")),
            (NAMES[3], lambda document: create(document).update(security=[])),
            (NAMES[4], remove("x-policy")),
            (NAMES[5], remove("x-requirements")),
            (NAMES[6], remove("x-security")),
            (NAMES[7], remove("responses", "429")),
            (NAMES[8], lambda document: create(document).update(description="Creates a berth.")),
        ],
        ids=NAMES,
    )
    def test_finds_what_is_lacking(self, count: Callable[[str, Change], dict[str, Figure]], figure: str, change: Change) -> None:
        found = count("openapi.json", change)[figure]

        assert [lack.partition(":")[0] for lack in found.lacking] == ["createBerth"]
        assert not found.holds

    def test_names_the_property_that_no_request_sends(self, count: Callable[[str, Change], dict[str, Figure]]) -> None:
        def change(document: dict[str, Any]) -> None:
            for example in create(document)["requestBody"]["content"]["application/json"]["examples"].values():
                example["value"].pop("tags", None)

        assert count("openapi.json", change)[NAMES[0]].lacking == ("createBerth: #/tags",)

    def test_names_the_parameter_that_no_request_sends(self, count: Callable[[str, Change], dict[str, Figure]]) -> None:
        def change(document: dict[str, Any]) -> None:
            for folder in document["item"]:
                for item in folder["item"]:
                    for answer in item["response"] if item["id"] == "createBerth" else ():
                        answer["originalRequest"]["header"] = []

        assert count("postman.json", change)[NAMES[0]].lacking == ("createBerth: header Idempotency-Key",)

    def test_status_without_a_body_needs_an_answer(self, count: Callable[[str, Change], dict[str, Figure]]) -> None:
        def change(document: dict[str, Any]) -> None:
            for folder in document["item"]:
                for item in folder["item"]:
                    item["response"] = [a for a in item["response"] if a["code"] != 204]

        assert "deleteBerth: 204" in count("postman.json", change)[NAMES[1]].lacking

    def test_counts_a_copy_once(self, bundle: Path, count: Callable[[str, Change], dict[str, Figure]]) -> None:
        before = {f.name: f for f in figures(bundle)}

        def change(document: dict[str, Any]) -> None:
            examples = create(document)["responses"]["201"]["content"]["application/json"]["examples"]
            examples["copy"] = examples["every-field"]

        assert before == count("openapi.json", change)


class TestFigure:
    def test_of_nothing_is_nothing(self) -> None:
        assert not share("berths", {}).holds

    def test_table_tells_what_is_lacking(self) -> None:
        found = (share("described", {"getBerth": "", "listBerths": "3 characters"}), Figure("examples", 7, 2, 1.3))

        assert list(table(found)) == [
            "described    50.0%  (1 of 2, at least 100%)",
            "  listBerths: 3 characters",
            "examples      3.50  (7 in 2, at least 1.30)",
        ]
