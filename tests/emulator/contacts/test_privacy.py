"""Consents, bans, restrictions, personal data and erasure."""

from __future__ import annotations

import pytest

NOOR, SVEN, DANIEL = (f"con_01KDVDNA00000000000000000{n}" for n in (1, 2, 4))
HADAD = "con_01KDVDNA000000000000000006"
PAPER = {
    "contact_id": NOOR,
    "channel": "email",
    "purpose": "newsletter",
    "legal_basis": "consent",
    "source": "Form",
    "wording": "Yes.",
}
CODE = "k7Qm2xV9pLr4TzWc8NbY3A"
DOUBLE = {**PAPER, "is_double_opt_in": True, "confirmation_code": CODE}


def decision(call, id=NOOR):
    body = {"contact_ids": [id], "channel": "email", "purpose": "newsletter"}
    return call("POST", "/contact-consents/check", body).json()["decisions"][0]["reason"]


class TestConsents:
    def test_a_grant_holds_until_it_is_withdrawn(self, call, types):
        consent = call("POST", "/contact-consents", PAPER).json()
        assert decision(call) == "granted"

        withdrawn = call("POST", f"/contact-consents/{consent['id']}/withdraw", {"source": "Call"}).json()

        assert (withdrawn["status"], withdrawn["withdrawal_source"], decision(call)) == ("withdrawn", "Call", "withdrawn")
        again = call("POST", f"/contact-consents/{consent['id']}/withdraw", {"source": "Call"})
        assert again.json()["code"] == "consent_not_active"
        assert types() == ["contact_consent.granted", "contact_consent.withdrawn"]

    def test_is_given_anew_under_its_id_with_its_history(self, call):
        id = call("POST", "/contact-consents", PAPER).json()["id"]
        assert call("POST", "/contact-consents", PAPER).json()["code"] == "consent_exists"
        call("POST", f"/contact-consents/{id}/withdraw", {"source": "Call"})

        anew = call("POST", "/contact-consents", {**PAPER, "source": "Fair"})

        assert (200, id, "Fair") == (anew.status_code, anew.json()["id"], anew.json()["source"])
        assert "withdrawn_at" not in anew.json()
        history = call("GET", f"/contact-consents/{id}/history").json()["data"]
        assert [entry["action"] for entry in history] == ["granted", "withdrawn", "granted"]

    def test_double_opt_in_counts_once_the_code_came_back(self, call, engine, types):
        made = call("POST", "/contact-consents", DOUBLE)
        assert (made.json()["status"], decision(call)) == ("pending", "pending")

        granted = call("POST", f"/contact-consents/{made.json()['id']}/confirm", {"confirmation_code": CODE}).json()

        assert (granted["status"], decision(call)) == ("granted", "granted")
        assert "confirmation_expires_at" not in granted
        assert types() == ["contact_consent.requested", "contact_consent.granted"]
        told = [made.text, str(engine.outbox), call("GET", f"/contact-consents/{made.json()['id']}/history").text]
        assert all(CODE not in text and "confirmation_code" not in text for text in told)

    def test_the_fifth_wrong_code_ends_it(self, call):
        id = call("POST", "/contact-consents", DOUBLE).json()["id"]
        wrong = {"confirmation_code": "x" * 22}
        codes = [call("POST", f"/contact-consents/{id}/confirm", wrong).json()["code"] for _ in range(6)]

        assert [*["confirmation_code_wrong"] * 5, "confirmation_expired"] == codes
        assert call("GET", f"/contact-consents/{id}").json()["status"] == "expired"
        assert call("POST", "/contact-consents", DOUBLE).status_code == 200

    def test_requests_and_consents_run_out(self, call, engine):
        pending = call("POST", "/contact-consents", DOUBLE).json()["id"]
        granted = call("POST", "/contact-consents", {**PAPER, "channel": "post", "expires_at": "2026-01-07T00:00:00Z"}).json()["id"]
        engine.advance(8 * 86_400)

        assert {pending, granted} == {c["id"] for c in call("GET", "/contact-consents?status=expired").json()["data"]}
        history = call("GET", f"/contact-consents/{granted}/history").json()["data"][0]
        assert (history["action"], history["changed_at"]) == ("expired", "2026-01-07T00:00:00Z")
        assert "changed_by" not in history
        late = call("POST", f"/contact-consents/{pending}/confirm", {"confirmation_code": CODE})
        assert late.json()["code"] == "confirmation_expired"
        ran_out = call("POST", f"/contact-consents/{granted}/confirm", {"confirmation_code": CODE})
        assert ran_out.json()["code"] == "consent_not_pending"

    @pytest.mark.parametrize(
        ("body", "pointer", "code"),
        [
            ({**PAPER, "granted_at": "2026-02-01T00:00:00Z"}, "#/granted_at", "invalid_value"),
            ({**PAPER, "confirmation_code": CODE}, "#/confirmation_code", "invalid_value"),
            ({**DOUBLE, "granted_at": "2026-01-01T00:00:00Z"}, "#/granted_at", "invalid_value"),
            ({k: v for k, v in DOUBLE.items() if k != "confirmation_code"}, "#/confirmation_code", "required"),
            ({k: v for k, v in PAPER.items() if k != "wording"}, "#/wording", "required"),
            ({**PAPER, "expires_at": "2025-01-01T00:00:00Z"}, "#/expires_at", "expiry_before_grant"),
            ({**PAPER, "contact_id": "con_01KDVDNA000000000000000011"}, "#/contact_id", "invalid_reference"),
        ],
    )
    def test_what_does_not_fit_is_told_at_its_place(self, call, body, pointer, code):
        entry = call("POST", "/contact-consents", body).json()["errors"][0]

        assert (pointer, code) == (entry["pointer"], entry["code"])


