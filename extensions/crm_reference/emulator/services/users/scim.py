"""SCIM 2.0 (RFC 7643 and 7644): what directories ask, answered from users and groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.users import scim_groups, scim_patch, scim_people, scim_schemas
from crm_reference.emulator.services.users.rights import GROUPS, USERS
from crm_reference.emulator.services.users.scim_filter import FilterError, check, matches, parse, parse_path, values
from crm_reference.emulator.services.users.scim_patch import refusal
from crm_reference.emulator.services.users.scim_schemas import ENTERPRISE, GROUP, MAX_RESULTS, USER
from crm_reference.emulator.services.users.scim_support import base, check_schema, check_version, listed, projected, reply, resource
from crm_reference.emulator.store import Record


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type and what is done with it."""

    name: str
    schema: str
    write_schema: str
    find: Callable[[Context, str], Record]
    all: Callable[[Context], list[Record]]
    show: Callable[[Context, Record], dict[str, Any]]
    attributes: Callable[[Context, Record], dict[str, Any]]
    create: Callable[[Context, Mapping[str, Any]], Record]
    replace: Callable[[Context, Record, Mapping[str, Any]], Record]
    remove: Callable[[Context, Record], None]


def _find_user(context: Context, id: str) -> Record:
    user = context.records.peek(USERS, id)
    if user is None or user.doc.get("is_erased") or user.doc.get("kind") == "integration":
        raise Problem("not_found", f"No user has the id {id[:60]}.")
    return user


KINDS: Mapping[str, Kind] = {
    "Users": Kind(
        "User",
        USER,
        "ScimUserWrite",
        _find_user,
        scim_people.listed,
        scim_people.shown,
        lambda context, user: scim_people.attributes_of(user),
        scim_people.create,
        scim_people.replace,
        scim_people.remove,
    ),
    "Groups": Kind(
        "Group",
        GROUP,
        "ScimGroupWrite",
        scim_groups.find,
        lambda context: context.records.find(GROUPS),
        scim_groups.shown,
        scim_groups.attributes_of,
        scim_groups.create,
        scim_groups.replace,
        scim_groups.remove,
    ),
}


# -- one resource ----------------------------------------------------------------------------------------------------


def create(context: Context, kind: Kind, body: Mapping[str, Any], /) -> Record:
    """Create a resource.

    :raises Problem: ``validation_failed`` where the body names other schemas; what the kind says.
    """
    _check_schemas(kind, body)
    return kind.create(context, body)


def replace(context: Context, kind: Kind, record: Record, body: Mapping[str, Any], /) -> Record:
    """Write a resource in the place of another."""
    _check_schemas(kind, body)
    return kind.replace(context, record, body)


def patch(context: Context, kind: Kind, record: Record, body: Mapping[str, Any], /) -> Record:
    """Apply PATCH operations to a resource, all or none."""
    present = kind.attributes(context, record)
    changed = scim_patch.apply(kind.name, present, body["Operations"])
    whole = {"schemas": [kind.schema, *([ENTERPRISE] if ENTERPRISE in changed else [])], **changed}
    check_schema(context, kind.write_schema, whole)
    return record if changed == present else kind.replace(context, record, whole)


def _check_schemas(kind: Kind, body: Mapping[str, Any]) -> None:
    known = {urn.lower() for urn in scim_schemas.attributes(kind.name)}
    sent = [urn.lower() for urn in body["schemas"]]
    if kind.schema.lower() not in sent or not known.issuperset(sent):
        raise refusal("validation_failed", f"schemas must hold {kind.schema}, and extensions of it alone.", "invalidValue")


def _kind(call: Call) -> Kind:
    return KINDS[call.operation.path.split("/")[3]]


def _found(call: Call) -> tuple[Kind, Record]:
    kind = _kind(call)
    (id,) = call.path.values()
    return kind, kind.find(call, id)


@handles("createScimUser")
@handles("createScimGroup")
def handle_create(call: Call) -> Reply:
    """POST: 201 with the resource and its URL."""
    kind = _kind(call)
    return resource(call, kind.show(call, create(call, kind, call.body)), 201)


@handles("getScimUser")
@handles("getScimGroup")
def handle_read(call: Call) -> Reply:
    """GET: the resource, or 304 where If-None-Match still holds."""
    kind, record = _found(call)
    if call.headers.get("If-None-Match") in (record.etag, "*"):
        return Reply(304, None, {"ETag": record.etag})
    return resource(call, kind.show(call, record))


@handles("replaceScimUser")
@handles("replaceScimGroup")
def handle_replace(call: Call) -> Reply:
    """PUT: the resource as it is after."""
    kind, record = _found(call)
    check_version(call, record)
    return resource(call, kind.show(call, replace(call, kind, record, call.body)))


