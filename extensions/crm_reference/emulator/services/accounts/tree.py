"""The tree of companies: ancestors, children, branches and levels, as the store has them and as a caller sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import computes, enforces
from crm_reference.emulator.services.accounts.selecting import ACCOUNTS
from crm_reference.emulator.store import Record

#: The lowest level on which an account may stand; a root stands on the first.
MAX_DEPTH = 10
#: How far a line of parents is followed, so that damaged data can't hold a call.
_FAR = 50


def parent(context: Context, account: Record, /) -> Record | None:
    """Return the company directly above, whoever may see it."""
    above = account.doc.get("parent_id")
    return context.records.peek(ACCOUNTS, above) if above else None


def ancestors(context: Context, account: Record, /) -> list[Record]:
    """Return the companies above, nearest first, whoever may see them."""
    line: list[Record] = []
    above = parent(context, account)
    while above is not None and len(line) < _FAR and above.id != account.id:
        line.append(above)
        above = parent(context, above)
    return line


def seen_ancestors(context: Context, account: Record, /) -> list[Record]:
    """Return the companies above up to the first one that the caller may not see."""
    line = []
    for above in ancestors(context, account):
        if not context.records.visible(above):
            break
        line.append(above)
    return line


def children(context: Context, id: str, /, *, seen: bool = True) -> list[Record]:
    """Return the companies directly below, by name.

    :param seen: Only those that the caller may see.
    """
    found = context.records.find(ACCOUNTS, parent_id=id)
    kept = [c for c in found if not seen or context.is_upkeep or context.records.visible(c)]
    return sorted(kept, key=lambda c: (c.doc["name"].casefold(), c.id))


def branch(context: Context, top: Record, /, max_depth: int = _FAR, *, seen: bool = True) -> list[tuple[Record, int]]:
    """Return a company and everything below it in the order of the tree, each with its level, the company's being 1."""
    found: list[tuple[Record, int]] = []
    waiting = [(top, 1)]
    met = {top.id}
    while waiting:
        account, depth = waiting.pop()
        found.append((account, depth))
        if depth < max_depth:
            below = [c for c in children(context, account.id, seen=seen) if c.id not in met]
            met.update(c.id for c in below)
            waiting += [(c, depth + 1) for c in reversed(below)]
    return found


def height(context: Context, account: Record, /) -> int:
    """Return how many levels a branch has, its top included."""
    return max(depth for _, depth in branch(context, account, seen=False))


def level(context: Context, account: Record, /) -> int:
    """Return the level of a company, 1 for a root."""
    return len(ancestors(context, account)) + 1


# -- rules ---------------------------------------------------------------------------------------------------------------------


@computes("check_move")
def check_move(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Judge the move of a branch.

    :param asked: ``parents``, the parent of each account that has one; ``account_id``; ``parent_id``, absent where the account
        would become a root; and ``max_depth``.
    :return: ``depth_after``, ``deepest_after`` and ``refusals``, a list of codes.
    """
    parents: Mapping[str, str] = asked["parents"]
    account, target = asked["account_id"], asked.get("parent_id")
    line = _line(parents, target)
    below = 1
    frontier = [account]
    while frontier := [child for child, above in parents.items() if above in frontier]:
        below += 1
        if below > _FAR:
            break
    depth = len(line) + 1
    deepest = depth + below - 1
    refusals = []
    if target == account:
        refusals.append("account_parent_self")
    elif account in line:
        refusals.append("hierarchy_cycle")
    elif deepest > asked.get("max_depth", MAX_DEPTH):
        refusals.append("hierarchy_too_deep")
    if target == parents.get(account):
        refusals.append("account_parent_unchanged")
    return {"depth_after": depth, "deepest_after": deepest, "refusals": refusals}


def _line(parents: Mapping[str, str], start: str | None) -> list[str]:
    line: list[str] = []
    while start is not None and start not in line and len(line) < _FAR:
        line.append(start)
        start = parents.get(start)
    return line


@computes("common_parent")
def common_parent(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Find the lowest company at or above several.

    :param asked: ``parents``, the parent of each account that has one, and ``account_ids``.
    :return: ``common_id`` where there is one, and ``distances`` in the order of the accounts, empty without one.
    """
    lines = [_line(asked["parents"], id) for id in asked["account_ids"]]
    common = next((id for id in lines[0] if all(id in line for line in lines)), None)
    if common is None:
        return {"distances": []}
    return {"common_id": common, "distances": [line.index(common) for line in lines]}


def parents_of(context: Context, accounts: Iterable[Record], /) -> dict[str, str]:
    """Return who stands above whom, for some accounts, everything above and everything below them."""
    found: dict[str, str] = {}
    for account in accounts:
        lowest: Sequence[Record] = [r for r, _ in branch(context, account, seen=False)]
        for record in (*ancestors(context, account), *lowest):
            if record.doc.get("parent_id"):
                found[record.id] = record.doc["parent_id"]
    return found


@enforces("account_tree_acyclic")
def account_tree_acyclic(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Walk up from the new parent; meeting the account itself breaks the rule."""
    target = new.get("parent_id")
    if target == new["id"] or (old is not None and old.get("parent_id") == target):
        return ""
    above = context.records.peek(ACCOUNTS, target) if target else None
    if above is None or all(a.id != new["id"] for a in ancestors(context, above)):
        return ""
    return f"{above.doc['name']} belongs to {new['name']}, directly or over others."


@enforces("account_tree_depth")
def account_tree_depth(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Add the level of the new parent and the height of the branch."""
    target = new.get("parent_id")
    if context.is_upkeep or not target or target == new["id"] or (old is not None and old.get("parent_id") == target):
        return ""
    above = context.records.peek(ACCOUNTS, target)
    if above is None or any(a.id == new["id"] for a in ancestors(context, above)):
        return ""
    own = context.records.peek(ACCOUNTS, new["id"])
    deepest = level(context, above) + (height(context, own) if own is not None else 1)
    return f"The lowest company would stand on level {deepest}; {MAX_DEPTH} is the limit." if deepest > MAX_DEPTH else ""
