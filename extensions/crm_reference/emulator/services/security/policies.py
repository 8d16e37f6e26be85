"""Access policies: drafts, revisions, tests, simulation, and the decisions that they make."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import derives, enforces, guards, handles
from crm_reference.emulator.services.security import policy_rules
from crm_reference.emulator.services.security.networks import trust_of
from crm_reference.emulator.store import Record

POLICIES = "policies"
REVISIONS = "policy-revisions"
DECISIONS = "access-decisions"

#: What a revision freezes: all by which a policy decides.
CONTENT = ("effect", "object_types", "actions", "any_of")
_SAMPLES = 20
_RECORD_RULE = (
    "A record has its fields as attributes, under their own names behind `record.`; a dot leads into a nested field. "
    "A field that the kind of record doesn't have is absent for every record."
)
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def _content(doc: Mapping[str, Any]) -> dict[str, Any]:
    return {name: doc[name] for name in CONTENT if name in doc}


@derives(POLICIES)
def follow(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive the status of a new draft, and whether its content is ahead of the revision in force."""
    published = doc.get("_published")
    if context is None and "active_revision" in doc:
        published = _content(doc)
    return {
        "status": doc.get("status", "draft"),
        "has_unpublished_changes": published != _content(doc),
        "_published": published,
    }


