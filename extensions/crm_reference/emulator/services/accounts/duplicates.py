"""Duplicates: the check before saving, the scan, groups, dismissals and their reopening."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Sort
from crm_reference.emulator.registry import Task, handles, presents, sees, task
from crm_reference.emulator.services.accounts.likeness import DEFAULT_MINIMUM, Company, band, candidate_of, company_of, score
from crm_reference.emulator.services.accounts.selecting import (
    ACCOUNTS,
    JOBS,
    is_seen,
    own_ones,
    seen_account,
    selected,
    summary,
)
from crm_reference.emulator.services.accounts.survivorship import FIELDS, is_set
from crm_reference.emulator.store import Record

GROUPS = "account-duplicates"
#: No group has more accounts.
MAX_GROUP = 50
_EVENT = "crm.account_duplicate_group."


@handles("checkAccountDuplicates")
def check(call: Call) -> Reply:
    """Compare a company that isn't saved with all that the caller may see."""
    candidate, least = candidate_of(call.body["candidate"]), call.body.get("minimum_score", DEFAULT_MINIMUM)
    condition = own_ones(call)
    matches = []
    for account in call.world.store.select(call.tenant, ACCOUNTS, condition.sql, condition.arguments):
        points, signals = score(candidate, company_of(account.doc))
        if points >= least and account.id != call.body.get("exclude_id"):
            matches.append({"account": summary(account), "score": points, "band": band(points), "signals": signals})
    matches.sort(key=lambda m: -m["score"])
    return Reply(200, {"matches": matches[: call.body.get("limit", 10)]})


# -- the scan ------------------------------------------------------------------------------------------------------------------


@handles("startAccountDuplicateScan")
def start_scan(call: Call) -> Reply:
    """Start to compare all accounts, or a selection, with each other; one scan runs at a time."""
    for job in call.records.find(JOBS.name, kind="duplicate_scan"):
        if job.doc["status"] in ("queued", "running"):
            raise Problem("account_scan_running", f"The scan {job.id} is {job.doc['status']}.")
    body = call.body or {}
    if "selection" in body:
        found = selected(call, body["selection"])
    else:
        found = [a.id for a in call.world.store.select(call.tenant, ACCOUNTS)]
    return JOBS.start(call, "duplicate_scan", found, _least=body.get("minimum_score", DEFAULT_MINIMUM))


def _look(context: Context, job: dict[str, Any], id: str) -> str:
    return id


