"""From what an author wrote to a request that can be sent.

References take values from answers that came before: ``${createBerth/quay#/id}`` one of the body, ``${createBerth/quay@ETag}``
a header. A string that is one reference and nothing else keeps the value's type; inside a longer string the value is written as
text, numbers and booleans as JSON writes them.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote, urlencode

import orjson

from crm_reference.contract import Exchange, Operation, Parameter
from crm_reference.contract.documents import Node
from crm_reference.contract.examples import NOBODY as NOBODY
from crm_reference.exchanges.errors import ExchangeError
from crm_reference.exchanges.pointers import ABSENT, find, in_query

#: What a recorded request shows in place of the caller's token: the shell variable that every sample reads.
SHOWN_TOKEN = "Bearer $CRM_TOKEN"

_REFERENCE = re.compile(r"\$\{(?P<exchange>[a-z]\w*/[a-z0-9][a-z0-9-]*)(?P<mark>[#@])(?P<what>[^}]*)\}")
_PREFERRED_MEDIA = ("application/merge-patch+json", "application/json")
_FORM = "application/x-www-form-urlencoded"

#: Returns the body and the headers of the answer of an exchange that ran before; raises ``KeyError`` where none did.
Lookup = Callable[[str], tuple[Any, Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as it was sent.

    :param url: Percent-encoded path and query, from ``/v1`` on.
    :param headers: By usual spelling; Authorization is there where a token was sent.
    :param content: The body's bytes.
    :param body: The same as JSON data, or as text where it isn't JSON; ``None`` where there is none.
    :param principal: Name of the caller whose token Authorization holds; empty where the author wrote the header, or there is none.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    content: bytes = b""
    body: Any = None
    principal: str = ""

    def shown_headers(self) -> dict[str, str]:
        """Return the headers as the reference shows them: the caller's token is ``$CRM_TOKEN``."""
        return {n: SHOWN_TOKEN if n == "Authorization" and self.principal else v for n, v in self.headers.items()}


