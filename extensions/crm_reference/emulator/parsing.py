"""Parameters and bodies: from what came over the wire to typed, validated values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

import orjson

from crm_reference.contract import Operation, Parameter
from crm_reference.contract.validation import FieldError, Validators
from crm_reference.emulator.messages import Problem, Request, counted

_INTEGER = re.compile(r"-?\d{1,18}")
_NUMBER = re.compile(r"-?\d{1,18}(\.\d{1,18})?")

#: Where a member's name ends.
_MEMBERS = re.compile(rb'"\s*:')

_SURROGATES = re.compile("[\ud800-\udfff]")

#: Media type of forms.
FORM = "application/x-www-form-urlencoded"
#: Most fields of a form; no protocol has nearly as many.
_MAX_FIELDS = 200

#: Deepest nesting of a body; deeper ones cost stack and serve nobody.
MAX_DEPTH = 32


def parse_parameters(
    validators: Validators, operation: Operation, request: Request, path: Mapping[str, str], /
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return query parameters, and headers with cookies, typed, with defaults.

    :raises Problem: ``unknown_parameter`` or ``malformed_parameter`` (400); ``not_found`` where a path parameter can't be an ID.
    """
    sent: dict[str, list[str]] = {}
    for name, value in request.query:
        if not (_is_text(name) and _is_text(value)):
            shown = name.encode("utf-8", "replace").decode().replace("\0", "?")
            entry = {"parameter": shown[:120] or "?", "in": "query", "code": "invalid_format", "detail": "is not text in UTF-8"}
            raise Problem("malformed_parameter", "The query can't be read; see errors.", [entry])
        sent.setdefault(name, []).append(value)
    query: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    errors: list[dict[str, str]] = []
    for parameter in operation.parameters:
        if parameter.location == "path":
            given = _scalar(path.get(parameter.name, ""), parameter.schema.resolved().get("type"))
            if not validators.is_valid(parameter.schema, given):
                raise Problem("not_found", f"Nothing can have the {parameter.name} {path.get(parameter.name, '')[:80]}.")
            continue
        values = sent.pop(parameter.name, None) if parameter.location == "query" else _header(request, parameter)
        target = query if parameter.location == "query" else headers
        if not values:
            if parameter.required:
                errors.append(_entry(parameter, "required", f"{parameter.name} is required"))
            elif parameter.default is not None:
                target[parameter.name] = parameter.default
            continue
        value, complaint = _typed(validators, parameter, values)
        if complaint is not None:
            errors.append(_entry(parameter, *complaint))
        target[parameter.name] = value
    # Whoever follows OAuth must ignore parameters that it doesn't know (RFC 6749, section 3.1).
    if sent and operation.profile not in ("oauth", "oidc"):
        known = ", ".join(p.name for p in operation.parameters if p.location == "query") or "none"
        detail = f"this operation takes {known}"[:500]
        unknown = [{"parameter": name[:120] or "?", "in": "query", "code": "unknown_parameter", "detail": detail} for name in sent]
        raise Problem("unknown_parameter", f"{counted(len(unknown), 'query parameter')} can't be sent here; see errors.", unknown)
    if errors:
        raise Problem("malformed_parameter", f"{counted(len(errors), 'parameter')} can't be read; see errors.", errors)
    return query, headers


def _is_text(value: str) -> bool:
    """Tell whether a value is text: bytes that are no UTF-8 come as surrogates, and no database keeps a NUL."""
    return "\0" not in value and (value.isascii() or not _SURROGATES.search(value))


def _header(request: Request, parameter: Parameter) -> list[str] | None:
    """Return what a header, or a cookie, holds."""
    if parameter.location == "cookie":
        jar: SimpleCookie = SimpleCookie()
        with suppress(CookieError):
            jar.load(request.headers.get("cookie", ""))
        return [jar[parameter.name].value] if parameter.name in jar else None
    value = request.headers.get(parameter.name.lower())
    return None if value is None else [value]


def _entry(parameter: Parameter, code: str, detail: str) -> dict[str, str]:
    return {"parameter": parameter.name, "in": parameter.location, "code": code, "detail": detail}


def _typed(validators: Validators, parameter: Parameter, values: list[str]) -> tuple[Any, tuple[str, str] | None]:
    schema = parameter.schema.resolved()
    kind = schema.get("type")
    if kind == "array":
        parts = [part for value in values for part in value.split(",")]
        inner = schema.child("items").resolved().get("type") if "items" in schema else "string"
        value: Any = [_scalar(part, inner) for part in parts]
    elif len(values) > 1:
        return None, ("invalid_value", f"{parameter.name} stands more than once")
    else:
        value = _scalar(values[0], kind)
    found = validators.errors(parameter.schema, value)
    if not found:
        return value, None
    return value, (found[0].code, found[0].detail)


