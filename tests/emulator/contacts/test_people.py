"""People one by one: fields that follow from others, rules, owners, employers, tags, versions, and coming back after a delete."""

from __future__ import annotations

import pytest

NOOR, SVEN, DANIEL = (f"con_01KDVDNA00000000000000000{n}" for n in (1, 2, 4))
PIETER, AGNETA = "con_01KDVDNA000000000000000007", "con_01KDVDNA000000000000000011"
TOMAS, BRAM = "usr_01KDVDNA000000000000000002", "usr_01KDVDNA000000000000000007"
TIDEWATER, KESTREL = "acc_01KDVDNA000000000000000001", "acc_01KDVDNA000000000000000002"


def first_error(answer):
    return tuple(answer.json()["errors"][0][name] for name in ("pointer", "code"))


class TestFields:
    def test_what_follows_is_derived(self, call):
        body = {"first_name": "Ingrid", "middle_name": "M.", "last_name": "Solberg", "email": "Ingrid@Kestrel.example"}

        contact = call("POST", "/contacts", body).json()

        assert (contact["full_name"], contact["email"]) == ("Ingrid M. Solberg", "ingrid@kestrel.example")
        assert contact["is_owner_active"] and not contact["is_do_not_contact"]
        assert (contact["lifecycle_stage"], contact["source"]) == ("lead", "manual")

    @pytest.mark.parametrize(
        ("changes", "status", "code", "pointer"),
        [
            ({"email": "SVEN.AALTO@kestrel.example"}, 409, "email_taken", "#/email"),
            ({"external_ids": {"erp": "C-20533"}}, 409, "external_id_taken", "#/external_ids"),
            ({"reports_to_id": NOOR}, 422, "reporting_self", "#/reports_to_id"),
            ({"reports_to_id": DANIEL}, 422, "reporting_cycle", "#/reports_to_id"),
            ({"reports_to_id": AGNETA}, 422, "invalid_reference", "#/reports_to_id"),
            ({"born_on": "2026-01-06"}, 422, "date_in_future", "#/born_on"),
            ({"source": "manual"}, 422, "immutable_field", "#/source"),
            ({"lifecycle_stage": "lead"}, 409, "lifecycle_transition_refused", "#/lifecycle_stage"),
            (
                {"other_emails": [{"address": "Noor.Haddad@tidewater.example", "label": "work"}]},
                422,
                "address_listed_twice",
                "#/other_emails/0/address",
            ),
        ],
    )
    def test_rules_name_their_place(self, call, changes, status, code, pointer):
        answer = call("PATCH", f"/contacts/{NOOR}", changes)

        assert status == answer.status_code
        assert (pointer, code) == first_error(answer)
        assert call("GET", f"/contacts/{NOOR}").headers["ETag"] == '"4"'

    def test_an_address_without_parts_is_gone(self, call):
        contact = call("PATCH", f"/contacts/{SVEN}", {"address": {"city": None, "country": None}}).json()

        assert "address" not in contact

    def test_masked_fields_need_their_scope_to_be_read_and_to_be_asked_for(self, call):
        assert "born_on" in call("GET", f"/contacts/{DANIEL}").json()
        assert "born_on" not in call("GET", f"/contacts/{DANIEL}", by="jun").json()
        search = {"filter_groups": [{"filters": [{"field": "born_on", "operator": "is_set"}]}]}

        answer = call("POST", "/contacts/search", search, by="jun")

        assert first_error(answer) == ("#/filter_groups/0/filters/0/field", "unknown_field")


