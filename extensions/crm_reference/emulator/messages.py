"""What goes into the emulator and comes out: requests, responses and problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson


def counted(number: int, noun: str, /) -> str:
    """Return a number with its noun.

    >>> counted(1, "parameter"), counted(2, "parameter")
    ('1 parameter', '2 parameters')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def query_pairs(query: str, /) -> list[tuple[str, str]]:
    """Return a query string's pairs in their order. Bytes that are no UTF-8 become surrogates, which no operation takes."""
    return parse_qsl(query, keep_blank_values=True, errors="surrogateescape") if query else []


@dataclass(slots=True)
class Request:
    """A request as any transport hands it over.

    :param path: Percent-encoded path without the query, from ``/v1`` on.
    :param query: Decoded pairs in their order.
    :param headers: By lower-case name.
    :param address: The caller's network address, for limits that hold before a token is read.
    """

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    address: str = "127.0.0.1"


@dataclass(slots=True)
class Response:
    """An answer: status, headers by their usual spelling, and the body's bytes."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """Return the body as JSON data.

        :raises ValueError: If it isn't JSON.
        """
        return orjson.loads(self.body)


class Problem(Exception):
    """An answer that says what went wrong; any layer raises it, the engine renders it (RFC 9457).

    :param code: Error code; status and title come from the contract.
    :param detail: What went wrong this time and what to do.
    :param errors: Entries with ``pointer`` (or ``parameter`` and ``in``), ``code`` and ``detail``.
    :param headers: Headers that the answer carries beside the usual ones.
    :param commits: Whether what was written before it stays: wrong codes that are counted, for instance.
    :param members: Further members of the problem, ``merged_into`` for instance.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        /,
        errors: Sequence[Mapping[str, Any]] = (),
        *,
        headers: Mapping[str, str] | None = None,
        commits: bool = False,
        **members: Any,
    ) -> None:
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.commits = commits
        self.members = members
        super().__init__(f"{code}: {detail}")
