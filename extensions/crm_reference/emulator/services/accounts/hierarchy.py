"""Operations on the tree: reading it from any member, moving branches after a preview, and summing figures over it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.refusals import invalid, refused
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.accounts import figures, tree
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS, seen_account, summary
from crm_reference.emulator.store import Record

MOVED = "crm.account.parent_changed.v1"
#: How many companies the answer of a whole tree holds.
MAX_NODES = 500


# -- reading -------------------------------------------------------------------------------------------------------------------


def _node(context: Context, account: Record, depth: int) -> dict[str, Any]:
    below = tree.branch(context, account)
    node: dict[str, Any] = {"account": summary(account), "depth": depth}
    if account.doc.get("parent_id"):
        node["parent_id"] = account.doc["parent_id"]
    return node | {"child_count": sum(1 for _, level in below if level == 2), "descendant_count": len(below) - 1}


@handles("getAccountHierarchy")
def read_tree(call: Call) -> Reply:
    """Return the tree around an account, from the highest company that the caller may see."""
    root = [call.found, *tree.seen_ancestors(call, call.found)][-1]
    top_level = tree.level(call, root)
    whole = tree.branch(call, root)
    shown = [(record, depth) for record, depth in whole if depth <= call.query["max_depth"]]
    body = {
        "account_id": call.found.id,
        "root_id": root.id,
        "account_count": len(whole),
        "height": max(depth for _, depth in whole),
        "nodes": [_node(call, record, top_level + depth - 1) for record, depth in shown[:MAX_NODES]],
        "has_more": len(shown) > MAX_NODES or len(shown) < len(whole),
    }
    return Reply(200, body)


@handles("listAccountAncestors")
def list_ancestors(call: Call) -> Reply:
    """List the companies above, nearest first."""
    line = tree.seen_ancestors(call, call.found)
    return listing.paged_items(call, [_node(call, above, tree.level(call, above)) for above in line])


@handles("listAccountChildren")
def list_children(call: Call) -> Reply:
    """List the companies directly below, by name, as whole records."""
    wanted = call.query.get("type")
    found = [c for c in tree.children(call, call.found.id) if wanted in (None, c.doc["type"])]
    fields = call.query["fields"].split(",") if call.query.get("fields") else ()
    return listing.paged_items(call, [call.records.shown(child, fields) for child in found])


@handles("listAccountDescendants")
def list_descendants(call: Call) -> Reply:
    """List everything below, in the order of the tree."""
    above = tree.level(call, call.found)
    found = tree.branch(call, call.found, call.query["max_depth"] + 1)[1:]
    return listing.paged_items(call, [_node(call, record, above + depth - 1) for record, depth in found])


@handles("getAccountRollUp")
def roll_up(call: Call) -> Reply:
    """Sum the figures of a branch, level by level, over the companies that the caller may see."""
    max_depth = call.query["max_depth"]
    seen = tree.branch(call, call.found, max_depth)
    every = tree.branch(call, call.found, max_depth, seen=False)
    levels = sorted({depth for _, depth in seen})
    body = {
        "account_id": call.found.id,
        "measured_at": call.now,
        "own": _sum(call, [(call.found, 1)]),
        "total": _sum(call, seen),
        "levels": [{"depth": depth, "figures": _sum(call, [(r, d) for r, d in seen if d == depth])} for depth in levels],
        "hidden_count": len(every) - len(seen),
    }
    return Reply(200, body)


def _sum(context: Context, found: list[tuple[Record, int]]) -> dict[str, Any]:
    """Sum figures, less those of fields that are hidden from the caller: of one company a sum is the value itself."""
    summed = figures.roll_up([figures.of(record.doc) for record, _ in found])
    hidden = context.records.masked(ACCOUNTS)
    return {name: value for name, value in summed.items() if figures.SOURCES.get(name, name) not in hidden}


@handles("findCommonAccountParent")
def find_common(call: Call) -> Reply:
    """Return the lowest company at or above several, as far as the caller sees the line."""
    accounts, errors = [], []
    for index, id in enumerate(call.body["account_ids"]):
        account = seen_account(call, id)
        if account is None:
            pointer = f"#/account_ids/{index}"
            errors.append({"pointer": pointer, "code": "invalid_reference", "detail": "There is no account with this ID."})
        else:
            accounts.append(account)
    if errors:
        raise Problem("validation_failed", f"{counted(len(errors), 'account')} can't be found; see errors.", errors)
    parents: dict[str, str] = {}
    for account in accounts:
        line = [account, *tree.seen_ancestors(call, account)]
        parents |= {low.id: high.id for low, high in pairwise(line)}
    found = tree.common_parent({"parents": parents, "account_ids": [a.id for a in accounts]})
    body: dict[str, Any] = {"is_same_tree": "common_id" in found, "distances": found["distances"]}
    common = seen_account(call, found.get("common_id", ""))
    return Reply(200, body | ({"common": summary(common)} if common is not None else {}))


# -- moving --------------------------------------------------------------------------------------------------------------------


def _target(call: Call) -> Record | None:
    """Return the new parent that the body names.

    :raises Problem: ``invalid_reference`` where the caller sees no such account.
    """
    if "parent_id" not in call.body:
        return None
    above = seen_account(call, call.body["parent_id"])
    if above is None:
        raise invalid("#/parent_id", "invalid_reference", "There is no account with this ID.")
    return above


def _judged(context: Context, account: Record, above: Record | None) -> dict[str, Any]:
    """Return what :func:`tree.check_move` says about a move."""
    parents = tree.parents_of(context, [account, *([above] if above is not None else [])])
    asked: dict[str, Any] = {"parents": parents, "account_id": account.id}
    return dict(tree.check_move(asked if above is None else {**asked, "parent_id": above.id}))


def _said(code: str, account: Record, above: Record | None, deepest: int) -> str:
    name, higher = account.doc["name"], above.doc["name"] if above is not None else "the top"
    return {
        "account_parent_self": f"{name} can't stand below itself.",
        "hierarchy_cycle": f"{higher} belongs to {name}, directly or over others.",
        "hierarchy_too_deep": f"The lowest company would stand on level {deepest}; {tree.MAX_DEPTH} is the limit.",
        "account_parent_unchanged": f"{name} stands there already.",
    }[code]


@handles("previewAccountMove")
def preview_move(call: Call) -> Reply:
    """Compute what a move would do: levels, sums of both trees, and why it would be refused."""
    account, above = call.found, _target(call)
    judged = _judged(call, account, above)
    from_root = [account, *tree.seen_ancestors(call, account)][-1]
    inside = "account_parent_self" in judged["refusals"] or "hierarchy_cycle" in judged["refusals"]
    to_root = account if above is None or inside else [above, *tree.seen_ancestors(call, above)][-1]
    moving = tree.branch(call, account)
    gone = {record.id for record, _ in moving}
    body: dict[str, Any] = {"account_id": account.id}
    if account.doc.get("parent_id"):
        body["from_parent_id"] = account.doc["parent_id"]
    if above is not None:
        body["to_parent_id"] = above.id
    body |= {
        "from_root_id": from_root.id,
        "to_root_id": to_root.id,
        "moved_count": len(moving),
        "depth_before": tree.level(call, account),
        "depth_after": judged["depth_after"],
        "deepest_after": judged["deepest_after"],
        "is_allowed": not judged["refusals"],
        "refusals": [{"code": c, "detail": _said(c, account, above, judged["deepest_after"])} for c in judged["refusals"]],
    }
    left = [(r, d) for r, d in tree.branch(call, from_root) if r.id not in gone]
    if left and from_root.id != to_root.id:
        body["from_tree"] = _sum(call, left)
    joined = [(r, d) for r, d in tree.branch(call, to_root) if r.id not in gone]
    return Reply(200, body | {"to_tree": _sum(call, [*joined, *moving])})


def _move(context: Context, account: Record, above: Record | None, reason: str | None, pointer: str) -> Record:
    """Hang an account under another parent and tell of it.

    :raises Problem: What stands in the way.
    """
    judged = _judged(context, account, above)
    for code in judged["refusals"]:
        detail = _said(code, account, above, judged["deepest_after"])
        if context.world.contract.errors[code].field:
            raise invalid(pointer, code, detail)
        raise refused(code, detail, pointer)
    before = account.doc.get("parent_id")
    moved = context.records.change(account, {"parent_id": above.id if above is not None else None}, action="parent_changed")
    data: dict[str, Any] = {"record": context.records.public(moved)}
    data |= {"previous_parent_id": before} if before else {}
    data["moved_count"] = len(tree.branch(context, moved, seen=False))
    context.emit(MOVED, moved.id, data | ({"reason": reason} if reason else {}))
    return moved


@handles("moveAccount")
def move(call: Call) -> Reply:
    """Move one branch."""
    return single.shown(call, _move(call, call.found, _target(call), call.body.get("reason"), "#/parent_id"))


@handles("moveAccountChildren")
def move_children(call: Call) -> Reply:
    """Move several branches below one account together, or none."""
    above, wanted = _target(call), call.body.get("child_ids")
    found = [c for c in tree.children(call, call.found.id) if wanted is None or c.id in wanted]
    missing = [i for i, id in enumerate(wanted or ()) if all(c.id != id for c in found)]
    if missing:
        raise invalid(f"#/child_ids/{missing[0]}", "invalid_reference", "This account is no subsidiary of the one in the path.")
    if not found:
        raise Problem("account_has_no_subsidiaries", f"No account stands directly below {call.found.doc['name']}.")
    if above is not None and above.id == call.found.id:
        raise Problem("account_has_no_subsidiaries", "The subsidiaries stand below this account already.")
    for child in found:
        access.demand(call, child, "write")
    trial = call.body.get("validate_only", False)
    body: dict[str, Any] = {"account_id": call.found.id, **({"parent_id": above.id} if above is not None else {})}
    if trial:
        moved = found
        for child in found:
            _check(call, child, above)
    else:
        moved = [_move(call, child, above, call.body.get("reason"), "#/parent_id") for child in found]
    shown = [summary(account) for account in moved]
    return Reply(200, body | {"moved_count": len(shown), "is_validate_only": trial, "accounts": shown})


def _check(context: Context, child: Record, above: Record | None) -> None:
    judged = _judged(context, child, above)
    for code in judged["refusals"]:
        detail = _said(code, child, above, judged["deepest_after"])
        field = context.world.contract.errors[code].field
        raise invalid("#/parent_id", code, detail) if field else refused(code, detail, "#/parent_id")


def top_of(context: Context, id: str, /) -> str:
    """Return the root of the tree to which an account belongs, whoever may see it."""
    account = context.records.peek(ACCOUNTS, id)
    return [account, *tree.ancestors(context, account)][-1].id if account is not None else id