@enforces("policy_conditions_valid")
def conditions_valid(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Find the first condition that makes no sense."""
    for i, group in enumerate(new.get("any_of", ())):
        for k, condition in enumerate(group["all_of"]):
            detail, member = policy_rules.fault(condition)
            if detail:
                return detail, f"any_of.{i}.all_of.{k}.{member}"
    return ""


@enforces("policy_archived_fixed")
def archived_fixed(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse every change of an archived policy."""
    return "The policy was archived and stays as it was." if old is not None and old.get("status") == "archived" else ""


@guards(POLICIES)
def never_active(context: Context, record: Record) -> None:
    """Keep a policy that has decided."""
    if "activated_at" in record.doc:
        raise Problem("policy_was_active", f"The policy came into force at {record.doc['activated_at']}; archive it.")


# -- deciding ------------------------------------------------------------------------------------------------------------------


def in_force(context: Context, /, *, without: str = "") -> list[dict[str, Any]]:
    """Return the tenant's policies that decide, each by its latest revision.

    :param without: ID of a policy to leave out.
    """
    active = context.records.find(POLICIES, status="active")
    return [{"id": p.id, **p.doc["_published"]} for p in active if p.id != without and p.doc.get("_published")]


def complete(context: Context, request: Mapping[str, Any], /) -> dict[str, Any]:
    """Return a request with the circumstances that follow from others: trust of the address, hour, weekday."""
    given = dict(request.get("context") or {})
    at = str(given.setdefault("at", context.now))
    moment = datetime.fromisoformat(at)
    given.setdefault("hour", moment.hour)
    given.setdefault("weekday", _WEEKDAYS[moment.weekday()])
    if "address" in given:
        given.setdefault("network_trust", trust_of(context, str(given["address"])))
    return {
        "action": request["action"],
        "object_type": request["object_type"],
        "user": dict(request.get("user") or {}),
        "record": dict(request.get("record") or {}),
        "context": given,
    }


def decision(context: Context, request: Mapping[str, Any], /) -> dict[str, Any]:
    """Decide a request by the policies in force.

    :return: ``decision`` (allow, deny or require_second_factor), ``policy_id`` where one decided, and ``reason``.
    """
    decided = policy_rules.decide({"policies": in_force(context), "request": complete(context, request)})
    reasons = {"allow": "no_policy", "deny": "policy", "require_second_factor": "second_factor_required"}
    return {**decided, "reason": reasons[decided["decision"]]}


def remember(context: Context, request: Mapping[str, Any], decided: Mapping[str, Any], /) -> None:
    """Record a decision, without fields of the record that are personal data. A request of nobody isn't recorded."""
    whole = complete(context, request)
    user = whole["user"].get("id")
    if not user:
        return
    resource = next((r for r in context.world.contract.resources.values() if r.object == whole["object_type"]), None)
    personal = {n for n, p in (resource.node.get("properties", {}) if resource else {}).items() if p.get("x-sensitive")}
    kept = {
        side: {k: v for k, v in whole[side].items() if _is_plain(k, v) and not (side == "record" and k in personal)}
        for side in ("user", "record", "context")
    }
    body = {
        "user_id": user,
        "action": whole["action"],
        "object_type": whole["object_type"],
        "record_id": whole["record"].get("id"),
        "request": {"action": whole["action"], "object_type": whole["object_type"], **kept},
        "decision": decided["decision"],
        "policy_id": decided.get("policy_id"),
    }
    context.records.create(DECISIONS, body)


def _is_plain(name: str, value: Any) -> bool:
    """Tell whether an attribute can be recorded: flat, and short."""
    if name.startswith("_") or "." in name:
        return False
    if isinstance(value, list):
        return len(value) <= 50 and all(isinstance(v, str) and 0 < len(v) <= 120 for v in value)
    return isinstance(value, int | float) or (isinstance(value, str) and 0 < len(value) <= 255)


# -- operations ----------------------------------------------------------------------------------------------------------------


@handles("listPolicyAttributes")
def attributes(call: Call) -> Reply:
    """Return the catalogue of attributes."""
    listed = [
        {"name": name, "type": kind, "meaning": meaning, "operators": list(policy_rules.OPERATORS[kind])}
        for name, (kind, meaning) in policy_rules.ATTRIBUTES.items()
    ]
    return Reply(200, {"attributes": listed, "record_rule": _RECORD_RULE})


def _report(policy: Record) -> dict[str, Any]:
    results = []
    for test in policy.doc.get("tests", ()):
        request = {"user": {}, "record": {}, "context": {}, **test["request"]}
        actual = policy_rules.decide({"policies": [policy.doc], "request": request})["decision"]
        entry = {"name": test["name"], "expected": test["expected"], "actual": actual}
        results.append({**entry, "is_passed": actual == test["expected"]})
    passed = sum(r["is_passed"] for r in results)
    return {"passed_count": passed, "failed_count": len(results) - passed, "results": results}


@handles("testPolicy")
def test(call: Call) -> Reply:
    """Run the tests of a policy against its present content."""
    return Reply(200, _report(call.found))


def _refuse_archived(policy: Record) -> None:
    if policy.doc["status"] == "archived":
        raise Problem("policy_archived", f"The policy was archived at {policy.doc['archived_at']}.")


def _publish(call: Call, policy: Record, content: Mapping[str, Any], note: str | None, passed: int) -> Record:
    """Make content the next revision of a policy and put it into force."""
    number = 1 + max((r.doc["number"] for r in call.records.find(REVISIONS, policy_id=policy.id)), default=0)
    revision = {"policy_id": policy.id, "number": number, **content, "note": note, "tests_passed_count": passed}
    call.records.create(REVISIONS, revision)
    doc = {**policy.doc, **content, "status": "active", "active_revision": number, "activated_at": call.now}
    active = call.records.replace(policy, {**doc, "_published": dict(content)}, action="activated")
    call.emit("crm.policy.activated.v1", active.id, {"record": call.records.public(active)})
    return active


@handles("activatePolicy")
def activate(call: Call) -> Reply:
    """Run the tests, freeze the content as the next revision, and put it into force."""
    policy = call.found
    _refuse_archived(policy)
    if not policy.doc["has_unpublished_changes"]:
        raise Problem("policy_unchanged", f"Revision {policy.doc['active_revision']} has this content.")
    report = _report(policy)
    if report["failed_count"]:
        first = next(r for r in report["results"] if not r["is_passed"])
        raise Problem("policy_tests_failed", f"{first['name']}: expected {first['expected']}, and it is {first['actual']}.")
    note = (call.body or {}).get("note")
    return single.shown(call, _publish(call, policy, _content(policy.doc), note, report["passed_count"]))


@handles("archivePolicy")
def archive(call: Call) -> Reply:
    """Take a policy out of force for good."""
    policy = call.found
    _refuse_archived(policy)
    archived = call.records.change(policy, {"status": "archived", "archived_at": call.now}, action="archived")
    call.emit("crm.policy.archived.v1", archived.id, {"record": call.records.public(archived)})
    return single.shown(call, archived)


@handles("rollBackPolicy")
def roll_back(call: Call) -> Reply:
    """Put the content of an earlier revision into force as a new revision."""
    policy, number = call.found, call.body["number"]
    _refuse_archived(policy)
    found = call.records.find(REVISIONS, policy_id=policy.id, number=number)
    if not found:
        entry = {"pointer": "#/number", "code": "policy_revision_unknown", "detail": "is the number of no revision of this policy"}
        raise Problem("policy_revision_unknown", f"The policy has no revision {number}.", [entry])
    return single.shown(call, _publish(call, policy, _content(found[0].doc), call.body.get("note"), 0))


@handles("simulatePolicy")
def simulate(call: Call) -> Reply:
    """Decide recorded requests again, with the policy's present content in place of its revision in force."""
    now, then = in_force(call), in_force(call, without=call.found.id)
    then.append({"id": call.found.id, **_content(call.found.doc)})
    where, arguments = "1 = 1", []
    for name, sign in (("created_at_gte", ">="), ("created_at_lt", "<")):
        if name in call.body:
            where += f" and doc->>'$.created_at' {sign} ?"
            arguments.append(call.body[name])
    order = "doc->>'$.created_at' desc, id desc"
    limit = call.body.get("limit", 500)
    recorded = call.world.store.select(call.tenant, DECISIONS, where, arguments, order=order, limit=limit)
    counts = dict.fromkeys(("newly_allowed_count", "newly_denied_count", "newly_second_factor_count"), 0)
    samples = []
    for record in recorded:
        request = {"user": {}, "record": {}, "context": {}, **record.doc["request"]}
        before, after = (policy_rules.decide({"policies": p, "request": request})["decision"] for p in (now, then))
        if before == after:
            continue
        name = {"allow": "allowed", "deny": "denied", "require_second_factor": "second_factor"}[after]
        counts[f"newly_{name}_count"] += 1
        sample = {"access_decision_id": record.id, "user_id": record.doc["user_id"], "before": before, "after": after}
        samples.append(sample)
    unchanged = len(recorded) - len(samples)
    body = {"examined_count": len(recorded), "unchanged_count": unchanged, **counts, "samples": samples[:_SAMPLES]}
    return Reply(200, body)
