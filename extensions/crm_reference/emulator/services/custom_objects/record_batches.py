"""Many records of a type: batches, the feed of changes, and the transfer from one owner to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import owners
from crm_reference.emulator.behaviours import batch, feeds, listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import JobCollection, maybe_trial
from crm_reference.emulator.jobs import failures
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import Task, handles, task
from crm_reference.emulator.services.custom_objects import letting_go, records
from crm_reference.emulator.services.custom_objects.definitions import RECORDS
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record

JOBS = JobCollection("custom-objects", "custom-record-jobs", "crm.custom_record_job.finished.v1")
#: How many of the records a job names in its result.
SAMPLE = 10

Doc = Mapping[str, Any]


@handles("batchCreateCustomRecords", by_item=True)
def create_many(call: Call) -> Reply:
    """Create up to a hundred records of the type in the path."""
    records.demand_open(call)
    return batch.run_items(call, call.body["items"], lambda item: (201, records.create(call, item)))


@handles("batchReadCustomRecords", by_item=True)
def read_many(call: Call) -> Reply:
    """Read up to a hundred records by ID."""
    return batch.run_items(call, call.body["ids"], lambda id: (200, _found(call, id)), fields=call.body.get("fields", ()))


@handles("batchUpdateCustomRecords", by_item=True)
def update_many(call: Call) -> Reply:
    """Change up to a hundred records, each by its own merge patch."""
    records.demand_open(call)

    def one(item: Doc) -> tuple[int, Record]:
        record = _found(call, item["id"])
        if item.get("if_match") and item["if_match"] not in (record.etag, "*"):
            raise Problem("version_mismatch", f"if_match is {item['if_match']}, and the record's ETag is {record.etag}.")
        return 200, records.change(call, record, item["changes"])

    return batch.run_items(call, call.body["items"], one, within="/changes")


@handles("batchUpsertCustomRecords", by_item=True)
def upsert_many(call: Call) -> Reply:
    """Create or change up to a hundred records under keys of another system."""
    records.demand_open(call)

    def one(item: Doc) -> tuple[int, Record]:
        key = item["external_id"]
        return records.write_external(call, key["system"], key["key"], item["record"])

    return batch.run_items(call, call.body["items"], one, within="/record")


@handles("batchDeleteCustomRecords", by_item=True)
def delete_many(call: Call) -> Reply:
    """Move up to a hundred records to the recycle bin."""

    def one(id: str) -> tuple[int, None]:
        letting_go.delete(call, _found(call, id))
        return 204, None

    return batch.run_items(call, call.body["ids"], one)


def _found(call: Call, id: str) -> Record:
    return records.of_type(call, call.records.get(RECORDS, id))


@handles("listCustomRecordChanges")
def list_changes(call: Call) -> Reply:
    """Tell what happened to the records of the type in the path, of the feed of all types."""
    reply = feeds.changes(call)
    assert isinstance(reply.body, dict)  # a feed is an object
    wanted = call.path["object_type"]

    def belongs(entry: Doc) -> bool:
        record = call.world.store.get(call.tenant, RECORDS, entry["id"], deleted=True)
        return record is not None and record.doc["object_type"] == wanted

    reply.body["data"] = [entry for entry in reply.body["data"] if belongs(entry)]
    return reply


@handles("startCustomRecordTransfer")
def start_transfer(call: Call) -> Reply:
    """Hand the records of one user to another, all of the type or those that match."""
    records.demand_open(call)
    records.check_owner(call, call.body["to_owner_id"], "#/to_owner_id")
    fields = call.records.fields(RECORDS)
    owned = Condition(
        f"{member('object_type')} = ? and {member('owner_id')} = ?", [call.path["object_type"], call.body["from_owner_id"]]
    )
    found = owned.and_(listing.criteria(fields, call.body))
    matched = call.world.store.select(call.tenant, RECORDS, found.sql, found.arguments)
    expected = call.body.get("expected_count", len(matched))
    if expected != len(matched):
        raise Problem("transfer_count_differs", f"{len(matched)} records match, not {expected}. Nothing was started.")
    return JOBS.start(
        call, "record_transfer", [r.id for r in matched], object_type=call.path["object_type"], _to=call.body["to_owner_id"]
    )


handles("getCustomRecordJob")(single.read_job)
handles("cancelCustomRecordJob")(JOBS.cancel)


def _transfer_one(context: Context, job: dict[str, Any], id: str) -> str:
    record = context.records.peek(RECORDS, id)
    if record is None:
        raise Problem("not_found", f"{id} was deleted meanwhile.")
    if not owners.is_active(context, job["_to"]):
        raise Problem("record_owner_inactive", f"{job['_to']} was deactivated meanwhile.")
    maybe_trial(context, job, lambda: records.hand_over(context, record, job["_to"]))
    return id


def _transferred(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    moved = [o for o in outcomes if isinstance(o, str)]
    if outcomes and not moved and not owners.is_active(context, job["_to"]):
        raise Problem("record_owner_inactive", f"{job['_to']} was deactivated before the first record was handed over.")
    counts = {"matched_count": len(outcomes), "transferred_count": len(moved), "failed_count": len(failures(outcomes))}
    return {**counts, "sample_ids": moved[:SAMPLE]}


task("custom-objects.record_transfer", Task(_transfer_one, _transferred, so_far=_transferred))
