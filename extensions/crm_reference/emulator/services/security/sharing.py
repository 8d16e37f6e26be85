"""Sharing rules: whom they share with, what they would open, and how many records each of them opens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.contract import Resource
from crm_reference.emulator import access
from crm_reference.emulator.access import RULES, People, Subject, people, subject_of
from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.jobs import POLL_SECONDS
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import Task, enforces, handles, task
from crm_reference.emulator.services.security.definitions import resource_of
from crm_reference.emulator.services.security.fields import invalid

FINISHED = "crm.security_job.finished.v1"
JOBS = "security-jobs"
_COLLECTIONS = {"user": "users", "group": "groups", "team": "teams", "role": "roles", "role_and_subordinates": "roles"}
_RECORDS, _USERS = 10, 20

Doc = Mapping[str, Any]


def owned(context: Context, object: str, /) -> Resource | None:
    """Return the resource of a kind of record that has owners, or ``None``."""
    resource = resource_of(context, object)
    return resource if resource is not None and resource.owner else None


# -- rules ---------------------------------------------------------------------------------------------------------------------


@enforces("sharing_object_known")
def object_known(context: Context, new: Doc, old: Doc | None) -> str:
    """Look the kind of record up."""
    return "" if owned(context, new["object_type"]) else f"{new['object_type']} is no kind of record that has owners."


@enforces("sharing_target_exists")
def target_exists(context: Context, new: Doc, old: Doc | None) -> str:
    """Look up whom the rule shares with."""
    target = new["share_with"]
    if old is not None and old["share_with"] == target:
        return ""
    noun = str(target["type"]).removesuffix("_and_subordinates")
    found = context.records.peek(_COLLECTIONS[target["type"]], target["id"])
    return "" if found is not None else f"There is no {noun} with this ID."


@enforces("sharing_criteria_valid")
def criteria_valid(context: Context, new: Doc, old: Doc | None) -> str:
    """Check new criteria as a search of the caller is checked; what is wrong is told at its place."""
    resource = owned(context, new["object_type"])
    if resource is not None and (old is None or old["criteria"] != new["criteria"]):
        listing.criteria(context.records.fields(resource.collection), new["criteria"], "#/criteria/filter_groups")
    return ""


# -- operations ----------------------------------------------------------------------------------------------------------------


@handles("updateSharingRule")
def update(call: Call) -> Reply:
    """Change a rule; new criteria replace the former ones as a whole, which a merge patch alone would not do."""
    doc = {k: v for k, v in {**call.found.doc, **call.body}.items() if v is not None}
    return single.shown(call, call.records.replace(call.found, doc, event="crm.sharing_rule.updated.v1"))


@handles("previewSharingRule")
def preview(call: Call) -> Reply:
    """Count records and people of a rule that doesn't exist."""
    rule = call.body
    resource = owned(call, rule["object_type"])
    if resource is None:
        raise invalid("#/object_type", "object_type_unknown", str(object_known(call, rule, None)))
    missing = target_exists(call, rule, None)
    if missing:
        raise invalid("#/share_with/id", "invalid_reference", str(missing))
    criteria_valid(call, rule, None)
    criteria = access.criteria_of(call, resource, rule)
    audience = _audience(call, rule)
    gaining = [s.user for s in audience if _gains(call, resource, s, rule["access"], criteria)]
    store = call.world.store
    first = store.select(call.tenant, resource.collection, criteria.sql, criteria.arguments, limit=_RECORDS)
    body = {
        "record_count": store.count(call.tenant, resource.collection, criteria.sql, criteria.arguments),
        "user_count": len(audience),
        "gaining_user_count": len(gaining),
        "record_ids": [r.id for r in first],
        "user_ids": gaining[:_USERS],
    }
    return Reply(200, body)


def _audience(context: Context, rule: Doc) -> list[Subject]:
    """Return the active users whom a rule shares with, in the order of their IDs."""
    known: People = people(context)
    active = [u for u in sorted(known.users) if known.users[u].get("is_active", True)]
    target = (rule["share_with"]["type"], rule["share_with"]["id"])
    return [s for s in (subject_of(context, u) for u in active) if target in s.targets]


def _gains(context: Context, resource: Resource, subject: Subject, action: str, criteria: Condition) -> bool:
    """Tell whether a subject would see, or change, a record more than now."""
    reached = access.reach(context, subject, resource, action)
    if not reached.sql:
        return False
    beyond = criteria.and_(Condition(f"not coalesce(({reached.sql}), 0)", reached.arguments))
    return context.world.store.count(context.tenant, resource.collection, beyond.sql, beyond.arguments) > 0


# -- recomputation ---------------------------------------------------------------------------------------------------------------


@handles("startSharingRecomputation")
def recompute(call: Call) -> Reply:
    """Start to count what each rule opens."""
    wanted = call.body.get("sharing_rule_ids")
    for index, id in enumerate(wanted or ()):
        if call.records.peek(RULES, id) is None:
            raise invalid(f"#/sharing_rule_ids/{index}", "invalid_reference", "There is no sharing rule with this ID.")
    items = wanted or [r.id for r in call.records.find(RULES) if r.doc["is_active"]]
    call.ask("users", "batchReadUsers")
    job = call.jobs.start(
        JOBS, "security.sharing_recompute", items, event=FINISHED, failed_event=FINISHED, kind="sharing_recompute"
    )
    headers = {"ETag": job.etag, "Location": f"/v1/security-jobs/{job.id}", "Retry-After": str(POLL_SECONDS)}
    return Reply(202, call.records.shown(job), headers)


def _count(context: Context, job: dict[str, Any], id: str) -> dict[str, int]:
    rule = context.records.get(RULES, id)
    resource = owned(context, rule.doc["object_type"])
    count = 0
    if resource is not None:
        criteria = access.criteria_of(context, resource, rule.doc)
        count = context.world.store.count(context.tenant, resource.collection, criteria.sql, criteria.arguments)
    context.records.note(rule, record_count=count, recomputed_at=context.now)
    return {"records": count, "users": len(_audience(context, rule.doc))}


def _summed(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    done = [o for o in outcomes if "records" in o]
    totals = {f"{name.removesuffix('s')}_count": sum(o[name] for o in done) for name in ("records", "users")}
    return {"rule_count": len(done), **totals}


task("security.sharing_recompute", Task(_count, _summed, so_far=_summed, needs="users"))
