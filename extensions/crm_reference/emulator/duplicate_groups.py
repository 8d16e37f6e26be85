"""Duplicates of one kind of record: the check before saving, the scan, groups, dismissals and their reopening.

How alike two records are is the service's own: it gives what is compared of a record, and the score of two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Protocol

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import JobCollection
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition, Sort
from crm_reference.emulator.registry import Task, handles, presents, sees, task
from crm_reference.emulator.store import Record

#: No group has more records.
MAX_GROUP = 50

Pair = dict[str, Any]


class Likeness(Protocol):
    """What is compared of a record, normalised."""

    @property
    def fingerprint(self) -> list[Any]:
        """What a dismissal remembers: the pair is looked at again once one of these changes."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a service compares two records.

    :param candidate_of: What is compared of a candidate of the check.
    :param record_of: What is compared of a stored document.
    :param score: Points of two, from 0 to 100, and the signals that make them up.
    :param band: The band of so many points.
    :param minimum: The points from which a check or a scan that names none reports two records.
    """

    candidate_of: Callable[[Mapping[str, Any]], Likeness]
    record_of: Callable[[Mapping[str, Any]], Likeness]
    score: Callable[[Any, Any], tuple[int, list[dict[str, Any]]]]
    band: Callable[[int], str]
    minimum: int


@dataclass(frozen=True, slots=True)
class DuplicateGroups:
    """The groups of records of a collection that may be the same.

    :param jobs: The service's jobs.
    :param collection: The records; ``groups`` is the collection of their groups.
    :param noun: ``contact``: groups have ``contact_ids`` and show ``contacts``.
    :param event: What events of groups begin with: ``crm.contact_duplicate_group.``.
    :param comparison: How two records are compared.
    :param summary: The few fields of a record by which it is recognised.
    :param own: The condition of the records that the caller may see.
    :param seen: A living record that the caller may see, by its ID.
    :param is_seen: Whether the caller may see a record, gone as it may be.
    :param select: The IDs of a scan's ``selection``.
    :param rank: Takes the context; returns the key by which the record comes first that a merge should keep.
    :param scan_running: Code where a scan runs already.
    :param closed: Code where a group that isn't open is dismissed.
    :param keeps_who: Whether a group says who dismissed it.
    """

    jobs: JobCollection
    collection: str
    groups: str
    noun: str
    event: str
    comparison: Comparison
    summary: Callable[[Record], dict[str, Any]]
    own: Callable[[Context], Condition]
    seen: Callable[[Context, str], Record | None]
    is_seen: Callable[[Context, str], bool]
    select: Callable[[Context, Mapping[str, Any]], list[str]]
    rank: Callable[[Context], Callable[[Record], Any]]
    scan_running: str
    closed: str
    keeps_who: bool = False

    def offer(self, *, check: str, scan: str, list: str, dismiss: str) -> None:
        """Register operations, by operationId, the job of a scan, and who sees what of a group."""
        handles(check)(self._check)
        handles(scan)(self._start_scan)
        handles(list)(lambda call: listing.list_records(call, (Sort("score", True), Sort("id"))))
        handles(dismiss)(self._dismiss)
        task(f"{self.jobs.service}.duplicate_scan", Task(lambda context, job, id: str(id), self._group))
        sees(self.groups)(self._sees)
        presents(self.groups)(self._present)

    def offer_reopening(self, operation: str, /, *, not_dismissed: str) -> None:
        """Register the operation that takes a dismissal back, and the code where there is none."""

        def reopen(call: Call) -> Reply:
            group = call.found
            if group.doc["status"] != "dismissed":
                raise Problem(not_dismissed, f"The group is {group.doc['status']}.")
            there = [id for id in group.doc[self._ids] if call.records.peek(self.collection, id) is not None]
            patch = {"status": "open", "dismissal_reason": None, "dismissed_by": None, "_fingerprints": None, self._ids: there}
            opened = call.records.change(group, patch)
            self._tell(call, "reopened", opened)
            return single.shown(call, opened)

        handles(operation)(reopen)

    @property
    def _ids(self) -> str:
        return f"{self.noun}_ids"

    def _tell(self, context: Context, what: str, group: Record) -> None:
        context.emit(f"{self.event}{what}.v1", group.id, {"record": context.records.public(group)})

    def _check(self, call: Call) -> Reply:
        """Compare a candidate that isn't saved with every record that the caller may see."""
        compare = self.comparison
        candidate, least = compare.candidate_of(call.body["candidate"]), call.body.get("minimum_score", compare.minimum)
        condition = self.own(call)
        matches: list[dict[str, Any]] = []
        for record in call.world.store.select(call.tenant, self.collection, condition.sql, condition.arguments):
            points, signals = compare.score(candidate, compare.record_of(record.doc))
            if points >= least and record.id != call.body.get("exclude_id"):
                match = {self.noun: self.summary(record), "score": points, "band": compare.band(points), "signals": signals}
                matches.append(match)
        matches.sort(key=lambda match: -match["score"])
        return Reply(200, {"matches": matches[: call.body.get("limit", 10)]})

    # -- the scan --------------------------------------------------------------------------------------------------------------

    def _start_scan(self, call: Call) -> Reply:
        """Start to compare all records, or a selection, with each other; one scan runs at a time."""
        for job in call.records.find(self.jobs.name, kind="duplicate_scan"):
            if job.doc["status"] in ("queued", "running"):
                raise Problem(self.scan_running, f"The scan {job.id} is {job.doc['status']}.")
        body = call.body or {}
        if "selection" in body:
            found = self.select(call, body["selection"])
        else:
            found = [record.id for record in call.world.store.select(call.tenant, self.collection)]
        return self.jobs.start(call, "duplicate_scan", found, _least=body.get("minimum_score", self.comparison.minimum))

    def _group(self, context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
        """Replace the open groups by what is found now; one that is found unchanged keeps its ID and is not told of again."""
        records = {r.id: r for id in job["_items"] if (r := context.records.peek(self.collection, id)) is not None}
        found = {tuple(members): pairs for members, pairs in components(self._pairs(context, records, job["_least"]), self._ids)}
        for group in context.records.find(self.groups, status="open"):
            if found.get(tuple(group.doc[self._ids])) != group.doc["pairs"]:
                context.records.delete(group)
            else:
                context.records.change(group, {"job_id": job["id"]})
                del found[tuple(group.doc[self._ids])]
        rank = self.rank(context)
        for members, pairs in found.items():
            best = pairs[0]["score"]
            body = {
                "status": "open",
                "score": best,
                "band": self.comparison.band(best),
                self._ids: list(members),
                "pairs": pairs,
                "suggested_target_id": min((records[id] for id in members), key=rank).id,
                "job_id": job["id"],
            }
            self._tell(context, "found", context.records.create(self.groups, body))
        return {"matched_count": len(records), "group_count": len(context.records.find(self.groups, status="open"))}

    def _pairs(self, context: Context, records: Mapping[str, Record], least: int) -> list[Pair]:
        """Return the pairs of at least so many points, the best first, without those that were dismissed as they are."""
        compared = {id: self.comparison.record_of(record.doc) for id, record in records.items()}
        dismissed = self._dismissed(context)
        found = []
        for one, other in combinations(sorted(compared), 2):
            points, signals = self.comparison.score(compared[one], compared[other])
            if points < least:
                continue
            fingerprints = dismissed.get(frozenset((one, other)))
            if fingerprints is not None and all(fingerprints[id] == compared[id].fingerprint for id in (one, other)):
                continue
            found.append({self._ids: [one, other], "score": points, "signals": signals})
        return sorted(found, key=lambda pair: (-pair["score"], pair[self._ids]))

    def _dismissed(self, context: Context) -> dict[frozenset[str], Any]:
        """Return the fingerprints of every dismissed pair, by its IDs; the latest dismissal counts."""
        found: dict[frozenset[str], Any] = {}
        for group in context.records.find(self.groups, status="dismissed"):
            fingerprints = group.doc["_fingerprints"]
            found |= {frozenset(pair): fingerprints for pair in combinations(fingerprints, 2)}
        return found

    # -- groups ----------------------------------------------------------------------------------------------------------------

    def _sees(self, context: Context, group: Record) -> bool:
        """Show a group to those who see two of its records, or the one that is left of it."""
        known = group.doc[self._ids]
        return sum(self.is_seen(context, id) for id in known) >= min(2, len(known))

    def _present(self, context: Context, group: Record) -> Mapping[str, Any]:
        """Show the records as they are now, and none that the caller may not see."""
        ids = [id for id in group.doc[self._ids] if self.is_seen(context, id)]
        return {
            self._ids: ids,
            f"{self.noun}s": [self.summary(record) for id in ids if (record := self.seen(context, id)) is not None],
            "pairs": [pair for pair in group.doc["pairs"] if set(pair[self._ids]) <= set(ids)],
        }

    def _dismiss(self, call: Call) -> Reply:
        """Record that the records of a group are different ones."""
        group = call.found
        if group.doc["status"] != "open":
            raise Problem(self.closed, f"The group is {group.doc['status']}.")
        found = {id: r for id in group.doc[self._ids] if (r := call.records.peek(self.collection, id)) is not None}
        patch = {
            "status": "dismissed",
            "dismissal_reason": (call.body or {}).get("reason"),
            **({"dismissed_by": call.identity.user or None} if self.keeps_who else {}),
            "_fingerprints": {id: self.comparison.record_of(r.doc).fingerprint for id, r in found.items()},
        }
        dismissed = call.records.change(group, patch)
        self._tell(call, "dismissed", dismissed)
        return single.shown(call, dismissed)

    def leave(self, context: Context, ids: Iterable[str], /, *, erase: bool = False) -> None:
        """Take records out of every group; one that has one record left is merged.

        :param erase: Take them out of what dismissals remember as well, and remove groups with fewer than two records.
        """
        gone = set(ids)
        for group in context.records.find(self.groups):
            if gone.isdisjoint(group.doc[self._ids]) or (group.doc["status"] != "open" and not erase):
                continue
            doc = dict(group.doc)
            left = doc[self._ids] = [id for id in doc[self._ids] if id not in gone]
            doc["pairs"] = [pair for pair in doc["pairs"] if gone.isdisjoint(pair[self._ids])]
            doc["_fingerprints"] = {id: f for id, f in doc.get("_fingerprints", {}).items() if id not in gone}
            if doc["suggested_target_id"] in gone and left:
                doc["suggested_target_id"] = left[0]
            if len(left) < 2:
                if erase:
                    context.records.erase(group)
                    continue
                doc["status"] = "merged"
            context.records.replace(group, doc)


def components(pairs: Sequence[Mapping[str, Any]], ids: str, /) -> list[tuple[list[str], list[Pair]]]:
    """Join pairs to groups, the best first; a pair that would make a group of more than fifty is left out.

    :param pairs: Sorted by score, highest first.
    :param ids: The member of a pair that has its two IDs.
    :return: The sorted IDs of each group with its pairs, the best group first.
    """
    group_of: dict[str, frozenset[str]] = {}
    kept = []
    for pair in pairs:
        one, other = pair[ids]
        joined = group_of.get(one, frozenset({one})) | group_of.get(other, frozenset({other}))
        if len(joined) <= MAX_GROUP:
            kept.append(dict(pair))
            group_of |= dict.fromkeys(joined, joined)
    groups: dict[frozenset[str], list[Pair]] = {}
    for pair in kept:
        groups.setdefault(group_of[pair[ids][0]], []).append(pair)
    return [(sorted(members), members_pairs) for members, members_pairs in groups.items()]
