"""Duplicates: the check before saving, the scan of all contacts, groups, and dismissals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Sort
from crm_reference.emulator.registry import Task, handles, presents, sees, task
from crm_reference.emulator.services.contacts.jobs import JOBS, start
from crm_reference.emulator.services.contacts.scoring import DEFAULT_MINIMUM, Person, band, candidate_of, person_of, score
from crm_reference.emulator.services.contacts.selecting import CONTACTS, is_seen, own_ones, seen_contact, selected, summary
from crm_reference.emulator.services.contacts.survivorship import is_set
from crm_reference.emulator.store import Record

GROUPS = "contact-duplicates"
#: No group has more contacts.
MAX_GROUP = 50


@handles("checkContactDuplicates")
def check(call: Call) -> Reply:
    """Compare a person who isn't saved with everybody whom the caller may see."""
    candidate, least = candidate_of(call.body["candidate"]), call.body.get("minimum_score", DEFAULT_MINIMUM)
    condition = own_ones(call)
    matches = []
    for contact in call.world.store.select(call.tenant, CONTACTS, condition.sql, condition.arguments):
        points, signals = score(candidate, person_of(contact.doc))
        if points >= least and contact.id != call.body.get("exclude_id"):
            matches.append({"contact": summary(contact), "score": points, "band": band(points), "signals": signals})
    matches.sort(key=lambda m: -m["score"])
    return Reply(200, {"matches": matches[: call.body.get("limit", 10)]})


# -- the scan ------------------------------------------------------------------------------------------------------------------


@handles("startContactDuplicateScan")
def start_scan(call: Call) -> Reply:
    """Start to compare all contacts, or a selection, with each other; one scan runs at a time."""
    for job in call.records.find(JOBS, kind="duplicate_scan"):
        if job.doc["status"] in ("queued", "running"):
            raise Problem("scan_running", f"The scan {job.id} is {job.doc['status']}.")
    body = call.body or {}
    if "selection" in body:
        found = selected(call, body["selection"])
    else:
        found = [c.id for c in call.world.store.select(call.tenant, CONTACTS)]
    return start(call, "duplicate_scan", found, _least=body.get("minimum_score", DEFAULT_MINIMUM))


def _look(context: Context, job: dict[str, Any], id: str) -> str:
    return id


