"""Validation rules: what they are made of, tried on records, activated, and asked of everything that is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.custom_fields import grammar, validation
from crm_reference.emulator.custom_fields.checking import checked
from crm_reference.emulator.custom_fields.evaluating import Evaluation
from crm_reference.emulator.custom_fields.formulas import RULES, complaint, lookup
from crm_reference.emulator.custom_fields.grammar import ExpressionError
from crm_reference.emulator.custom_fields.scope import CUSTOM, operands, resource_of
from crm_reference.emulator.job_collections import JobCollection
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import Task, derives, enforces, handles, presents, task
from crm_reference.emulator.services.custom_objects.samples import Sample, named_operands, sample_of
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record

SCANS = JobCollection("custom-objects", "schema-jobs", "crm.schema_migration.finished.v1")
UPDATED, CREATED = "crm.validation_rule.updated.v1", "crm.validation_rule.created.v1"
#: Members that a copy has from the original.
_COPIED = ("description", "applies_when", "condition", "message", "field", "checked_on")

Doc = Mapping[str, Any]


@derives(RULES)
def follow(context: Context | None, doc: Doc) -> Doc:
    """Derive the fields that a rule names, and that a new one doesn't bite."""
    return {"fields": _named(doc), "is_active": doc.get("is_active", False), "checked_on": doc.get("checked_on", "always")}


def _named(doc: Doc) -> list[str]:
    found: list[str] = []
    for text in (doc.get("applies_when", ""), doc["condition"]):
        try:
            found += grammar.fields_of(grammar.parse(text)) if text else []
        except ExpressionError:  # the rule about expressions refuses it
            continue
    return list(dict.fromkeys(found))


@presents(RULES)
def present(context: Context, record: Record) -> Doc:
    """Show every rule with its state."""
    return {"is_active": bool(record.doc.get("is_active"))}


@enforces("rule_object_known")
def rule_object_known(context: Context, new: Doc, old: Doc | None) -> str:
    """Demand an object that takes custom fields, or a type of the tenant."""
    return "" if _known(context, new["object_type"]) else f"There is no object {new['object_type']} whose records take rules."


def _known(context: Context, object_type: str) -> bool:
    resource = resource_of(context, object_type)
    return resource is not None and resource.extensible in (object_type, CUSTOM) and object_type != CUSTOM


