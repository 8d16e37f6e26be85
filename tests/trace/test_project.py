"""The gate over the project itself, a test for each facet.

It reads what the doctest builder and the laws left in ``_build``; where nothing was run yet there is nothing to decide.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from crm_reference.trace import Report, State, gate
from crm_reference.trace.evidence import RESULTS

ROOT = Path(__file__).resolve().parents[2]


def _facets() -> list[str]:
    catalogue = yaml.safe_load((ROOT / "source_specs" / "requirements.yaml").read_text(encoding="utf-8"))
    criteria = {c: below for requirement in catalogue.values() for c, below in requirement["criteria"].items()}
    return [f"{criterion}-{name}" for criterion, below in criteria.items() for name in below["facets"]]


@pytest.fixture(scope="module")
def report() -> Report:
    if not (ROOT / RESULTS).is_file():
        pytest.skip("the examples weren't run; build with the doctest builder first")
    return gate(ROOT)


@pytest.mark.parametrize("facet", _facets())
def test_facet_has_no_gap(report: Report, facet: str) -> None:
    found = report.facets[facet]

    assert State.gap is not found.state, "\n".join(map(str, found.gaps))


def test_nothing_else_is_wrong(report: Report) -> None:
    assert [str(g) for g in report.gaps if not g.facet] == []
