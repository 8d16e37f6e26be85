"""What contacts does when other services tell it something."""

from __future__ import annotations

import pytest

NOOR, DANIEL, TIDEWATER, KESTREL = (
    *(f"con_01KDVDNA00000000000000000{n}" for n in (1, 4)),
    *(f"acc_01KDVDNA00000000000000000{n}" for n in (1, 2)),
)
MAYA, TOMAS = "usr_01KDVDNA000000000000000001", "usr_01KDVDNA000000000000000002"


def test_a_deleted_account_is_taken_from_its_contacts(call, engine):
    tie = {"contact_id": NOOR, "type": "champion_at", "account_id": TIDEWATER}
    champion = call("POST", "/contact-relationships", tie).json()["id"]

    engine.deliver({"type": "crm.account.deleted.v1", "actor": TOMAS, "data": {"record": {"id": TIDEWATER}}})

    contact = call("GET", f"/contacts/{NOOR}").json()
    assert ("account_id" not in contact, TOMAS) == (True, contact["updated_by"])
    assert call("GET", f"/contact-relationships/{champion}").status_code == 404
    assert [event["type"] for event in engine.outbox].count("crm.contact.updated.v1") == 3


def test_merged_accounts_are_one(call, engine):
    for account in (TIDEWATER, KESTREL):
        call("POST", "/contact-relationships", {"contact_id": NOOR, "type": "champion_at", "account_id": account})

    engine.deliver({"type": "crm.account.merged.v1", "data": {"target_id": KESTREL, "source_ids": [TIDEWATER]}})

    assert call("GET", f"/contacts/{DANIEL}").json()["account_id"] == KESTREL
    left = call("GET", f"/contact-relationships?contact_id={NOOR}&type=champion_at").json()["data"]
    assert [r["account_id"] for r in left] == [KESTREL]


def test_a_converted_lead_keeps_its_key(call, engine):
    lead = "lea_01KDVDNA000000000000000007"
    engine.deliver({"type": "crm.lead.converted.v1", "data": {"lead_id": lead, "contact_id": NOOR}})

    assert call("GET", f"/contacts/by-external-id/lead/{lead}").json()["id"] == NOOR


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_a_deactivated_owner_shows_whatever_the_order_of_delivery(call, engine, order):
    told = {
        1: {"type": "crm.user.deactivated.v1", "sequence": "1", "subject": MAYA, "data": {"record": {"id": MAYA}}},
        2: {"type": "crm.user.reactivated.v1", "sequence": "2", "subject": MAYA, "data": {"record": {"id": MAYA}}},
    }
    engine.deliver({"type": "crm.user.deactivated.v1", "data": {"record": {"id": TOMAS}}})
    for number in order:
        engine.deliver(told[number])

    assert call("GET", f"/contacts/{NOOR}").json()["is_owner_active"]
    assert call("POST", f"/contacts/{NOOR}/change-owner", {"owner_id": TOMAS}).json()["code"] == "owner_inactive"


def test_the_same_event_twice_changes_nothing(call, engine):
    event = {"id": "evt_01KDVDNA000000000000000900", "type": "crm.account.deleted.v1", "data": {"record": {"id": TIDEWATER}}}
    engine.deliver(event)
    version = call("GET", f"/contacts/{NOOR}").json()["version"]
    call("PATCH", f"/contacts/{NOOR}", {"account_id": TIDEWATER})
    engine.deliver(event)

    assert (version + 1, TIDEWATER) == tuple(call("GET", f"/contacts/{NOOR}").json()[k] for k in ("version", "account_id"))


def described(call, by="ines"):
    return {f["name"]: f for f in call("GET", "/contacts/describe", by=by).json()["fields"]}


def test_a_custom_field_comes_changes_and_goes(call, engine):
    field = {"name": "shoe_size", "label": "Shoe size", "type": "integer", "maximum": 60}
    engine.deliver({"type": "crm.custom_field.changed.v1", "data": {"object_name": "contact", "field": field}})
    assert described(call)["custom_fields.shoe_size"]["type"] == "integer"
    assert call("PATCH", f"/contacts/{NOOR}", {"custom_fields": {"shoe_size": 61}}).status_code == 422
    call("PATCH", f"/contacts/{NOOR}", {"custom_fields": {"shoe_size": 41}})

    engine.deliver({"type": "crm.custom_field.deleted.v1", "data": {"object_name": "contact", "field": field}})

    assert "custom_fields.shoe_size" not in described(call)
    assert "shoe_size" not in call("GET", f"/contacts/{NOOR}").json()["custom_fields"]


def test_field_security_hides_and_freezes(call, engine):
    for field, access in (("job_title", "hidden"), ("department", "read")):
        data = {"object_name": "contact", "role": "sales_representative", "field": field, "access": access}
        engine.deliver({"type": "crm.field_security.changed.v1", "data": data})

    assert "job_title" not in described(call, "maya") and not described(call, "maya")["department"]["is_writable"]
    assert "job_title" not in call("GET", f"/contacts/{NOOR}", by="maya").json()
    assert "job_title" in call("GET", f"/contacts/{NOOR}").json()
    refused = call("PATCH", f"/contacts/{NOOR}", {"department": "X"}, by="maya")
    assert (refused.status_code, refused.json()["code"]) == (403, "field_read_only")