def _group(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    """Replace the open groups by what is found now; one that is found unchanged keeps its ID and is not told of again."""
    people = {c.id: c for id in job["_items"] if (c := context.records.peek(CONTACTS, id)) is not None}
    pairs = _pairs({id: person_of(c.doc) for id, c in people.items()}, job["_least"], _dismissed(context))
    found = {tuple(members): members_pairs for members, members_pairs in components(pairs)}
    for group in context.records.find(GROUPS, status="open"):
        if found.get(tuple(group.doc["contact_ids"])) != group.doc["pairs"]:
            context.records.delete(group)
        else:
            context.records.change(group, {"job_id": job["id"]})
            del found[tuple(group.doc["contact_ids"])]
    for members, members_pairs in found.items():
        best = members_pairs[0]["score"]
        body = {
            "status": "open",
            "score": best,
            "band": band(best),
            "contact_ids": list(members),
            "pairs": members_pairs,
            "suggested_target_id": suggested_target([people[id] for id in members], _writable(context)),
            "job_id": job["id"],
        }
        group = context.records.create(GROUPS, body)
        context.emit("crm.contact_duplicate_group.found.v1", group.id, {"record": context.records.public(group)})
    return {"matched_count": len(people), "group_count": len(context.records.find(GROUPS, status="open"))}


def _pairs(people: Mapping[str, Person], least: int, passed_over: Mapping[frozenset[str], Any]) -> list[dict[str, Any]]:
    found = []
    for one, other in combinations(sorted(people), 2):
        points, signals = score(people[one], people[other])
        if points < least:
            continue
        fingerprints = passed_over.get(frozenset((one, other)))
        if fingerprints is not None and all(fingerprints[id] == people[id].fingerprint for id in (one, other)):
            continue
        found.append({"contact_ids": [one, other], "score": points, "signals": signals})
    return sorted(found, key=lambda p: (-p["score"], p["contact_ids"]))


def components(pairs: Sequence[Mapping[str, Any]], /) -> list[tuple[list[str], list[dict[str, Any]]]]:
    """Join pairs to groups, the best first; a pair that would make a group of more than fifty is left out.

    :param pairs: Sorted by score, highest first.
    :return: The sorted IDs of each group with its pairs, the best group first.
    """
    group_of: dict[str, set[str]] = {}
    kept = []
    for pair in pairs:
        one, other = pair["contact_ids"]
        joined = group_of.get(one, {one}) | group_of.get(other, {other})
        if len(joined) <= MAX_GROUP:
            kept.append(dict(pair))
            for id in joined:
                group_of[id] = joined
    by_group: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for pair in kept:
        by_group.setdefault(tuple(sorted(group_of[pair["contact_ids"][0]])), []).append(pair)
    return [(list(members), members_pairs) for members, members_pairs in by_group.items()]


def suggested_target(contacts: Iterable[Record], writable: frozenset[str], /) -> str:
    """Return the contact that a merge should keep: most fields set, then the oldest, then the lowest ID."""
    return min(contacts, key=lambda c: (-sum(is_set(c.doc.get(name)) for name in writable), c.doc["created_at"], c.id)).id


def _writable(context: Context) -> frozenset[str]:
    schemas = context.world.contract.schemas
    return frozenset({*schemas["ContactCreate"].node.get("properties"), *schemas["ContactUpdate"].node.get("properties")})


task("contacts.duplicate_scan", Task(_look, _group))


# -- groups --------------------------------------------------------------------------------------------------------------------


@sees(GROUPS)
def see(context: Context, group: Record) -> bool:
    """Show a group to those who see two of its contacts, or the one that is left of it."""
    known = group.doc["contact_ids"]
    return sum(is_seen(context, id) for id in known) >= min(2, len(known))


@presents(GROUPS)
def present(context: Context, group: Record) -> Mapping[str, Any]:
    """Show the contacts as they are now, and none that the caller may not see."""
    ids = [id for id in group.doc["contact_ids"] if is_seen(context, id)]
    return {
        "contact_ids": ids,
        "contacts": [summary(c) for id in ids if (c := seen_contact(context, id)) is not None],
        "pairs": [p for p in group.doc["pairs"] if set(p["contact_ids"]) <= set(ids)],
    }


@handles("listContactDuplicateGroups")
def list_groups(call: Call) -> Reply:
    """List groups, the highest score first."""
    return listing.list_records(call, (Sort("score", True), Sort("id")))


@handles("dismissContactDuplicateGroup")
def dismiss(call: Call) -> Reply:
    """Record that the contacts of a group are different people."""
    group = call.found
    if group.doc["status"] != "open":
        raise Problem("duplicate_group_closed", f"The group is {group.doc['status']}.")
    found = {id: c for id in group.doc["contact_ids"] if (c := call.records.peek(CONTACTS, id)) is not None}
    patch = {
        "status": "dismissed",
        "dismissal_reason": (call.body or {}).get("reason"),
        "_fingerprints": {id: person_of(c.doc).fingerprint for id, c in found.items()},
    }
    dismissed = call.records.change(group, patch)
    call.emit("crm.contact_duplicate_group.dismissed.v1", group.id, {"record": call.records.public(dismissed)})
    return single.shown(call, dismissed)


def _dismissed(context: Context) -> dict[frozenset[str], Any]:
    """Return the fingerprints of every dismissed pair, by its IDs; the latest dismissal counts."""
    found: dict[frozenset[str], Any] = {}
    for group in context.records.find(GROUPS, status="dismissed"):
        fingerprints = group.doc["_fingerprints"]
        found |= {frozenset(pair): fingerprints for pair in combinations(fingerprints, 2)}
    return found


def leave_groups(context: Context, ids: Iterable[str], /, *, erase: bool = False) -> None:
    """Take contacts out of every group; one that has one contact left is merged.

    :param erase: Take them out of what dismissals remember as well, and remove groups with fewer than two contacts.
    """
    gone = set(ids)
    for group in context.records.find(GROUPS):
        if gone.isdisjoint(group.doc["contact_ids"]) or (group.doc["status"] != "open" and not erase):
            continue
        doc = dict(group.doc)
        doc["contact_ids"] = [id for id in doc["contact_ids"] if id not in gone]
        doc["pairs"] = [p for p in doc["pairs"] if gone.isdisjoint(p["contact_ids"])]
        doc["_fingerprints"] = {id: f for id, f in doc.get("_fingerprints", {}).items() if id not in gone}
        if doc["suggested_target_id"] in gone and doc["contact_ids"]:
            doc["suggested_target_id"] = doc["contact_ids"][0]
        if len(doc["contact_ids"]) < 2:
            if erase:
                context.records.erase(group)
                continue
            doc["status"] = "merged"
        context.records.replace(group, doc)
