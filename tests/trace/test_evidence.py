from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from crm_reference.contract import load
from crm_reference.trace import Hit, LawEntry, evidence_key, gate, read_laws, read_results, write_laws
from crm_reference.trace.evidence import LAWS, RESULTS

ENTRY = {
    "example": "getBerth/one",
    "place": "examples/berths.yaml:9",
    "outcome": "passed",
    "kind": "exchange",
    "hits": [{"operation": "getBerth", "status": 200, "live": True}],
    "hash": "abc",
}


class TestResults:
    def test_reads_what_the_doctest_builder_writes(self, tmp_path: Path) -> None:
        path = tmp_path / "results.json"
        path.write_text(json.dumps([ENTRY]), encoding="utf-8")
        results = read_results(path)

        assert results is not None
        assert (Hit("getBerth", 200, True),) == results["getBerth/one"].hits
        assert results["getBerth/one"].passed
        assert results["getBerth/one"].reached("getBerth", live=True)

    @pytest.mark.parametrize("text", [None, "", "{", '[{"example": "x"}]', "[1]"])
    def test_what_is_not_whole_is_no_evidence(self, tmp_path: Path, text: str | None) -> None:
        path = tmp_path / "results.json"
        if text is not None:
            path.write_text(text, encoding="utf-8")

        assert read_results(path) is None


class TestLaws:
    def test_survive_writing_and_reading(self, tmp_path: Path, berths: Any) -> None:
        entries = [LawEntry("no-token", "getBerth", "passed"), LawEntry("mirror", "berths", "failed", "a gap")]
        path = tmp_path / "laws" / "results.json"
        write_laws(path, berths, entries)
        first = path.read_bytes()
        write_laws(path, berths, reversed(entries))

        assert first == path.read_bytes()
        assert {"no-token": (entries[0],), "mirror": (entries[1],)} == read_laws(path, berths)

    def test_of_another_contract_are_no_evidence(self, tmp_path: Path, harbour: Path) -> None:
        path = tmp_path / "results.json"
        write_laws(path, load(harbour, cache=False), [LawEntry("no-token", "getBerth", "passed")])
        with (harbour / "examples" / "berths.yaml").open("a", encoding="utf-8") as file:
            file.write("# another contract\n")

        assert read_laws(path, load(harbour, cache=False)) is None

    def test_key_depends_on_content_alone(self, harbour: Path) -> None:
        assert evidence_key(load(harbour)) == evidence_key(load(harbour, cache=False))

    @pytest.mark.parametrize("text", [None, "{", "{}", "[]"])
    def test_what_is_not_whole_is_no_evidence(self, tmp_path: Path, berths: Any, text: str | None) -> None:
        path = tmp_path / "results.json"
        if text is not None:
            path.write_text(text, encoding="utf-8")

        assert read_laws(path, berths) is None


def test_gate_reads_all_from_disk(harbour: Path, evidence: Any) -> None:
    contract = load(harbour)
    (harbour / "docs" / "told.md").write_text(
        "# Told\n\n```{crm:covers}\n" + "\n".join(f.id for f in contract.facets()) + "\n```\n", encoding="utf-8"
    )
    results = [
        {**ENTRY, "example": e, "hits": [{"operation": e.partition("/")[0], "status": 200, "live": True}]}
        for e in contract.exchanges
    ]
    (harbour / RESULTS).parent.mkdir(parents=True)
    (harbour / RESULTS).write_text(json.dumps(results), encoding="utf-8")
    write_laws(harbour / LAWS, contract, [entry for entries in evidence.laws.values() for entry in entries])

    assert gate(harbour).gaps == ()
