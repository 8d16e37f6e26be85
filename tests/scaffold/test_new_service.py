"""A new service: what is written works at once, and lint says what its author must still write."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from crm_reference.contract import ContractError, load
from crm_reference.contract.lint import lint
from crm_reference.emulator import Engine, Request
from crm_reference.exchanges import check, record
from crm_reference.scaffold import new_service

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def catalogue(harbour: Path) -> Path:
    """Return the root of the small project with the real requirement catalogue."""
    shutil.copy(ROOT / "source_specs/requirements.yaml", harbour / "source_specs/requirements.yaml")
    return harbour


def slugs(root: Path, count: int) -> list[str]:
    """Return the first services of the catalogue that don't exist, those with a hyphen first."""
    contract = load(root)
    named = {r.service for r in contract.requirements.values() if r.kind == "criterion" and r.service}
    return sorted(named - set(contract.services), key=lambda slug: ("-" not in slug, slug))[:count]


def files(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file() and ".cache" not in p.parts}


def test_everything_that_is_written_is_named_and_nothing_else_changes(catalogue: Path) -> None:
    before = files(catalogue)
    written = new_service(catalogue, "custom-objects")
    after = files(catalogue)

    assert {p.as_posix() for p in written} == after.keys() - before.keys()
    assert {name: after[name] for name in before} == before
    assert not [name for name in after.keys() - before.keys() if b"$slug" in after[name] or b"${" in after[name]]


def test_operations_work_at_once(catalogue: Path) -> None:
    for slug in slugs(catalogue, 2):
        new_service(catalogue, slug)
        contract = load(catalogue)
        engine = Engine(contract)
        answers = {}
        for operation in contract.services[slug].operations:
            headers = {} if operation.public else {"authorization": f"Bearer {engine.token('ines')}"}
            answers[operation.behaviour] = engine.handle(Request("GET", f"/v1{operation.path}", (), headers)).status

        assert answers == {"liveness": 200, "readiness": 200, "health": 200, "metrics": 200}


def test_exchanges_can_be_recorded(catalogue: Path) -> None:
    new_service(catalogue, "custom-objects")
    contract = load(catalogue)
    done = record(contract, Engine(contract), only=["custom-objects"])

    assert (done.count, done.findings) == (4, ())
    contract = load(catalogue)
    assert list(check(contract, Engine(contract), only=["custom-objects"])) == []


def test_lint_says_what_is_missing_and_nothing_else(catalogue: Path) -> None:
    new_service(catalogue, "custom-objects")
    contract = load(catalogue)
    found = [str(finding) for finding in lint(contract, service="custom-objects")]
    facets = [f.id for f in contract.facets() if f.service == "custom-objects"]
    manifest = (catalogue / "source_specs/custom-objects/service.yaml").read_text(encoding="utf-8").splitlines()
    expected = []
    for facet in facets:
        place = f"source_specs/custom-objects/service.yaml:{manifest.index(f'  {facet}: []') + 1}"
        expected += [
            f"{place}: the charter has no capability for {facet}; write each with its operations and proof [charter.facets]",
            f"{place}: no operation of custom-objects names {facet}; name it in x-requirements [charter.facets]",
        ]

    assert len(facets) == 4
    assert [line for line in found if "[charter.facets]" in line] == sorted(expected, key=found.index)
    rest = [line for line in found if "[charter.facets]" not in line and "/charter/" not in line]
    empty = "|".join(["channels", "operations", "components/messages", "boundary/owns", "metrics", "runbook"])
    author = rf"says 'TODO'; write what is meant|: /({empty}): (\{{\}}|\[\]) has less|declare 3 to 14"
    assert [line for line in rest if not re.search(author, line)] == []


def test_every_text_that_waits_for_its_author_is_found(catalogue: Path) -> None:
    written = new_service(catalogue, "custom-objects")
    specs = [catalogue / path for path in written if path.parts[0] == "source_specs"]
    waiting = sum(path.read_text(encoding="utf-8").count("TODO") for path in specs)
    found = [f for f in lint(load(catalogue), service="custom-objects") if f.rule == "prose.placeholder"]

    # scaling.signal names a quantity, which no rule of prose reads
    assert len(found) == waiting - 1


def test_the_other_services_stay_as_they_were(catalogue: Path) -> None:
    before = [str(f) for f in lint(load(catalogue), service="berths")]
    new_service(catalogue, "custom-objects")

    assert [str(f) for f in lint(load(catalogue), service="berths")] == before


@pytest.mark.parametrize("name", ["source_specs/custom-objects/openapi.yaml", "docs/services/custom-objects/build.md"])
def test_nothing_is_overwritten(catalogue: Path, name: str) -> None:
    path = catalogue / name
    path.parent.mkdir(parents=True)
    path.write_text("mine", encoding="utf-8")
    if "source_specs" in name:
        for other in ("asyncapi.yaml", "service.yaml", "openapi.yaml"):
            shutil.copy(catalogue / "source_specs/berths" / other, path.parent / other)
    before = files(catalogue)

    with pytest.raises(ContractError, match=f"{name} exists already; remove it, or extend the service where it is"):
        new_service(catalogue, "custom-objects")

    assert files(catalogue) == before


@pytest.mark.parametrize(
    ("slug", "said"),
    [
        ("Custom Objects", "'Custom Objects' can't be a service's name"),
        ("../etc", "'../etc' can't be a service's name"),
        ("custom--objects", "'custom--objects' can't be a service's name"),
        ("", "'' can't be a service's name"),
        ("ships", "no criterion of source_specs/requirements.yaml is about ships; it knows accounts, "),
        ("common", "no criterion of source_specs/requirements.yaml is about common"),
    ],
)
def test_wrong_slug_is_refused(catalogue: Path, slug: str, said: str) -> None:
    before = files(catalogue)

    with pytest.raises(ContractError) as refusal:
        new_service(catalogue, slug)

    assert said in str(refusal.value)
    assert files(catalogue) == before


def test_second_time_is_refused(catalogue: Path) -> None:
    new_service(catalogue, "custom-objects")
    before = files(catalogue)

    with pytest.raises(ContractError, match="exists already"):
        new_service(catalogue, "custom-objects")

    assert files(catalogue) == before


def test_title_is_taken(catalogue: Path) -> None:
    new_service(catalogue, "custom-objects", title="Things of your own")

    assert load(catalogue).services["custom-objects"].title == "Things of your own"
