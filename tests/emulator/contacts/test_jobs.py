"""Bulk changes, imports, exports and snapshots: trials, counts, errors, and stopping."""

from __future__ import annotations

import base64
import hashlib

import pytest

NOOR, SVEN, LUCIA, DANIEL = (f"con_01KDVDNA00000000000000000{n}" for n in (1, 2, 3, 4))
MAYA, TOMAS, BRAM = (f"usr_01KDVDNA00000000000000000{n}" for n in (1, 2, 7))
CUSTOMERS = {"filter_groups": [{"filters": [{"field": "lifecycle_stage", "operator": "eq", "value": "customer"}]}]}


def table(*rows, heading="Surname,E-Mail,Ships"):
    return {"source": {"type": "text", "text": "\r\n".join((heading, *rows))}}


class TestBulk:
    def test_updates_what_matches(self, call, run, types):
        call("PATCH", f"/contacts/{DANIEL}", {"department": "Bridge"})
        job = run("/contacts/bulk-update", {"selection": CUSTOMERS, "changes": {"department": "Bridge"}, "expected_count": 2})

        assert (
            job["status"],
            job["result"],
        ) == ("succeeded", {"matched_count": 2, "updated_count": 1, "skipped_count": 1, "failed_count": 0})
        assert job["expires_at"][:10] == "2026-02-04"
        assert types() == ["contact.updated", "contact.updated", "contact_job.finished"]

    def test_a_trial_counts_and_writes_nothing(self, call, run, types):
        body = {"selection": CUSTOMERS, "changes": {"department": "Fleet"}, "validate_only": True}

        assert run("/contacts/bulk-update", body)["result"]["updated_count"] == 2
        assert call("GET", f"/contacts/{NOOR}").json()["department"] == "Operations"
        assert types() == ["contact_job.finished"]

    def test_another_number_starts_nothing(self, call):
        body = {"selection": CUSTOMERS, "expected_count": 7}

        assert (call("POST", "/contacts/bulk-delete", body).status_code, "count_differs") == (409, "count_differs")
        assert call("GET", "/contact-jobs").json()["data"] == []

    def test_deletes_what_may_be_deleted(self, call, run):
        call("PUT", f"/contacts/{NOOR}/processing-restriction", {"is_processing_restricted": True, "reason": "claim"})

        job = run("/contacts/bulk-delete", {"selection": CUSTOMERS, "expected_count": 2})

        assert job["result"] == {"matched_count": 2, "deleted_count": 1, "failed_count": 1}
        errors = call("GET", f"/contact-jobs/{job['id']}/errors").json()["data"]
        assert [(e["contact_id"], e["code"]) for e in errors] == [(NOOR, "processing_restricted")]

    def test_hands_a_portfolio_over(self, call, run, engine):
        job = run("/contacts/transfer-ownership", {"from_owner_id": MAYA, "to_owner_id": TOMAS, "reason": "Leave"})

        assert job["result"] == {"matched_count": 4, "updated_count": 4, "skipped_count": 0, "failed_count": 0}
        told = [e["data"] for e in engine.outbox if e["type"] == "crm.contact.owner_changed.v1"]
        assert {(job["id"], "Leave", MAYA)} == {(d["job_id"], d["reason"], d["previous_owner_id"]) for d in told}

    @pytest.mark.parametrize(
        ("former", "owner", "code"),
        [(MAYA, MAYA, "transfer_to_same_owner"), (MAYA, BRAM, "owner_inactive"), (MAYA, MAYA[:-1] + "Z", "")],
    )
    def test_refuses_owners(self, call, former, owner, code):
        answer = call("POST", "/contacts/transfer-ownership", {"from_owner_id": former, "to_owner_id": owner})

        assert (422, code or "validation_failed") == (answer.status_code, answer.json()["code"])

    def test_selection_is_checked_in_place(self, call):
        body = {"selection": {"list_id": "lst_01KDVDNA00000000000000009Z"}, "changes": {"department": "X"}}

        assert call("POST", "/contacts/bulk-update", body).json()["errors"][0]["pointer"] == "#/selection/list_id"


