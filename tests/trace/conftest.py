"""Evidence that covers everything in harbour, to take one piece away from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from crm_reference.contract import Contract, Exchange, Recorded, load
from crm_reference.trace import Context, Hit, LawEntry, Report, Result, Section, Verdict, assess, decide
from crm_reference.trace.evidence import group_laws
from crm_reference.trace.rules.laws import LAWS
from crm_reference.trace.universal import known_rules, load_rules

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Evidence:
    """A contract with all that speaks for it; tests change a member and look at the report."""

    contract: Contract
    results: dict[str, Result] | None
    laws: dict[str, tuple[LawEntry, ...]] | None
    sections: dict[str, tuple[Section, ...]]
    context: dict[str, Any] = field(default_factory=dict)

    def verdict(self, rule: str) -> Verdict:
        made = Context(self.contract, self.results, self.laws, **self.context)
        return decide(made, [rule])[rule]

    def report(self, *, complete: bool | None = None) -> Report:
        made = Context(self.contract, self.results, self.laws, **self.context)
        verdicts = decide(made, (f.rule for f in self.contract.facets() if f.rule))
        return assess(self.contract, self.sections, self.results, verdicts, complete=complete)

    def messages(self, rule: str) -> list[str]:
        return [v.message for v in self.verdict(rule).violations]

    def subtypes(self) -> set[str]:
        return {gap.subtype.value for gap in self.report().gaps}

    def service(self, **changes: Any) -> None:
        """Change members of harbour's service."""
        services = {"berths": replace(self.contract.services["berths"], **changes)}
        self.contract = replace(self.contract, services=services)

    def manifest(self, **changes: Any) -> None:
        self.service(manifest=replace(self.contract.services["berths"].manifest, **changes))

    def operation(self, name: str, **changes: Any) -> None:
        operations = self.contract.services["berths"].operations
        self.service(operations=tuple(replace(o, **changes) if o.id == name else o for o in operations))

    def exchange(self, name: str, **changes: Any) -> None:
        exchanges = dict(self.contract.services["berths"].exchanges)
        exchanges[name] = replace(exchanges[name], **changes)
        self.service(exchanges=exchanges)

    def answer(self, name: str, body: Any, **changes: Any) -> None:
        """Give an exchange a recorded answer."""
        exchange = self.contract.exchanges[name]
        recorded = Recorded(
            "POST",
            "/v1/berths",
            {},
            exchange.request.body,
            changes.pop("status", exchange.status),
            {},
            body,
            changes.pop("events", ()),
        )
        self.exchange(name, recorded=recorded, **changes)

    def facet(self, name: str, **changes: Any) -> None:
        requirements = dict(self.contract.requirements)
        requirements[name] = replace(requirements[name], **changes)
        self.contract = replace(self.contract, requirements=requirements)

    def law(self, name: str, **changes: Any) -> None:
        """Change the first entry of a law."""
        assert self.laws is not None
        first, *rest = self.laws[name]
        self.laws = {**self.laws, name: (replace(first, **changes), *rest)}

    def result(self, name: str, **changes: Any) -> None:
        assert self.results is not None
        self.results = {**self.results, name: replace(self.results[name], **changes)}


def passing(exchange: Exchange, *, live: bool = True) -> Result:
    hit = Hit(exchange.operation, exchange.status, live)
    return Result(exchange.id, str(exchange.place), "passed", "exchange", (hit,))


def law_entries(contract: Contract) -> dict[str, tuple[LawEntry, ...]]:
    """Return a passing entry for each subject of each law, and as many as its floor where it finds its own."""
    found = []
    for law in LAWS.values():
        subjects = law.subjects_of(contract) or tuple(f"subject {n}" for n in range(law.floor))
        found += [LawEntry(law.name, subject, "passed") for subject in subjects]
    return group_laws(found)


def copy_harbour(target: Path) -> Path:
    """Copy harbour with the shared documents, without recorded answers: tests here bring their own."""
    ignore = shutil.ignore_patterns("recorded", "common", "_build")
    shutil.copytree(ROOT / "tests" / "projects" / "harbour", target, ignore=ignore)
    shutil.copytree(ROOT / "source_specs" / "common", target / "source_specs" / "common")
    return target


@pytest.fixture(scope="session")
def berths(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """Return harbour's contract."""
    load_rules()
    return load(copy_harbour(tmp_path_factory.mktemp("trace") / "harbour"), cache=False)


@pytest.fixture
def evidence(berths: Contract) -> Evidence:
    """Return evidence that covers every facet of harbour."""
    return full_evidence(berths)


def full_evidence(contract: Contract) -> Evidence:
    sections = {f.id: (Section("berths", 3, "Berths", "berths"),) for f in contract.facets()}
    results = {e.id: passing(e) for e in contract.exchanges.values()}
    return Evidence(contract, results, law_entries(contract), sections)


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Evidence]:
    """Return a function that replaces text in a copy of harbour and gives its full evidence."""

    def change(name: str, old: str, new: str) -> Evidence:
        load_rules()
        root = copy_harbour(tmp_path / "harbour")
        path = root / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name} doesn't have {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return full_evidence(load(root, cache=False))

    return change


@pytest.fixture(scope="session")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """Return the real catalogue with no service."""
    root = tmp_path_factory.mktemp("catalogue")
    shutil.copytree(ROOT / "source_specs" / "common", root / "source_specs" / "common")
    shutil.copy(ROOT / "source_specs" / "requirements.yaml", root / "source_specs")
    return load(root, cache=False)


@pytest.fixture
def rules() -> frozenset[str]:
    """Return the names of all universal rules."""
    load_rules()
    return known_rules()