@enforces("rule_expressions_fit")
def rule_expressions_fit(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Check precondition and condition of a rule that is new or changes them."""
    for name in ("applies_when", "condition"):
        text = new.get(name)
        if text and (old is None or old.get(name) != text) and _known(context, new["object_type"]):
            problems = checked(context, new["object_type"], text, purpose="rule", wanted="boolean")[2]
            if problems:
                return complaint(f"#/{name}", text, problems[0])["detail"], name
    return ""


@enforces("rule_field_known")
def rule_field_known(context: Context, new: Doc, old: Doc | None) -> str:
    """Demand that the field of the message is one of the object's."""
    field = new.get("field")
    if not field or (old is not None and old.get("field") == field) or not _known(context, new["object_type"]):
        return ""
    return "" if field in operands(context, new["object_type"]) else f"{new['object_type']} has no field {field}."


# -- life --------------------------------------------------------------------------------------------------------------------


@handles("activateValidationRule")
def activate(call: Call) -> Reply:
    """Let a rule bite, once its expressions are checked again."""
    rule = call.found
    if rule.doc.get("is_active"):
        raise Problem("validation_rule_is_active", f"{rule.doc['name']} bites since {rule.doc.get('activated_at', 'it was made')}.")
    _demand_fit(call, rule.doc, rule.doc["object_type"])
    changed = call.records.change(rule, {"is_active": True, "activated_at": call.now}, event=UPDATED)
    return single.shown(call, changed)


def _demand_fit(context: Context, rule: Doc, object_type: str) -> None:
    entries = []
    for name in ("applies_when", "condition"):
        if text := rule.get(name):
            problems = checked(context, object_type, text, purpose="rule", wanted="boolean")[2]
            entries += [complaint(f"#/{name}", text, p) for p in problems]
    if entries:
        raise Problem("validation_failed", f"The rule no longer fits {object_type}; see errors.", entries)


@handles("deactivateValidationRule")
def deactivate(call: Call) -> Reply:
    """Stop a rule from biting."""
    if not call.found.doc.get("is_active"):
        raise Problem("validation_rule_is_inactive", f"{call.found.doc['name']} doesn't bite.")
    return single.shown(call, call.records.change(call.found, {"is_active": False}, event=UPDATED))


@handles("restoreValidationRule", deleted=True)
def restore(call: Call) -> Reply:
    """Bring a rule back, inactive."""
    if call.found.deleted_at is None:
        raise Problem("validation_rule_not_deleted", f"{call.found.id} is not in the recycle bin.")
    found = call.found
    quiet = Record(found.collection, found.id, found.version, {**found.doc, "is_active": False}, found.deleted_at)
    return single.shown(call, call.records.restore(quiet, event="crm.validation_rule.restored.v1"))


@handles("cloneValidationRule")
def clone(call: Call) -> Reply:
    """Copy a rule for its object or for another one."""
    object_type = call.body.get("object_type", call.found.doc["object_type"])
    body = {k: call.found.doc[k] for k in _COPIED if k in call.found.doc}
    if body.get("field") not in operands(call, object_type):
        body.pop("field", None)
    record = call.records.create(RULES, {**body, "name": call.body["name"], "object_type": object_type}, event=CREATED)
    return single.shown(call, record, 201, Location=single.location(call, record))


# -- trying --------------------------------------------------------------------------------------------------------------------


@handles("testValidationRule")
def test(call: Call) -> Reply:
    """Judge one record by one rule, active or not."""
    rule = call.found.doc
    sample = sample_of(call, rule["object_type"], call.body)
    verdict = validation.verdict(call.now, rule, sample.lookup, sample.before)
    evaluation = Evaluation(call.now, sample.lookup, sample.before)
    body: dict[str, Any] = {"validation_rule_id": rule["id"], "verdict": verdict}
    if rule.get("applies_when") and (applies := evaluation.value(grammar.parse(rule["applies_when"]))) is not None:
        body["is_applicable"] = applies
    if verdict in ("met", "broken"):
        body["is_condition_met"] = verdict == "met"
    if verdict == "broken":
        body |= _told(call, rule)
    body["operands"] = named_operands(call, rule["object_type"], _named(rule), sample)
    return Reply(200, body)


def _told(context: Context, rule: Doc) -> dict[str, str]:
    return {"message": rule["message"], "pointer": validation.pointer(context, rule["object_type"], rule.get("field", ""))}


@handles("evaluateValidationRules")
def evaluate(call: Call) -> Reply:
    """Judge one record by all active rules of its object."""
    object_type = call.body["object_type"]
    if not _known(call, object_type):
        entry = {"pointer": "#/object_type", "code": "rule_object_unknown", "detail": f"no object is named {object_type}"}
        raise Problem("validation_failed", "There is no such object; see errors.", [entry])
    sample = sample_of(call, object_type, call.body)
    findings = [_finding(call, rule, sample) for rule in validation.active(call, object_type) if _judges(rule, sample)]
    valid = all(f["verdict"] != "broken" for f in findings)
    return Reply(200, {"object_type": object_type, "is_valid": valid, "findings": findings})


def _judges(rule: Doc, sample: Sample) -> bool:
    return rule.get("checked_on", "always") in ("always", "create" if sample.before is None else "update")


def _finding(call: Call, rule: Doc, sample: Sample) -> dict[str, Any]:
    verdict = validation.verdict(call.now, rule, sample.lookup, sample.before)
    found = {"validation_rule_id": rule["id"], "name": rule["name"], "verdict": verdict}
    return found | (_told(call, rule) if verdict == "broken" else {})


# -- scanning ------------------------------------------------------------------------------------------------------------------


@handles("startValidationRuleScan")
def start_scan(call: Call) -> Reply:
    """Judge every stored record of the rule's object by a job that changes nothing."""
    object_type = call.found.doc["object_type"]
    resource = resource_of(call, object_type)
    where, arguments = (f"{member('object_type')} = ?", [object_type]) if resource and resource.extensible == CUSTOM else ("", [])
    found = call.world.store.select(call.tenant, resource.collection, where, arguments) if resource is not None else []
    members = {"_rule": call.found.id, "_sample": call.body.get("sample_size", 10)}
    return SCANS.start(call, "validation_scan", [[r.collection, r.id] for r in found], **members)


def _scan_one(context: Context, job: dict[str, Any], item: list[str]) -> str:
    record, rule = context.records.peek(*item), context.records.peek(RULES, job["_rule"])
    if record is None or rule is None:
        return ""
    now = lookup(context, rule.doc["object_type"], record.doc)
    return record.id if validation.verdict(context.now, rule.doc, now, now) == "broken" else ""


def _scanned(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    broken = [o for o in outcomes if o]
    return {"matched_count": len(outcomes), "broken_count": len(broken), "sample_ids": broken[: job["_sample"]]}


task("custom-objects.validation_scan", Task(_scan_one, _scanned, so_far=_scanned))
