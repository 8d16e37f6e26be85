"""Static and dynamic lists, and relationships."""

from __future__ import annotations

import pytest

from crm_reference.emulator.services.contacts.segments import matched_group

NOOR, SVEN, LUCIA, DANIEL, HANA = (f"con_01KDVDNA00000000000000000{n}" for n in range(1, 6))
GUESTS, CUSTOMERS = "lst_01KDVDNA000000000000000001", "lst_01KDVDNA000000000000000002"
KESTREL = "acc_01KDVDNA000000000000000002"


def criteria(*filters, query=None):
    groups = {"filter_groups": [{"filters": [f]} for f in filters]}
    return {**groups, **({"query": query} if query else {})}


class TestDynamic:
    def test_holds_whoever_matches(self, call):
        assert call("GET", f"/contact-lists/{CUSTOMERS}").json()["member_count"] == 2
        call("PATCH", f"/contacts/{SVEN}", {"lifecycle_stage": "customer"})

        assert call("GET", f"/contact-lists/{CUSTOMERS}").json()["member_count"] == 3
        found = call("GET", f"/contact-lists/{CUSTOMERS}/members").json()["data"]
        assert [(m["contact"]["id"], m["reason"]) for m in found] == [(NOOR, "criteria"), (SVEN, "criteria"), (DANIEL, "criteria")]

    def test_says_by_which_group(self, call):
        named = [{"field": "last_name", "operator": "eq", "value": name} for name in ("Aalto", "Haddad")]
        made = call("POST", "/contact-lists", {"name": "Two", "kind": "dynamic", "criteria": criteria(*named)}).json()

        membership = call("GET", f"/contact-lists/{made['id']}/members/{NOOR}").json()

        assert (membership["is_member"], membership["matched_group"]) == (True, 1)
        assert not call("GET", f"/contact-lists/{made['id']}/members/{DANIEL}").json()["is_member"]

    def test_new_criteria_replace_the_former_as_a_whole(self, call):
        former = criteria({"field": "last_name", "operator": "is_set"}, query="noor")
        made = call("POST", "/contact-lists", {"name": "N", "kind": "dynamic", "criteria": former}).json()
        new = criteria({"field": "last_name", "operator": "is_set"})

        assert new == call("PATCH", f"/contact-lists/{made['id']}", {"criteria": new}).json()["criteria"]

    def test_criteria_are_checked_in_place(self, call):
        body = {"name": "X", "kind": "dynamic", "criteria": criteria({"field": "shoe_size", "operator": "eq", "value": 41})}

        entry = call("POST", "/contact-lists", body).json()["errors"][0]

        assert (entry["pointer"], entry["code"]) == ("#/criteria/filter_groups/0/filters/0/field", "unknown_field")

    def test_freezes(self, call, types):
        frozen = call("POST", f"/contact-lists/{CUSTOMERS}/convert").json()
        call("PATCH", f"/contacts/{SVEN}", {"lifecycle_stage": "customer"})

        assert (frozen["kind"], frozen.get("criteria")) == ("static", None)
        assert call("GET", f"/contact-lists/{CUSTOMERS}").json()["member_count"] == 2
        assert call("POST", f"/contact-lists/{CUSTOMERS}/convert").json()["code"] == "list_is_static"
        assert types()[0] == "contact_list.converted"

    def test_takes_nobody_by_hand(self, call):
        assert call("POST", f"/contact-lists/{CUSTOMERS}/members", {"contact_ids": [SVEN]}).json()["code"] == "list_is_dynamic"

    def test_criteria_on_hidden_fields_hide_the_list(self, call):
        body = {"name": "Born", "kind": "dynamic", "criteria": criteria({"field": "born_on", "operator": "is_set"})}
        made = call("POST", "/contact-lists", body).json()["id"]

        assert call("GET", f"/contact-lists/{made}").status_code == 200
        assert call("GET", f"/contact-lists/{made}", by="jun").status_code == 404

    @pytest.mark.parametrize("operator", ["eq", "ne", "in", "not_in", "contains", "starts_with", "is_set", "is_not_set"])
    @pytest.mark.parametrize(("field", "value"), [("last_name", "Haddad"), ("tags", "key-contact"), ("address.city", "Bergen")])
    def test_database_and_definition_agree(self, engine, call, field, value, operator):
        wanted = {"values": [value]} if operator in ("in", "not_in") else {} if "set" in operator else {"value": value}
        said = criteria({"field": field, "operator": operator, **wanted})
        answer = call("POST", "/contacts/search", {**said, "limit": 100})
        if answer.status_code == 422:
            assert answer.json()["errors"][0]["code"] == "invalid_operator"
            return
        tenant = engine.contract.principals["ines"].tenant

        everybody = engine.world.store.select(tenant, "contacts")

        assert [c.id for c in everybody if matched_group(c.doc, said) is not None] == [c["id"] for c in answer.json()["data"]]