def _group(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    """Replace the open groups by what is found now; one that is found unchanged keeps its ID and is not told of again."""
    accounts = {a.id: a for id in job["_items"] if (a := context.records.peek(ACCOUNTS, id)) is not None}
    pairs = _pairs({id: company_of(a.doc) for id, a in accounts.items()}, job["_least"], _dismissed(context))
    found = {tuple(members): members_pairs for members, members_pairs in components(pairs)}
    for group in context.records.find(GROUPS, status="open"):
        if found.get(tuple(group.doc["account_ids"])) != group.doc["pairs"]:
            context.records.delete(group)
        else:
            context.records.change(group, {"job_id": job["id"]})
            del found[tuple(group.doc["account_ids"])]
    for members, members_pairs in found.items():
        best = members_pairs[0]["score"]
        body = {
            "status": "open",
            "score": best,
            "band": band(best),
            "account_ids": list(members),
            "pairs": members_pairs,
            "suggested_target_id": suggested_target(accounts[id] for id in members),
            "job_id": job["id"],
        }
        group = context.records.create(GROUPS, body)
        context.emit(_EVENT + "found.v1", group.id, {"record": context.records.public(group)})
    return {"matched_count": len(accounts), "group_count": len(context.records.find(GROUPS, status="open"))}


def _pairs(companies: Mapping[str, Company], least: int, passed_over: Mapping[frozenset[str], Any]) -> list[dict[str, Any]]:
    found = []
    for one, other in combinations(sorted(companies), 2):
        points, signals = score(companies[one], companies[other])
        if points < least:
            continue
        fingerprints = passed_over.get(frozenset((one, other)))
        if fingerprints is not None and all(fingerprints[id] == companies[id].fingerprint for id in (one, other)):
            continue
        found.append({"account_ids": [one, other], "score": points, "signals": signals})
    return sorted(found, key=lambda p: (-p["score"], p["account_ids"]))


def components(pairs: Sequence[Mapping[str, Any]], /) -> list[tuple[list[str], list[dict[str, Any]]]]:
    """Join pairs, the best first, to groups of at most fifty accounts.

    :return: The sorted IDs of each group with its pairs.
    """
    group_of: dict[str, frozenset[str]] = {}
    kept: list[dict[str, Any]] = []
    for pair in pairs:
        one, other = pair["account_ids"]
        joined = group_of.get(one, frozenset({one})) | group_of.get(other, frozenset({other}))
        if len(joined) <= MAX_GROUP:
            kept.append(dict(pair))
            group_of |= dict.fromkeys(joined, joined)
    groups: dict[frozenset[str], list[dict[str, Any]]] = {}
    for pair in kept:
        groups.setdefault(group_of[pair["account_ids"][0]], []).append(pair)
    return [(sorted(members), members_pairs) for members, members_pairs in groups.items()]


def suggested_target(accounts: Iterable[Record], /) -> str:
    """Return the account that a merger should keep: most won deals, most fields set, the oldest, the lowest ID."""

    def rank(account: Record) -> tuple[Any, ...]:
        filled = sum(is_set(account.doc.get(name)) for name in FIELDS)
        return (-account.doc.get("won_deal_count", 0), -filled, account.doc["created_at"], account.id)

    return min(accounts, key=rank).id


task("accounts.duplicate_scan", Task(_look, _group))


# -- groups --------------------------------------------------------------------------------------------------------------------


@sees(GROUPS)
def see(context: Context, group: Record) -> bool:
    """Show a group to those who see two of its accounts, or the one that is left of it."""
    known = group.doc["account_ids"]
    return sum(is_seen(context, id) for id in known) >= min(2, len(known))


@presents(GROUPS)
def present(context: Context, group: Record) -> Mapping[str, Any]:
    """Show the accounts as they are now, and none that the caller may not see."""
    ids = [id for id in group.doc["account_ids"] if is_seen(context, id)]
    return {
        "account_ids": ids,
        "accounts": [summary(a) for id in ids if (a := seen_account(context, id)) is not None],
        "pairs": [p for p in group.doc["pairs"] if set(p["account_ids"]) <= set(ids)],
    }


@handles("listAccountDuplicateGroups")
def list_groups(call: Call) -> Reply:
    """List groups, the highest score first."""
    return listing.list_records(call, (Sort("score", True), Sort("id")))


@handles("dismissAccountDuplicateGroup")
def dismiss(call: Call) -> Reply:
    """Record that the accounts of a group are different companies."""
    group = call.found
    if group.doc["status"] != "open":
        raise Problem("account_group_closed", f"The group is {group.doc['status']}.")
    found = {id: a for id in group.doc["account_ids"] if (a := call.records.peek(ACCOUNTS, id)) is not None}
    patch = {
        "status": "dismissed",
        "dismissal_reason": (call.body or {}).get("reason"),
        "dismissed_by": call.identity.user or None,
        "_fingerprints": {id: company_of(a.doc).fingerprint for id, a in found.items()},
    }
    dismissed = call.records.change(group, patch)
    call.emit(_EVENT + "dismissed.v1", group.id, {"record": call.records.public(dismissed)})
    return single.shown(call, dismissed)


@handles("reopenAccountDuplicateGroup")
def reopen(call: Call) -> Reply:
    """Take a dismissal back, for the accounts that still exist."""
    group = call.found
    if group.doc["status"] != "dismissed":
        raise Problem("account_group_not_dismissed", f"The group is {group.doc['status']}.")
    there = [id for id in group.doc["account_ids"] if call.records.peek(ACCOUNTS, id) is not None]
    patch = {"status": "open", "dismissal_reason": None, "dismissed_by": None, "_fingerprints": None, "account_ids": there}
    opened = call.records.change(group, patch)
    call.emit(_EVENT + "reopened.v1", group.id, {"record": call.records.public(opened)})
    return single.shown(call, opened)


def _dismissed(context: Context) -> dict[frozenset[str], Any]:
    """Return the fingerprints of every dismissed pair, by its IDs; the latest dismissal counts."""
    found: dict[frozenset[str], Any] = {}
    for group in context.records.find(GROUPS, status="dismissed"):
        fingerprints = group.doc["_fingerprints"]
        found |= {frozenset(pair): fingerprints for pair in combinations(fingerprints, 2)}
    return found


def leave_groups(context: Context, ids: Iterable[str], /, *, erase: bool = False) -> None:
    """Take accounts out of every group; one that has one account left is merged, or goes with an erasure."""
    gone = set(ids)
    for group in context.records.find(GROUPS):
        if gone.isdisjoint(group.doc["account_ids"]) or (group.doc["status"] != "open" and not erase):
            continue
        doc = dict(group.doc)
        doc["account_ids"] = [id for id in doc["account_ids"] if id not in gone]
        doc["pairs"] = [p for p in doc["pairs"] if gone.isdisjoint(p["account_ids"])]
        doc["_fingerprints"] = {id: f for id, f in doc.get("_fingerprints", {}).items() if id not in gone}
        if doc["suggested_target_id"] in gone and doc["account_ids"]:
            doc["suggested_target_id"] = doc["account_ids"][0]
        if len(doc["account_ids"]) < 2:
            if erase:
                context.records.erase(group)
                continue
            doc["status"] = "merged"
        context.records.replace(group, doc)
