"""What is computed from facts of deals: pure functions over facts, stages and a period, as the chapter gives their formulas.

Each takes one mapping, the ``input`` of its vectors: ``stages`` and ``facts`` as documents, and what else it names. Days are
counted from instants in seconds, rates have four decimals and days two, half up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.messages import counted
from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.pipelines.money import money, rounded, sums

Doc = Mapping[str, Any]
_DAY = Decimal(86_400)
#: Points of a bottleneck's reasons.
POINTS = {"slow": 3, "leaky": 3, "crowded": 2, "rotting": 2}
#: Closed deals behind a suggestion that are enough to rely on it.
ENOUGH = 5
#: Upper bounds of ages in whole days, and their names.
_BUCKETS = ((7, "up_to_7"), (30, "up_to_30"), (90, "up_to_90"))


def rate(part: int | Decimal, whole: int | Decimal, /) -> str:
    """Return part over whole with four decimals."""
    return rounded(Decimal(part) / Decimal(whole), 4)


def within(instant: str | None, period: Doc, /) -> bool:
    """Tell whether an instant lies in a period of days."""
    return instant is not None and period["from_on"] <= instant[:10] < period["to_on"]


def days_between(start: str, end: str, /) -> Decimal:
    """Return the days between two instants, exactly."""
    return Decimal(seconds_of(end) - seconds_of(start)) / _DAY


def _open(stages: Sequence[Doc]) -> list[Doc]:
    return sorted((s for s in stages if s["category"] == "open"), key=lambda s: (s["position"], s["id"]))


@computes("funnel")
def funnel(input: Doc, /) -> dict[str, Any]:
    """Return how deals created in the period came through the open stages."""
    stages = _open(input["stages"])
    facts = [f for f in input["facts"] if within(f["deal_created_at"], input["period"])]
    places = {s["id"]: n for n, s in enumerate(stages)}
    won = sum(f["status"] == "won" for f in facts)
    lost = sum(f["status"] == "lost" for f in facts)
    said: dict[str, Any] = {"deal_count": len(facts), "won_count": won, "lost_count": lost}
    said["stages"] = [_funnel_stage(stage, facts, places) for stage in stages]
    return said | ({"win_rate": rate(won, won + lost)} if won + lost else {})


def _funnel_stage(stage: Doc, facts: Sequence[Doc], places: Mapping[str, int]) -> dict[str, Any]:
    entered = [f for f in facts if any(v["stage_id"] == stage["id"] for v in f["visits"])]
    counts = dict.fromkeys(("advanced", "lost", "waiting", "returned"), 0)
    for fact in entered:
        counts[_fate(fact, stage["id"], places)] += 1
    said = {"stage_id": stage["id"], "name": stage["name"], "entered_count": len(entered)}
    said |= {f"{name}_count": number for name, number in counts.items()}
    said["cumulative_rate"] = rate(len(entered), len(facts)) if facts else "0.0000"
    return said | ({"conversion_rate": rate(counts["advanced"], len(entered))} if entered else {})


def _fate(fact: Doc, stage: str, places: Mapping[str, int]) -> str:
    """Return what became of a deal after its last stay in a stage."""
    ids = [v["stage_id"] for v in fact["visits"]]
    last = len(ids) - 1 - ids[::-1].index(stage)
    behind = ids[last + 1 :]
    if fact["status"] == "won" or any(places.get(i, -1) > places[stage] for i in behind):
        return "advanced"
    if not behind and fact["status"] == "open":
        return "waiting"
    still_open = [i for i in behind if i in places]
    return "returned" if still_open else "lost"


@computes("velocity")
def velocity(input: Doc, /) -> dict[str, Any]:
    """Return what a pipeline sells a day: open deals times win rate times mean won amount, over the mean cycle in days."""
    currency, period = input["currency"], input["period"]
    fitting = [f for f in input["facts"] if f.get("amount", {}).get("currency") == currency]
    counted = [f for f in input["facts"] if f["status"] == "open" or within(f.get("closed_at"), period)]
    opened = [f for f in fitting if f["status"] == "open"]
    closed = [f for f in fitting if f["status"] != "open" and within(f.get("closed_at"), period)]
    won = [f for f in closed if f["status"] == "won"]
    win = Decimal(len(won)) / len(closed) if closed else Decimal(0)
    mean = sum((Decimal(f["amount"]["amount"]) for f in won), Decimal(0)) / len(won) if won else Decimal(0)
    cycle = sum((days_between(f["deal_created_at"], f["closed_at"]) for f in won), Decimal(0)) / len(won) if won else Decimal(0)
    speed = len(opened) * win * mean / cycle if cycle else Decimal(0)
    return {
        "open_deal_count": len(opened),
        "win_rate": rounded(win, 4),
        "average_won_amount": money(mean, currency),
        "average_cycle_days": rounded(cycle, 2),
        "velocity_per_day": money(speed, currency),
        "excluded_deal_count": len(counted) - len(opened) - len(closed),
    }


def median(values: Sequence[Decimal], /) -> Decimal:
    """Return the median of sorted values; the mean of the middle two where their number is even."""
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


@computes("stage_durations")
def stage_durations(input: Doc, /) -> list[dict[str, Any]]:
    """Return how long deals stay in each open stage."""
    return [_duration(stage, input) for stage in _open(input["stages"])]


def _stays(stage: str, input: Doc) -> tuple[list[Decimal], list[Decimal]]:
    """Return the sorted lengths of stays that ended in the period, and of those that go on."""
    visits = [(f, v) for f in input["facts"] for v in f["visits"] if v["stage_id"] == stage]
    ended = [days_between(v["entered_at"], v["left_at"]) for _, v in visits if within(v.get("left_at"), input["period"])]
    going = [days_between(v["entered_at"], input["now"]) for f, v in visits if "left_at" not in v and f["status"] == "open"]
    return sorted(ended), going


def _duration(stage: Doc, input: Doc) -> dict[str, Any]:
    ended, going = _stays(stage["id"], input)
    said: dict[str, Any] = {"stage_id": stage["id"], "name": stage["name"], "ended_count": len(ended), "open_count": len(going)}
    if ended:
        rank = -(-9 * len(ended) // 10)  # nearest rank: the smallest value that nine of ten don't exceed
        said["average_days"] = rounded(sum(ended, Decimal(0)) / len(ended), 2)
        said["median_days"] = rounded(median(ended), 2)
        said["p90_days"] = rounded(ended[rank - 1], 2)
        said["longest_days"] = rounded(ended[-1], 2)
    return said | ({"open_average_days": rounded(sum(going, Decimal(0)) / len(going), 2)} if going else {})


@computes("bottlenecks")
def bottlenecks(input: Doc, /) -> list[dict[str, Any]]:
    """Return the stages that hold deals up, by falling score."""
    stages = _open(input["stages"])
    medians = {s["id"]: median(ended) for s in stages if (ended := _stays(s["id"], input)[0])}
    passed = {s["stage_id"]: s for s in funnel(input)["stages"] if s["entered_count"]}
    rates = {i: Decimal(s["advanced_count"]) / s["entered_count"] for i, s in passed.items()}
    mean_stay = sum(medians.values(), Decimal(0)) / len(medians) if medians else Decimal(0)
    mean_rate = sum(rates.values(), Decimal(0)) / len(rates) if rates else Decimal(0)
    found = []
    for stage in stages:
        said = _reasons(stage, input, (medians.get(stage["id"]), mean_stay), (rates.get(stage["id"]), mean_rate))
        if said:
            score = sum(POINTS[reason] for reason in said)
            text = " ".join(said.values())
            entry = {"stage_id": stage["id"], "name": stage["name"], "score": score, "reasons": list(said)}
            found.append({**entry, "explanation": text})
    return sorted(found, key=lambda b: -int(b["score"]))


def _reasons(
    stage: Doc, input: Doc, stay: tuple[Decimal | None, Decimal], conversion: tuple[Decimal | None, Decimal]
) -> dict[str, str]:
    """Return what speaks against a stage, with a sentence of numbers for each."""
    said = {}
    if stay[0] is not None and stay[0] > stay[1] * Decimal("1.5"):
        said["slow"] = f"Median stay {rounded(stay[0], 2)} days against {rounded(stay[1], 2)} on average."
    if conversion[0] is not None and conversion[0] < conversion[1] * Decimal("0.75"):
        said["leaky"] = f"Conversion {rounded(conversion[0], 4)} against {rounded(conversion[1], 4)} on average."
    here = [f["visits"][-1]["entered_at"] for f in input["facts"] if f["status"] == "open" and f["stage_id"] == stage["id"]]
    limit = stage.get("wip_limit")
    if limit is not None and len(here) >= limit:
        said["crowded"] = f"{counted(len(here), 'open deal')} with a limit of {limit}."
    days = stage.get("rotting_after_days")
    rotten = sum(days is not None and days_between(at, input["now"]) > days for at in here)
    if rotten and 4 * rotten >= len(here):
        said["rotting"] = f"{rotten} of {len(here)} open deals rotten."
    return said


@computes("ageing")
def ageing(input: Doc, /) -> dict[str, Any]:
    """Return how long open deals have been in their stages, and the ten that have stood still longest."""
    opened = [f for f in input["facts"] if f["status"] == "open"]
    ages = {f["deal_id"]: days_between(f["visits"][-1]["entered_at"], input["now"]) for f in opened}
    stages, rotten = [], set()
    for stage in _open(input["stages"]):
        here = [f for f in opened if f["stage_id"] == stage["id"]]
        days = stage.get("rotting_after_days")
        old = {f["deal_id"] for f in here if days is not None and ages[f["deal_id"]] > days}
        rotten |= old
        buckets: dict[str, list[Doc]] = {name: [] for name in (*(n for _, n in _BUCKETS), "over_90")}
        for fact in here:
            whole = int(ages[fact["deal_id"]])
            buckets[next((name for bound, name in _BUCKETS if whole <= bound), "over_90")].append(fact)
        counts = [
            {"bucket": name, "deal_count": len(facts), "amounts": sums(f.get("amount") for f in facts)}
            for name, facts in buckets.items()
        ]
        stages.append({"stage_id": stage["id"], "name": stage["name"], "rotten_count": len(old), "buckets": counts})
    longest = sorted(opened, key=lambda f: (-ages[f["deal_id"]], f["deal_id"]))[:10]
    oldest = [
        {name: f[name] for name in ("deal_id", "stage_id", "owner_id") if name in f}
        | {"days_in_stage": int(ages[f["deal_id"]]), "is_rotten": f["deal_id"] in rotten}
        for f in longest
    ]
    return {"stages": stages, "oldest": oldest}


@computes("win_rate")
def win_rate(input: Doc, /) -> list[dict[str, Any]]:
    """Return won and lost deals of the period by group, ordered by key."""
    groups: dict[str, list[Doc]] = {}
    for fact in input["facts"]:
        if fact["status"] != "open" and within(fact.get("closed_at"), input["period"]):
            groups.setdefault(_key(fact, input.get("group_by", "all")), []).append(fact)
    rows = []
    for key in sorted(groups):
        won = [f for f in groups[key] if f["status"] == "won"]
        lost = [f for f in groups[key] if f["status"] == "lost"]
        row = {"key": key, "won_count": len(won), "lost_count": len(lost), "win_rate": rate(len(won), len(won) + len(lost))}
        amounts = {"won_amounts": sums(f.get("amount") for f in won), "lost_amounts": sums(f.get("amount") for f in lost)}
        rows.append(row | amounts)
    return rows


def _key(fact: Doc, group: str) -> str:
    match group:
        case "owner":
            return str(fact.get("owner_id", "unknown"))
        case "month":
            return str(fact["closed_at"][:7])
        case "source":
            return str(fact.get("source", "unknown"))
        case "lost_from":
            return str(fact["visits"][-2]["stage_id"]) if len(fact["visits"]) > 1 else "unknown"
    return "all"


@computes("probability_suggestions")
def probability_suggestions(input: Doc, /) -> list[dict[str, Any]]:
    """Return for each open stage which part of the deals that were in it and were closed in the period was won."""
    closed = [f for f in input["facts"] if f["status"] != "open" and within(f.get("closed_at"), input["period"])]
    return [_suggestion(stage, closed) for stage in _open(input["stages"])]


def _suggestion(stage: Doc, closed: Sequence[Doc]) -> dict[str, Any]:
    passed = [f for f in closed if any(v["stage_id"] == stage["id"] for v in f["visits"])]
    won = sum(f["status"] == "won" for f in passed)
    said = {"stage_id": stage["id"], "name": stage["name"], "probability": stage["probability"]}
    said |= {"closed_count": len(passed), "won_count": won, "is_enough": len(passed) >= ENOUGH}
    if passed:
        said["suggested_probability"] = min(99, max(1, int(rounded(Decimal(100 * won) / len(passed), 0))))
    return said


@computes("period_numbers")
def period_numbers(input: Doc, /) -> dict[str, str]:
    """Return the numbers of one period that comparisons put side by side."""
    facts, period, currency = input["facts"], input["period"], input["currency"]
    closed = [f for f in facts if within(f.get("closed_at"), period)]
    won = [f for f in closed if f["status"] == "won"]
    lost = [f for f in closed if f["status"] == "lost"]
    cycle = sum((days_between(f["deal_created_at"], f["closed_at"]) for f in won), Decimal(0)) / max(len(won), 1)
    sold = [f["amount"] for f in won if f.get("amount", {}).get("currency") == currency]
    return {
        "created_deals": str(sum(within(f["deal_created_at"], period) for f in facts)),
        "won_deals": str(len(won)),
        "lost_deals": str(len(lost)),
        "win_rate": rate(len(won), len(won) + len(lost)) if won or lost else "0.0000",
        "cycle_days": rounded(cycle, 2),
        "won_amount": (sums(sold) or [money(Decimal(0), currency)])[0]["amount"],
    }


def month_after(month: str, count: int, /) -> str:
    """Return the month so many months later, as ``2026-01``."""
    year, number = divmod(int(month[:4]) * 12 + int(month[5:7]) - 1 + count, 12)
    return f"{year:04d}-{number + 1:02d}"


def months_between(one: str, other: str, /) -> int:
    """Return how many months lie between two."""
    return (int(other[:4]) - int(one[:4])) * 12 + int(other[5:7]) - int(one[5:7])


@computes("cohorts")
def cohorts(input: Doc, /) -> list[dict[str, Any]]:
    """Return what became of deals by the month of their creation."""
    present = input["now"][:7]
    found = []
    for offset in range(input["months"] - 1, -1, -1):
        month = month_after(present, -offset)
        facts = [f for f in input["facts"] if f["deal_created_at"][:7] == month]
        if not facts:
            continue
        waits = [months_between(month, f["closed_at"]) for f in facts if f["status"] == "won"]
        steps = [_step(number, sum(w <= number for w in waits), len(facts)) for number in range(offset + 1)]
        counts = {f"{name}_count": sum(f["status"] == name for f in facts) for name in ("open", "lost")}
        found.append({"month": month, "deal_count": len(facts), **counts, "steps": steps})
    return found


def _step(number: int, won: int, whole: int) -> dict[str, Any]:
    return {"months": number, "won_count": won, "won_rate": rate(won, whole)}


@computes("forecast_accuracy")
def forecast_accuracy(input: Doc, /) -> dict[str, Any]:
    """Return what stages' probabilities foretold for past months, and what was won in them."""
    currency, stages = input["currency"], {s["id"]: s for s in input["stages"]}
    fitting = [f for f in input["facts"] if f.get("amount", {}).get("currency") == currency]
    months, marks = [], []
    for offset in range(input["months"], 0, -1):
        month = month_after(input["now"][:7], -offset)
        weighted, commit = _foretold(fitting, month, stages)
        won = sum((Decimal(f["amount"]["amount"]) for f in fitting if _won_in(f, month)), Decimal(0))
        larger = max(weighted, won)
        mark = max(Decimal(0), 1 - abs(weighted - won) / larger) if larger else Decimal(1)
        marks.append(mark)
        amounts = {"weighted_amount": weighted, "commit_amount": commit, "won_amount": won, "error_amount": weighted - won}
        months.append({"month": month, **{n: money(v, currency) for n, v in amounts.items()}, "accuracy": rounded(mark, 4)})
    return {"currency": currency, "months": months, "mean_accuracy": rounded(sum(marks, Decimal(0)) / len(marks), 4)}


def _won_in(fact: Doc, month: str) -> bool:
    return bool(fact["status"] == "won" and fact["closed_at"][:7] == month)


def _foretold(facts: Sequence[Doc], month: str, stages: Mapping[str, Doc]) -> tuple[Decimal, Decimal]:
    """Return the weighted sum and the committed one of deals that were expected in a month, as of its first instant."""
    start = f"{date.fromisoformat(month + '-01').isoformat()}T00:00:00Z"
    weighted = commit = Decimal(0)
    for fact in facts:
        stay = next((v for v in fact["visits"] if v["entered_at"] < start and v.get("left_at", "9999") >= start), None)
        stage = stages.get(stay["stage_id"]) if stay is not None else None
        if stage is None or stage["category"] != "open" or fact.get("close_on", "")[:7] != month:
            continue
        amount = Decimal(fact["amount"]["amount"])
        weighted += amount * stage["probability"] / 100
        commit += amount if stage["forecast_category"] == "commit" else 0
    return weighted, commit
