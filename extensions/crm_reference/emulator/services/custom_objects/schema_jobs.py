"""Jobs on stored values: records migrated, a field converted, a value replaced; and snapshots of all of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.custom_fields.values import complaint, definitions
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.job_collections import JobCollection
from crm_reference.emulator.jobs import POLL_SECONDS, failures
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import Task, computes, handles, sees, task
from crm_reference.emulator.services.custom_objects.definitions import (
    DESIGN,
    JOBS,
    RECORDS,
    TYPES,
    open_job,
    records_of,
    refused,
)
from crm_reference.emulator.snapshots import Snapshots
from crm_reference.emulator.store import Record

STARTED, FINISHED = "crm.schema_migration.started.v1", "crm.schema_migration.finished.v1"
#: How many records an issue names.
_NAMED = 5

COLLECTION = JobCollection("custom-objects", JOBS, FINISHED)
handles("getSchemaJob")(single.read_job)
handles("cancelSchemaJob")(COLLECTION.cancel)


@sees(JOBS)
def see(context: Context, job: Record, /) -> bool:
    """Show a job for 30 days after its end: to designers, and to who began it."""
    is_own = bool(context.identity.user) and job.doc.get("created_by") == context.identity.user
    return bool(job.doc.get("expires_at", context.now) >= context.now) and (is_own or DESIGN in context.identity.scopes)


def start(call: Call, kind: str, items: Sequence[Any], /, worker: str = "", **members: Any) -> Reply:
    """Accept a job on stored values, tell that it began, and answer 202.

    :param worker: Registered task, where it is another one than the kind's.
    :param members: Members of the job; those that begin with ``_`` are for the task.
    """
    name = f"custom-objects.{worker or kind}"
    job = call.jobs.start(JOBS, name, items, event=FINISHED, failed_event=FINISHED, kind=kind, is_validate_only=False, **members)
    call.emit(STARTED, job.id, {"job": call.records.public(job)})
    return single.shown(call, job, 202, **{"Location": f"/v1/{JOBS}/{job.id}", "Retry-After": str(POLL_SECONDS)})


def rewrite(context: Context, record: Record, values: Mapping[str, Any], /, **members: Any) -> bool:
    """Write a custom record's values as the platform, and tell whether anything changed.

    :param members: Other members to set: ``schema_version``.
    """
    with upkeep(context):
        doc = {**record.doc, "custom_fields": dict(values), **members}
        return context.records.replace(record, doc, action="migrated", touched={}) is not record


def summed(outcomes: Sequence[Any], total: int, /) -> dict[str, Any]:
    """Return the counts of outcomes, each of which is a mapping of what was done to a number."""
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        if isinstance(outcome, dict) and "_problem" not in outcome:
            counts.update(outcome)
    failed = counts.pop("failed", 0) + len(failures(outcomes))
    return {"matched_count": total, **{f"{k}_count": v for k, v in counts.items()}, "failed_count": failed}


# -- migration -------------------------------------------------------------------------------------------------------------


def issues_of(context: Context, object_type: str, record: Record, /) -> list[tuple[str, str]]:
    """Return what is wrong with a record's values under the present schema, as field and kind of trouble."""
    known, inactive = definitions(context, object_type), _inactive(context, object_type)
    return _issues(context, known, inactive, record.doc.get("custom_fields", {}))


