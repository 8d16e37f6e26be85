"""Imports: a job that makes records of the rows of a table, and finds those that are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator import custom_fields
from crm_reference.emulator.behaviours.external import find_external
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.columns import Columns
from crm_reference.emulator.job_collections import JobCollection, maybe_trial, tally
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.records import merge_patch
from crm_reference.emulator.refusals import invalid, refused
from crm_reference.emulator.registry import Task, handles, task
from crm_reference.emulator.store import Record
from crm_reference.emulator.tables import DELIMITERS, TableError, read_table

Body = Mapping[str, Any]
Job = Mapping[str, Any]


def _change(context: Context, record: Record, patch: Body, event: str) -> Record:
    return context.records.change(record, patch, event=event)


def _no_facts(context: Context, job: Job) -> Body:
    return {}


def _as_it_is(context: Context, job: Job, body: dict[str, Any]) -> dict[str, Any]:
    return body


def _no_more(call: Call) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Codes:
    """What a service calls the reasons for which it refuses an import.

    :param unreadable: The source is no table.
    :param no_column: A mapping names a column that isn't there.
    :param incomplete: No column is mapped to a field that every record needs.
    """

    unreadable: str
    no_column: str
    incomplete: str


@dataclass(frozen=True, slots=True)
class Imports:
    """How a service makes records of rows.

    :param jobs: The service's jobs.
    :param collection: The records; ``noun`` is one of them: schemas are ``ContactCreate`` and ``ContactUpdate``, events
        ``crm.contact.created.v1`` and ``crm.contact.updated.v1``.
    :param columns: The fields to which columns go.
    :param row: Makes a body of a row, as :meth:`Columns.body_of` does.
    :param codes: Codes of refusals.
    :param match_by: By what a row finds its record where the body doesn't say it.
    :param key: Takes what a row is matched by and its body; returns the value, empty where there is none. ``external_id`` is the
        core's.
    :param find: Takes the context, what a row is matched by, the value and the body; returns the record that has it.
    :param taken: Takes what a row is matched by, the value and the record, ``None`` where an earlier row of a trial would have made
        it; returns the problem of a row that must make a new record.
    :param create: Takes the context, a body and an event; returns the new record.
    :param change: Takes the context, a record, a merge patch and an event; returns the record as it is then.
    :param check: Takes the call; refuses options, and returns further members for the job.
    :param facts: Takes the context and the job; returns what ``row`` must know besides cells, mapping and custom fields.
    :param resolve: Takes the context, the job and a body; returns the body with IDs in place of names.
    :param complete: Changes the body of a new record, defaults included, by the row's body, before it is judged.
    :param saved: Takes the context, the job and a record that a row made or changed.
    :param conclude: Takes the context and the job after its last row.
    :param only_new: Members of a row that count for new records only.
    :param marks: Members to which later rows of a trial may refer.
    :param points_into_source: Whether errors of a source point to its text or its file.
    :param named: What a message calls the value by which no record is found, where it isn't the value itself.
    :param heading: What messages call the row of the columns' names.
    :param asks_imports: Whether the imports service keeps the job, which waits while that is down.
    """

    jobs: JobCollection
    collection: str
    noun: str
    columns: Columns
    row: Callable[[Body], Body]
    codes: Codes
    match_by: str
    key: Callable[[str, Body], str]
    find: Callable[[Context, str, str, Body], Record | None]
    taken: Callable[[str, str, Record | None], Problem]
    create: Callable[[Context, dict[str, Any], str], Record]
    change: Callable[[Context, Record, Body, str], Record] = _change
    check: Callable[[Call], dict[str, Any]] = _no_more
    facts: Callable[[Context, Job], Body] = _no_facts
    resolve: Callable[[Context, Job, dict[str, Any]], dict[str, Any]] = _as_it_is
    complete: Callable[[dict[str, Any], Body], None] = lambda whole, body: None
    saved: Callable[[Context, dict[str, Any], Record], None] = lambda context, job, record: None
    conclude: Callable[[Context, Job], None] = lambda context, job: None
    only_new: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    points_into_source: bool = False
    named: str = ""
    heading: str = "The first row"
    asks_imports: bool = True

    def offer(self, operation: str, /, *, suggest: str = "") -> None:
        """Register the operation that starts an import, the one that suggests a mapping, where there is one, and the job."""
        handles(operation)(self._start)
        if suggest:
            handles(suggest)(lambda call: Reply(200, self._suggested(call, call.body["columns"])))
        needs = "imports" if self.asks_imports else ""
        task(f"{self.jobs.service}.import", Task(self._take, self._finish, so_far=self._finish, needs=needs))

    # -- start -----------------------------------------------------------------------------------------------------------------

    def _start(self, call: Call) -> Reply:
        """Read the table, check mapping and options, and start a job over its rows."""
        body = call.body
        columns, rows = self._table(call)
        mapping = self._mapping(call, columns)
        mode, match_by = body.get("mode", "upsert"), body.get("match_by", self.match_by)
        if match_by == "external_id" and "external_system" not in body:
            raise invalid("#/external_system", "required", "external_system is required where match_by is external_id")
        required = self.columns.required
        is_named = any(m.get("field") in required for m in mapping.values())
        if not is_named and (mode != "update" or match_by in required):
            raise refused(self.codes.incomplete, f"No column is mapped to {' or '.join(required)}.", "#/column_mappings")
        more = self.check(call)
        if self.asks_imports:
            call.ask("imports", "createImportJob")
        return self.jobs.start(
            call,
            "import",
            [{"row": number, "cells": cells} for number, cells in rows],
            _mapping=mapping,
            _columns={self.columns.name_of(m): column for column, m in mapping.items()},
            _mode=mode,
            _match_by=match_by,
            _system=body.get("external_system", ""),
            _defaults=body.get("defaults", {}),
            _seen=[],
            **more,
        )

    def _table(self, call: Call) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
        source, member = call.body["source"], "text"
        text = source.get("text", "")
        if source["type"] == "file":
            file, member = call.records.peek("files", source["file_id"]), "file_id"
            if file is None:
                raise invalid("#/source/file_id", "invalid_reference", "There is no file with this ID.")
            text = file.doc.get("_content", file.doc.get("_text", ""))
        try:
            return read_table(str(text), DELIMITERS[call.body.get("delimiter", "comma")])
        except TableError as error:
            pointer = f"#/source/{member}" if self.points_into_source else "#/source"
            raise refused(self.codes.unreadable, str(error), pointer) from None

    def _suggested(self, context: Context, columns: Sequence[str]) -> dict[str, Any]:
        definitions = custom_fields.definitions(context, self.noun).values()
        known = [{"name": d["name"], "label": d.get("label", "")} for d in definitions]
        return self.columns.suggest({"columns": list(columns), "custom_fields": known})

    def _mapping(self, call: Call, columns: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return where each column goes, by its name as the first row has it: ``{field: ...}`` or ``{custom_field: ...}``."""
        if "column_mappings" not in call.body:
            known = [s for s in self._suggested(call, columns)["suggestions"] if s["confidence"] != "none"]
            return {s["column"]: {k: s[k] for k in ("field", "custom_field") if k in s} for s in known}
        by_name = {column.casefold(): column for column in columns}
        mapping = {}
        for index, said in enumerate(call.body["column_mappings"]):
            column = by_name.get(said["column"].casefold())
            if column is None:
                detail = f"{self.heading} has no column {said['column']}; it has {', '.join(columns)}."
                raise refused(self.codes.no_column, detail[:500], f"#/column_mappings/{index}/column")
            mapping[column] = {k: said[k] for k in ("field", "custom_field") if k in said}
        return mapping

    # -- work ------------------------------------------------------------------------------------------------------------------

    def _take(self, context: Context, job: dict[str, Any], item: Mapping[str, Any]) -> Any:
        kinds = {name: said["type"] for name, said in custom_fields.definitions(context, self.noun).items()}
        asked = {"cells": item["cells"], "mapping": job["_mapping"], "external_system": job["_system"], "custom_field_types": kinds}
        body = self.resolve(context, job, dict(self.row(asked | dict(self.facts(context, job)))))
        key = self._key(job, body)
        outcome, record = maybe_trial(context, job, lambda: self._save(context, job, body, key))
        if job["is_validate_only"]:
            job["_seen"] = [*job["_seen"], *(mark for mark in (key, *(body.get(m, "") for m in self.marks)) if mark)]
        else:
            self.saved(context, job, record)
        return outcome

    def _key(self, job: Job, body: Body) -> str:
        if job["_match_by"] == "external_id":
            return str(body.get("external_ids", {}).get(job["_system"], ""))
        return self.key(job["_match_by"], body)

    def _save(self, context: Context, job: Job, body: dict[str, Any], key: str) -> tuple[str, Record | None]:
        """Create or update one record; return what happened, and the record."""
        match_by, mode, trial = job["_match_by"], job["_mode"], job["is_validate_only"]
        pointer = f"#/{match_by}"
        if mode == "update" and not key:
            raise invalid(pointer, "required", f"the row has no value to find its {self.noun} by")
        present = self._find(context, job, key, body) if key else None
        is_seen = trial and key in job["_seen"]
        if mode == "create" and (present is not None or is_seen):
            raise self.taken(match_by, key, present)
        if present is not None and context.records.visible(present):
            return self._update(context, present, body, event="" if trial else f"crm.{self.noun}.updated.v1")
        if is_seen:
            return "updated", None
        if mode == "update":
            raise refused("not_found", f"No {self.noun} is found by {self.named or key}.", pointer)
        defaults = job["_defaults"]
        whole = {**{k: v for k, v in defaults.items() if k != "tags"}, **body}
        tags = [*body.get("tags", ()), *(tag for tag in defaults.get("tags", ()) if tag not in body.get("tags", ()))]
        whole |= {"tags": tags} if tags else {}
        self.complete(whole, body)
        self._judge(context, "Create", whole)
        return "created", self.create(context, whole, "" if trial else f"crm.{self.noun}.created.v1")

    def _find(self, context: Context, job: Job, key: str, body: Body) -> Record | None:
        if job["_match_by"] == "external_id":
            return find_external(context, self.collection, job["_system"], key)
        return self.find(context, job["_match_by"], key, body)

    def _update(self, context: Context, present: Record, body: Body, *, event: str) -> tuple[str, Record]:
        known = {k: v for k, v in body.items() if k not in self.only_new}
        if "tags" in known:
            former = present.doc.get("tags", [])
            known["tags"] = [*former, *(tag for tag in known["tags"] if tag not in former)]
        self._judge(context, "Update", known)
        changed = self.change(context, present, merge_patch({}, known), event)
        return ("skipped" if changed is present else "updated"), changed

    def _judge(self, context: Context, what: str, body: Body) -> None:
        node = context.world.contract.schemas[f"{self.noun.capitalize()}{what}"].node
        found = context.world.validators.errors(node, body)
        if found:
            entries = [e.as_dict() for e in found]
            raise Problem("validation_failed", f"{counted(len(found), 'field')} of the row can't be taken; see errors.", entries)

    def _finish(self, context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
        self.conclude(context, job)
        result = {"matched_count": len(job["_items"]), **tally(outcomes, "created", "updated", "skipped")}
        return result | ({"import_job_id": job.setdefault("_handed_to", context.new_id("imp"))} if self.asks_imports else {})
