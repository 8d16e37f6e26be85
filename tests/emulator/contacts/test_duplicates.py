"""Duplicates, merges and their undoing."""

from __future__ import annotations

import pytest

NOOR, SVEN, DANIEL = (f"con_01KDVDNA00000000000000000{n}" for n in (1, 2, 4))
HADAD, TIDEWATER = "con_01KDVDNA000000000000000006", "acc_01KDVDNA000000000000000001"
MERGE = {"target_id": NOOR, "source_ids": [HADAD]}


class TestCheck:
    def test_says_who_and_why(self, call):
        candidate = {"first_name": "Noor", "last_name": "Hadad", "account_id": TIDEWATER}

        matches = call("POST", "/contacts/check-duplicates", {"candidate": candidate, "exclude_id": HADAD}).json()["matches"]

        assert [(m["contact"]["id"], m["score"], m["band"]) for m in matches] == [(NOOR, 73, "likely")]
        assert [(s["signal"], s["points"]) for s in matches[0]["signals"]] == [("name", 53), ("account", 20)]

    def test_looks_only_at_people_whom_the_caller_sees(self, call):
        body = {"candidate": {"first_name": "Noor", "last_name": "Haddad", "account_id": TIDEWATER}}

        assert call("POST", "/contacts/check-duplicates", body, by="lena").json()["matches"] == []


class TestScan:
    def scan(self, run):
        return run("/contact-duplicates/scan", {})

    def test_makes_groups(self, call, run, types):
        job = self.scan(run)

        assert job["result"] == {"matched_count": 7, "group_count": 1}
        group = call("GET", "/contact-duplicates").json()["data"][0]
        assert (group["contact_ids"], group["suggested_target_id"], group["score"]) == ([NOOR, HADAD], NOOR, 100)
        assert types() == ["contact_duplicate_group.found", "contact_job.finished"]

    def test_an_unchanged_group_keeps_its_id_and_is_not_told_again(self, call, run, types):
        self.scan(run)
        before = call("GET", "/contact-duplicates").json()["data"][0]
        again = self.scan(run)

        now = call("GET", "/contact-duplicates").json()["data"][0]

        assert (now["id"], now["job_id"]) == (before["id"], again["id"])
        assert types().count("contact_duplicate_group.found") == 1

    def test_one_runs_at_a_time(self, call):
        call("POST", "/contact-duplicates/scan", {})

        assert call("POST", "/contact-duplicates/scan", {}).json()["code"] == "scan_running"

    def test_a_dismissed_pair_is_passed_over_until_one_changes(self, call, run):
        self.scan(run)
        group = call("GET", "/contact-duplicates").json()["data"][0]
        dismissed = call("POST", f"/contact-duplicates/{group['id']}/dismiss", {"reason": "Sisters"}).json()
        assert (dismissed["status"], dismissed["dismissal_reason"]) == ("dismissed", "Sisters")
        again = call("POST", f"/contact-duplicates/{group['id']}/dismiss", {})
        assert again.json()["code"] == "duplicate_group_closed"

        assert self.scan(run)["result"]["group_count"] == 0

        call("PATCH", f"/contacts/{HADAD}", {"last_name": "Haddad"})
        assert self.scan(run)["result"]["group_count"] == 1

    def test_a_merge_closes_the_group(self, call, run):
        self.scan(run)
        call("POST", "/contacts/merge", MERGE)

        group = call("GET", "/contact-duplicates").json()["data"][0]

        assert (group["status"], group["contact_ids"]) == ("merged", [NOOR])