class TestOwner:
    def test_goes_to_a_colleague(self, call, engine):
        contact = call("POST", f"/contacts/{NOOR}/change-owner", {"owner_id": TOMAS, "reason": "Bergen team"}).json()

        assert contact["owner_id"] == TOMAS
        data = engine.emitted[-1]["data"]
        assert (data["previous_owner_id"], data["reason"]) == ("usr_01KDVDNA000000000000000001", "Bergen team")
        assert call("GET", f"/contacts/{NOOR}/history").json()["data"][0]["action"] == "owner_changed"

    def test_the_present_owner_changes_nothing(self, call, engine):
        answer = call("POST", f"/contacts/{NOOR}/change-owner", {"owner_id": "usr_01KDVDNA000000000000000001"})

        assert (answer.headers["ETag"], engine.emitted) == ('"4"', [])

    def test_someone_deactivated_is_refused(self, call):
        answer = call("POST", f"/contacts/{NOOR}/change-owner", {"owner_id": BRAM})

        assert (answer.status_code, answer.json()["code"]) == (422, "owner_inactive")


class TestAccount:
    def test_the_former_one_stays_on_record(self, call, types):
        body = {"account_id": KESTREL, "changed_on": "2026-01-01", "job_title": "Head of fleet"}

        contact = call("POST", f"/contacts/{DANIEL}/change-account", body).json()

        assert (contact["account_id"], contact["job_title"]) == (KESTREL, "Head of fleet")
        assert "reports_to_id" not in contact
        former = call("GET", f"/contact-relationships?contact_id={DANIEL}&type=former_employee_of").json()["data"][0]
        assert (former["account_id"], former["ends_on"], former["is_current"]) == (TIDEWATER, "2025-12-31", False)
        assert types() == ["contact_relationship.created", "contact.account_changed"]

    def test_nothing_is_kept_where_it_is_declined(self, call, types):
        call("POST", f"/contacts/{DANIEL}/change-account", {"account_id": KESTREL, "is_former_kept": False})

        assert types() == ["contact.account_changed"]

    def test_the_same_one_is_refused(self, call):
        answer = call("POST", f"/contacts/{DANIEL}/change-account", {"account_id": TIDEWATER})

        assert (answer.status_code, answer.json()["code"]) == (409, "account_unchanged")


class TestTags:
    def test_come_and_go_in_order(self, call, engine):
        contact = call(
            "POST", f"/contacts/{NOOR}/tags", {"add": ["webinar", "key-contact"], "remove": ["harbour-fair-2025"]}
        ).json()

        assert contact["tags"] == ["key-contact", "webinar"]
        assert engine.emitted[-1]["data"]["changed_fields"] == ["tags"]

    def test_one_in_both_lists_is_refused(self, call):
        answer = call("POST", f"/contacts/{NOOR}/tags", {"add": ["a", "b"], "remove": ["x", "b"]})

        assert first_error(answer) == ("#/remove/1", "invalid_value")

    def test_fifty_is_the_limit(self, call):
        answer = call("POST", f"/contacts/{NOOR}/tags", {"add": [f"tag-{n}" for n in range(49)]})

        assert (answer.status_code, answer.json()["code"]) == (422, "tag_limit_exceeded")


class TestVersions:
    def test_each_write_can_be_looked_back_at(self, call):
        call("PATCH", f"/contacts/{NOOR}", {"job_title": "Fleet owner", "custom_fields": {"vessel_count": 40}})
        call("PATCH", f"/contacts/{NOOR}", {"job_title": None})

        first, second = (call("GET", f"/contact-versions/{NOOR}/{version}").json()["record"] for version in (4, 5))

        assert (first["job_title"], first["custom_fields"]["vessel_count"]) == ("Fleet director", 31)
        assert (second["job_title"], second["custom_fields"]["vessel_count"]) == ("Fleet owner", 40)
        assert call("GET", f"/contact-versions/{NOOR}/3").status_code == 404

    def test_masked_fields_stay_masked(self, call):
        assert "address" not in call("GET", f"/contact-versions/{NOOR}/4", by="jun").json()["record"]


