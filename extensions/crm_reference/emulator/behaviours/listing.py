"""Many records: list, search, count, recycle bin, description."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson

from crm_reference.contract.schema_tree import property_node
from crm_reference.emulator import access, custom_fields, field_access
from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.query import Condition, Fields, Sort, parse_sort
from crm_reference.emulator.registry import VISIBILITIES
from crm_reference.emulator.sql import member
from crm_reference.emulator.store import Record

#: Query parameters that are no filters.
_PAGING = {"limit", "cursor", "sort", "fields", "expand"}
#: The order of a list that names none: the latest creation first; among equal ones the ID decides, which rises with time too.
NEWEST_FIRST = (Sort("created_at", True), Sort("id", True))
#: Filter operator by the suffix of a query parameter; eq where it has none.
_SUFFIXES = {
    "_gte": "gte",
    "_gt": "gt",
    "_lte": "lte",
    "_lt": "lt",
    "_in": "in",
    "_ne": "ne",
    "_contains": "contains",
    "_starts_with": "starts_with",
}


def list_records(call: Call, /, default: Sequence[Sort] = NEWEST_FIRST) -> Reply:
    """GET a collection: a page by simple filters.

    :param default: The order where ``sort`` names none.
    """
    fields = call.records.fields(call.target.collection)
    condition = _scope(call).and_(_filters(call, fields))
    return _page(call, fields, condition, _sorts(call, fields) or default)


def list_deleted(call: Call) -> Reply:
    """GET the recycle bin: what can still be restored, the latest deletion first, by the same filters as a list."""
    fields = call.records.fields(call.target.collection)
    oldest = days_later(call.now, -call.target.restore_days)
    there = Condition("deleted_at > ? and doc->>'$._merged_into' is null", [oldest])
    condition = _scope(call).and_(_filters(call, fields)).and_(there)
    latest = (Sort("deleted_at", True), Sort("id", True))
    return _page(call, fields, condition, _sorts(call, fields) or latest, deleted=True)


def search(call: Call) -> Reply:
    """POST search: filter groups, text query, sorts."""
    fields = call.records.fields(call.target.collection)
    return _page(call, fields, _scope(call).and_(criteria(fields, call.body)), _body_sorts(call, fields))


def count(call: Call) -> Reply:
    """POST count: how many records a search would find."""
    fields = call.records.fields(call.target.collection)
    condition = _scope(call).and_(criteria(fields, call.body or {}))
    return Reply(200, {"count": call.world.store.count(call.tenant, call.target.collection, condition.sql, condition.arguments)})


def criteria(fields: Fields, body: Mapping[str, Any], /, pointer: str = "#/filter_groups") -> Condition:
    """Return the condition of a search's text query and filter groups.

    :raises Problem: ``validation_failed`` where a field or an operator doesn't fit.
    """
    condition = fields.groups(body.get("filter_groups", ()), pointer)
    return condition.and_(fields.text(body["query"])) if body.get("query") else condition


def _scope(call: Call) -> Condition:
    """Return the condition that parents and visibility set."""
    condition = Condition()
    parent = call.target.parent
    if parent:
        condition = condition.and_(Condition(f"{member(parent['property'])} = ?", [call.path[parent["parameter"]]]))
    return condition if call.target.collection in VISIBILITIES else condition.and_(access.condition(call, call.target))


def _filters(call: Call, fields: Fields) -> Condition:
    named = {p: (f, o) for f, said in fields.table.items() for p, o in said.parameters.items()}
    condition = Condition()
    for name, value in call.query.items():
        if name in _PAGING or value is None:
            continue
        field, operator = named.get(name) or _by_suffix(name, fields)
        if not field:
            continue
        if operator == "in" and isinstance(value, str):
            value = value.split(",")
        if operator in ("is_set", "is_not_set") and value is False:
            operator = "is_not_set" if operator == "is_set" else "is_set"
        condition = condition.and_(fields.condition(field, operator, value))
    return condition


def _by_suffix(name: str, fields: Fields) -> tuple[str, str]:
    if name in fields.table or property_node(fields.resource.node, name.split(".")) is not None:
        return name, "eq"
    for suffix, operator in _SUFFIXES.items():
        if name.endswith(suffix):
            return name.removesuffix(suffix), operator
    return "", ""


def _sorts(call: Call, fields: Fields) -> list[Sort]:
    sorts = parse_sort(call.query["sort"]) if call.query.get("sort") else []

    def refuse(index: int, detail: str) -> Problem:
        error = {"parameter": "sort", "in": "query", "code": "unknown_field", "detail": detail}
        return Problem("malformed_parameter", "The sort can't be used; see errors.", [error])

    fields.check_sorts(sorts, refuse)
    return sorts


def _body_sorts(call: Call, fields: Fields) -> list[Sort]:
    sorts = [Sort(s["field"], s.get("direction") == "descending") for s in call.body.get("sorts", ())]

    def refuse(index: int, detail: str) -> Problem:
        error = {"pointer": f"#/sorts/{index}/field", "code": "unknown_field", "detail": detail}
        return Problem("validation_failed", "The search sorts by a field that can't be sorted by; see errors.", [error])

    fields.check_sorts(sorts, refuse)
    return sorts


def _page(call: Call, fields: Fields, condition: Condition, sorts: Sequence[Sort], *, deleted: bool = False) -> Reply:
    asked = call.body if isinstance(call.body, Mapping) else call.query
    shown = asked.get("fields") or ()
    shown = shown.split(",") if isinstance(shown, str) else shown
    collection = call.target.collection
    return paged(
        call,
        condition,
        fields=fields,
        sorts=sorts,
        select=lambda where, arguments, order, limit: seen(call, collection, where, arguments, order, limit, deleted=deleted),
        show=lambda record: call.records.shown(record, shown),
    )


def seen(
    call: Call, collection: str, where: str, arguments: Sequence[Any], order: str, limit: int, /, *, deleted: bool = False
) -> list[Record]:
    """Select the records that the caller may see.

    Where a service decides that record by record, all that match are read and sifted before the page is cut.
    """
    sifted = collection in VISIBILITIES
    found = call.world.store.select(
        call.tenant, collection, where, arguments, order=order, limit=-1 if sifted else limit, deleted=deleted
    )
    return [r for r in found if call.records.visible(r)][:limit] if sifted else found


def paged(
    call: Call,
    condition: Condition,
    /,
    *,
    fields: Fields,
    sorts: Sequence[Sort] = (),
    select: Any,
    show: Any,
) -> Reply:
    """Answer one page: ``data``, ``has_more``, ``next_cursor``, and Link on lists.

    :param condition: Which records belong to the whole.
    :param select: Takes an SQL condition, its arguments, an order and a limit; returns records.
    :param show: Makes of a record what stands in ``data``.
    :raises Problem: ``invalid_cursor``.
    """
    asked = call.body if isinstance(call.body, Mapping) else call.query
    limit = asked.get("limit") or 25
    scope = [call.operation.id, call.tenant, call.path, _without_paging(asked)]
    whole = condition
    if asked.get("cursor"):
        values, id = call.world.cursors.read(asked["cursor"], scope, call.world.clock.time())
        whole = condition.and_(fields.behind(sorts, values, id))
    found: list[Record] = select(whole.sql, whole.arguments, fields.order(sorts), limit + 1)
    has_more = len(found) > limit
    found = found[:limit]
    body: dict[str, Any] = {"data": [show(record) for record in found], "has_more": has_more}
    headers = {}
    if has_more:
        values = fields.sort_values(sorts, found[-1])
        cursor = call.world.cursors.make(values, found[-1].id, scope, call.world.clock.time())
        body["next_cursor"] = cursor
        if call.operation.method == "GET":
            headers["Link"] = next_link(call, cursor)
    return Reply(200, body, headers)


def paged_items(call: Call, items: Sequence[Any], /) -> Reply:
    """Answer one page of what is computed rather than stored. Its cursor is a place in the sequence.

    :param items: The whole, in its order, as JSON data.
    :raises Problem: ``invalid_cursor``.
    """
    limit, scope = call.query.get("limit") or 25, [call.operation.id, call.tenant, call.path, _without_paging(call.query)]
    start = 0
    if call.query.get("cursor"):
        start = call.world.cursors.read(call.query["cursor"], scope, call.world.clock.time())[0][0]
    has_more = len(items) > start + limit
    body: dict[str, Any] = {"data": list(items[start : start + limit]), "has_more": has_more}
    headers = {}
    if has_more:
        body["next_cursor"] = call.world.cursors.make([start + limit], "", scope, call.world.clock.time())
        headers["Link"] = next_link(call, body["next_cursor"])
    return Reply(200, body, headers)


def next_link(call: Call, cursor: str, /) -> str:
    """Return the Link header to the next page: the same query with another cursor (RFC 8288)."""
    pairs = [(n, v) for n, v in call.request.query if n != "cursor"]
    query = "&".join(f"{quote(n, safe='')}={quote(v, safe='')}" for n, v in [*pairs, ("cursor", cursor)])
    return f'<{call.request.path}?{query}>; rel="next"'


def _without_paging(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in asked.items() if k not in ("cursor", "limit", "fields")}


def describe(call: Call) -> Reply:
    """GET describe: fields, operators, choices and permissions as this caller has them."""
    resource = call.target
    table = call.records.fields(resource.collection).table
    creates = call.world.contract.schemas.get(resource.create)
    updates = call.world.contract.schemas.get(resource.update)
    required = creates.node.get("required", ()) if creates else ()
    writable = {n for s in (creates, updates) if s for n in s.node.get("properties", {})}
    described = []
    hidden, limited = call.records.masked(resource.collection), field_access.limited(call, resource.object)
    for name in resource.node.get("properties", {}):
        if name == "custom_fields" or name in hidden:
            continue
        node = property_node(resource.node, [name])
        kind = node.get("type", "object") if node else "object"
        entry = _described(name, kind if isinstance(kind, str) else kind[0], table)
        entry |= {"is_custom": False, "is_required": name in required, "is_writable": name in writable and name not in limited}
        if node and "enum" in node:
            entry["choices"] = list(node.get("enum"))
        described.append(entry)
    if extension := custom_fields.extension(call, resource):
        for name, said in custom_fields.definitions(call, extension).items():
            if f"custom_fields.{name}" in hidden or custom_fields.follows_hidden(call, extension, name):
                continue
            entry = _described(f"custom_fields.{name}", said["type"], table)
            entry |= {
                "label": said["label"],
                "is_custom": True,
                "is_required": bool(said.get("is_required")),
                "is_writable": said["type"] not in custom_fields.COMPUTED and f"custom_fields.{name}" not in limited,
            }
            if "choices" in said:
                entry["choices"] = list(said["choices"])
            described.append(entry)
    body = {"object": resource.object, "fields": described, "permissions": _permissions(call)}
    if "ETag" not in call.operation.responses["200"].headers:
        return Reply(200, body)
    etag = f'"{hashlib.sha256(orjson.dumps(body)).hexdigest()[:16]}"'
    if call.headers.get("If-None-Match") in (etag, "*"):
        return Reply(304, None, {"ETag": etag})
    return Reply(200, body, {"ETag": etag})


def _described(name: str, kind: str, table: Mapping[str, Any]) -> dict[str, Any]:
    known = table.get(name)
    return {
        "name": name,
        "type": "list" if kind == "array" else kind,
        "is_sortable": bool(known and known.sort),
        "is_searchable": bool(known and known.search),
        "operators": list(known.operators) if known else [],
    }


def _permissions(call: Call) -> dict[str, bool]:
    held = call.identity.scopes
    wanted = {"create": "create", "read": "read", "update": "update", "delete": "delete"}
    found = {}
    for action, behaviour in wanted.items():
        operation = next(
            (
                o
                for o in call.world.contract.services[call.operation.service].operations
                if o.resource == call.operation.resource and o.behaviour == behaviour
            ),
            None,
        )
        found[f"can_{action}"] = operation is not None and held.issuperset(operation.scopes)
    return found
