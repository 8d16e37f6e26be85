"""Wins and losses by group, two ranges of days side by side, and rankings of people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from crm_reference.emulator.behaviours import listing
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.deals.analysis import NONE, Asked, asked, key_of, label_of, worth
from crm_reference.emulator.services.deals.credit import shares_of
from crm_reference.emulator.services.deals.figures import percent
from crm_reference.emulator.services.deals.money import decimal_of, money, rounded
from crm_reference.emulator.services.deals.timing import cycles


class Tally:
    """Deals won and lost in one group."""

    def __init__(self) -> None:
        self.counts = {"won": 0, "lost": 0}
        self.amounts = {"won": Decimal(0), "lost": Decimal(0)}

    def as_dict(self, currency: str, /) -> dict[str, Any]:
        """Return it as the API shows it."""
        won, lost = self.counts["won"], self.counts["lost"]
        found: dict[str, Any] = {
            "won_count": won,
            "lost_count": lost,
            "won_amount": money(self.amounts["won"], currency),
            "lost_amount": money(self.amounts["lost"], currency),
        }
        if won + lost:
            found["win_rate_percent"] = percent(Decimal(won), Decimal(won + lost))
        if whole := self.amounts["won"] + self.amounts["lost"]:
            found["amount_win_rate_percent"] = percent(self.amounts["won"], whole)
        return found


def win_loss(call: Call, about: Asked, group_by: str, /) -> dict[str, Any]:
    """Return wins and losses by group and together."""
    groups: dict[str, Tally] = {}
    total, unconverted = Tally(), 0
    for deal in about.deals:
        if deal["status"] not in total.counts or not about.holds(deal.get("closed_on")):
            continue
        outcome, day = deal["status"], deal["closed_on"]
        groups.setdefault(key_of(deal, group_by), Tally()).counts[outcome] += 1
        total.counts[outcome] += 1
        amount = worth(call, deal, about.users, about.currency, day)
        if amount is None:
            unconverted += 1
            continue
        total.amounts[outcome] += amount
        if group_by != "owner":
            groups[key_of(deal, group_by)].amounts[outcome] += amount
            continue
        for user in shares_of(call, deal):
            if about.users is None or user in about.users:
                part = worth(call, deal, frozenset({user}), about.currency, day)
                groups.setdefault(user, Tally()).amounts[outcome] += part or Decimal(0)
    order = sorted(groups.items(), key=lambda g: (-sum(g[1].counts.values()), g[0]))
    shown = [{"key": k, **label_of(call, k, group_by), **tally.as_dict(about.currency)} for k, tally in order]
    return {"groups": shown, "total": {"key": NONE, **total.as_dict(about.currency)}, "unconverted_count": unconverted}


@handles("getDealWinLoss")
def analyse(call: Call) -> Reply:
    """Analyse wins and losses."""
    about, group_by = asked(call), call.query.get("group_by") or "reason"
    return Reply(200, {**about.range, "currency": about.currency, "group_by": group_by, **win_loss(call, about, group_by)})


@computes("deal_win_rate")
def win_rate(question: Mapping[str, Any], /) -> dict[str, Any]:
    """Return win rates, for vectors: a list ``deals`` with ``outcome`` and ``amount``, and ``currency``."""
    tally = Tally()
    for deal in question["deals"]:
        tally.counts[deal["outcome"]] += 1
        tally.amounts[deal["outcome"]] += Decimal(deal["amount"])
    return tally.as_dict(question["currency"])


# -- two ranges ------------------------------------------------------------------------------------------------------------


@handles("compareDealPeriods")
def compare(call: Call) -> Reply:
    """Put two ranges of days side by side."""
    present, base = asked(call), asked(call, "base_")
    one, other = _closed(call, present), _closed(call, base)
    body: dict[str, Any] = {"currency": present.currency, "present": one, "base": other}
    for name, now, before in (
        ("won_amount", decimal_of(one["won_amount"]), decimal_of(other["won_amount"])),
        ("won_count", Decimal(one["won_count"]), Decimal(other["won_count"])),
    ):
        if before:
            body[f"{name}_change_percent"] = percent(now - before, before)
    if "win_rate_percent" in one and "win_rate_percent" in other:
        rates = [Decimal(str(side["win_rate_percent"])) for side in (one, other)]
        body["win_rate_change_points"] = float(rates[0] - rates[1])
    return Reply(200, body)


def _closed(call: Call, about: Asked) -> dict[str, Any]:
    """Return what was closed in a range."""
    total = win_loss(call, about, "type")["total"]
    found = {name: total[name] for name in ("won_count", "lost_count", "won_amount", "win_rate_percent") if name in total}
    if total["won_count"]:
        average = decimal_of(total["won_amount"]) / total["won_count"]
        found["average_won_amount"] = money(average, about.currency)
    everything = cycles(call, about, "type").get("total")
    if everything is not None:
        found["median_days"] = everything["median_days"]
    return {**about.range, **found}


# -- rankings --------------------------------------------------------------------------------------------------------------


class Person:
    """What is counted of one person."""

    def __init__(self) -> None:
        self.deals: set[str] = set()
        self.amount = Decimal(0)
        self.won = self.closed = 0


def ranking(call: Call, about: Asked, metric: str, /) -> list[dict[str, Any]]:
    """Return the rows of a ranking in their order. People of whom nothing was counted have no place."""
    people: dict[str, Person] = {}
    for deal in about.deals:
        day = deal["created_at"][:10] if metric == "created_amount" else deal.get("closed_on")
        if not about.holds(day) or (metric != "created_amount" and deal["status"] not in ("won", "lost")):
            continue
        if metric in ("won_amount", "created_amount"):
            _credit(call, about, deal, str(day), metric, people)
        else:
            _own(call, about, deal, str(day), people)
    values = {user: _value(person, metric, about.currency) for user, person in people.items() if person.deals}
    rows = []
    for user in sorted(values, key=lambda u: (-values[u], u)):
        person, value = people[user], values[user]
        row: dict[str, Any] = {"rank": 1 + sum(v > value for v in values.values()), "user_id": user}
        row["deal_count"] = len(person.deals) if metric != "win_rate" else person.closed
        if metric == "win_rate":
            row["percent"] = float(value)
        elif metric != "won_count":
            row["amount"] = money(value, about.currency)
        rows.append(row)
    return rows


def _credit(call: Call, about: Asked, deal: Mapping[str, Any], day: str, metric: str, people: dict[str, Person]) -> None:
    if metric == "won_amount" and deal["status"] != "won":
        return
    for user in _counting(about, shares_of(call, deal)):
        person = people.setdefault(user, Person())
        person.deals.add(deal["id"])
        person.amount += worth(call, deal, frozenset({user}), about.currency, day) or Decimal(0)


def _own(call: Call, about: Asked, deal: Mapping[str, Any], day: str, people: dict[str, Person]) -> None:
    for owner in _counting(about, [deal["owner_id"]]):
        person = people.setdefault(owner, Person())
        person.closed += 1
        person.deals.add(deal["id"])
        if deal["status"] == "won":
            person.won += 1
            person.amount += worth(call, deal, None, about.currency, day) or Decimal(0)


def _counting(about: Asked, users: Iterable[str]) -> list[str]:
    return [u for u in users if about.users is None or u in about.users]


def _value(person: Person, metric: str, currency: str) -> Decimal:
    match metric:
        case "win_rate":
            return Decimal(str(percent(Decimal(person.won), Decimal(person.closed))))
        case "won_count":
            return Decimal(person.won)
        case "average_won_amount":
            return rounded(person.amount / person.won, currency) if person.won else Decimal(0)
    return person.amount


@handles("getDealLeaderboard")
def rank(call: Call) -> Reply:
    """Rank people by their deals."""
    return listing.paged_items(call, ranking(call, asked(call), call.query.get("metric") or "won_amount"))