class TestMarks:
    def test_a_ban_wins_over_consents_and_leaves_them(self, call, types):
        call("POST", "/contact-consents", PAPER)
        banned = call("PUT", f"/contacts/{NOOR}/do-not-contact", {"is_do_not_contact": True, "reason": "requested"}).json()

        assert (banned["is_do_not_contact"], decision(call)) == (True, "do_not_contact")
        same = call("PUT", f"/contacts/{NOOR}/do-not-contact", {"is_do_not_contact": True, "reason": "requested"}).json()
        assert same["version"] == banned["version"]
        call("PUT", f"/contacts/{NOOR}/do-not-contact", {"is_do_not_contact": False})
        assert decision(call) == "granted"
        assert types().count("contact.do_not_contact_changed") == 2

    def test_a_reason_goes_with_the_mark_and_with_nothing_else(self, call):
        for body, code in (
            ({"is_do_not_contact": True}, "required"),
            ({"is_do_not_contact": False, "reason": "legal"}, "invalid_value"),
        ):
            entry = call("PUT", f"/contacts/{NOOR}/do-not-contact", body).json()["errors"][0]
            assert ("#/reason", code) == (entry["pointer"], entry["code"])

    def test_a_restriction_freezes_everything_but_erasure(self, call):
        call("PUT", f"/contacts/{NOOR}/processing-restriction", {"is_processing_restricted": True, "reason": "claim"})
        merge = {"target_id": SVEN, "source_ids": [NOOR]}

        refused = [
            call("PATCH", f"/contacts/{NOOR}", {"job_title": "X"}),
            call("DELETE", f"/contacts/{NOOR}"),
            call("POST", f"/contacts/{NOOR}/tags", {"add": ["x"]}),
            call("POST", f"/contacts/{NOOR}/change-owner", {"owner_id": "usr_01KDVDNA000000000000000002"}),
            call("POST", f"/contacts/{NOOR}/change-account", {"account_id": "acc_01KDVDNA000000000000000002"}),
            call("POST", "/contacts/merge", merge),
            call("POST", "/contacts/merge-preview", merge),
        ]

        assert {(422, "processing_restricted")} == {(r.status_code, r.json()["code"]) for r in refused}
        items = call("POST", "/contacts/batch/delete", {"ids": [NOOR]}).json()["results"]
        assert items[0]["problem"]["code"] == "processing_restricted"
        assert decision(call) == "processing_restricted"
        # A manager may go although a report is restricted: the reference is put right, and nobody changed the person.
        call("PUT", f"/contacts/{DANIEL}/processing-restriction", {"is_processing_restricted": True, "reason": "claim"})
        call("PUT", f"/contacts/{NOOR}/processing-restriction", {"is_processing_restricted": False})
        assert call("DELETE", f"/contacts/{NOOR}").status_code == 204
        etag = call("GET", f"/contacts/{DANIEL}").headers["ETag"]
        assert call("POST", f"/contacts/{DANIEL}/erase", {"reason": "requested"}, If_Match=etag).status_code == 200


