"""What stage rules do to deals, and that they never go round for ever."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import requests

from crm_reference.emulator import Engine

Caller = Callable[..., requests.Response]

PIPELINE = "pip_01KDVDNA000000000000000001"
STAGES = [f"stg_01KDVDNA00{n:0>16}" for n in range(1, 5)]
KESTREL, TUG = (f"dea_01KDVDNA00{n:0>16}" for n in (2, 7))


def _activate(call: Caller, name: str, trigger: str, stage: str, *actions: dict[str, Any]) -> str:
    body = {"name": name, "pipeline_id": PIPELINE, "stage_id": stage, "trigger": trigger, "actions": list(actions)}
    rule = call("POST", "/stage-rules", body, by="tomas").json()
    assert call("POST", f"/stage-rules/{rule['id']}/activate", by="tomas").status_code == 200
    return str(rule["id"])


def _set(field: str, value: Any) -> dict[str, Any]:
    return {"type": "set_field", "field": field, "value": value}


def _runs(call: Caller, deal: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call("GET", f"/stage-rule-runs?deal_id={deal}", by="tomas").json()["data"]
    return found


def test_rules_of_exits_that_fetch_a_deal_from_each_other_stop(call: Caller) -> None:
    """Each acts once on what follows from one move."""
    for stage in (STAGES[1], STAGES[2]):
        _activate(call, f"Keep in {stage}", "exit", stage, _set("stage_id", stage))
    assert call("POST", f"/deals/{KESTREL}/move", {"stage_id": STAGES[2]}, by="tomas").status_code == 200

    assert sorted(run["status"] for run in _runs(call, KESTREL)) == ["skipped", "succeeded", "succeeded"]


def test_later_actions_see_what_earlier_ones_changed(call: Caller) -> None:
    """A rule about an owner whom the rule before it has set finds that owner."""
    _activate(call, "Give it to Tomas", "enter", STAGES[1], {"type": "assign_owner", "user_id": "usr_01KDVDNA000000000000000002"})
    rule = _activate(call, "Tell the owner", "enter", STAGES[1], {"type": "notify", "recipients": ["owner"], "message": "Yours."})
    call("POST", f"/deals/{TUG}/move", {"stage_id": STAGES[1]}, by="tomas")

    told = next(run for run in _runs(call, TUG) if run["stage_rule_id"] == rule)
    assert told["results"][0]["detail"] == "Message to usr_01KDVDNA000000000000000002"


def test_refused_move_leaves_nothing(engine: Engine, call: Caller) -> None:
    """What deals refuses is undone, and told by no event."""
    _activate(call, "Too early", "enter", STAGES[1], _set("stage_id", STAGES[3]))
    call("POST", f"/deals/{TUG}/move", {"stage_id": STAGES[1]}, by="tomas")

    assert call("GET", f"/deals/{TUG}", by="tomas").json()["stage_id"] == STAGES[1]
    assert [e["type"] for e in engine.outbox].count("crm.deal.stage_changed.v1") == 1
    assert _runs(call, TUG)[0]["status"] == "failed"


def test_outage_of_deals_is_made_up_for(engine: Engine, call: Caller) -> None:
    """An action that deals missed is done by a retry, once."""
    _activate(call, "Urgent", "enter", STAGES[1], _set("priority", "high"))
    engine.fault("deals")
    call("POST", f"/deals/{TUG}/move", {"stage_id": STAGES[1]}, by="tomas")
    run = _runs(call, TUG)[0]
    assert run["results"][0]["detail"] == "Deals can't be reached"
    engine.heal()

    again = call("POST", f"/stage-rule-runs/{run['id']}/retry", by="tomas").json()
    assert (again["status"], again["results"][0]["status"]) == ("succeeded", "done")
    assert call("GET", f"/deals/{TUG}", by="tomas").json()["priority"] == "high"


def test_lingering_deal_is_judged_by_all_its_fields(call: Caller, run: Callable[..., dict[str, Any]]) -> None:
    """A condition on a field that facts lack holds by the deal as deals has it, and the action changes it."""
    due, renewal = "stg_01KDVDNA000000000000000007", "dea_01KDVDNA000000000000000008"
    rule = {
        "name": "Wake the fleet",
        "pipeline_id": "pip_01KDVDNA000000000000000002",
        "stage_id": due,
        "trigger": "stale",
        "stale_after_days": 10,
        "filter_groups": [{"filters": [{"field": "name", "operator": "contains", "value": "monitoring"}]}],
        "actions": [_set("priority", "high")],
    }
    id = call("POST", "/stage-rules", rule, by="tomas").json()["id"]
    call("POST", f"/stage-rules/{id}/activate", by="tomas")
    run("/stage-rules/scan", {}, by="tomas")

    assert call("GET", f"/deals/{renewal}", by="tomas").json()["priority"] == "high"


def test_chain_of_moves_ends(call: Caller) -> None:
    """Rules move a deal five times after one move of a person; the sixth fails."""
    body = {
        "name": "A long way",
        "stage_specs": [
            *({"name": f"Step {n}", "category": "open"} for n in range(1, 10)),
            {"name": "Won", "category": "won"},
            {"name": "Lost", "category": "lost"},
        ],
    }
    made = call("POST", "/pipelines", body, by="tomas").json()
    steps = [s["id"] for s in call("GET", f"/stages?pipeline_id={made['id']}", by="tomas").json()["data"]]
    for at, to in pairwise(steps[1:9]):
        rule = {
            "name": f"On from {at}",
            "pipeline_id": made["id"],
            "stage_id": at,
            "trigger": "enter",
            "actions": [_set("stage_id", to)],
        }
        id = call("POST", "/stage-rules", rule, by="tomas").json()["id"]
        call("POST", f"/stage-rules/{id}/activate", by="tomas")
    call("POST", f"/deals/{TUG}/move", {"stage_id": steps[1]}, by="tomas")

    assert call("GET", f"/deals/{TUG}", by="tomas").json()["stage_id"] == steps[6]
    assert sorted(run["status"] for run in _runs(call, TUG)) == ["failed", *["succeeded"] * 5]
