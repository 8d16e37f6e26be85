"""Lists: pages make up the whole, cursors stay where they belong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson

from crm_reference.conformance.laws.lab import Case, Lab, Skipped, code_of, demand, describe, law
from crm_reference.contract import Exchange
from crm_reference.emulator import Record, Response

#: Pages that a walk may have before it is called endless.
_MOST = 500


@law("pages-walk")
def pages_walk(lab: Lab, operation: str) -> None:
    """Walks with the smallest and the largest limit give the same whole, in the same order."""
    case = _filled(lab, operation)
    whole = [_key(e) for page in _walk(case, 200) for e in page.json()["data"]]
    if len(whole) < 2:
        raise Skipped("no exchange makes a list of two entries")
    demand(len(set(whole)) == len(whole), "an entry stands twice in the whole list")
    single = [_key(e) for page in _walk(case, 1) for e in page.json()["data"]]
    demand(single == whole, f"one by one there are {len(single)} entries, in one page {len(whole)}, or their order differs")
    _foreign_cursor(case)


def _foreign_cursor(case: Case) -> None:
    """Send a cursor that was changed, and one under another order: neither fits."""
    first = _page(case, 1, "")
    cursor = first.json().get("next_cursor")
    if not cursor:
        return
    broken = cursor[:-4] + ("AAAA" if cursor[-4:] != "AAAA" else "BBBB")
    response = _page(case, 1, broken)
    demand(code_of(response) == "invalid_cursor", f"a changed cursor got {describe(response)}")
    other = _sorted_otherwise(case)
    if other is not None:
        response = _page(other, 1, cursor)
        demand(code_of(response) == "invalid_cursor", f"a cursor of another order got {describe(response)}")


def _sorted_otherwise(case: Case) -> Case | None:
    """Return the same request with another order; ``None`` where the list has one alone."""
    resource = case.lab.contract.resources.get(case.operation.resource)
    fields = [name for name, field in resource.query.items() if field.sort] if resource else []
    if not fields:
        return None
    if case.operation.parameter("sort", "query") is not None:
        chosen = dict(case.request.query).get("sort", "")
        pairs = [(n, v) for n, v in case.request.query if n != "sort"]
        return replace(
            case, request=replace(case.request, query=[*pairs, ("sort", next(f for f in _orders(fields) if f != chosen))])
        )
    if case.operation.behaviour != "search":
        return None
    present = (case.body or {}).get("sorts")
    sorts = next(s for s in ([{"field": fields[0], "direction": d}] for d in ("ascending", "descending")) if s != present)
    return replace(case, request=case.altered({**(case.body or {}), "sorts": sorts}))


def _orders(fields: list[str]) -> list[str]:
    return [fields[0], f"-{fields[0]}"]


@law("pages-while-writing")
def pages_while_writing(lab: Lab, operation: str) -> None:
    """While records come, change and go, a walk gives every record that stays, once."""
    case = _filled(lab, operation)
    collection = case.operation.resource
    tenant = lab.tenant_of(case)
    before = {_key(e) for page in _walk(case, 200) for e in page.json()["data"]}
    _refill(lab, case)
    seen: list[str] = []
    gone: set[str] = set()
    cursor, writable = "", case.operation.behaviour in ("list", "search") and collection in lab.contract.resources
    for number in range(_MOST):
        page = _page(case, 2, cursor)
        seen += [_key(e) for e in page.json()["data"]]
        cursor = page.json().get("next_cursor", "")
        if not page.json()["has_more"]:
            break
        if writable:
            gone |= _disturb(lab, tenant, collection, seen, number)
    demand(len(set(seen)) == len(seen), "an entry stands in two pages")
    missing = before - set(seen) - gone
    demand(not missing, f"{len(missing)} entries that were there all the time stand in no page")


def _disturb(lab: Lab, tenant: str, collection: str, seen: list[str], number: int) -> set[str]:
    """Change one record that the walk has passed and, in turns, delete one or create one.

    One of each at once would leave every other record in its place, and show nothing.

    :return: What was deleted.
    """
    store = lab.engine.world.store
    records = store.select(tenant, collection)
    passed = [r for r in records if r.id in seen]
    if not passed:
        return set()
    touched = passed[-1]
    store.put(tenant, Record(collection, touched.id, touched.version + 1, touched.doc))
    if number % 2:
        id = lab.engine.clock.new_id(lab.contract.resources[collection].prefix)
        store.put(tenant, Record(collection, id, 1, {**touched.doc, "id": id}))
    elif len(passed) > 1:
        store.remove(tenant, collection, passed[0].id)
        return {passed[0].id}
    return set()


@law("tenant-cursor")
def tenant_cursor(lab: Lab, operation: str) -> None:
    """A cursor of one tenant is none of another's, whose walk has nothing of the first."""
    case = _filled(lab, operation)
    other = lab.full_bearer(lab.outsider(lab.tenant_of(case)))
    cursor = _page(case, 1, "").json().get("next_cursor")
    if not cursor:
        raise Skipped("no exchange makes a list of two entries")
    ours = {_key(e) for page in _walk(case, 200) for e in page.json()["data"]}
    response = _page(case, 1, cursor, authorization=other)
    demand(code_of(response) in ("invalid_cursor", "not_found"), f"another tenant's cursor got {describe(response)}")
    theirs = _page(case, 200, "", authorization=other)
    if theirs.status == 200:
        shared = ours & {_key(e) for e in theirs.json()["data"] if "id" in e}
        demand(not shared, f"the other tenant sees {sorted(shared)[:3]}")