class TestErasure:
    def test_leaves_a_receipt_and_no_trace(self, call, engine, run):
        call("POST", "/contacts/merge", {"target_id": NOOR, "source_ids": [HADAD]})
        call("POST", "/contact-consents", PAPER)
        snapshot = run("/contact-snapshots/take", {})["result"]["snapshot_id"]
        preview = call("GET", f"/contacts/{NOOR}/erasure-preview").json()
        etag = call("GET", f"/contacts/{NOOR}").headers["ETag"]
        assert call("POST", f"/contacts/{NOOR}/erase", {"reason": "requested"}).status_code == 428

        receipt = call("POST", f"/contacts/{NOOR}/erase", {"reason": "requested"}, If_Match=etag).json()

        assert receipt["counts"] == preview["counts"]
        counts = {k.removesuffix("_count"): v for k, v in receipt["counts"].items()}
        assert {k: counts[k] for k in counts if k != "history"} == {
            "contact": 2,
            "consent": 1,
            "relationship": 1,
            "list_member": 1,
            "merge": 1,
        }
        assert "Haddad" not in str(receipt)
        assert engine.emitted[-1]["data"]["merged_contact_ids"] == [HADAD]
        assert 404 == call("GET", f"/contacts/{NOOR}").status_code == call("GET", f"/contacts/{HADAD}").status_code
        assert "reports_to_id" not in call("GET", f"/contacts/{DANIEL}").json()
        feed = [c for c in call("GET", "/contacts/changes?limit=200").json()["data"] if c["id"] in (NOOR, HADAD)]
        assert [c["type"] for c in feed] == ["deleted", "deleted"]
        run(f"/contact-snapshots/{snapshot}/restore", {})
        assert call("GET", f"/contacts/{NOOR}").status_code == 404
        tables = ("contacts", "contact-relationships", "contact-lists", "contact-consents", "contact-merges", "contact-snapshots")
        tenant = engine.contract.principals["ines"].tenant
        kept = [r.doc for table in tables for r in engine.world.store.select(tenant, table, deleted=None)]
        assert "noor.haddad@tidewater.example" not in str(kept) and NOOR not in str(kept)

    def test_reaches_the_recycle_bin(self, call):
        call("DELETE", f"/contacts/{SVEN}")
        version = call("GET", "/contacts/deleted").json()["data"][0]["version"]

        assert call("GET", f"/contacts/{SVEN}/erasure-preview").json()["counts"]["contact_count"] == 1
        assert call("POST", f"/contacts/{SVEN}/erase", {"reason": "requested"}, If_Match=f'"{version}"').status_code == 200
        assert call("GET", "/contacts/deleted").json()["data"] == []
        assert call("POST", f"/contacts/{SVEN}/restore").status_code == 404

    def test_personal_data_is_whole_and_unmasked(self, call):
        call("POST", "/contact-consents", PAPER)

        data = call("GET", f"/contacts/{NOOR}/personal-data", scopes=["contacts.privacy"]).json()

        assert data["contact"]["address"]["city"] == "Rotterdam"
        assert (
            len(data["consents"]),
            len(data["relationships"]),
            [r["name"] for r in data["lists"]],
        ) == (1, 1, ["All customers", "Harbour fair guests"])
