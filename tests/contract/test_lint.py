"""Lint as a whole: its messages, its order, what stays open, and what it says of broken contracts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crm_reference.contract import Contract, load
from crm_reference.contract.lint import RULES, SUBJECTS, lint, open_references
from crm_reference.contract.lint.registry import rule

MANIFEST = "source_specs/berths/service.yaml"
Edit = Callable[[str, str, str], int]


class TestRules:
    def test_have_a_sentence_and_a_home(self) -> None:
        homes = {module.__name__.rpartition(".")[2] for module in SUBJECTS}

        assert homes == {r.home for r in RULES.values()}
        assert [r.id for r in RULES.values() if not r.says.endswith((".", "'"))] == []

    def test_have_one_home_each(self) -> None:
        with pytest.raises(ValueError, match="two rules"):
            rule("openapi.head")(lambda survey: [])


class TestMessages:
    def test_name_file_line_and_rule(self, harbour: Path, edit: Edit) -> None:
        edit("examples/berths.yaml", "'#/code': berth_not_free}", "'#/code': conflict}")

        assert (
            "source_specs/berths/openapi.yaml:319: reserveBerth declares berth_not_free and no exchange answers it; "
            "add one to examples/berths.yaml [coverage.errors]"
        ) in map(str, lint(load(harbour)))

    def test_are_in_order(self, harbour: Path, edit: Edit) -> None:
        edit("source_specs/berths/openapi.yaml", "summary: Count berths", "summary: Counts berths.")
        edit("source_specs/berths/openapi.yaml", "summary: Create a berth", "summary: Creates a berth")
        edit(MANIFEST, "slug: berths\n", "slug: piers\n")

        found = lint(load(harbour))

        assert found == sorted(found, key=lambda f: (f.place.document.name, f.place.line, f.rule, f.message))
        assert [f.rule for f in found] == ["prose.summary", "prose.summary", "prose.summary", "manifest.slug"]

    def test_can_be_of_one_service(self, harbour: Path, edit: Edit) -> None:
        edit(MANIFEST, "slug: berths\n", "slug: piers\n")

        assert [f.rule for f in lint(load(harbour), service="berths")] == ["manifest.slug"]
        assert lint(load(harbour), service="piers") == []


class TestOpenReferences:
    def test_are_no_findings(self, harbour: Path, edit: Edit) -> None:
        edit(
            *(MANIFEST, "calls: []"),
            "calls:\n  - {service: accounts, operation: getAccount, why: To show who holds it, mode: degradable, "
            "timeout_ms: 100, retries: 1, fallback: The name is left out}",
        )
        heard = "{event: crm.account.deleted.v1, service: accounts, effect: Its berths become free}"
        edit(MANIFEST, "  hears: []", f"  hears:\n    - {heard}")
        loaded = load(harbour)

        assert lint(loaded) == []
        assert [f.rule for f in open_references(loaded)] == ["open.collection", "open.call", "open.event"]


class TestBrokenContracts:
    def test_dangling_references_are_said_alone(self, harbour: Path, edit: Edit) -> None:
        edit("source_specs/berths/asyncapi.yaml", "#/components/schemas/BerthRemains'", "#/components/schemas/Wreck'")

        assert [f.rule for f in lint(load(harbour))] == ["ref.dangling"]

    def test_two_services_must_not_share_names(self, harbour: Path) -> None:
        source = harbour / "source_specs/berths"
        twin = harbour / "source_specs/piers"
        twin.mkdir()
        for file in source.iterdir():
            (twin / file.name).write_bytes(file.read_bytes())

        rules = {f.rule for f in lint(load(harbour), service="piers")}

        assert {"name.operation", "name.schema", "name.segment", "name.scope", "name.prefix", "event.name", "errors.used"} <= rules
        assert {"resource.path", "manifest.slug"} <= rules


def test_real_specs_have_no_dangling_references(contract: Contract) -> None:
    assert [str(f) for f in lint(contract) if f.rule == "ref.dangling"] == []