class TestStatic:
    def test_takes_and_gives_people(self, call, engine):
        body = {"contact_ids": [NOOR, SVEN, "con_01KDVDNA000000000000000011"]}

        added = call("POST", f"/contact-lists/{GUESTS}/members", body).json()

        assert [r["status"] for r in added["results"]] == [200, 201, 404]
        assert (added["succeeded_count"], added["failed_count"], added["member_count"]) == (2, 1, 3)
        assert engine.emitted[-1]["data"]["contact_ids"] == [SVEN]
        removed = call("POST", f"/contact-lists/{GUESTS}/members/remove", {"contact_ids": [SVEN, HANA]}).json()
        assert [r["status"] for r in removed["results"]] == [204, 404]

    def test_a_call_that_changes_nothing_says_nothing(self, call, engine):
        call("POST", f"/contact-lists/{GUESTS}/members", {"contact_ids": [NOOR]})

        assert (engine.emitted, call("GET", f"/contact-lists/{GUESTS}").headers["ETag"]) == ([], '"1"')

    def test_copies(self, call):
        copy = call("POST", f"/contact-lists/{GUESTS}/clone", {"name": "Copy"}, by="tomas").json()
        empty = call("POST", f"/contact-lists/{GUESTS}/clone", {"name": "Empty", "has_members": False}).json()

        assert tuple(copy[k] for k in ("cloned_from_id", "member_count", "owner_id")) == (
            GUESTS,
            2,
            "usr_01KDVDNA000000000000000002",
        )
        assert empty["member_count"] == 0
        assert call("POST", f"/contact-lists/{GUESTS}/clone", {"name": "COPY"}).json()["code"] == "list_name_taken"

    def test_comes_back_with_its_members(self, call):
        call("DELETE", f"/contact-lists/{GUESTS}")

        assert call("POST", f"/contact-lists/{GUESTS}/restore").json()["member_count"] == 2
        assert call("POST", f"/contact-lists/{GUESTS}/restore").json()["code"] == "list_not_deleted"

    def test_has_no_criteria(self, call):
        answer = call("PATCH", f"/contact-lists/{GUESTS}", {"criteria": criteria({"field": "tags", "operator": "is_set"})})

        assert answer.json()["errors"][0]["code"] == "criteria_on_static_list"

    def test_is_found_from_a_person(self, call):
        assert [r["name"] for r in call("GET", f"/contacts/{NOOR}/lists").json()["data"]] == [
            "All customers",
            "Harbour fair guests",
        ]
        first = call("GET", f"/contacts/{NOOR}/lists?limit=1")
        assert len(first.json()["data"]) == 1 and 'rel="next"' in first.headers["Link"]


def test_preview_counts_and_samples_by_name(call):
    body = {"criteria": criteria({"field": "tags", "operator": "eq", "value": "key-contact"}), "sample_size": 1}

    preview = call("POST", "/contact-lists/preview", body).json()

    assert (preview["count"], [c["full_name"] for c in preview["sample"]]) == (2, ["Noor Haddad"])


class TestRelationships:
    def test_are_stored_once_and_seen_from_both_sides(self, call):
        tie = {"contact_id": NOOR, "type": "mentor_of", "related_contact_id": SVEN}
        made = call("POST", "/contact-relationships", tie).json()

        assert (made["inverse_type"], made["participant_ids"]) == ("mentee_of", [NOOR, SVEN])
        assert [made["id"]] == [r["id"] for r in call("GET", f"/contact-relationships?participant_id={SVEN}").json()["data"]]
        mirrored = {"contact_id": SVEN, "type": "mentee_of", "related_contact_id": NOOR}
        assert call("POST", "/contact-relationships", mirrored).json()["code"] == "relationship_exists"

    def test_can_be_recorded_again_once_ended(self, call):
        tie = {"contact_id": NOOR, "type": "champion_at", "account_id": KESTREL}
        made = call("POST", "/contact-relationships", tie).json()["id"]
        call("PATCH", f"/contact-relationships/{made}", {"ends_on": "2026-01-01"})

        assert call("POST", "/contact-relationships", tie).status_code == 201
        assert call("PATCH", f"/contact-relationships/{made}", {"ends_on": None}).json()["code"] == "relationship_exists"

    @pytest.mark.parametrize(
        ("tie", "pointer", "code"),
        [
            ({"type": "mentor_of", "related_contact_id": NOOR}, "#/contact_id", "relationship_self"),
            ({"type": "mentor_of", "account_id": KESTREL}, "#/account_id", "relationship_target_mismatch"),
            ({"type": "employee_of"}, "#/account_id", "relationship_target_mismatch"),
            (
                {"type": "mentor_of", "related_contact_id": "con_01KDVDNA000000000000000011"},
                "#/related_contact_id",
                "invalid_reference",
            ),
            (
                {"type": "employee_of", "account_id": KESTREL, "starts_on": "2026-02-01", "ends_on": "2026-01-01"},
                "#/ends_on",
                "ends_before_start",
            ),
        ],
    )
    def test_rules(self, call, tie, pointer, code):
        entry = call("POST", "/contact-relationships", {"contact_id": NOOR, **tie}).json()["errors"][0]

        assert (pointer, code) == (entry["pointer"], entry["code"])

    def test_are_current_by_the_day(self, call, engine):
        tie = {"contact_id": NOOR, "type": "mentor_of", "related_contact_id": SVEN, "starts_on": "2026-01-06"}
        made = call("POST", "/contact-relationships", tie).json()
        assert not made["is_current"]
        engine.advance(86_400)

        assert made["id"] in [r["id"] for r in call("GET", "/contact-relationships?is_current=true").json()["data"]]

    def test_are_hidden_with_either_end(self, call):
        tie = {"contact_id": NOOR, "type": "mentor_of", "related_contact_id": HANA}
        made = call("POST", "/contact-relationships", tie).json()["id"]

        assert call("GET", f"/contact-relationships/{made}", by="lena").status_code == 404

    def test_types_are_a_catalogue(self, call):
        assert len(call("GET", "/contact-relationship-types").json()["data"]) == 18
        assert {"account"} == {t["target"] for t in call("GET", "/contact-relationship-types?target=account").json()["data"]}
