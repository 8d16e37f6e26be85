"""One violation of each universal rule that is decided from the contract and its exchanges.

Those that laws alone decide are in ``test_laws.py``; the two files together name every rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from crm_reference.contract import Call, Contract, Hearing
from crm_reference.trace import Hit, Result
from crm_reference.trace.baseline import snapshot
from crm_reference.trace.rules.laws import LAWS
from crm_reference.trace.universal import RULES, rule_of

OPENAPI = "source_specs/berths/openapi.yaml"
SERVICE = "source_specs/berths/service.yaml"

#: Rule, file, text, what stands there instead, and a part of the message.
EDITS = [
    ("request_all_fields", "examples/berths.yaml", "        is_covered: false\n", "", "sends #/is_covered"),
    ("request_all_fields", "examples/berths.yaml", "limit: 10, sort: name,", "limit: 10,", "sends query sort"),
    (
        "error_examples",
        "examples/berths.yaml",
        "'#/code': berth_status_jump}",
        "'#/code': berth_name_taken}",
        "declares berth_status_jump",
    ),
    ("authentication", OPENAPI, "- oauth2: [berths.write]", "- oauth2: [ships.write]", "which no manifest declares"),
    ("authentication", OPENAPI, "      security:\n        - oauth2: [berths.write]", "      security: []", "takes no token"),
    ("security_considerations", OPENAPI, "x-security:", "x-said:", "has no x-security"),
    ("rate_limits", OPENAPI, "x-policy: write", "x-policy: wrote", "the policy class 'wrote'"),
    ("rate_limits", "source_specs/common/policies.yaml", "{requests: 300,", "{requests: 0,", "has no quota"),
    ("pagination", OPENAPI, "        - $ref: '../common/parameters.yaml#/Cursor'\n", "", "has no pages"),
    ("pagination", OPENAPI, "        - $ref: '../common/parameters.yaml#/Limit'\n", "", "takes a cursor and no limit"),
    ("performance", "source_specs/common/policies.yaml", "timeout_seconds: 5", "timeout_seconds: 0", "has no timeout"),
    ("performance", "source_specs/common/policies.yaml", "latency: {p50_ms: 20, ", "latency: {", "no latency target p50_ms"),
    (
        "performance",
        "source_specs/common/policies.yaml",
        "payload_limit_bytes: 65536",
        "payload_limit_bytes: 0",
        "no limit of its size",
    ),
    ("grouping", OPENAPI, "tags: [berths]", "tags: [berths, operate]", "createBerth has the tags"),
    ("grouping", SERVICE, "segments: [berths]", "segments: [quays]", "begins with no segment of berths"),
    ("boundaries", SERVICE, "prefix: ber,", "prefix: bth,", "its boundary doesn't own it"),
    ("communication", SERVICE, "emits: [crm.berth.created.v1,", "emits: [crm.berth.sunk.v1,", "has no such message"),
    ("configuration", SERVICE, "changes: [reserveBerth]", "changes: [sinkBerth]", "which is no operation"),
    ("configuration", SERVICE, "required: false", "required: true", "is required and has a default"),
    ("deployment", SERVICE, "readiness: getBerthsReadiness", "readiness: getBerthsMood", "which is none of its operations"),
    ("deployment", SERVICE, "index_factor: 1.8", "index_factor: 0.5", "has no index_factor"),
    ("deployment", SERVICE, "- resource: berths\n    keys", "- resource: ships\n    keys", "has one to measure"),
    ("health", OPENAPI, "  /berths/health/ready:", "  /berths/healthy:", "has no readiness operation"),
    ("monitoring", OPENAPI, "  /berths/metrics:", "  /berths/numbers:", "has no metrics operation"),
    ("monitoring", SERVICE, "moves_with: [createBerth]", "moves_with: [sinkBerth]", "moves with sinkBerth"),
    (
        "constraints",
        OPENAPI,
        "          default: free\n        length_metres:\n          type: integer\n          format: int32\n"
        "          description: The longest ship that fits, in metres.\n          minimum: 5\n",
        "          default: free\n        length_metres:\n          type: integer\n",
        "#/length_metres of createBerth has no minimum",
    ),
    ("cross_entity", OPENAPI, "          field: neighbour_id\n", "          field: name\n", "has no reference rule"),
    ("cross_entity", OPENAPI, "          target: berths\n", "          target: ships\n", "which is no collection"),
    ("extensible_entities", OPENAPI, "      x-query:\n", "      x-extensible: berth\n      x-query:\n", "has no custom_fields"),
]


@pytest.mark.parametrize(("rule", "file", "old", "new", "message"), EDITS, ids=[f"{e[0]}-{n}" for n, e in enumerate(EDITS)])
def test_edit_breaks_the_rule(
    edited: Callable[..., Any], evidence: Any, rule: str, file: str, old: str, new: str, message: str
) -> None:
    before = set(evidence.messages(rule))
    after = set(edited(file, old, new).messages(rule)) - before

    assert any(message in m for m in after), after or "nothing is violated"


def test_harbour_keeps_the_rules_that_need_no_recorded_answers(evidence: Any) -> None:
    recorded = {"success_examples", "events", "message_schemas"}

    assert {rule: m for rule in RULES if rule not in recorded and (m := evidence.messages(rule))} == {}


def test_each_rule_is_tested(rules: frozenset[str]) -> None:
    elsewhere = {
        "success_examples",
        "status_codes",
        "error_handling",
        "security_validation",
        "dependencies",
        "events",
        "message_schemas",
    }
    elsewhere |= {"business_rules", "versioning", "compatibility", "third_party_patterns"}
    by_law = {rule_of(law) for law in LAWS.values()}

    assert rules == {e[0] for e in EDITS} | elsewhere | by_law
    assert elsewhere <= set(RULES)


BERTH = {"id": "ber_01KDVDNA000000000000000101", "object": "berth", "name": "South Pier", "status": "free"}


class TestAnswers:
    """Rules over what came back."""

    def test_success_status_without_live_exchange(self, evidence: Any) -> None:
        evidence.result("deleteBerth/one", hits=(Hit("deleteBerth", 204, False),))

        assert "no live exchange of deleteBerth answers 204; add one that does" in evidence.messages("success_examples")

    def test_field_that_no_answer_has(self, evidence: Any) -> None:
        evidence.answer("createBerth/every-field", BERTH)
        messages = evidence.messages("success_examples")

        assert not any(m.startswith("#/name is set") for m in messages)
        assert any(m.startswith("#/length_metres is set in no recorded answer") for m in messages)

    def test_pages(self, evidence: Any) -> None:
        evidence.answer("listBerths/first-page", {"data": [BERTH, BERTH], "has_more": True, "next_cursor": "abc"})
        messages = evidence.messages("success_examples")
        assert "listBerths: no exchange shows a page with two items or more" not in messages
        assert "listBerths: no exchange shows the last page" in messages

        evidence.answer("listBerths/last-page", {"data": [BERTH], "has_more": False})
        assert "listBerths: no exchange shows the last page" not in evidence.messages("success_examples")

    def test_undeclared_status(self, evidence: Any) -> None:
        evidence.result("getBerth/one", hits=(Hit("getBerth", 418, True),))

        assert evidence.messages("status_codes") == ["getBerth answered 418 to getBerth/one, and declares no such response"]

    def test_problem_with_unknown_code(self, evidence: Any) -> None:
        evidence.answer("getBerth/other-tenant", {"type": "https://docs.crm.example/errors#gone_away", "code": "gone_away"})

        assert any("which no manifest declares" in m for m in evidence.messages("error_handling"))

    def test_problem_type_leads_elsewhere(self, evidence: Any) -> None:
        evidence.answer("getBerth/other-tenant", {"type": "about:blank", "code": "not_found"})

        assert any("should be https://docs.crm.example/errors#not_found" in m for m in evidence.messages("error_handling"))

    def test_catalogue_lacks_a_code(self, evidence: Any) -> None:
        evidence.context = {"catalogue": frozenset(evidence.contract.errors) - {"berth_not_free"}}

        assert evidence.messages("error_handling") == ["the catalogue has no entry for berth_not_free, to which problems lead"]

    def test_secret_in_an_answer(self, edited: Callable[..., Any]) -> None:
        made = edited(OPENAPI, "x-sensitive: pii", "x-sensitive: secret")

        assert any("can answer with the secret #/contact_email" in m for m in made.messages("security_validation"))

    def test_secret_that_was_sent_comes_back(self, edited: Callable[..., Any]) -> None:
        head = "    BerthCreate:"
        made = edited(OPENAPI, head, head)  # a contract of its own, whose data may be changed
        made.contract.schemas["BerthCreate"].node.value["properties"]["contact_email"]["x-sensitive"] = "secret"
        made.answer("getBerth/one", {**BERTH, "contact_email": "keeper@southpier.example"})

        assert any("shows the secret that createBerth/every-field sent" in m for m in made.messages("security_validation"))


class TestExchanges:
    def test_rule_that_nothing_breaks(self, evidence: Any) -> None:
        for name in ("createBerth/name-taken", "updateBerth/name-taken", "restoreBerth/name-taken"):
            del evidence.results[name]

        assert evidence.messages("business_rules") == [
            "no exchange breaks the rule name-unique of berths and is answered berth_name_taken; add one"
        ]

    def test_rule_that_nothing_keeps(self, evidence: Any) -> None:
        for exchange in evidence.contract.exchanges.values():
            if exchange.succeeds and exchange.operation in {"createBerth", "updateBerth"}:
                evidence.results.pop(exchange.id)

        assert any("meets the rule neighbour-exists" in m for m in evidence.messages("business_rules"))


def _event(**changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0", "id": "evt_01KDVDNA000000000000000101", "source": "/services/berths", "type": "crm.berth.created.v1",
        "subject": BERTH["id"], "time": "2026-01-05T09:00:00Z", "datacontenttype": "application/json",
        "tenantid": "ten_01KDVDNA000000000000000001", "sequence": "00000000000000000001", "data": {"record": BERTH}, **changes,
    }  # fmt: skip


class TestEvents:
    def test_event_that_was_never_emitted(self, evidence: Any) -> None:
        evidence.answer("createBerth/every-field", BERTH, events=(_event(),))
        messages = evidence.messages("events")

        assert not any(m.startswith("createBerth") for m in messages)
        assert any(m.startswith("deleteBerth names crm.berth.deleted.v1") for m in messages)

    def test_event_that_was_not_named(self, evidence: Any) -> None:
        evidence.answer("getBerth/one", BERTH, events=(_event(),))

        assert any("getBerth/one emitted crm.berth.created.v1" in m for m in evidence.messages("events"))

    def test_event_of_a_job_is_seen_later(self, evidence: Any) -> None:
        evidence.exchange("getBerth/one", given=("createBerth/every-field",))
        evidence.answer("getBerth/one", BERTH, events=(_event(),))

        assert not any("crm.berth.created.v1" in m for m in evidence.messages("events"))

    def test_hearing_that_nothing_reads_back(self, evidence: Any) -> None:
        self._hear(evidence)
        assert any("berths hears crm.berth.deleted.v1" in m for m in evidence.messages("events"))

        evidence.exchange("getBerth/one", given=({"deliver": {"type": "crm.berth.deleted.v1", "data": {}}},))
        assert not any("berths hears" in m for m in evidence.messages("events"))

    def test_hearing_of_a_service_to_come(self, evidence: Any) -> None:
        self._hear(evidence, service="ships")

        assert evidence.verdict("events").awaiting == ("ships",)

    def test_invalid_event(self, evidence: Any) -> None:
        evidence.answer("createBerth/every-field", BERTH, events=(_event(tenantid=7),))

        assert any("/tenantid" in m for m in evidence.messages("message_schemas"))

    def test_event_with_a_member_that_nothing_declares(self, evidence: Any) -> None:
        evidence.answer("createBerth/every-field", BERTH, events=(_event(mood="calm"),))

        assert any("#/mood is declared nowhere" in m for m in evidence.messages("message_schemas"))

    def test_event_without_an_attribute(self, evidence: Any) -> None:
        event = _event()
        del event["subject"]
        evidence.answer("createBerth/every-field", BERTH, events=(event,))

        assert any("it lacks subject" in m for m in evidence.messages("message_schemas"))

    def test_valid_event(self, evidence: Any) -> None:
        evidence.answer("createBerth/every-field", BERTH, events=(_event(),))

        assert evidence.verdict("message_schemas").subjects == ("crm.berth.created.v1",)
        assert not any("is not valid" in m for m in evidence.messages("message_schemas"))

    def _hear(self, evidence: Any, service: str = "berths") -> None:
        place = evidence.contract.services["berths"].manifest.node.place
        hearing = Hearing("crm.berth.deleted.v1", service, "The berth is gone.", "getBerth", place)
        evidence.manifest(hears=(hearing,))


class TestDependencies:
    def _call(self, contract: Contract, service: str, **changes: Any) -> Call:
        place = contract.services["berths"].manifest.node.place
        call = Call(service, "getBerth", "why", "required", 200, 1, "The name is left out.", ("getBerth",), place)
        return replace(call, **changes)

    def test_cycle(self, evidence: Any) -> None:
        evidence.manifest(calls=(self._call(evidence.contract, "ships"),))
        berths = evidence.contract.services["berths"]
        ships = replace(berths, slug="ships", manifest=replace(berths.manifest, calls=(self._call(evidence.contract, "berths"),)))
        evidence.contract = replace(evidence.contract, services={"berths": berths, "ships": ships})

        (message,) = [m for m in evidence.messages("dependencies") if "need each other" in m]

        assert "berths -> ships -> berths" in message

    def test_neighbour_to_come_is_awaited(self, evidence: Any) -> None:
        evidence.manifest(calls=(self._call(evidence.contract, "ships"),))
        verdict = evidence.verdict("dependencies")

        assert verdict.awaiting == ("ships",)

    def test_two_owners(self, evidence: Any) -> None:
        berths = evidence.contract.services["berths"]
        evidence.contract = replace(evidence.contract, services={"berths": berths, "ships": replace(berths, slug="ships")})

        assert any("has two owners" in m for m in evidence.messages("boundaries"))
        assert any("stands twice" in m for m in evidence.messages("grouping"))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [({"timeout_ms": 0}, "no timeout"), ({"fallback": ""}, "doesn't say"), ({"operation": "sail"}, "has no operation sail")],
    )
    def test_incomplete_call(self, evidence: Any, changes: dict[str, Any], message: str) -> None:
        evidence.manifest(calls=(self._call(evidence.contract, "berths", **changes),))

        assert any(message in m for m in evidence.messages("communication"))


class TestVersions:
    def test_breaking_change_without_a_major_step(self, evidence: Any) -> None:
        evidence.context = {"baselines": {"berths": snapshot(evidence.contract.services["berths"])}}
        assert evidence.messages("versioning") == []

        evidence.operation("getBerth", path="/berths/by/{berth_id}")

        (message,) = evidence.messages("versioning")
        assert "needs a major step" in message
        assert any("a client of 1.0.0 breaks" in m for m in evidence.messages("compatibility"))

    def test_operation_gone_without_notice(self, evidence: Any) -> None:
        evidence.context = {"baselines": {"berths": snapshot(evidence.contract.services["berths"])}}
        operations = evidence.contract.services["berths"].operations
        evidence.service(operations=tuple(o for o in operations if o.id != "countBerths"))

        assert any("countBerths is gone" in m for m in evidence.messages("compatibility"))

    def test_deprecated_without_sunset(self, evidence: Any) -> None:
        evidence.operation("countBerths", deprecated=True)

        assert evidence.messages("compatibility") == [
            "countBerths is deprecated, and its answers have no Deprecation and no Sunset"
        ]

    def test_without_baseline_there_is_no_subject(self, evidence: Any) -> None:
        assert evidence.verdict("versioning").subjects == ()


class TestPatterns:
    def _tell(self, evidence: Any, *hits: Hit) -> None:
        evidence.results["agent"] = Result("agent", "docs/guides/integrations/agent.md:9", "passed", "narrative", hits)

    def test_one_service_and_no_failure(self, evidence: Any) -> None:
        self._tell(evidence, Hit("getBerth", 200, True))

        assert evidence.messages("third_party_patterns") == [
            "Agent: the narrative reaches 1 services and should reach 2",
            "Agent: the narrative meets no failure",
        ]
        assert evidence.verdict("third_party_patterns").subjects == ("agent",)

    def test_failure_is_met(self, evidence: Any) -> None:
        self._tell(evidence, Hit("getBerth", 404, True))

        assert not any("meets no failure" in m for m in evidence.messages("third_party_patterns"))
