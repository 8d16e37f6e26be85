from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from crm_reference.contract import Contract
from crm_reference.trace.baseline import Change, bump, differences, read_baselines, snapshot, write_baseline

CREATE = ("operations", "createBerth")


@pytest.fixture
def baseline(berths: Contract) -> dict[str, Any]:
    return snapshot(berths.services["berths"])


def test_written_baseline_equals_today(tmp_path: Path, berths: Contract) -> None:
    path = write_baseline(tmp_path, berths, "berths")
    first = path.read_bytes()
    write_baseline(tmp_path, berths, "berths")

    assert first == path.read_bytes()
    assert list(differences(read_baselines(tmp_path)["berths"], snapshot(berths.services["berths"]))) == []


@pytest.mark.parametrize(
    ("path", "value", "change", "text"),
    [
        ((*CREATE, "method"), "PUT", Change.major, "its method was POST and is PUT"),
        ((*CREATE, "deprecated"), True, Change.minor, "it is deprecated"),
        ((*CREATE, "parameters", "query dry_run"), False, Change.minor, "the parameter query dry_run is new"),
        ((*CREATE, "parameters", "query dry_run"), True, Change.major, "the required parameter query dry_run is new"),
        ((*CREATE, "parameters", "header Idempotency-Key"), True, Change.major, "is required"),
        ((*CREATE, "parameters", "header Idempotency-Key"), None, Change.major, "is gone"),
        ((*CREATE, "request", "#/colour"), {"type": "string", "required": False}, Change.minor, "#/colour can be sent"),
        ((*CREATE, "request", "#/colour"), {"type": "string", "required": True}, Change.major, "and must be"),
        ((*CREATE, "request", "#/name"), None, Change.major, "#/name can't be sent any more"),
        ((*CREATE, "request", "#/name"), {"type": "integer", "required": True}, Change.major, "#/name demands more"),
        ((*CREATE, "request", "#/name"), {"type": "string", "required": False}, Change.minor, "#/name takes more"),
        ((*CREATE, "request", "#/status", "enum"), ["free"], Change.major, "#/status takes fewer values"),
        ((*CREATE, "answers", "202"), {}, Change.minor, "it can answer 202"),
        ((*CREATE, "answers", "201"), None, Change.major, "it no longer answers 201"),
        ((*CREATE, "answers", "201", "#/name"), None, Change.major, "#/name no longer comes"),
        ((*CREATE, "answers", "201", "#/colour"), {"type": "string", "required": False}, Change.minor, "#/colour comes"),
        ((*CREATE, "answers", "201", "#/id", "required"), False, Change.major, "#/id comes otherwise"),
        ((*CREATE, "answers", "201", "#/status", "enum"), ["free", "sunk"], Change.minor, "#/status gives more"),
        ((*CREATE, "errors"), [], Change.major, "its error code berth_name_taken is gone"),
        ((*CREATE, "events"), ["crm.berth.created.v1", "crm.berth.named.v1"], Change.minor, "its event crm.berth.named.v1 is new"),
        (CREATE, None, Change.major, "the operation createBerth is gone"),
        (("events", "crm.berth.created.v1"), None, Change.major, "the event crm.berth.created.v1 is gone"),
    ],
)
def test_difference_has_its_class(baseline: dict[str, Any], path: tuple[str, ...], value: Any, change: Change, text: str) -> None:
    today = copy.deepcopy(baseline)
    place = today
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value

    found = list(differences(baseline, today))

    assert any(d.change is change and text in d.text for d in found), found
    assert change is max(d.change for d in found)


def test_new_operation_is_a_minor_change(baseline: dict[str, Any]) -> None:
    older = copy.deepcopy(baseline)
    del older["operations"]["countBerths"]

    assert [Change.minor] == [d.change for d in differences(older, baseline)]


@pytest.mark.parametrize(
    ("new", "change"), [("1.2.3", Change.none), ("1.2.4", Change.patch), ("1.3.0", Change.minor), ("2.0.0", Change.major)]
)
def test_bump(new: str, change: Change) -> None:
    assert change is bump("1.2.3", new)
