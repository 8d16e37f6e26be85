"""What timelines learn from neighbours: events as they come, and the past of deals by a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.job_collections import maybe_trial, tally
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import Task, handles, hears, task
from crm_reference.emulator.services.activities import links
from crm_reference.emulator.services.activities.common import JOBS
from crm_reference.emulator.services.activities.timeline import ADDED, ENTRIES

Event = Mapping[str, Any]

#: What is about records, and moves with them.
_HOLDERS = {
    "notes": "crm.note.updated.v1",
    "activity-communications": "crm.activity_communication.updated.v1",
    "activity-events": "crm.activity_event.updated.v1",
    ENTRIES: "",
}
_STEPS = {"moved": "deal_moved", "won": "deal_won", "lost": "deal_lost"}
_TITLES = {"deal_moved": "Deal moved", "deal_won": "Deal won", "deal_lost": "Deal lost"}


@hears("crm.deal.stage_changed.v1")
def deal_moved(context: Context, event: Event) -> None:
    """Put a move on timelines."""
    _add_step(context, event["data"]["record"], "deal_moved", event["time"], event.get("actor"))


@hears("crm.deal.won.v1")
def deal_won(context: Context, event: Event) -> None:
    """Put a win on timelines."""
    _add_step(context, event["data"]["record"], "deal_won", event["time"], event.get("actor"))


@hears("crm.deal.lost.v1")
def deal_lost(context: Context, event: Event) -> None:
    """Put a loss on timelines."""
    _add_step(context, event["data"]["record"], "deal_lost", event["time"], event.get("actor"))


def _add_step(context: Context, deal: Mapping[str, Any], kind: str, at: str, actor: Any) -> bool:
    """Add a step of a deal, unless it is there, and tell whether it was added."""
    known = context.records.find(ENTRIES, deal_id=deal["id"], kind=kind, happened_at=at)
    if known:
        return False
    about = {"deal_id": deal["id"], "account_id": deal.get("account_id"), "contact_id": deal.get("primary_contact_id")}
    name = deal.get("name")
    return _add(context, kind, f"{_TITLES[kind]}: {name}" if name else _TITLES[kind], at, "deals", about, actor)


def _add(context: Context, kind: str, title: str, at: str, service: str, about: Mapping[str, Any], actor: Any) -> bool:
    """Add an entry about those of the records that live, and tell whether the first does: an event may outlast its record."""
    named = {name: holder for name, holder in links.LINKS.items() if about.get(name)}
    living = {name: about[name] for name, holder in named.items() if context.records.peek(holder, about[name])}
    if next(iter(about)) not in living:
        return False
    body = {"kind": kind, "title": title[:200], "happened_at": at, "source_service": service, **living}
    if isinstance(actor, str) and actor.startswith("usr_"):
        body["actor_id"] = actor
    context.records.create(ENTRIES, body, event=ADDED)
    return True


@hears("crm.contact.merged.v1")
def contacts_merged(context: Context, event: Event) -> None:
    """Point what is about people who were merged away to the survivor."""
    _merged(context, event, "contact_id", "contacts")


@hears("crm.account.merged.v1")
def accounts_merged(context: Context, event: Event) -> None:
    """Point what is about companies that were merged away to the survivor."""
    _merged(context, event, "account_id", "accounts")


def _merged(context: Context, event: Event, field: str, service: str) -> None:
    data = event["data"]
    for source in data["source_ids"]:
        _rewrite(context, {field: source}, {field: data["target_id"]})
        if not context.records.find(ENTRIES, kind="merged", happened_at=event["time"], **{field: data["target_id"]}):
            title = f"{source} was merged into this record"
            _add(context, "merged", title, event["time"], service, {field: data["target_id"]}, event.get("actor"))


@hears("crm.lead.converted.v1")
def lead_converted(context: Context, event: Event) -> None:
    """Let what is about a lead be about what it became, too."""
    data = event["data"]
    became = {name: data[name] for name in ("contact_id", "account_id", "deal_id") if data.get(name)}
    _rewrite(context, {"lead_id": data["lead_id"]}, became, only_empty=True)
    if not context.records.find(ENTRIES, kind="converted", lead_id=data["lead_id"], happened_at=event["time"]):
        about = {"lead_id": data["lead_id"], **became}
        _add(context, "converted", "Lead converted", event["time"], "leads", about, event.get("actor"))


def _rewrite(context: Context, found: Mapping[str, str], to: Mapping[str, str], *, only_empty: bool = False) -> None:
    """Point everything that is about a record to others."""
    for collection, event in _HOLDERS.items():
        if not context.world.store.has(collection):
            continue
        for record in context.records.find(collection, **found):
            wanted = {k: v for k, v in to.items() if not (only_empty and record.doc.get(k))}
            context.records.change(record, wanted, event=event)


# -- the past --------------------------------------------------------------------------------------------------------------


@handles("startTimelineBackfill")
def backfill(call: Call) -> Reply:
    """Start the job that brings the past of deals onto timelines."""
    call.ask("deals", "listDealTransitions")  # the job asks it deal by deal, in requests of its own
    return JOBS.start(call, "timeline_backfill", call.body["deal_ids"])


def _step(context: Context, job: dict[str, Any], deal_id: str) -> Any:
    deal = context.records.get(links.LINKS["deal_id"], deal_id)
    page = context.call("deals", "listDealTransitions", path={"deal_id": deal_id}, query={"limit": 200})
    if page is None:
        raise Problem("unavailable", "deals can't be reached. Start the job again.")

    def work() -> list[str]:
        outcomes = []
        for step in page["data"]:
            if step["kind"] in _STEPS:
                added = _add_step(context, deal.doc, _STEPS[step["kind"]], step["moved_at"], step.get("moved_by"))
                outcomes.append("created" if added else "skipped")
        return outcomes

    return maybe_trial(context, job, work)


def _finish(context: Context, job: dict[str, Any], outcomes: list[Any]) -> dict[str, Any]:
    steps = [outcome for found in outcomes if isinstance(found, list) for outcome in found]
    failed = [found for found in outcomes if isinstance(found, dict)]
    return {"matched_count": len(outcomes), **tally([*steps, *failed], "created", "skipped")}


task("activities.timeline_backfill", Task(_step, _finish, so_far=_finish, needs="deals"))
