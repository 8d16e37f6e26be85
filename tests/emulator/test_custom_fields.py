"""Custom fields of every type, against the definitions that a tenant made."""

from __future__ import annotations

import pytest

from crm_reference.emulator import Engine, session
from crm_reference.emulator.store import Record

TENANT, NOOR = "ten_01KDVDNA000000000000000001", "con_01KDVDNA000000000000000001"

_VALUES = [
    ({"type": "text", "max_length": 3}, "abc", "abcd", "too_long"),
    ({"type": "long_text"}, "abc\ndef", 3, "wrong_type"),
    ({"type": "integer", "minimum": 1, "maximum": 9}, 9, 10, "out_of_range"),
    ({"type": "integer"}, 1, True, "wrong_type"),
    ({"type": "decimal", "minimum": 0.5}, 0.5, 0.4, "out_of_range"),
    ({"type": "boolean"}, False, "false", "wrong_type"),
    ({"type": "date"}, "2026-02-28", "28.02.2026", "invalid_format"),
    ({"type": "date_time"}, "2026-02-28T09:00:00Z", "2026-02-28", "invalid_format"),
    ({"type": "picklist", "choices": ["a", "b"]}, "a", "c", "invalid_choice"),
    ({"type": "multi_picklist", "choices": ["a", "b"]}, ["a", "b"], ["a", "a"], "not_unique"),
    ({"type": "url"}, "https://x.example", "http://x.example", "invalid_format"),
    ({"type": "email"}, "a@x.example", "a@x", "invalid_format"),
    ({"type": "phone"}, "+31104400101", "010", "invalid_format"),
    (
        {"type": "reference", "target": "accounts"},
        "acc_01KDVDNA000000000000000001",
        "acc_01KDVDNA000000000000000011",
        "invalid_reference",
    ),
]


@pytest.fixture(scope="module")
def crm(contract):
    return Engine(contract, limits=False)


@pytest.fixture
def define(crm):
    crm.reset()

    def put(**definition):
        doc = {"id": "cfd_x", "object_type": "contact", "name": "extra", "label": "Extra", "is_required": False, **definition}
        crm.world.store.put(TENANT, Record("custom-fields", "cfd_x", 1, doc))
        return session(crm, "ines")

    return put


def write(caller, value):
    return caller.patch(
        f"/v1/contacts/{NOOR}", json={"custom_fields": {"extra": value}}, headers={"Content-Type": "application/merge-patch+json"}
    )


@pytest.mark.parametrize(("definition", "good", "bad", "code"), _VALUES)
def test_values(define, definition, good, bad, code):
    caller = define(**definition)

    refused = write(caller, bad).json()["errors"][0]

    assert ("#/custom_fields/extra", code) == (refused["pointer"], refused["code"])
    assert good == write(caller, good).json()["custom_fields"]["extra"]
    found = caller.post(
        "/v1/contacts/search", json={"filter_groups": [{"filters": [{"field": "custom_fields.extra", "operator": "is_set"}]}]}
    )
    assert [c["id"] for c in found.json()["data"]] == [NOOR]
    assert "extra" not in write(caller, None).json()["custom_fields"]


def test_a_narrower_definition_leaves_what_is_there(define):
    caller = define(type="integer")
    write(caller, 50)
    caller = define(type="integer", maximum=10)

    assert caller.get(f"/v1/contacts/{NOOR}").json()["custom_fields"]["extra"] == 50
    changed = caller.patch(
        f"/v1/contacts/{NOOR}", json={"job_title": "X"}, headers={"Content-Type": "application/merge-patch+json"}
    )
    assert changed.status_code == 200
    assert write(caller, 51).json()["errors"][0]["code"] == "out_of_range"


def test_a_required_one_is_demanded_of_new_records(define):
    caller = define(type="text", is_required=True)

    entry = caller.post("/v1/contacts", json={"last_name": "A"}).json()["errors"][0]

    assert (entry["pointer"], entry["code"]) == ("#/custom_fields/extra", "required")