@handles("patchScimUser")
@handles("patchScimGroup")
def handle_patch(call: Call) -> Reply:
    """PATCH: the resource as it is after."""
    kind, record = _found(call)
    check_version(call, record)
    return resource(call, kind.show(call, patch(call, kind, record, call.body)))


@handles("deleteScimUser")
@handles("deleteScimGroup")
def handle_delete(call: Call) -> Reply:
    """DELETE: 204, and 404 when repeated."""
    kind, record = _found(call)
    check_version(call, record)
    kind.remove(call, record)
    return Reply(204)


@handles("getScimMe")
def handle_me(call: Call) -> Reply:
    """GET the user who calls, as a SCIM resource."""
    return resource(call, scim_people.shown(call, _find_user(call, call.identity.user)))


# -- many ------------------------------------------------------------------------------------------------------------


@handles("listScimUsers")
@handles("listScimGroups")
def handle_list(call: Call) -> Reply:
    """GET a kind: those that fit the filter, sorted and cut to a page."""
    return _answer(call, [_kind(call)], call.query)


@handles("searchScimUsers")
@handles("searchScimGroups")
def handle_search_of_kind(call: Call) -> Reply:
    """POST .search of a kind: what a list answers, with the conditions in the body."""
    return _answer(call, [_kind(call)], call.body)


@handles("searchScimResources")
def handle_search(call: Call) -> Reply:
    """POST .search: users and groups that fit the filter."""
    return _answer(call, list(KINDS.values()), call.body)


def _answer(call: Call, kinds: Sequence[Kind], asked: Mapping[str, Any]) -> Reply:
    found = [kind.show(call, record) for kind in kinds for record in kind.all(call)]
    found = _filtered(found, kinds, asked.get("filter"))
    if asked.get("sortBy"):
        found = _sorted(found, kinds, asked["sortBy"], descending=asked.get("sortOrder") == "descending")
    start, count = max(asked.get("startIndex", 1), 1), min(max(asked.get("count", MAX_RESULTS), 0), MAX_RESULTS)
    page = [projected(body, asked) for body in found[start - 1 : start - 1 + count]]
    return reply(listed(page, len(found), start))


def _filtered(found: list[dict[str, Any]], kinds: Sequence[Kind], text: str | None) -> list[dict[str, Any]]:
    if text is None:
        return found
    try:
        tree = parse(text)
        check(tree, tuple(kind.name for kind in kinds))
    except FilterError as error:
        raise refusal("scim_invalid_filter", f"The filter can't be used: {error}.", "invalidFilter") from None
    return [body for body in found if matches(tree, body)]


def _sorted(found: list[dict[str, Any]], kinds: Sequence[Kind], text: str, *, descending: bool) -> list[dict[str, Any]]:
    """Sort by the first value, without regard to case; resources without one come last, or first where descending."""
    try:
        path = parse_path(text)
    except FilterError as error:
        raise refusal("validation_failed", f"sortBy: {error}.", "invalidValue") from None
    if not any(scim_schemas.find(kind.name, path.urn, path.name) for kind in kinds):
        raise refusal("validation_failed", f"sortBy: {text[:60]} is no attribute.", "invalidValue")

    def key(body: Mapping[str, Any]) -> tuple[bool, str]:
        present = values(body, path)
        return (not present, str(present[0]).casefold() if present else "")

    return sorted(found, key=key, reverse=descending)


# -- discovery -------------------------------------------------------------------------------------------------------


@handles("getScimServiceProviderConfig")
def handle_config(call: Call) -> Reply:
    """GET what the server offers."""
    return reply(scim_schemas.service_provider_config(base(call)))


@handles("listScimResourceTypes")
def handle_resource_types(call: Call) -> Reply:
    """GET the resource types."""
    found = list(scim_schemas.resource_types(base(call)))
    return reply(listed(found, len(found), 1))


@handles("getScimResourceType")
def handle_resource_type(call: Call) -> Reply:
    """GET one resource type by its name."""
    return reply(_document(scim_schemas.resource_types(base(call)), call.path["resource_type"]))


@handles("listScimSchemas")
def handle_schemas(call: Call) -> Reply:
    """GET the schemas."""
    found = list(scim_schemas.schemas(base(call)))
    return reply(listed(found, len(found), 1))


@handles("getScimSchema")
def handle_schema(call: Call) -> Reply:
    """GET one schema by its URN."""
    return reply(_document(scim_schemas.schemas(base(call)), call.path["schema_urn"]))


def _document(documents: Any, name: str) -> dict[str, Any]:
    for document in documents:
        if document["id"] == name:
            found: dict[str, Any] = document
            return found
    raise Problem("not_found", f"There is no {name[:80]}.")