def _filled(lab: Lab, operation: str) -> Case:
    """Stage the operation's exchange with the longest list, and fill the list up by copies of one of its records."""
    found = [e for e in lab.contract.exchanges.values() if e.operation == operation and e.succeeds and e.scripted is None]
    best: tuple[int, Exchange | None] = (-1, None)
    for exchange in found:
        case = lab.stage(exchange)
        response = _page(case, 200, "")
        size = len(response.json().get("data", ())) if response.status == 200 else -1
        best = max(best, (size, exchange), key=lambda pair: pair[0])
    if best[1] is None:
        raise Skipped("the operation has no exchange that succeeds")
    case = lab.stage(best[1])
    _refill(lab, case)
    return case


def _refill(lab: Lab, case: Case) -> None:
    case.rewind()
    collection = case.operation.resource
    if case.operation.behaviour not in ("list", "search", "deleted") or collection not in lab.contract.resources:
        return
    response = _page(case, 200, "")
    if response.status != 200 or not response.json()["data"]:
        return
    store, tenant = lab.engine.world.store, lab.tenant_of(case)
    model = store.get(tenant, collection, response.json()["data"][0]["id"], deleted=True)
    if model is not None:
        for _ in range(7):
            doc = {**model.doc, "id": lab.engine.clock.new_id(lab.contract.resources[collection].prefix)}
            store.put(tenant, Record(collection, doc["id"], 1, doc, model.deleted_at), _words(lab, model))


def _words(lab: Lab, model: Record) -> str:
    from crm_reference.emulator.query import words_of
    from crm_reference.emulator.rules import value_of

    fields = lab.contract.resources[model.collection].query
    return words_of([value_of(model.doc, name) for name, field in fields.items() if field.search])


def _walk(case: Case, limit: int) -> Iterator[Response]:
    cursor = ""
    for _ in range(_MOST):
        page = _page(case, limit, cursor)
        demand(page.status == 200, f"a page got {describe(page)}")
        yield page
        body = page.json()
        cursor = body.get("next_cursor", "")
        if not body["has_more"]:
            return
        demand(case.operation.method != "GET" or "Link" in page.headers, "a page with a next one has no Link")
    demand(False, f"the walk has no end after {_MOST} pages")


def _page(case: Case, limit: int, cursor: str, authorization: str = "") -> Response:
    headers = {"authorization": authorization} if authorization else {}
    in_query = case.operation.parameter("cursor", "query") is not None
    if in_query:
        most = _most(case)
        pairs = [(n, v) for n, v in case.request.query if n not in ("cursor", "limit", "fields")]
        pairs += [("limit", str(min(limit, most)))] + ([("cursor", cursor)] if cursor else [])
        return case.lab.send(case.operation, case.altered(headers=headers, query=pairs))
    body: dict[str, Any] = {k: v for k, v in (case.body or {}).items() if k not in ("cursor", "fields")}
    body |= {"limit": limit} | ({"cursor": cursor} if cursor else {})
    return case.lab.send(case.operation, case.altered(headers=headers, content=orjson.dumps(body)))


def _most(case: Case) -> int:
    parameter = case.operation.parameter("limit", "query")
    return int(parameter.schema.resolved().get("maximum", 200)) if parameter else 200


def _key(entry: dict[str, Any]) -> str:
    """Return what tells entries of a list apart: their ID, or all of them where they have none."""
    if "id" in entry and "sequence" not in entry:
        return str(entry["id"])
    return orjson.dumps(entry, option=orjson.OPT_SORT_KEYS).decode()
