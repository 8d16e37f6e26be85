"""Communications on record: what fits which kind, whom addresses belong to, and how fast replies are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours import batch, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.query import Condition
from crm_reference.emulator.registry import computes, derives, enforces, enters, handles
from crm_reference.emulator.registry import sees as decides_sight
from crm_reference.emulator.services.activities import links
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record

COMMUNICATIONS = "activity-communications"
_LOGGED = "crm.activity_communication.logged.v1"
_KINDS = ("mail", "call", "meeting", "message", "letter")
#: How IDs of communications begin, by kind. A letter has none there.
_PREFIXES = {"mail": "eml_", "call": "cll_", "meeting": "mtg_", "message": "cnv_"}
#: How far a clock of a client may be ahead, in seconds.
_AHEAD = 300


@derives(COMMUNICATIONS)
def derive(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive what was left out, and how the record came here."""
    return {
        "happened_at": doc.get("happened_at", doc["created_at"]),
        "participants": doc.get("participants", []),
        "is_private": doc.get("is_private", False),
        "owner_id": doc.get("owner_id") or doc.get("created_by") or (context.identity.user if context is not None else None),
        "source": "communications" if doc.get("source_id") else "manual",
    }


@enforces("communication_without_record")
def without_record(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a communication that is about nothing."""
    return "" if links.is_about_something(new) else "Name the contact, account, deal or lead."


@enforces("communication_in_future")
def in_future(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse what has not taken place."""
    ahead = seconds_of(new["happened_at"]) - seconds_of(context.now)
    return f"It lies {ahead} seconds ahead; plan it as a task." if ahead > _AHEAD else ""


@enforces("communication_detail_unfit")
def detail_unfit(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Refuse an outcome of what is no call, and a duration of what takes none."""
    if new.get("outcome") and new["kind"] != "call":
        return f"A {new['kind']} has no outcome of a call.", "outcome"
    if new.get("duration_seconds") is not None and new["kind"] not in ("call", "meeting"):
        return f"A {new['kind']} has no duration.", "duration_seconds"
    prefix = _PREFIXES.get(new["kind"], "")
    if new.get("source_id") and not (prefix and new["source_id"].startswith(prefix)):
        return f"{new['source_id']} is none of a {new['kind']}.", "source_id"
    return ""


@enforces("communication_participant_unknown")
def participant_unknown(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse participants who are no records of the tenant; those of before stay."""
    known = (old or {}).get("participants", ())
    for entry in new["participants"]:
        for name, collection in (("contact_id", "contacts"), ("user_id", "users")):
            if entry not in known and entry.get(name) and not _reached(context, collection, entry[name]):
                return f"{entry[name]} leads to nobody."
    return ""


def _reached(context: Context, collection: str, id: str) -> bool:
    record = context.records.peek(collection, id)
    return record is not None and context.records.visible(record)


@decides_sight(COMMUNICATIONS)
def see(context: Context, communication: Record) -> bool:
    """Show a communication to whoever had it, and to those who see one of its records unless it is private."""
    return links.sees(context, communication.doc, "owner_id")


@enters(COMMUNICATIONS)
def enter(call: Call) -> None:
    """Let a communication be changed by whoever had it and by those who may change one of its records."""
    links.demand(call, "owner_id")


@handles("logCommunication")
def log(call: Call) -> Reply:
    """Put a communication on record."""
    record = call.records.create(COMMUNICATIONS, call.body, event=_LOGGED)
    return single.shown(call, record, 201, Location=single.location(call, record))


@handles("batchLogCommunications", by_item=True)
def log_many(call: Call) -> Reply:
    """Put many communications on record, with a result for each."""

    def one(item: Mapping[str, Any]) -> tuple[int, Record]:
        return 201, call.records.create(COMMUNICATIONS, item, event=_LOGGED)

    return batch.run_items(call, call.body["items"], one)


# -- whom an address belongs to --------------------------------------------------------------------------------------------


@handles("matchCommunication")
def match(call: Call) -> Reply:
    """Find the people behind addresses, and where a communication between them belongs."""
    asked = [address.lower() for address in call.body["addresses"]]
    wanted = list(dict.fromkeys([*asked, *map(base_address, asked)]))
    people = call.call("contacts", "searchContacts", _where("email", "in", values=wanted, limit=200))
    owners = {person["email"].lower(): person for person in reversed((people or {}).get("data", ())) if "email" in person}
    matches = [{"address": said, **_owner(address, owners)} for said, address in zip(call.body["addresses"], asked, strict=True)]
    body: dict[str, Any] = {"matches": matches, "is_complete": people is not None}
    first = next((found for found in matches if "contact_id" in found), None)
    if first is not None:
        body |= {name: first[name] for name in ("contact_id", "account_id") if name in first}
        asked_deals = _where("primary_contact_id", "eq", value=first["contact_id"], limit=200)
        deals = call.call("deals", "searchDeals", asked_deals)
        body["is_complete"] = body["is_complete"] and deals is not None
        running = [deal["id"] for deal in (deals or {}).get("data", ()) if deal.get("status") == "open"]
        if len(running) == 1:
            body["deal_id"] = running[0]
    return Reply(200, body)


def _where(field: str, operator: str, /, *, limit: int, **value: Any) -> dict[str, Any]:
    return {"filter_groups": [{"filters": [{"field": field, "operator": operator, **value}]}], "limit": limit}


def _owner(address: str, owners: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return whom an address belongs to."""
    for way, form in (("address", address), ("base_address", base_address(address))):
        if form in owners:
            person = owners[form]
            company = {"account_id": person["account_id"]} if "account_id" in person else {}
            return {"matched_by": way, "contact_id": person["id"], **company}
    return {"matched_by": "none"}


def base_address(address: str, /) -> str:
    """Return an address without what follows a plus sign before the at sign.

    >>> base_address("noor+spring@tidewater.example")
    'noor@tidewater.example'
    """
    name, _, domain = address.lower().rpartition("@")
    return f"{name.partition('+')[0]}@{domain}"


@computes("communication_base_address")
def computed_base_address(asked: Mapping[str, Any]) -> str:
    """Return the form of an address by which people are found.

    :param asked: ``address``.
    """
    return base_address(asked["address"])


# -- how people have been speaking -----------------------------------------------------------------------------------------


@computes("communication_reply_times")
def reply_times(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Compute replies from communications in any order.

    The customer waits from the first inbound one that no outbound one has followed; the next outbound one is the reply.

    :param asked: ``communications``, each with ``direction`` and ``happened_at``.
    """
    waiting, waits = "", []
    for entry in sorted(asked["communications"], key=lambda e: (e["happened_at"], e["direction"])):
        if entry["direction"] == "inbound":
            waiting = waiting or entry["happened_at"]
        elif waiting:
            waits.append(seconds_of(entry["happened_at"]) - seconds_of(waiting))
            waiting = ""
    result: dict[str, Any] = {"reply_count": len(waits)}
    if waits:
        result["average_reply_seconds"] = (2 * sum(waits) + len(waits)) // (2 * len(waits))
    return result | ({"unanswered_since_at": waiting} if waiting else {})


@handles("getCommunicationSummary")
def summarize(call: Call) -> Reply:
    """Count the communications of a record, and time the replies."""
    condition = links.about(call.query)
    if call.query.get("owner_id"):
        condition = condition.and_(Condition(f"{member('owner_id')} = ?", [call.query["owner_id"]]))
    found = call.world.store.select(call.tenant, COMMUNICATIONS, condition.sql, condition.arguments)
    return Reply(200, summary([r.doc for r in found if call.records.visible(r)], call.now))


def summary(docs: Sequence[Mapping[str, Any]], now: str, /) -> dict[str, Any]:
    """Return the numbers over communications."""
    times = {way: [d["happened_at"] for d in docs if d["direction"] == way] for way in ("inbound", "outbound")}
    body: dict[str, Any] = {"total_count": len(docs)} | {f"{way}_count": len(found) for way, found in times.items()}
    counts = {kind: sum(1 for d in docs if d["kind"] == kind) for kind in _KINDS}
    body["kinds"] = [{"kind": kind, "count": count} for kind, count in counts.items() if count]
    body |= {f"last_{way}_at": max(found) for way, found in times.items() if found}
    if docs:
        body["days_since_last"] = (seconds_of(now) - seconds_of(max(d["happened_at"] for d in docs))) // 86_400
    body |= reply_times({"communications": docs})
    return body