def _issues(context: Context, known: Mapping[str, Any], inactive: set[str], values: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    for name, value in values.items():
        if name not in known:
            found += [(name, "unknown")] if name not in inactive else []
        elif known[name]["type"] != "auto_number" and complaint(context, known[name], value):
            found.append((name, "invalid"))
    return found + [(name, "missing") for name, said in known.items() if said.get("is_required") and values.get(name) is None]


def migrated(
    known: Mapping[str, Any], values: Mapping[str, Any], issues: Sequence[tuple[str, str]], on_invalid: str, /
) -> tuple[dict[str, Any], Counter[str]]:
    """Return a record's values after a migration, and how many were defaulted, cleared and left invalid.

    :param known: Active definitions by name.
    :param issues: What is wrong with the values.
    :param on_invalid: ``keep`` or ``clear``.
    """
    after, counts = dict(values), Counter({"defaulted": 0, "cleared": 0, "invalid": 0})
    for field, trouble in issues:
        said = known.get(field, {})
        if trouble == "missing" and "default_value" in said:
            after[field] = said["default_value"]
            counts["defaulted"] += 1
        elif trouble == "unknown" or (trouble == "invalid" and on_invalid == "clear" and not said.get("is_required")):
            del after[field]
            counts["cleared"] += 1
        else:
            counts["invalid"] += 1
    return after, counts


@computes("migrated_values")
def migrated_values(input: Mapping[str, Any], /) -> dict[str, Any]:
    """Migrate ``values`` under the definitions ``fields``, with ``on_invalid``, as vectors give them; references aside."""
    active = {f["name"]: f for f in input["fields"] if f.get("is_active", True)}
    inactive = {f["name"] for f in input["fields"]} - set(active)
    nobody: Any = None  # only references look into the store
    issues = _issues(nobody, active, inactive, input["values"])
    values, counts = migrated(active, input["values"], issues, input["on_invalid"])
    return {"values": values, **{f"{name}_count": count for name, count in counts.items()}}


def _inactive(context: Context, object_type: str) -> set[str]:
    fields = context.world.store.find(context.tenant, "custom-fields", object_type=object_type, is_active=False)
    return {f.doc["name"] for f in fields}


def _remedy(said: Mapping[str, Any] | None, kind: str) -> str:
    if kind == "unknown":
        return "It drops the value."
    if said is not None and kind == "missing":
        default = said.get("default_value")
        return "Nothing: the field has no default." if default is None else f"It writes the default, {default}."
    return "It empties the value if on_invalid is clear and the field isn't required."


@handles("previewSchemaMigration")
def preview(call: Call) -> Reply:
    """Check every record of a type against its newest schema."""
    name, number = call.found.doc["name"], call.found.doc["schema_version"]
    known, records = definitions(call, name), records_of(call, name)
    found: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for issue in issues_of(call, name, record):
            found.setdefault(issue, []).append(record.id)
    issues = [
        {"field": f, "kind": k, "record_count": len(ids), "record_ids": ids[:_NAMED], "remedy": _remedy(known.get(f), k)}
        for (f, k), ids in sorted(found.items())
    ]
    outdated = sum(1 for r in records if r.doc.get("schema_version", 0) < number)
    counts = {"record_count": len(records), "outdated_count": outdated}
    return Reply(200, {"schema_version": max(number, 1), **counts, "issues": issues})


@handles("startSchemaMigration")
def migrate(call: Call) -> Reply:
    """Start to bring the records of a type up to its newest schema."""
    record = call.found
    if record.doc["status"] != "published":
        raise refused("object_type_not_published", f"{record.doc['name']} is {record.doc['status']}.")
    open_job(call, object_type_id=record.id)
    number = record.doc["schema_version"]
    outdated = [r.id for r in records_of(call, record.doc["name"]) if r.doc.get("schema_version", 0) < number]
    choice = (call.body or {}).get("on_invalid", "keep")
    return start(call, "migration", outdated, object_type_id=record.id, _on_invalid=choice)


def _migrate_one(context: Context, job: dict[str, Any], id: str) -> dict[str, int]:
    record, kind = context.records.peek(RECORDS, id), context.records.peek(TYPES, job["object_type_id"])
    if record is None or kind is None:
        return {}
    name = kind.doc["name"]
    issues = issues_of(context, name, record)
    values, counts = migrated(definitions(context, name), record.doc.get("custom_fields", {}), issues, job["_on_invalid"])
    counts["changed"] = int(rewrite(context, record, values, schema_version=kind.doc["schema_version"]))
    return dict(counts)


def _total(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    return summed(outcomes, len(job["_items"]))


task("custom-objects.migration", Task(_migrate_one, _total, so_far=_total))


# -- snapshots -------------------------------------------------------------------------------------------------------------

_HELD = (
    "global-value-sets",
    TYPES,
    "custom-fields",
    "schema-versions",
    "relationship-types",
    "validation-rules",
    RECORDS,
    "record-links",
)
SNAPSHOTS = Snapshots(COLLECTION, "custom-objects-snapshots", _HELD, "crm.custom_objects_snapshot.restored.v1")
SNAPSHOTS.offer("startCustomObjectsSnapshot", "restoreCustomObjectsSnapshot")


def demand(condition: object, code: str, detail: str, pointer: str = "#", /) -> None:
    """Raise a problem unless a condition holds.

    :raises Problem: With the code, blaming the member.
    """
    if not condition:
        problem: Problem = refused(code, detail, pointer)
        raise problem
