"""What analyses share: the range of days, whose deals count and with how much, and what groups are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from crm_reference.emulator.call import Call, Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.services.deals.common import hides_amounts
from crm_reference.emulator.services.deals.credit import asked_user, credited, people_of, shares_of
from crm_reference.emulator.services.deals.figures import visible_deals
from crm_reference.emulator.services.deals.rates import convert, tenant_currency

#: How many days a range may have: three years.
_LONGEST = 1096
#: Key of a group of deals that lack what is grouped by, and of all deals together.
NONE = "none"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request for an analysis is about.

    :param users: Whose deals count; ``None`` for everybody's.
    :param deals: The visible deals of those users, in the pipeline that was asked for.
    """

    from_on: str
    to_on: str
    users: frozenset[str] | None
    currency: str
    deals: tuple[Mapping[str, Any], ...]

    def holds(self, day: str | None, /) -> bool:
        """Tell whether a day lies in the range."""
        return day is not None and self.from_on <= day <= self.to_on

    @property
    def range(self) -> dict[str, str]:
        """The range as the API shows it."""
        return {"from_on": self.from_on, "to_on": self.to_on}


def asked(call: Call, prefix: str = "", /) -> Asked:
    """Return what a request is about.

    :param prefix: What stands before the names of the range's parameters, where there is a second range.
    :raises Problem: ``deal_range_invalid``.
    """
    query = call.query
    start, end = query[f"{prefix}from_on"], query[f"{prefix}to_on"]
    if start > end or (date.fromisoformat(end) - date.fromisoformat(start)).days >= _LONGEST:
        raise Problem("deal_range_invalid", f"From {start} to {end} are no days, or more than three years.")
    users = people_of(call, asked_user(call, query), query.get("scope") or "own") if query.get("user_id") else None
    pipeline = query.get("pipeline_id")
    found = [r.doc for r in visible_deals(call) if pipeline in (None, r.doc["pipeline_id"])]
    if users is not None:
        found = [d for d in found if d["owner_id"] in users or not users.isdisjoint(shares_of(call, d))]
    return Asked(start, end, users, query.get("currency") or tenant_currency(call), tuple(found))


def worth(context: Context, deal: Mapping[str, Any], users: frozenset[str] | None, currency: str, day: str, /) -> Decimal | None:
    """Return what some users are credited with of a deal, by the rate of a day; ``None`` without a rate and where it is hidden."""
    own = credited(context, deal, users)[1]
    if own is None:
        return None if hides_amounts(context) else Decimal(0)
    return convert(context, {"amount": str(own), "currency": deal["amount"]["currency"]}, currency, day)


#: Collection of what a group's key leads to.
_COLLECTIONS = {
    "reason": "deal-close-reasons",
    "competitor": "deal-competitors",
    "owner": "users",
    "pipeline": "pipelines",
    "account": "accounts",
}
_FIELDS = {"reason": "close_reason_id", "competitor": "lost_to_competitor_id", "owner": "owner_id", "pipeline": "pipeline_id"}
_FIELDS |= {"account": "account_id", "type": "type", "outcome": "status"}


def key_of(deal: Mapping[str, Any], group_by: str, /) -> str:
    """Return the key of the group that a closed deal is in."""
    if group_by == "month":
        return str(deal["closed_on"])[:7]
    return str(deal.get(_FIELDS[group_by]) or NONE)


def label_of(context: Context, key: str, group_by: str, /) -> dict[str, str]:
    """Return a group's name for people, where what its key leads to has one that the caller may see."""
    collection = _COLLECTIONS.get(group_by)
    record = context.records.peek(collection, key) if collection else None
    if record is None or not context.records.visible(record):
        return {}
    doc = record.doc
    name = doc.get("name") or " ".join(filter(None, (doc.get("first_name"), doc.get("last_name"))))
    return {"label": name} if name else {}