class TestJobs:
    def test_only_the_starter_and_bulk_users_see_one(self, call):
        job = call("POST", "/contacts/bulk-update", {"selection": CUSTOMERS, "changes": {"department": "X"}}).json()["id"]

        assert call("GET", f"/contact-jobs/{job}", by="jun").status_code == 404
        assert call("GET", "/contact-jobs", by="jun").json()["data"] == []

    def test_one_that_has_ended_is_kept_for_thirty_days(self, call, run, engine):
        job = run("/contacts/bulk-update", {"selection": CUSTOMERS, "changes": {"department": "X"}})["id"]
        assert call("POST", f"/contact-jobs/{job}/cancel").json()["code"] == "contact_job_finished"
        assert call("GET", f"/contact-jobs/{job}/result").json()["code"] == "contact_job_has_no_file"
        assert "Retry-After" not in call("GET", f"/contact-jobs/{job}").headers
        engine.advance(31 * 86_400)

        assert call("GET", f"/contact-jobs/{job}").status_code == 404

    def test_stops_with_what_was_done(self, call, engine, types):
        rows = [f"Person {n},p{n}@x.example," for n in range(30)]
        job = call("POST", "/contacts/import", table(*rows)).json()["id"]
        engine.advance(1)

        stopped = call("POST", f"/contact-jobs/{job}/cancel").json()

        assert (stopped["status"], stopped["result"]["created_count"], stopped["result"]["matched_count"]) == ("cancelled", 10, 30)
        engine.advance(60)
        assert types().count("contact.created") == 10