class TestDeleteAndRestore:
    def test_brings_back_what_went_along(self, call):
        assert call("DELETE", f"/contacts/{NOOR}").status_code == 204
        assert "reports_to_id" not in call("GET", f"/contacts/{DANIEL}").json()
        assert call("GET", "/contact-relationships/rel_01KDVDNA000000000000000001").status_code == 404
        assert [m["contact"]["id"] for m in members(call)] == [DANIEL]

        assert call("POST", f"/contacts/{NOOR}/restore").status_code == 200

        assert call("GET", f"/contacts/{DANIEL}").json()["reports_to_id"] == NOOR
        assert call("GET", "/contact-relationships/rel_01KDVDNA000000000000000001").status_code == 200
        assert [m["contact"]["id"] for m in members(call)] == [NOOR, DANIEL]

    def test_what_was_filled_meanwhile_stays(self, call):
        call("DELETE", f"/contacts/{NOOR}")
        call("PATCH", f"/contacts/{DANIEL}", {"reports_to_id": SVEN})
        call("POST", f"/contacts/{NOOR}/restore")

        assert call("GET", f"/contacts/{DANIEL}").json()["reports_to_id"] == SVEN

    def test_one_that_is_not_deleted_has_nothing_to_come_back_from(self, call):
        answer = call("POST", f"/contacts/{NOOR}/restore")

        assert (answer.status_code, answer.json()["code"]) == (409, "contact_not_deleted")

    def test_its_address_may_be_taken(self, call):
        call("DELETE", f"/contacts/{PIETER}")
        call("POST", "/contacts", {"last_name": "Other", "email": "pieter.vandam@tidewater.example"})

        assert call("POST", f"/contacts/{PIETER}/restore").json()["code"] == "email_taken"

    def test_the_bin_is_emptied_after_thirty_days(self, call, engine):
        call("DELETE", f"/contacts/{PIETER}")
        call("DELETE", f"/contacts/{SVEN}")
        assert [c["id"] for c in call("GET", "/contacts/deleted").json()["data"]] == [SVEN, PIETER]
        engine.advance(30 * 86_400)

        assert call("GET", "/contacts/deleted").json()["data"] == []
        assert call("POST", f"/contacts/{PIETER}/restore").status_code == 404


def members(call):
    return call("GET", "/contact-lists/lst_01KDVDNA000000000000000001/members").json()["data"]


def test_lists_come_newest_first_and_describe_has_an_etag(call):
    created = [c["created_at"] for c in call("GET", "/contacts").json()["data"]]
    described = call("GET", "/contacts/describe")

    assert sorted(created, reverse=True) == created
    assert call("GET", "/contacts/describe", If_None_Match=described.headers["ETag"]).status_code == 304


def test_a_stale_upsert_is_refused_and_a_hidden_key_is_not_confirmed(call):
    body = {"last_name": "Haddad"}
    assert call("PUT", "/contacts/by-external-id/erp/C-20417", body, If_Match='"9"').status_code == 412
    assert call("PUT", "/contacts/by-external-id/erp/C-20417", body, If_Match='"4"').status_code == 200
    hidden = call("PUT", "/contacts/by-external-id/erp/C-20417", body, by="lena")
    assert (hidden.status_code, hidden.json()["code"]) == (409, "external_id_taken")
    assert NOOR not in hidden.text


def test_the_reporting_line_ends_at_its_depth(call):
    call("PATCH", f"/contacts/{SVEN}", {"reports_to_id": DANIEL})

    one, two = (call("GET", f"/contacts/{NOOR}/reporting-line?depth={depth}").json() for depth in (1, 2))

    assert ([r["contact"]["id"] for r in one["reports"]], one["has_more"]) == ([DANIEL], True)
    assert ([(r["contact"]["id"], r["depth"]) for r in two["reports"]], two["has_more"]) == ([(DANIEL, 1), (SVEN, 2)], False)
    above = call("GET", f"/contacts/{SVEN}/reporting-line").json()["managers"]
    assert [m["id"] for m in above] == [DANIEL, NOOR]
