"""Merging: the checks, the preview, and the merger with everything that moves. :mod:`.unmerging` takes it back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from crm_reference.emulator import access, custom_fields
from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.refusals import refused
from crm_reference.emulator.registry import handles, presents, sees
from crm_reference.emulator.services.accounts import facts, links, tree
from crm_reference.emulator.services.accounts.duplicates import leave_groups
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS, is_seen, seen_account
from crm_reference.emulator.services.accounts.survivorship import FIELDS, NUMERIC, TEXTS, UNITED, decide
from crm_reference.emulator.store import Record

MERGES = "account-merges"
#: How long a merger can be undone.
UNDO_DAYS = 30
_COUNTED = {
    "relationship_count": "account-relationships",
    "team_member_count": "account-teams",
    "territory_count": "territory-assignments",
}


@sees(MERGES)
def see(context: Context, merge: Record) -> bool:
    """Show a merger to those who may see the survivor."""
    return is_seen(context, merge.doc["target_id"])


@presents(MERGES)
def present(context: Context, merge: Record) -> Mapping[str, Any]:
    """Leave out outcomes of fields that the caller may not see."""
    masked = context.records.masked(ACCOUNTS)
    return {"outcomes": [o for o in merge.doc["outcomes"] if o["field"].split(".")[0] not in masked]}


# -- checks --------------------------------------------------------------------------------------------------------------------


def _accounts(call: Call) -> list[Record]:
    """Return the target and the sources.

    :raises Problem: What the request breaks, in the order of precedence.
    """
    target_id, source_ids = call.body["target_id"], call.body["source_ids"]
    found, errors = [], []
    for pointer, id in [("#/target_id", target_id), *((f"#/source_ids/{i}", s) for i, s in enumerate(source_ids))]:
        account = seen_account(call, id)
        if account is None:
            errors.append({"pointer": pointer, "code": "invalid_reference", "detail": "There is no account with this ID."})
        else:
            found.append(account)
    if errors:
        raise Problem("validation_failed", f"{counted(len(errors), 'account')} can't be merged; see errors.", errors)
    for account in found:
        access.demand(call, account, "write")
    if target_id in source_ids:
        raise refused("account_merge_self", "A company can't be merged into itself.", f"#/source_ids/{source_ids.index(target_id)}")
    _check_choices(call)
    return found


def _check_choices(call: Call) -> None:
    involved = {call.body["target_id"], *call.body["source_ids"]}
    kinds = {name: said["type"] for name, said in custom_fields.definitions(call, "account").items()}
    masked = call.records.masked(ACCOUNTS)
    seen: set[str] = set()
    for index, choice in enumerate(call.body.get("choices", ())):
        name, strategy = choice["field"], choice["strategy"]
        head, _, rest = name.partition(".")
        custom = kinds.get(rest) if head == "custom_fields" else None
        detail = ""
        if name in seen:
            detail = f"{name} is chosen twice."
        elif (name not in FIELDS and custom is None) or head in masked:
            detail = f"{name} is not decided by a merger."
        elif strategy == "account" and choice.get("account_id") not in involved:
            detail = "account_id must name one of the accounts that are merged."
        elif strategy != "account" and "account_id" in choice:
            detail = "account_id goes with the strategy account only."
        elif strategy == "union" and name not in UNITED and custom != "multi_picklist":
            detail = f"{name} is not a list, so there is nothing to unite."
        elif strategy == "highest" and name not in NUMERIC and custom not in ("integer", "decimal"):
            detail = f"{name} is not a number, so none is the highest."
        elif strategy == "longest" and name not in TEXTS and custom not in ("text", "long_text"):
            detail = f"{name} is not a text, so none is the longest."
        if detail:
            raise refused("account_merge_choice_invalid", detail, f"#/choices/{index}")
        seen.add(name)


def _check_churn(call: Call, decided: Mapping[str, Any]) -> None:
    if decided.get("type") == "former_customer" and "churn_reason" not in decided:
        index = next((i for i, c in enumerate(call.body.get("choices", ())) if c["field"] in ("type", "churn_reason")), 0)
        detail = "The survivor would be a former customer without a reason."
        raise refused("account_merge_choice_invalid", detail, f"#/choices/{index}")


# -- the merger ----------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Moved:
    """What a merger moved, for the counts and for the undo; all of it JSON data."""

    subsidiaries: list[dict[str, str]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)
    contact_count: int = 0
    open_deal_count: int = 0

    def counts(self) -> dict[str, int]:
        """Return the counts that clients see."""
        linked = {
            name: sum(1 for e in self.links if e.get("collection") == collection and "from" in e)
            for name, collection in _COUNTED.items()
        }
        return {
            "subsidiary_count": len(self.subsidiaries),
            **linked,
            "contact_count": self.contact_count,
            "open_deal_count": self.open_deal_count,
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """A merger as it was done."""

    target: Record
    outcomes: list[dict[str, Any]]
    moved: Moved
    before: dict[str, Any]


def _merge(call: Call) -> Outcome:
    """Write a merger: what hangs on the sources, the sources, then the target, whose new domain they had until now."""
    target, *sources = _accounts(call)
    decided, outcomes = decide([a.doc for a in (target, *sources)], call.body.get("choices", ()))
    _check_churn(call, decided)
    merged = {a.id for a in (target, *sources)}
    before = {a.id: {"doc": a.doc, "version": a.version} for a in (target, *sources)}
    decided["parent_id"] = _surviving_parent(call, decided.get("parent_id"), merged)
    moved = Moved()
    with upkeep(call):
        for source in sources:
            known = facts.figures_of(call, source.id)
            moved.contact_count += known["contact_count"]
            moved.open_deal_count += known["open_deal_count"]
            for child in tree.children(call, source.id, seen=False):
                if child.id not in merged:
                    call.records.change(child, {"parent_id": target.id}, action="parent_changed")
                    moved.subsidiaries.append({"id": child.id, "from": source.id})
            moved.links += links.move_links(call, source.id, target.id)
        for source in sources:
            stored = call.records.peek(ACCOUNTS, source.id) or source
            call.records.delete(stored, action="merged")
            gone = call.world.store.get(call.tenant, ACCOUNTS, source.id, deleted=True)
            if gone is not None:
                call.records.note(gone, _merged_into=target.id)
        leave_groups(call, [s.id for s in sources])
        stored = call.records.peek(ACCOUNTS, target.id) or target
        doc = {k: v for k, v in stored.doc.items() if k not in (*FIELDS, "custom_fields")}
        doc |= {k: v for k, v in decided.items() if v is not None}
        doc["_merged_from"] = [*stored.doc.get("_merged_from", ()), *(s.id for s in sources)]
        written = call.records.replace(stored, doc, action="merged", touched={})
    return Outcome(written, outcomes, moved, before)


def _surviving_parent(call: Call, parent: str | None, merged: set[str]) -> str | None:
    """Return the parent of the survivor: the one that was decided, or the next above that isn't merged itself.

    :raises Problem: ``account_merge_cycle`` where it stands below one of the accounts that are merged.
    """
    met: set[str] = set()
    while parent in merged and parent not in met:
        met.add(parent or "")
        account = call.records.peek(ACCOUNTS, parent or "")
        parent = account.doc.get("parent_id") if account is not None else None
    above = call.records.peek(ACCOUNTS, parent) if parent and parent not in merged else None
    if above is None:
        return None
    if not merged.isdisjoint(a.id for a in tree.ancestors(call, above)):
        raise Problem("account_merge_cycle", f"{above.doc['name']} would stand above and below the survivor.")
    return above.id


# -- operations ----------------------------------------------------------------------------------------------------------------


class _TakeBack(Exception):  # it carries no error: it ends the preview
    pass


@handles("previewAccountMerge")
def preview(call: Call) -> Reply:
    """Merge, look at what came of it, and take it back."""
    body: dict[str, Any] = {}
    masked = call.records.masked(ACCOUNTS)
    with suppress(_TakeBack), call.world.store.transaction():
        done = _merge(call)
        outcomes = [o for o in done.outcomes if o["field"].split(".")[0] not in masked]
        former = done.before[done.target.id]
        # The record is as it would be; what writing it would do to version and times is no part of the decision.
        platform = {k: former["doc"][k] for k in ("updated_at", "updated_by") if k in former["doc"]}
        doc = {k: v for k, v in done.target.doc.items() if k != "updated_by"} | platform
        record = Record(ACCOUNTS, done.target.id, former["version"], doc)
        body = {"record": call.records.shown(record), "outcomes": outcomes, "moved": done.moved.counts()}
        raise _TakeBack
    return Reply(200, body)


@handles("mergeAccounts")
def merge(call: Call) -> Reply:
    """Make several accounts one, and keep what an undo needs."""
    done = _merge(call)
    source_ids = list(call.body["source_ids"])
    body = {
        "status": "merged",
        "target_id": done.target.id,
        "source_ids": source_ids,
        "account_ids": [done.target.id, *source_ids],
        "outcomes": done.outcomes,
        "moved": done.moved.counts(),
        "undo_expires_at": days_later(call.now, UNDO_DAYS),
        "_before": done.before,
        "_after": done.target.doc,
        "_subsidiaries": done.moved.subsidiaries,
        "_links": done.moved.links,
    }
    record = call.records.create(MERGES, body)
    call.records.tell(done.target, done.before[done.target.id]["doc"], "crm.account.updated.v1")
    data = {
        "merge_id": record.id,
        "target_id": done.target.id,
        "source_ids": source_ids,
        "record": call.records.public(done.target),
    }
    call.emit("crm.account.merged.v1", done.target.id, data)
    return single.shown(call, record, 201, Location=f"/v1/account-merges/{record.id}")