class TestImport:
    def test_creates_updates_skips_and_refuses(self, call, run, types):
        rows = (
            "Solberg,ingrid.solberg@kestrel.example,14",
            "Haddad,NOOR.HADDAD@tidewater.example,32",
            "Aalto,sven.aalto@kestrel.example,14",
            "Ruiz,mateo,three",
        )
        mappings = [{"column": c, "field": f} for c, f in (("surname", "last_name"), ("E-Mail", "email"))]
        body = table(*rows) | {
            "column_mappings": [*mappings, {"column": "Ships", "custom_field": "vessel_count"}],
            "defaults": {"tags": ["fair"], "lifecycle_stage": "qualified"},
            "list_id": "lst_01KDVDNA000000000000000001",
        }

        job = run("/contacts/import", body)

        result = {"matched_count": 4, "created_count": 1, "updated_count": 1, "skipped_count": 1, "failed_count": 1}
        assert result.items() <= job["result"].items()
        made = call("POST", "/contacts/search", {"query": "solberg"}).json()["data"][0]
        assert (
            made["source"],
            made["tags"],
            made["lifecycle_stage"],
            made["custom_fields"]["vessel_count"],
        ) == ("import", ["fair"], "qualified", 14)
        errors = call("GET", f"/contact-jobs/{job['id']}/errors").json()["data"]
        assert [tuple(e[k] for k in ("row", "column", "field", "value", "code")) for e in errors] == [
            (5, "E-Mail", "email", "mateo", "invalid_format")
        ]
        assert call("GET", "/contact-lists/lst_01KDVDNA000000000000000001").json()["member_count"] == 4
        assert types() == ["contact.created", "contact.updated", "contact_list.members_added", "contact_job.finished"]

    def test_a_trial_counts_rows_that_meet_each_other(self, call, run, types):
        rows = ("Solberg,ingrid@x.example,", "Solberg-Ruiz,ingrid@x.example,")

        result = run("/contacts/import", table(*rows) | {"validate_only": True})["result"]

        assert (result["created_count"], result["updated_count"]) == (1, 1)
        assert types() == ["contact_job.finished"]

    @pytest.mark.parametrize(
        ("mode", "row", "code"),
        [
            ("create", "Haddad,noor.haddad@tidewater.example,", "email_taken"),
            ("update", "Nobody,nobody@x.example,", "not_found"),
            ("update", "Nobody,,", "required"),
        ],
    )
    def test_modes(self, call, run, mode, row, code):
        job = run("/contacts/import", table(row) | {"mode": mode})

        assert [code] == [e["code"] for e in call("GET", f"/contact-jobs/{job['id']}/errors").json()["data"]]

    def test_by_external_id(self, call, run):
        body = table("Haddad-Osei,C-20417", heading="Surname,Customer number") | {
            "match_by": "external_id",
            "external_system": "erp",
        }

        assert run("/contacts/import", body)["result"]["updated_count"] == 1
        assert call("GET", f"/contacts/{NOOR}").json()["last_name"] == "Haddad-Osei"

    def test_from_a_file(self, call, run):
        file = {"source": {"type": "file", "file_id": "fil_01KDVDNA000000000000000001"}}

        result = run("/contacts/import", file)["result"]

        assert (result["matched_count"], result["created_count"], result["failed_count"]) == (4, 2, 1)

    @pytest.mark.parametrize(
        ("body", "code", "pointer"),
        [
            (table(), "import_source_unreadable", "#/source"),
            (table("a,b"), "import_source_unreadable", "#/source"),
            (table('"a,b,c'), "import_source_unreadable", "#/source"),
            (table("a,b", heading="Name,NAME"), "import_source_unreadable", "#/source"),
            (table("a", heading="E-Mail"), "mapping_incomplete", "#/column_mappings"),
            (
                table("a,b,c") | {"column_mappings": [{"column": "Nope", "field": "email"}]},
                "mapping_column_missing",
                "#/column_mappings/0/column",
            ),
            (table("a,b,c") | {"match_by": "external_id"}, "validation_failed", "#/external_system"),
            (table("a,b,c") | {"list_id": "lst_01KDVDNA00000000000000009Z"}, "validation_failed", "#/list_id"),
            ({"source": {"type": "file", "file_id": "fil_01KDVDNA00000000000000009Z"}}, "validation_failed", "#/source/file_id"),
        ],
    )
    def test_what_can_not_start(self, call, body, code, pointer):
        answer = call("POST", "/contacts/import", body)

        assert (422, code, pointer) == (answer.status_code, answer.json()["code"], answer.json()["errors"][0]["pointer"])

    def test_a_dynamic_list_takes_nobody(self, call):
        answer = call("POST", "/contacts/import", table("a,b,") | {"list_id": "lst_01KDVDNA000000000000000002"})

        assert (answer.status_code, answer.json()["code"]) == (409, "list_is_dynamic")

    def test_waits_while_imports_is_down(self, call, engine):
        engine.fault("imports")
        job = call("POST", "/contacts/import", table("Solberg,i@x.example,")).json()["id"]
        engine.advance(60)
        assert call("GET", f"/contact-jobs/{job}").json()["status"] == "queued"
        engine.heal()

        assert call("GET", f"/contact-jobs/{job}").json()["status"] == "succeeded"