@dataclass(slots=True)
class Composer:
    """Makes requests of exchanges.

    :param token: Returns the access token of a principal.
    :param lookup: Finds answers that came before.
    """

    token: Callable[[str], str]
    lookup: Lookup
    _explodes: dict[tuple[str, str], bool] = field(default_factory=dict)

    def compose(self, exchange: Exchange, operation: Operation, /) -> Sent:
        """Return the request of an exchange.

        :raises ExchangeError: If a path parameter is missing or unknown, or a reference finds nothing.
        """
        written = exchange.request
        url = self._path(exchange, operation)
        query = urlencode(list(self._pairs(exchange, operation)), quote_via=quote)
        headers: dict[str, str] = {}
        principal = ""
        own = {n: _text(self.fill(exchange, v)) for n, v in written.headers.items() if v is not None}
        named = {name.lower() for name in written.headers}
        if exchange.principal != NOBODY and not operation.public and "authorization" not in named:
            headers["Authorization"] = f"Bearer {self.token(exchange.principal)}"
            principal = exchange.principal
        body = self.fill(exchange, written.body) if written.has_body and written.raw is None else None
        media = written.content_type or media_type(operation)
        if written.has_body and "content-type" not in named:
            headers["Content-Type"] = media
        headers.update(own)
        if not written.has_body:
            content = b""
        elif written.raw is not None:
            body = _text(self.fill(exchange, written.raw))
            content = body.encode()
            body = parsed(content, media)
        elif media.partition(";")[0] == _FORM:
            content = urlencode(list(_flat(body)), quote_via=quote).encode()
        else:
            content = orjson.dumps(body)
            body = parsed(content, media)
        return Sent(operation.method, f"{url}?{query}" if query else url, headers, content, body, principal)

    def fill(self, exchange: Exchange, value: Any, /) -> Any:
        """Return a value with its references replaced.

        :raises ExchangeError: If a reference names an exchange that didn't run before, or leads nowhere in its answer.
        """
        if isinstance(value, dict):
            return {k: self.fill(exchange, v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.fill(exchange, v) for v in value]
        if not isinstance(value, str) or "${" not in value:
            return value
        whole = _REFERENCE.fullmatch(value)
        if whole:
            return self._referred(exchange, whole)
        return _REFERENCE.sub(lambda match: _text(self._referred(exchange, match)), value)

    def _referred(self, exchange: Exchange, match: re.Match[str]) -> Any:
        try:
            body, headers = self.lookup(match["exchange"])
        except KeyError:
            message = f"{exchange.id} refers to {match[0]}, which didn't run before it; name {match['exchange']} in its given"
            raise ExchangeError(exchange.place, "exchange.reference", message) from None
        place, question, parameter = match["what"].partition("?")
        if match["mark"] == "#":
            value = find(body, place)
        else:
            value = next((v for n, v in headers.items() if n.lower() == place.lower()), ABSENT)
        if question:  # one parameter of a URL's query
            value = in_query(value, parameter)
        if value is ABSENT:
            message = (
                f"{exchange.id} refers to {match[0]}, and that answer has no such {'member' if match['mark'] == '#' else 'header'}"
            )
            raise ExchangeError(exchange.place, "exchange.reference", message)
        return value

    def _path(self, exchange: Exchange, operation: Operation) -> str:
        given = dict(exchange.request.path)

        def value(match: re.Match[str]) -> str:
            try:
                return quote(_text(self.fill(exchange, given.pop(match[1]))), safe="")
            except KeyError:
                message = (
                    f"{exchange.id} has no value for the path parameter {match[1]} of {operation.path}; add it to request.path"
                )
                raise ExchangeError(exchange.place, "exchange.path", message) from None

        path = re.sub(r"\{([^}]+)\}", value, operation.url_path)
        if given:
            message = f"{exchange.id} gives the path parameter {', '.join(given)}, and {operation.path} has none of that name"
            raise ExchangeError(exchange.place, "exchange.path", message)
        return path

    def _pairs(self, exchange: Exchange, operation: Operation) -> Iterator[tuple[str, str]]:
        for name, written in exchange.request.query.items():
            value = self.fill(exchange, written)
            if isinstance(value, list):
                parameter = operation.parameter(name, "query")
                if parameter is None or explodes(parameter):
                    yield from ((name, _text(entry)) for entry in value)
                else:
                    yield name, ",".join(map(_text, value))
            elif isinstance(value, dict):
                yield from ((f"{name}[{key}]", _text(entry)) for key, entry in value.items())
            else:
                yield name, _text(value)


def media_type(operation: Operation, /) -> str:
    """Return the media type in which an operation's body is sent unless the author says otherwise."""
    offered = tuple(operation.body.media) if operation.body else ()
    for media in _PREFERRED_MEDIA:
        if media in offered:
            return media
    return next((m for m in offered if is_json(m)), offered[0] if offered else "application/json")


def explodes(parameter: Parameter, /) -> bool:
    """Tell whether a list is sent as one pair an entry.

    That is OpenAPI's default for query parameters (3.1, 4.8.12.2.2).
    """
    node = parameter.schema
    holder: Any = node.document.data
    for part in node.pointer.split("/")[1:-1]:
        key = part.replace("~1", "/").replace("~0", "~")
        holder = holder[int(key)] if isinstance(holder, list) else holder[key]
    return bool(Node(node.document, "", holder).get("explode", True))


def is_json(media: str, /) -> bool:
    """Tell whether a media type is JSON: ``application/json`` or any ``+json``."""
    essence = media.partition(";")[0].strip().lower()
    return essence == "application/json" or essence.endswith("+json")


def parsed(content: bytes, media: str, /) -> Any:
    """Return a body as it is recorded: JSON data, text, or a ``data:`` URL where it is neither.

    :return: ``None`` where there is no content.
    """
    if not content:
        return None
    if is_json(media):
        with suppress(orjson.JSONDecodeError):
            data = orjson.loads(content)
            # A JSON string keeps its quotes, so that what is text here is always the bytes that were sent.
            return content.decode() if isinstance(data, str) else data
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"data:{media};base64,{base64.b64encode(content).decode()}"


def content_of(body: Any, media: str, /) -> bytes:
    """Return the bytes of a recorded body: the reverse of :func:`parsed`."""
    if body is None:
        return b""
    if media.partition(";")[0] == _FORM and isinstance(body, dict):
        return urlencode(list(_flat(body)), quote_via=quote).encode()
    if isinstance(body, str):
        prefix = f"data:{media};base64,"
        return base64.b64decode(body.removeprefix(prefix)) if body.startswith(prefix) else body.encode()
    return orjson.dumps(body)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _flat(body: Any) -> Iterator[tuple[str, str]]:
    for name, value in body.items() if isinstance(body, dict) else ():
        for entry in value if isinstance(value, list) else [value]:
            yield name, _text(entry)


def path_of(url: str, /) -> tuple[str, list[tuple[str, str]]]:
    """Return the encoded path and the decoded query pairs of a URL from ``/v1`` on."""
    path, _, query = url.partition("?")
    pairs = [part.partition("=") for part in query.split("&")] if query else []
    return path, [(unquote(name), unquote(value)) for name, _, value in pairs]
