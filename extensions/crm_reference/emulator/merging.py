"""Merging records of a kind: the checks, the preview, the merge with everything that moves, and its undoing.

What hangs on a record, and so moves with it, is the service's own: it gives a :class:`Moved` and takes it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from crm_reference.emulator import custom_fields
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.duplicate_groups import DuplicateGroups
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.refusals import refused
from crm_reference.emulator.registry import handles, presents, sees
from crm_reference.emulator.sql import folded
from crm_reference.emulator.store import Record
from crm_reference.emulator.survivorship import Survivorship

Doc = Mapping[str, Any]

#: How long a merge can be undone.
UNDO_DAYS = 30


class Moved(Protocol):
    """What a merge moved or dropped, for the counts and for the undo."""

    def counts(self) -> dict[str, int]:
        """Return the counts that clients see."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""


@dataclass(frozen=True, slots=True)
class Codes:
    """What a service calls the reasons for which it refuses a merge or its undoing.

    :param into_itself: The target is a source too.
    :param choice: A choice doesn't fit.
    :param undone: The merge was undone already; ``expired`` that it is too late, ``blocked`` that the survivor is gone, ``taken``
        that a source's unique value belongs to another record by now.
    """

    into_itself: str
    choice: str
    undone: str
    expired: str
    blocked: str
    taken: str


