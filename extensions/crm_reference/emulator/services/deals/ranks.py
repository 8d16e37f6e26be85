"""Ranks of cards: texts in alphabetical order, so that a card goes between two others and no third one is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours.single import shown
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.query import Condition
from crm_reference.emulator.refusals import invalid
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.deals.common import DEALS, UPDATED, seen_deal
from crm_reference.emulator.store import Record

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
#: Fewest digits of a rank, the first rank of a column, and how far a card at an end stands from the one before.
_LENGTH, _FIRST, _STEP = 8, "i0000000", 36**3


def _number(rank: str, length: int) -> int:
    return int(rank.ljust(length, "0"), 36)


def _text(number: int, length: int) -> str:
    digits = ""
    for _ in range(length):
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits[:_LENGTH] + digits[_LENGTH:].rstrip("0")


def rank_between(above: str, below: str, /) -> str:
    """Return a rank between two ranks.

    :param above: Rank of the card above; empty at the top of a column.
    :param below: Rank of the card below; empty at its end.

    >>> rank_between("", ""), rank_between("i0000000", ""), rank_between("", "i0000000")
    ('i0000000', 'i0001000', 'hzzzz000')
    >>> rank_between("i0000000", "i0001000"), rank_between("i0000000", "i0000001")
    ('i0000i00', 'i0000000i')
    """
    if not above and not below:
        return _FIRST
    if not below and (end := _number(above[:_LENGTH], _LENGTH) + _STEP) < 36**_LENGTH:
        return _text(end, _LENGTH)
    if not above and (top := _number(below[:_LENGTH], _LENGTH) - _STEP) > 0:
        return _text(top, _LENGTH)
    length = max(len(above), len(below), _LENGTH)
    while True:
        low = _number(above, length)
        high = _number(below, length) if below else 36**length
        if high - low > 1:
            return _text((low + high) // 2, length)
        length += 1


@computes("board_rank")
def board_rank(asked: Mapping[str, Any], /) -> str:
    """Return a rank between two, for vectors: ``above`` and ``below``, each left out at an end of the column."""
    return rank_between(asked.get("above", ""), asked.get("below", ""))


def neighbours(context: Context, stage: str, /) -> list[Record]:
    """Return all deals of a stage by rank, whoever may see them."""
    where = Condition("json_extract(doc, '$.stage_id') = ?", [stage])
    order = "json_extract(doc, '$.board_rank'), id"
    return context.world.store.select(context.tenant, DEALS, where.sql, where.arguments, order=order)


def rank_on_top(context: Context, stage: str, /) -> str:
    """Return the rank of a card that comes on top of a column."""
    column = neighbours(context, stage)
    return rank_between("", column[0].doc["board_rank"] if column else "")


def rank_at(context: Context, stage: str, moved: str, place: Mapping[str, str], pointer: str = "#", /) -> str:
    """Return the rank of a card that goes below or above named ones.

    :param moved: ID of the deal that is put there.
    :param place: ``after_deal_id``, ``before_deal_id`` or both.
    :raises Problem: ``validation_failed`` with ``deal_rank_neighbour_invalid``.
    """
    column = [r for r in neighbours(context, stage) if r.id != moved]
    ids = [r.id for r in column]
    for name in ("after_deal_id", "before_deal_id"):
        if name in place and (place[name] not in ids or seen_deal(context, place[name]) is None):
            raise invalid(f"{pointer}/{name}", "deal_rank_neighbour_invalid", "No other card of this stage has this ID.")
    at = ids.index(place["after_deal_id"]) + 1 if "after_deal_id" in place else ids.index(place["before_deal_id"])
    if "before_deal_id" in place and ids[at : at + 1] != [place["before_deal_id"]]:
        raise invalid(
            f"{pointer}/before_deal_id", "deal_rank_neighbour_invalid", "This card doesn't stand right below the other one."
        )
    above = column[at - 1].doc["board_rank"] if at else ""
    below = column[at].doc["board_rank"] if at < len(column) else ""
    return rank_between(above, below)


@handles("rankDealCard")
def rank_card(call: Call) -> Reply:
    """Put a card between others of its column."""
    rank = rank_at(call, call.found.doc["stage_id"], call.found.id, call.body)
    return shown(call, call.records.change(call.found, {"board_rank": rank}, event=UPDATED))
