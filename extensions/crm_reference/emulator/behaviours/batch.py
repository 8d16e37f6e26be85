"""Up to a hundred records in one call: a result for each item, or all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours.external import find_external
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.languages import language_of
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.problems import as_problem
from crm_reference.emulator.records import merge_patch
from crm_reference.emulator.store import Record


def create(call: Call) -> Reply:
    """POST batch/create."""

    def one(item: Mapping[str, Any]) -> tuple[int, Record]:
        return 201, call.records.create(call.target.collection, item, event=call.event("created"))

    return run_items(call, call.body["items"], one)


def read(call: Call) -> Reply:
    """POST batch/read: records by ID, in the order that was asked for."""
    fields = call.body.get("fields", ())

    def one(id: str) -> tuple[int, Record]:
        return 200, call.records.get(call.target.collection, id)

    return run_items(call, call.body["ids"], one, fields=fields)


def update(call: Call) -> Reply:
    """POST batch/update: a merge patch for each."""

    def one(item: Mapping[str, Any]) -> tuple[int, Record]:
        record = call.records.get(call.target.collection, item["id"])
        if item.get("if_match") and item["if_match"] not in (record.etag, "*"):
            raise Problem("version_mismatch", f"if_match is {item['if_match']}, and the record's ETag is {record.etag}.")
        return 200, call.records.change(record, item["changes"], event=call.event("updated"))

    return run_items(call, call.body["items"], one, within="/changes")


def upsert(call: Call) -> Reply:
    """POST batch/upsert: create or change by external ID."""

    def one(item: Mapping[str, Any]) -> tuple[int, Record]:
        key = item["external_id"]
        return write_external(call, key["system"], key["key"], item["record"])

    return run_items(call, call.body["items"], one, within="/record")


def write_external(call: Call, system: str, key: str, body: Mapping[str, Any], /) -> tuple[int, Record]:
    """Create or change the record that has a key in another system; return 201 or 200 and the record.

    :raises Problem: What a rule says; the code of a taken key where the record exists and the caller may not see it.
    """
    present = find_external(call, call.target.collection, system, key)
    patch = merge_patch(body, {"external_ids": {system: key}})
    if present is not None and not call.records.visible(present):
        # As if the key were taken: another answer would confirm a key that the caller may not know.
        rules = [r for r in call.target.rules if r.kind == "unique" and r.options["fields"] == ["external_ids"]]
        raise Problem(rules[0].error if rules else "not_found", f"{key} of {system} can't be used.")
    if present is None:
        return 201, call.records.create(call.target.collection, patch, event=call.event("created"))
    return 200, call.records.change(present, patch, event=call.event("updated"))


def delete(call: Call) -> Reply:
    """POST batch/delete."""

    def one(id: str) -> tuple[int, None]:
        call.records.delete(call.records.get(call.target.collection, id), event=call.event("deleted"))
        return 204, None

    return run_items(call, call.body["ids"], one)


def run_items(
    call: Call,
    items: Sequence[Any],
    one: Callable[[Any], tuple[int, Record | None]],
    *,
    fields: Sequence[str] = (),
    within: str = "",
) -> Reply:
    """Handle the items one by one and answer with the outcome of each.

    :param one: Takes an item; returns a status, and the record where there is one to show.
    :param within: Where an item holds the record, so that what a rule says points into the item.
    """
    atomic = bool(call.body.get("atomic"))
    results: list[dict[str, Any]] = []
    problems: list[tuple[int, Problem]] = []
    with call.world.store.transaction():
        for index, item in enumerate(items):
            try:
                if index in call.invalid:
                    raise call.invalid[index]
                with call.world.store.transaction():
                    status, record = one(item)
            except Problem as problem:
                if index not in call.invalid:
                    problem.errors = tuple(_inside(entry, within) for entry in problem.errors)
                problems.append((index, problem))
                language = language_of(call.request)
                body = as_problem(call.world.contract, problem, call.new_id("req"), language=language)
                results.append({"index": index, "status": body["status"], "problem": body})
                continue
            result: dict[str, Any] = {"index": index, "status": status}
            if record is not None:
                result |= {"id": record.id, "record": call.records.shown(record, fields)}
            elif isinstance(item, str):
                result["id"] = item
            results.append(result)
        if atomic and problems:
            raise _refused(call, problems, "ids" if "ids" in call.body else "items")
    failed = len(problems)
    body = {"results": results, "succeeded_count": len(results) - failed, "failed_count": failed}
    return Reply(207, body)


def _inside(entry: Mapping[str, Any], within: str) -> Mapping[str, Any]:
    place = str(entry.get("pointer", "#"))
    return {**entry, "pointer": f"#{within}{place.removeprefix('#')}"} if within and place != "#" else entry


def _refused(call: Call, problems: Sequence[tuple[int, Problem]], member: str) -> Problem:
    errors = []
    for index, problem in problems:
        for entry in problem.errors or ({"pointer": "#", "code": problem.code, "detail": problem.detail},):
            inside = str(entry.get("pointer", "#")).removeprefix("#")
            errors.append({"pointer": f"#/{member}/{index}{inside}", "code": entry["code"], "detail": entry["detail"]})
    return Problem("validation_failed", f"{counted(len(problems), 'item')} can't be handled, and nothing was written.", errors)


#: Behaviours that answer for each item, so that one which breaks its schema doesn't stop the others.
BY_ITEM = frozenset({create, read, update, upsert, delete})