@dataclass(frozen=True, slots=True)
class Merge:
    """A merge as it was done.

    :param before: Document and version of each record, by ID.
    """

    target: Record
    outcomes: list[dict[str, Any]]
    moved: Moved
    before: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Merging:
    """How records of a collection become one, and several again.

    :param collection: The records; ``merges`` is the collection of their merges.
    :param survivorship: What a merge decides; its noun is the record's: events are ``crm.{noun}.merged.v1`` and so on.
    :param groups: The groups of duplicates, which the sources leave.
    :param codes: Codes of refusals.
    :param unique: The field that no two records share, and what messages call it.
    :param seen: A living record that the caller may see, by its ID.
    :param is_seen: Whether the caller may see a record, gone as it may be.
    :param admit: Refuses a record that the caller may not merge, or take apart.
    :param admits_first: Where ``admit`` goes before what else a request may break: ``merge``, ``undo``.
    :param settle: Takes the call, the records, the target first, and the decided fields; refuses them, or changes what hangs on
        the records that are merged. It runs before anything is written.
    :param move: Takes the call, the IDs of the sources, the target's, and a function that deletes a source once what hangs on it
        has moved; returns what it moved.
    :param complete: Takes the context, the records and the survivor's document; changes what no choice decides.
    :param bring_back: Takes the call, a source's former document, the survivor's present one and the one that the merge made;
        returns the document with which the source comes back.
    :param move_back: Takes the call, the merge and the survivor's ID; moves back what nobody has touched since.
    :param prepare: Brings up to date what passes with time, before a merge or an undo writes anything.
    :param written: Fields that ``complete`` writes, besides those that are decided.
    :param person: What a message calls one of the records.
    :param tells_first: Whether events tell of the survivor's new fields before they tell of the merge.
    :param undone_by: Who undid it, as the merge shows it.
    """

    collection: str
    merges: str
    survivorship: Survivorship
    groups: DuplicateGroups
    codes: Codes
    unique: tuple[str, str]
    seen: Callable[[Context, str], Record | None]
    is_seen: Callable[[Context, str], bool]
    admit: Callable[[Call, Record], None]
    admits_first: frozenset[str]
    settle: Callable[[Call, Sequence[Record], dict[str, Any]], None]
    move: Callable[[Call, Sequence[str], str, Callable[[str], None]], Moved]
    complete: Callable[[Call, Sequence[Record], dict[str, Any]], None]
    bring_back: Callable[[Call, Doc, Doc, Doc], dict[str, Any]]
    move_back: Callable[[Call, Record, str], None]
    prepare: Callable[[Call], None] = lambda call: None
    written: tuple[str, ...] = ()
    person: str = "record"
    tells_first: bool = False
    undone_by: Callable[[Call], Any] = lambda call: call.identity.user or None

    def offer(self, *, preview: str, merge: str, undo: str) -> None:
        """Register operations, by operationId, and who sees what of a merge."""
        handles(preview)(self._preview)
        handles(merge)(self._merge)
        handles(undo)(self._undo)
        sees(self.merges)(lambda context, merge: self.is_seen(context, merge.doc["target_id"]))
        presents(self.merges)(lambda context, merge: {"outcomes": self._shown(context, merge.doc["outcomes"])})

    @property
    def _noun(self) -> str:
        return self.survivorship.noun

    def _shown(self, context: Context, outcomes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Leave out outcomes of fields that the caller may not see."""
        masked = context.records.masked(self.collection)
        return [outcome for outcome in outcomes if outcome["field"].split(".")[0] not in masked]

    # -- checks ----------------------------------------------------------------------------------------------------------------

    def _named(self, call: Call) -> list[Record]:
        """Return the target and the sources.

        :raises Problem: What the request breaks, in the order of precedence.
        """
        target_id, source_ids = call.body["target_id"], call.body["source_ids"]
        found, errors = [], []
        for pointer, id in [("#/target_id", target_id), *((f"#/source_ids/{i}", s) for i, s in enumerate(source_ids))]:
            record = self.seen(call, id)
            if record is None:
                detail = f"There is no {self._noun} with this ID."
                errors.append({"pointer": pointer, "code": "invalid_reference", "detail": detail})
            else:
                found.append(record)
        if errors:
            raise Problem("validation_failed", f"{counted(len(errors), self._noun)} can't be merged; see errors.", errors)
        if "merge" in self.admits_first:
            self._admit(call, found)
        if target_id in source_ids:
            detail = f"A {self.person} can't be merged into itself."
            raise refused(self.codes.into_itself, detail, f"#/source_ids/{source_ids.index(target_id)}")
        self._check_choices(call)
        if "merge" not in self.admits_first:
            self._admit(call, found)
        return found

    def _admit(self, call: Call, records: Iterable[Record]) -> None:
        for record in records:
            self.admit(call, record)

    def _check_choices(self, call: Call) -> None:
        involved = {call.body["target_id"], *call.body["source_ids"]}
        kinds = {name: said["type"] for name, said in custom_fields.definitions(call, self._noun).items()}
        masked = call.records.masked(self.collection)
        seen: set[str] = set()
        for index, choice in enumerate(call.body.get("choices", ())):
            name = choice["field"]
            twice = f"{name} is chosen twice." if name in seen else ""
            detail = twice or self.survivorship.fault(choice, involved, kinds, masked)
            if detail:
                raise refused(self.codes.choice, detail, f"#/choices/{index}")
            seen.add(name)

    # -- the merge -------------------------------------------------------------------------------------------------------------

    def _do(self, call: Call) -> Merge:
        """Write a merge: what hangs on the sources, the sources, then the target, whose new unique value they had until now."""
        records = self._named(call)
        named = {record.id: record for record in records}
        target, *source_ids = records[0], *list(named)[1:]
        decided, outcomes = self.survivorship.decide([r.doc for r in records], call.body.get("choices", ()))
        before = {r.id: {"doc": r.doc, "version": r.version} for r in records}
        self.settle(call, records, decided)
        self.prepare(call)

        def remove(id: str) -> None:
            call.records.delete(call.records.peek(self.collection, id) or named[id], action="merged")
            gone = call.world.store.get(call.tenant, self.collection, id, deleted=True)
            if gone is not None:
                call.records.note(gone, _merged_into=target.id)

        with upkeep(call):
            moved = self.move(call, source_ids, target.id, remove)
            self.groups.leave(call, source_ids)
            present = call.records.peek(self.collection, target.id) or target
            doc = {k: v for k, v in present.doc.items() if k not in (*self.survivorship.fields, "custom_fields")}
            doc |= {k: v for k, v in decided.items() if v is not None}
            doc["_merged_from"] = [*present.doc.get("_merged_from", ()), *source_ids]
            self.complete(call, records, doc)
            merged = call.records.replace(present, doc, action="merged", touched={})
        return Merge(merged, outcomes, moved, before)

    def _preview(self, call: Call) -> Reply:
        """Merge, look at what came of it, and take it back."""
        body: dict[str, Any] = {}
        with suppress(_TakeBack), call.world.store.transaction():
            done = self._do(call)
            former = done.before[done.target.id]
            # The record is as it would be; what writing it would do to version and times is no part of the decision.
            platform = {k: former["doc"][k] for k in ("updated_at", "updated_by") if k in former["doc"]}
            doc = {k: v for k, v in done.target.doc.items() if k != "updated_by"} | platform
            record = Record(self.collection, done.target.id, former["version"], doc)
            outcomes = self._shown(call, done.outcomes)
            body = {"record": call.records.shown(record), "outcomes": outcomes, "moved": done.moved.counts()}
            raise _TakeBack
        return Reply(200, body)

    def _merge(self, call: Call) -> Reply:
        """Make several records one, and keep what an undo needs."""
        done = self._do(call)
        source_ids = list(call.body["source_ids"])
        body = {
            "status": "merged",
            "target_id": done.target.id,
            "source_ids": source_ids,
            f"{self._noun}_ids": [done.target.id, *source_ids],
            "outcomes": done.outcomes,
            "moved": done.moved.counts(),
            "undo_expires_at": days_later(call.now, UNDO_DAYS),
            "_before": done.before,
            "_after": done.target.doc,
            "_moved": done.moved.as_dict(),
        }
        merge = call.records.create(self.merges, body)
        self._tell(call, "merged", merge, done.target, done.before[done.target.id]["doc"], {})
        return single.shown(call, merge, 201, Location=f"/v1/{self.merges}/{merge.id}")

    def _tell(self, call: Call, what: str, merge: Record, target: Record, former: Doc, more: Doc) -> None:
        """Tell of a merge or of its undoing, and of the survivor's new fields."""
        updated = f"crm.{self._noun}.updated.v1"
        data = {
            "merge_id": merge.id,
            "target_id": target.id,
            "source_ids": list(merge.doc["source_ids"]),
            "record": call.records.public(call.records.peek(self.collection, target.id) or target),
            **more,
        }
        if self.tells_first:
            call.records.tell(target, former, updated)
        call.emit(f"crm.{self._noun}.{what}.v1", target.id, data)
        if not self.tells_first:
            call.records.tell(target, former, updated)

    # -- the undo --------------------------------------------------------------------------------------------------------------

    def _undo(self, call: Call) -> Reply:
        """Take the records of a merge apart again."""
        merge = call.found
        target = self._apart(call, merge)
        before, after, source_ids = merge.doc["_before"], merge.doc["_after"], merge.doc["source_ids"]
        self.prepare(call)
        with upkeep(call):
            # The target goes first, so that values which it took over are free when their owners come back.
            decided = (*self.survivorship.fields, *self.written)
            doc = former(target.doc, before[target.id]["doc"], after, decided)
            doc.pop("_merged_from", None)
            apart = call.records.replace(target, doc, action="unmerged", touched={})
            sources = []
            for id in source_ids:
                gone = call.world.store.get(call.tenant, self.collection, id, deleted=True)
                version = gone.version if gone is not None else before[id]["version"]
                back = {k: v for k, v in before[id]["doc"].items() if k != "_merged_into"}
                back = self.bring_back(call, back, target.doc, after)
                sources.append(call.records.revive(self.collection, back, version + 1, action="unmerged", fresh=False))
            self.move_back(call, merge, target.id)
        sources = [call.records.peek(self.collection, source.id) or source for source in sources]
        undone = call.records.change(merge, {"status": "undone", "undone_at": call.now, "undone_by": self.undone_by(call)})
        more = {"restored_records": [call.records.public(source) for source in sources]}
        self._tell(call, "unmerged", merge, apart, target.doc, more)
        return single.shown(call, undone)

    def _apart(self, call: Call, merge: Record) -> Record:
        """Return the survivor.

        :raises Problem: Where the merge can't be undone.
        """
        word, noun = self.survivorship.word, self._noun
        target = call.records.peek(self.collection, merge.doc["target_id"])
        if target is not None and "undo" in self.admits_first:
            self.admit(call, target)
        if merge.doc["status"] == "undone":
            raise Problem(self.codes.undone, f"The {word} was undone at {merge.doc['undone_at']}.")
        if call.now > merge.doc["undo_expires_at"]:
            raise Problem(self.codes.expired, f"The {word} could be undone until {merge.doc['undo_expires_at']}.")
        if target is None:
            detail = f"{merge.doc['target_id']} was merged into another {noun}, deleted or erased since."
            raise Problem(self.codes.blocked, detail)
        if "undo" not in self.admits_first:
            self.admit(call, target)
        field, name = self.unique
        for id in merge.doc["source_ids"]:
            value = merge.doc["_before"][id]["doc"].get(field)
            if value is None:
                continue
            takers = call.world.store.select(call.tenant, self.collection, f"{folded(field)} = ?", [value], order="", limit=1)
            if any(taker.id != target.id for taker in takers):
                raise Problem(self.codes.taken, f"The {name} of {id} belongs to another {noun} by now.")
        return target


class _TakeBack(Exception):  # it carries no error: it ends the preview
    pass


def former(present: Doc, before: Doc, after: Doc, decided: Iterable[str], /) -> dict[str, Any]:
    """Return a document in which each field that is still as the merge made it has its former value.

    :param before: The document before the merge; ``after`` the one that the merge made.
    :param decided: Fields that the merge wrote, besides custom ones.

    >>> former({"phone": "2", "tags": ["new"]}, {"phone": "1"}, {"phone": "2", "tags": ["old"]}, ["phone", "tags"])
    {'tags': ['new'], 'phone': '1'}
    """
    doc = dict(present)
    for name in decided:
        if doc.get(name) == after.get(name):
            doc.pop(name, None)
            doc |= {name: before[name]} if name in before else {}
    now, then, made = (d.get("custom_fields", {}) for d in (present, before, after))
    customs = dict(now)
    for name in dict.fromkeys((*now, *then)):
        if now.get(name) == made.get(name):
            customs.pop(name, None)
            customs |= {name: then[name]} if name in then else {}
    doc.pop("custom_fields", None)
    return doc | ({"custom_fields": customs} if customs else {})
