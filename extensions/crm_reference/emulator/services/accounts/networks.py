"""The network around an account, the way between two of them, and the people whom contacts knows there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.accounts.reaching import ACCOUNTS, chosen, name_of
from crm_reference.emulator.services.accounts.relations import INVERSES, LABELS, RELATIONSHIPS, holds

#: How many accounts a network has at most.
SIZE = 200
Link = Mapping[str, Any]


def _links(context: Context, types: Sequence[str] = (), *, with_parents: bool) -> list[dict[str, Any]]:
    """Return every link between accounts that the caller may see: relationships that hold today, then parents."""
    seen = {account.id: account.doc for account in chosen(context, {})}
    found = []
    for relationship in context.records.find(RELATIONSHIPS):
        doc = relationship.doc
        ends = (doc["account_id"], doc["related_account_id"])
        wanted = not types or not {doc["type"], INVERSES[doc["type"]]}.isdisjoint(types)
        if wanted and ends[0] in seen and ends[1] in seen and holds(doc, context.now[:10]):
            link = {"kind": "relationship", "from_id": ends[0], "to_id": ends[1], "label": LABELS[doc["type"]], "type": doc["type"]}
            link["relationship_id"] = relationship.id
            found.append(link | ({"strength": doc["strength"]} if "strength" in doc else {}))
    for id, doc in seen.items() if with_parents else ():
        if doc.get("parent_id") in seen:
            found.append({"kind": "parent", "from_id": id, "to_id": doc["parent_id"], "label": "Subsidiary of"})
    return found


@computes("account_network")
def network(asked: Mapping[str, Any]) -> dict[str, int]:
    """Return how far each account is from one of them, over links that may be walked both ways.

    :param asked: ``start``; ``links``, each with ``from_id`` and ``to_id``; ``depth``, the steps that are followed.
    :return: Steps by account, the start with 0, the nearest first and among equally near ones by ID.
    """
    distances, frontier = {asked["start"]: 0}, {asked["start"]}
    for step in range(1, asked["depth"] + 1):
        reached = {end for link in asked["links"] for end in _other(link, frontier)} - distances.keys()
        distances |= dict.fromkeys(sorted(reached), step)
        frontier = reached
    return distances


def _other(link: Link, here: set[str]) -> list[str]:
    ends = [link["to_id"]] if link["from_id"] in here else []
    return [*ends, link["from_id"]] if link["to_id"] in here else ends


@computes("account_path")
def path(asked: Mapping[str, Any]) -> list[str]:
    """Return the shortest way between two accounts, among equally short ones that over the smallest IDs.

    :param asked: ``start``, ``end``, ``links`` and ``max_length``, the steps that it may have.
    :return: The accounts on the way, both ends included; empty where there is none.
    """
    distances = network({"start": asked["end"], "links": asked["links"], "depth": asked["max_length"]})
    if asked["start"] not in distances:
        return []
    way = [asked["start"]]
    while way[-1] != asked["end"]:
        near = {end for link in asked["links"] for end in _other(link, {way[-1]})}
        way.append(min(id for id in near if distances.get(id, SIZE) == distances[way[-1]] - 1))
    return way


@handles("getAccountNetwork")
def read_network(call: Call) -> Reply:
    """Return the accounts within some steps of one, and what joins them."""
    depth, types = call.query.get("depth", 2), [t for t in call.query.get("types", "").split(",") if t]
    links = _links(call, types, with_parents=bool(call.query.get("has_hierarchy")))
    distances = network({"start": call.found.id, "links": links, "depth": depth})
    inside = dict(list(distances.items())[:SIZE])
    nodes = [{"account_id": id, "name": name_of(call, id), "distance": step} for id, step in inside.items()]
    between = [link for link in links if link["from_id"] in inside and link["to_id"] in inside]
    body = {"account_id": call.found.id, "depth": depth, "nodes": nodes, "links": between}
    return Reply(200, body | {"is_complete": len(inside) == len(distances)})


@handles("findAccountPath")
def read_path(call: Call) -> Reply:
    """Return the shortest way from one account to another."""
    start, end = (call.records.get(ACCOUNTS, call.query[name]).id for name in ("from_id", "to_id"))
    links = _links(call, with_parents=bool(call.query.get("has_hierarchy")))
    way = path({"start": start, "end": end, "links": links, "max_length": call.query.get("max_length", 4)})
    body: dict[str, Any] = {"is_found": bool(way), "account_ids": way, "links": []}
    for here, there in pairwise(way):
        joined = next(link for link in links if {link["from_id"], link["to_id"]} == {here, there})
        body["links"].append(_turned(joined, here))
    return Reply(200, body | ({"length": len(way) - 1} if way else {}))


def _turned(link: Link, start: str) -> dict[str, Any]:
    """Return a link as seen from one of its ends."""
    if link["from_id"] == start:
        return dict(link)
    turned = {**link, "from_id": link["to_id"], "to_id": link["from_id"]}
    if "type" not in link:
        return turned | {"label": "Parent of"}
    return turned | {"type": INVERSES[link["type"]], "label": LABELS[INVERSES[link["type"]]]}


# -- people ----------------------------------------------------------------------------------------------------------


@handles("getAccountContactRoles")
def read_contact_roles(call: Call) -> Reply:
    """Ask contacts who works at an account or has a role there."""
    account = call.found
    asked = {"account_id": account.id, "limit": SIZE}
    employed = call.call("contacts", "listContacts", query=asked)
    ties = call.call(
        "contacts", "listContactRelationships", query={"participant_id": account.id, "is_current": True, "limit": SIZE}
    )
    body: dict[str, Any] = {"account_id": account.id, "contacts": [], "is_complete": employed is not None and ties is not None}
    if employed is None or ties is None:
        return Reply(200, body)
    body["is_complete"] = not (employed["has_more"] or ties["has_more"])
    roles: dict[str, list[str]] = {}
    for tie in ties["data"]:
        roles.setdefault(tie["contact_id"], []).append(tie["type"])
    people = {contact["id"]: contact for contact in employed["data"]}
    others = sorted(roles.keys() - people.keys())
    read = call.call("contacts", "batchReadContacts", {"ids": others[:100]}) if others else {"results": []}
    elsewhere = {r["id"]: r["record"] for r in (read or {"results": []})["results"] if "record" in r}
    ordered = [*sorted(people), *(id for id in others if id in elsewhere)]
    body["contacts"] = [_person(account.doc, {**people, **elsewhere}[id], roles.get(id, []), id in people) for id in ordered[:SIZE]]
    return Reply(200, body)


def _person(account: Mapping[str, Any], contact: Mapping[str, Any], roles: list[str], is_employed: bool) -> dict[str, Any]:
    name = contact.get("full_name") or contact.get("last_name") or contact["id"]
    entry = {"contact_id": contact["id"], "full_name": name, "is_employed": is_employed}
    entry |= {"is_primary": account.get("primary_contact_id") == contact["id"], "roles": sorted(roles)}
    return entry | ({"job_title": contact["job_title"]} if "job_title" in contact else {})
