"""Whether a person is known: leads and contacts compared with what is known of somebody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.leads.common import LEADS

#: Where everybody can have an address, so that sharing the domain says nothing.
_OPEN_DOMAINS = ("gmail.example", "outlook.example", "proton.example")
_MOST = 50

Doc = Mapping[str, Any]


def _same(one: Doc, other: Doc, name: str) -> bool:
    return bool(one.get(name)) and str(one[name]).casefold() == str(other.get(name, "")).casefold()


@computes("lead_duplicate_score")
def duplicate_score(asked: Doc) -> dict[str, Any]:
    """Return how much speaks for two records being one person.

    :param asked: ``one`` and ``other``, each with names, company, address and number as far as known.
    """
    one, other = asked["one"], asked["other"]
    domains = [str(d.get("email", "")).lower().rpartition("@")[2] for d in (one, other)]
    last, both = _same(one, other, "last_name"), _same(one, other, "first_name") and _same(one, other, "last_name")
    shares_domain = bool(domains[0]) and domains[0] == domains[1] and domains[0] not in _OPEN_DOMAINS
    address = _same(one, other, "email")
    found = (
        ("email", 70 if address else 0),
        ("phone", 30 if _same(one, other, "phone") else 0),
        ("name", 30 if both else 0),
        ("last_name", 15 if last and not both else 0),
        ("company", 20 if _same(one, other, "company_name") else 0),
        ("domain", 20 if shares_domain and not address else 0),
    )
    signals = [{"signal": name, "points": points} for name, points in found if points]
    return {"score": min(100, sum(points for _, points in found)), "signals": signals}


@handles("checkLeadDuplicates")
def check(call: Call) -> Reply:
    """Compare a person with leads and contacts."""
    person, least = call.body, call.body.get("minimum_score", 50)
    condition = access.condition(call, call.resource(LEADS))
    leads = call.world.store.select(call.tenant, LEADS, condition.sql, condition.arguments)
    known = [("lead", lead.doc) for lead in leads if lead.id != person.get("exclude_id")]
    candidate: dict[str, Any] = {name: person[name] for name in ("first_name", "last_name") if name in person}
    candidate |= {f"{name}s": [person[name]] for name in ("email", "phone") if name in person}
    asked = {"candidate": candidate, "minimum_score": 1, "limit": _MOST}
    answer = call.call("contacts", "checkContactDuplicates", asked) if candidate else {"matches": []}
    for match in (answer or {"matches": []})["matches"]:
        contact = call.records.peek("contacts", match["contact"]["id"])
        known.append(("contact", {**(contact.doc if contact is not None else {}), **match["contact"]}))
    matches = [_match(kind, doc, duplicate_score({"one": person, "other": doc})) for kind, doc in known]
    found = sorted((m for m in matches if m["score"] >= least), key=lambda m: (-m["score"], m["id"]))
    return Reply(200, {"matches": found[:_MOST], "is_complete": answer is not None})


def _match(kind: str, doc: Doc, judged: Doc) -> dict[str, Any]:
    shown = {"kind": kind, "id": doc["id"], "full_name": doc.get("full_name", ""), **judged}
    return shown | ({"email": doc["email"]} if doc.get("email") else {})