class TestExport:
    def test_csv_has_digest_and_no_formulas(self, call, run):
        body = {"format": "csv", "selection": CUSTOMERS, "fields": ["last_name", "phone", "tags", "custom_fields.vessel_count"]}
        job = run("/contacts/export", body | {"sorts": [{"field": "last_name", "direction": "descending"}]})

        file = call("GET", f"/contact-jobs/{job['id']}/result")

        rows = [
            "last_name,phone,tags,custom_fields.vessel_count",
            "Osei,'+31104400104,harbour-fair-2025,",
            "Haddad,'+31104400101,harbour-fair-2025;key-contact,31",
        ]
        assert "\r\n".join((*rows, "")) == file.content.decode()
        assert ("text/csv", len(file.content)) == (file.headers["Content-Type"], job["result"]["file_bytes"])
        digest = base64.b64encode(hashlib.sha256(file.content).digest()).decode()
        assert f"sha-256=:{digest}:" == file.headers["Content-Digest"]

    def test_ndjson_leaves_out_what_the_caller_may_not_see(self, call, engine, run):
        scopes = ["contacts.export", "contacts.read"]
        job = call("POST", "/contacts/export", {"format": "ndjson"}, scopes=scopes).json()["id"]
        engine.advance(60)

        text = call("GET", f"/contact-jobs/{job}/result", scopes=scopes).text

        assert len(text.splitlines()) == 7 and "Rotterdam harbour fair" in text and "Wilhelminakade" not in text
        refused = call("POST", "/contacts/export", {"format": "csv", "fields": ["id", "born_on"]}, scopes=scopes).json()
        assert tuple(refused["errors"][0][k] for k in ("pointer", "code")) == ("#/fields/1", "unknown_field")

    def test_comes_back_through_an_import(self, call, run, engine):
        job = run("/contacts/export", {"format": "csv", "fields": ["last_name", "email", "phone", "custom_fields.vessel_count"]})
        text = call("GET", f"/contact-jobs/{job['id']}/result").text
        call("PATCH", f"/contacts/{NOOR}", {"phone": None, "custom_fields": {"vessel_count": None}})
        mappings = [{"column": c, "field": c} for c in ("last_name", "email", "phone")]
        mappings.append({"column": "custom_fields.vessel_count", "custom_field": "vessel_count"})

        result = run("/contacts/import", {"source": {"type": "text", "text": text}, "column_mappings": mappings})["result"]

        assert (result["updated_count"], result["skipped_count"]) == (1, 6)
        again = call("GET", f"/contacts/{NOOR}").json()
        assert (again["phone"], again["custom_fields"]["vessel_count"]) == ("+31104400101", 31)


class TestSnapshots:
    def test_bring_back_what_is_gone(self, call, run, types):
        taken = run("/contact-snapshots/take", {"label": "before"})["result"]
        call("DELETE", f"/contacts/{NOOR}")
        call("PATCH", f"/contacts/{SVEN}", {"job_title": "Captain"})
        restore = f"/contact-snapshots/{taken['snapshot_id']}/restore"

        trial = run(restore, {"validate_only": True})["result"]
        assert call("GET", f"/contacts/{NOOR}").status_code == 404
        done = run(restore, {})["result"]

        assert trial == done and done["created_count"] == 2
        assert call("GET", f"/contacts/{SVEN}").json()["job_title"] == "Captain"
        run(restore, {"mode": "overwrite"})
        assert call("GET", f"/contacts/{SVEN}").json()["job_title"] == "Chief engineer"
        assert types().count("contact_snapshot.restored") == 2

    def test_expire_after_thirty_five_days(self, call, run, engine):
        snapshot = run("/contact-snapshots/take", {})["result"]["snapshot_id"]
        engine.advance(36 * 86_400)

        assert call("POST", f"/contact-snapshots/{snapshot}/restore", {}).status_code == 404

    def test_never_revive_a_withdrawn_consent(self, call, run):
        body = {"contact_id": NOOR, "channel": "email", "purpose": "service", "legal_basis": "contract", "source": "Form"}
        consent = call("POST", "/contact-consents", body).json()["id"]
        snapshot = run("/contact-snapshots/take", {})["result"]["snapshot_id"]
        call("POST", f"/contact-consents/{consent}/withdraw", {"source": "Call"})

        run(f"/contact-snapshots/{snapshot}/restore", {"mode": "overwrite"})

        assert call("GET", f"/contact-consents/{consent}").json()["status"] == "withdrawn"


def test_usage_counts_the_tenant(call):
    call("DELETE", f"/contacts/{LUCIA}")

    items = {i["name"]: i["used"] for i in call("GET", "/contact-usage").json()["items"]}

    assert items == {"contacts": 6, "deleted_contacts": 1, "lists": 2, "relationships": 1, "consents": 0, "running_jobs": 0}
