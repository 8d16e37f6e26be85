"""What users and groups share when they are shown over SCIM: URLs, metadata, projection, and problems in SCIM's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from crm_reference.contract.protocols import SCIM_JSON
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.services.users.scim_filter import FilterError, member, parse_path
from crm_reference.emulator.services.users.scim_patch import refusal
from crm_reference.emulator.store import Record


def base(context: Context, /) -> str:
    """Return the URL of the SCIM root."""
    return f"{context.world.site}/v1/scim/v2"


def referred(context: Context, reference: Mapping[str, Any], kinds: Sequence[str], /) -> str:
    """Return the ID that a reference holds, in its value or at the end of its URL, which is one of this server.

    :param kinds: Endpoints that the URL may lead to.
    :raises Problem: ``validation_failed`` for a URL of another place: nothing here ever asks it.
    """
    url = reference.get("$ref")
    if url is not None and not any(url.startswith(f"{base(context)}/{kind}/") for kind in kinds):
        raise refusal("validation_failed", f"$ref must lead to {' or '.join(kinds)} below {base(context)}.", "invalidValue")
    id: str = reference.get("value") or str(url or "").rpartition("/")[2]
    return id


def meta(context: Context, record: Record, kind: str, endpoint: str, /) -> dict[str, str]:
    """Return what the server knows of a resource."""
    return {
        "resourceType": kind,
        "created": record.doc["created_at"],
        "lastModified": record.doc["updated_at"],
        "location": f"{base(context)}/{endpoint}/{record.id}",
        "version": record.etag,
    }


def reply(body: Mapping[str, Any] | None, status: int = 200, /, **headers: str) -> Reply:
    """Return an answer in SCIM's media type."""
    return Reply(status, body, headers, SCIM_JSON)


def resource(call: Call, body: Mapping[str, Any], status: int = 200, /) -> Reply:
    """Return a resource with its entity tag, less what the request leaves out."""
    headers = {"ETag": body["meta"]["version"]}
    if status == 201:
        headers["Location"] = body["meta"]["location"]
    return reply(projected(body, call.query), status, **headers)


@contextmanager
def ruled() -> Iterator[None]:
    """Tell what a rule of the house refuses in SCIM's words: 409 uniqueness for what is taken, 400 invalidValue for the rest."""
    try:
        yield
    except Problem as problem:
        if problem.code.startswith("scim_") or problem.code == "last_administrator":
            raise
        if problem.code.endswith("_taken"):
            raise refusal("scim_not_unique", problem.detail, "uniqueness") from None
        detail = "; ".join(str(e.get("detail", "")) for e in problem.errors) or problem.detail
        raise refusal("validation_failed", detail, "invalidValue") from None


def check_version(call: Call, record: Record, /) -> None:
    """Refuse a change of what has changed since the caller read it.

    :raises Problem: ``version_mismatch``.
    """
    wanted = call.headers.get("If-Match")
    if wanted is not None and wanted not in (record.etag, "*"):
        raise Problem("version_mismatch", f"If-Match is {wanted}, and the resource's ETag is {record.etag}.")


def check_schema(context: Context, schema: str, data: Any, /) -> None:
    """Hold data that came inside of something else against a schema of the contract.

    :raises Problem: ``validation_failed`` with what is wrong.
    """
    found = context.world.validators.errors(context.world.contract.schemas[schema].node, data)
    if found:
        detail = "; ".join(f"{e.pointer or '/'} {e.detail}" for e in found[:5])
        raise refusal("validation_failed", detail, "invalidValue")


# -- projection ------------------------------------------------------------------------------------------------------


def projected(body: Mapping[str, Any], asked: Mapping[str, Any], /) -> dict[str, Any]:
    """Return a resource with the attributes that were asked for, or without those that were excluded (RFC 7644, section 3.9)."""
    wanted, excluded = asked.get("attributes") or (), asked.get("excludedAttributes") or ()
    if wanted:
        shown = {k: body[k] for k in ("schemas", "id") if k in body}
        for name in wanted:
            _copy(body, shown, name)
        return shown
    shown = {k: dict(v) if isinstance(v, dict) else v for k, v in body.items()}
    for name in excluded:
        _drop(shown, name)
    return shown


def _steps(body: Mapping[str, Any], name: str) -> list[str]:
    """Return an attribute's path through a resource, its members as they are written there."""
    urn = next((k for k in body if k.startswith("urn:") and name.lower().startswith(k.lower())), "")
    if urn and name.lower() == urn.lower():
        return [urn]
    try:
        path = parse_path(name)
    except FilterError as error:
        raise refusal("validation_failed", f"{error}.", "invalidValue") from None
    at = body[urn] if urn else body
    found = next((k for k in at if k.lower() == path.name.lower()), path.name)
    return [*([urn] if urn else []), found, *([path.sub] if path.sub else [])]


def _copy(body: Mapping[str, Any], shown: dict[str, Any], name: str) -> None:
    at: Any = body
    steps = _steps(body, name)
    for step in steps[:-1]:
        at = member(at, step)
        if isinstance(at, list):
            rest = [{steps[-1]: v} for entry in at if (v := member(entry, steps[-1])) is not None]
            shown[step] = rest
            return
        shown = shown.setdefault(step, {}) if isinstance(at, dict) else shown
    value = member(at, steps[-1])
    if value is not None:
        shown[steps[-1]] = value


def _drop(shown: dict[str, Any], name: str) -> None:
    at: Any = shown
    steps = _steps(shown, name)
    for step in steps[:-1]:
        at = at.get(step) if isinstance(at, dict) else None
    if isinstance(at, dict) and steps[-1] not in ("id", "schemas"):
        at.pop(steps[-1], None)


def listed(resources: Sequence[Mapping[str, Any]], total: int, start: int, /) -> dict[str, Any]:
    """Return a list response."""
    body: dict[str, Any] = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": total}
    return body | {"startIndex": start, "itemsPerPage": len(resources), "Resources": list(resources)}