def _scalar(text: str, kind: Any) -> Any:
    """Return a parameter's text in its type; text that doesn't fit stays text, and the schema refuses it."""
    if kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "number" and _NUMBER.fullmatch(text):
        return float(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text


def parse_body(operation: Operation, request: Request, limit: int, /) -> Any:
    """Return the body as data; ``None`` where the operation takes none or an optional one was left out.

    :param limit: Most bytes that the policy class allows; 0 where the class has no bodies.
    :raises Problem: 415, 413 or ``malformed_json`` (400), in this order.
    """
    if operation.body is None:
        return None
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if request.body and media not in operation.body.media:
        raise Problem("unsupported_media_type", "Send the body as " + " or ".join(operation.body.media) + ".")
    if limit and len(request.body) > limit:
        raise Problem("content_too_large", f"The body has {len(request.body)} bytes; {limit} are allowed here.")
    if not request.body:
        if operation.body.required:
            raise Problem("malformed_json", "The body is missing; this operation needs one.")
        return None
    if media == FORM:
        return _form(operation, request.body)
    if not media.endswith("json"):
        return request.body
    return _json(request.body)


def _form(operation: Operation, body: bytes) -> dict[str, Any]:
    """Return a form's fields, typed by their schemas. A field that comes twice is refused unless it is a list (RFC 6749, 3.1).

    :raises Problem: ``malformed_parameter`` (400).
    """
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise Problem("malformed_parameter", "The form can't be read: it is not text in UTF-8, percent-encoded.") from None
    properties = operation.body.media[FORM].resolved().child("properties") if operation.body else None
    found: dict[str, Any] = {}
    for name, value in pairs:
        known = properties.child(name).resolved() if properties is not None and name in properties else None
        kind = known.get("type") if known is not None else "string"
        if kind == "array":
            found.setdefault(name, []).append(value)
        elif name in found:
            raise Problem("malformed_parameter", f"{name[:60]} stands more than once.")
        else:
            found[name] = _scalar(value, kind)
    return found


def _json(body: bytes) -> Any:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # The message names the position only: the body may hold secrets.
        raise Problem("malformed_json", f"The body is not JSON: line {error.lineno}, column {error.colno}.") from None
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _too_deep(data):
        raise Problem("malformed_json", f"The body is nested deeper than {MAX_DEPTH} levels.")
    if b"}" in body and _has_duplicate_keys(body, data):
        raise Problem("malformed_json", "The body has a key twice in one object.")
    return data


def _has_duplicate_keys(body: bytes, data: Any) -> bool:
    """Tell whether an object has a key twice, which orjson lets pass (RFC 8259, section 4, advises against it).

    Counting quotes followed by a colon against the members that were parsed is as good and twenty times as fast as a second
    parse; only where the counts differ, which text with a quote and colon can cause, is the body parsed again.
    """
    parsed = 0
    stack: list[Any] = [data]
    while stack:
        value = stack.pop()
        if type(value) is dict:
            parsed += len(value)
            stack.extend(value.values())
        elif type(value) is list:
            stack.extend(value)
    if len(_MEMBERS.findall(body)) == parsed:
        return False
    try:
        json.loads(body, object_pairs_hook=_refuse_duplicates)
    except _DuplicateKey:
        return True
    return False


class _DuplicateKey(ValueError):
    pass


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _DuplicateKey
    return found


def _too_deep(data: Any) -> bool:
    level = [data]
    for _ in range(MAX_DEPTH):
        following: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                following.extend(v for v in value.values() if isinstance(v, dict | list))
            elif isinstance(value, list):
                following.extend(v for v in value if isinstance(v, dict | list))
        if not following:
            return False
        level = following
    return True


def validate_body(
    validators: Validators, operation: Operation, request: Request, data: Any, /, *, by_item: bool = False
) -> Mapping[int, Problem]:
    """Check a body against its schema.

    :param by_item: Whether each item of a batch is judged by itself, where the rest is valid and it isn't ``atomic``.
    :return: Problems of items by their index, whose pointers lead into the item; empty where all are valid.
    :raises Problem: ``validation_failed`` (422) with an entry for each breach.
    """
    if operation.body is None or isinstance(data, bytes) or (data is None and not request.body):
        return {}
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    found = validators.errors(operation.body.media[media], data)
    if not found:
        return {}
    if by_item and data and isinstance(data, dict) and not data.get("atomic"):
        items = _by_item(found)
        if items:
            return {index: _invalid(errors) for index, errors in items.items()}
    raise _invalid(found)


def _by_item(found: list[FieldError]) -> dict[int, list[FieldError]]:
    """Return the errors of each item; nothing where one concerns the whole."""
    items: dict[int, list[FieldError]] = {}
    for error in found:
        place = _ITEM.match(error.pointer)
        if place is None:
            return {}
        inside = FieldError(error.pointer[place.end() :], error.code, error.detail)
        items.setdefault(int(place[1]), []).append(inside)
    return items


def _invalid(found: list[FieldError]) -> Problem:
    entries = [_read_only(e).as_dict() for e in found[:100]]
    noun = "field is" if len(found) == 1 else "fields are"
    return Problem("validation_failed", f"{len(found)} {noun} not valid; see errors.", entries)


#: Where a batch's item begins in a pointer.
_ITEM = re.compile(r"/(?:items|ids)/(\d+)(?=/|$)")


#: Members that the platform sets on every record: a client that sends one is told so rather than that it is unknown.
_PLATFORM = {"id", "object", "created_at", "updated_at", "created_by", "updated_by", "version", "deleted_at"}


def _read_only(error: FieldError) -> FieldError:
    name = _ITEM.sub("", error.pointer, count=1).removeprefix("/")
    if error.code == "unknown_field" and name.removeprefix("changes/").removeprefix("record/") in _PLATFORM:
        return FieldError(error.pointer, "read_only", "is set by the platform and can't be sent")
    return error