class TestMerge:
    def test_preview_writes_nothing_and_says_what_the_merge_does(self, call, engine):
        before = [call("GET", f"/contacts/{id}").json() for id in (NOOR, HADAD)]
        preview = call("POST", "/contacts/merge-preview", MERGE).json()
        assert before == [call("GET", f"/contacts/{id}").json() for id in (NOOR, HADAD)]
        assert engine.emitted == []

        merge = call("POST", "/contacts/merge", MERGE).json()

        assert (preview["outcomes"], preview["moved"]) == (merge["outcomes"], merge["moved"])
        assert merge["undo_expires_at"][:10] == "2026-02-04"

    def test_the_source_is_gone_and_the_target_has_its_things(self, call, types):
        call("PATCH", f"/contacts/{DANIEL}", {"reports_to_id": HADAD})
        call("POST", "/contact-lists/lst_01KDVDNA000000000000000001/members", {"contact_ids": [HADAD]})
        tie = {"contact_id": HADAD, "type": "mentor_of", "related_contact_id": SVEN}
        mentor = call("POST", "/contact-relationships", tie).json()["id"]
        own = {"contact_id": HADAD, "type": "friend_of", "related_contact_id": NOOR}
        friend = call("POST", "/contact-relationships", own).json()["id"]

        merge = call("POST", "/contacts/merge", MERGE).json()

        assert merge["moved"] == {"relationship_count": 1, "direct_report_count": 1, "list_member_count": 0, "consent_count": 0}
        gone = call("GET", f"/contacts/{HADAD}")
        assert (gone.status_code, gone.json()["merged_into"]) == (410, NOOR)
        assert call("GET", f"/contacts/{DANIEL}").json()["reports_to_id"] == NOOR
        assert call("GET", f"/contact-relationships/{mentor}").json()["contact_id"] == NOOR
        assert call("GET", f"/contact-relationships/{friend}").status_code == 404
        target = call("GET", f"/contacts/{NOOR}").json()
        assert target["other_emails"] == [{"address": "n.hadad@tidewater.example", "label": "other"}]
        assert types()[-2:] == ["contact.merged", "contact.updated"]
        feed = [(c["type"], c["id"], c.get("merged_into")) for c in call("GET", "/contacts/changes?limit=200").json()["data"]]
        assert ("merged", HADAD, NOOR) in feed and ("merged", NOOR, None) not in feed

    def test_undo_puts_everything_back(self, call, types):
        call("PATCH", f"/contacts/{DANIEL}", {"reports_to_id": HADAD})
        call("POST", "/contact-lists/lst_01KDVDNA000000000000000001/members", {"contact_ids": [HADAD]})
        own = {"contact_id": HADAD, "type": "friend_of", "related_contact_id": NOOR}
        friend = call("POST", "/contact-relationships", own).json()["id"]
        before = {id: call("GET", f"/contacts/{id}").json() for id in (NOOR, HADAD)}
        merge = call("POST", "/contacts/merge", MERGE).json()["id"]
        call("PATCH", f"/contacts/{NOOR}", {"department": "Fleet"})

        undone = call("POST", f"/contact-merges/{merge}/undo").json()

        assert undone["status"] == "undone"
        changing = ("version", "updated_at", "updated_by")
        for id, former in before.items():
            former |= {"department": "Fleet"} if id == NOOR else {}
            now = call("GET", f"/contacts/{id}").json()
            assert {k: v for k, v in former.items() if k not in changing} == {k: v for k, v in now.items() if k not in changing}
        assert call("GET", f"/contacts/{DANIEL}").json()["reports_to_id"] == HADAD
        assert call("GET", f"/contact-relationships/{friend}").status_code == 200
        assert call("GET", f"/contact-lists/lst_01KDVDNA000000000000000001/members/{HADAD}").json()["is_member"]
        assert types()[-2:] == ["contact.unmerged", "contact.updated"]
        feed = [(c["type"], c["id"]) for c in call("GET", "/contacts/changes?limit=200").json()["data"]]
        assert ("restored", HADAD) in feed
        assert call("POST", f"/contact-merges/{merge}/undo").json()["code"] == "merge_already_undone"

    def test_undo_has_its_limits(self, call, engine):
        merge = call("POST", "/contacts/merge", MERGE).json()["id"]
        snapshot = engine.snapshot()
        call("PATCH", f"/contacts/{NOOR}", {"other_emails": None})
        call("POST", "/contacts", {"last_name": "Taker", "email": "n.hadad@tidewater.example"})
        assert call("POST", f"/contact-merges/{merge}/undo").json()["code"] == "email_taken"
        engine.restore(snapshot)
        call("DELETE", f"/contacts/{NOOR}")
        assert call("POST", f"/contact-merges/{merge}/undo").json()["code"] == "undo_blocked"
        engine.restore(snapshot)
        engine.advance(31 * 86_400)
        assert call("POST", f"/contact-merges/{merge}/undo").json()["code"] == "undo_expired"

    @pytest.mark.parametrize(
        ("choices", "pointer"),
        [
            ([{"field": "last_name", "strategy": "contact"}], "#/choices/0"),
            ([{"field": "last_name", "strategy": "contact", "contact_id": SVEN}], "#/choices/0"),
            ([{"field": "last_name", "strategy": "newest", "contact_id": NOOR}], "#/choices/0"),
            ([{"field": "last_name", "strategy": "union"}], "#/choices/0"),
            ([{"field": "owner_id", "strategy": "source"}], "#/choices/0"),
            ([{"field": "tags", "strategy": "union"}, {"field": "tags", "strategy": "target"}], "#/choices/1"),
        ],
    )
    def test_choices_that_do_not_fit(self, call, choices, pointer):
        answer = call("POST", "/contacts/merge", {**MERGE, "choices": choices})

        assert (answer.status_code, answer.json()["code"]) == (422, "survivorship_choice_invalid")
        assert pointer == answer.json()["errors"][0]["pointer"]

    def test_itself_and_strangers_are_refused(self, call):
        assert call("POST", "/contacts/merge", {"target_id": NOOR, "source_ids": [NOOR]}).json()["code"] == "merge_self"
        foreign = call("POST", "/contacts/merge", {"target_id": NOOR, "source_ids": ["con_01KDVDNA000000000000000011"]})
        assert tuple(foreign.json()["errors"][0][k] for k in ("pointer", "code")) == ("#/source_ids/0", "invalid_reference")

    def test_a_line_that_would_run_in_a_circle_is_cut(self, call):
        call("PATCH", f"/contacts/{SVEN}", {"reports_to_id": HADAD})
        call("PATCH", f"/contacts/{NOOR}", {"reports_to_id": SVEN})

        call("POST", "/contacts/merge", MERGE)

        assert "reports_to_id" not in call("GET", f"/contacts/{NOOR}").json()
        assert call("GET", f"/contacts/{SVEN}").json()["reports_to_id"] == NOOR

    def test_a_ban_survives_and_a_withdrawal_wins(self, call):
        consent = {"channel": "email", "purpose": "newsletter", "legal_basis": "contract", "source": "Form"}
        call("POST", "/contact-consents", {**consent, "contact_id": NOOR, "granted_at": "2025-01-01T00:00:00Z"})
        theirs = call("POST", "/contact-consents", {**consent, "contact_id": HADAD}).json()["id"]
        call("POST", f"/contact-consents/{theirs}/withdraw", {"source": "Call"})
        call("PUT", f"/contacts/{HADAD}/do-not-contact", {"is_do_not_contact": True, "reason": "legal"})

        call("POST", "/contacts/merge", MERGE)

        kept = call("GET", f"/contact-consents?contact_id={NOOR}").json()["data"]
        assert [(theirs, "withdrawn")] == [(c["id"], c["status"]) for c in kept]
        assert call("GET", f"/contacts/{NOOR}").json()["do_not_contact_reason"] == "legal"
