"""Recorded answers compared with those of a live service.

A live service gives its own IDs, times, entity tags, cursors and request IDs. Each documented value is bound to exactly one
live value and each live value to exactly one documented one, for as long as the exchanges share a world: a one-way binding
would let a service answer with the same record for two. Times, request IDs and limits differ from call to call and are compared
by their form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from crm_reference.contract import Recorded
from crm_reference.contract.yaml_source import escape
from crm_reference.exchanges.pointers import ABSENT, short

#: Forms of values that a service makes, and whether a documented one must stand for one live value only.
_KINDS = {
    "request": (r"\breq_[0-9A-HJKMNP-TV-Z]{26}\b", False),
    "id": (r"\b[a-z]{2,8}_[0-7][0-9A-HJKMNP-TV-Z]{25}\b", True),
    "time": (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", False),
}
_MADE = re.compile("|".join(f"(?P<{name}>{pattern})" for name, (pattern, _) in _KINDS.items()))
#: Members and headers whose whole value is the service's own, by name.
_OPAQUE = {"next_cursor": "cursor", "cursor": "cursor", "etag": "etag", "if-match": "etag", "link": "link"}
#: Headers whose presence is all that is promised.
_VOLATILE = {
    "ratelimit",
    "date",
    "content-length",
    "x-request-id",
    "server",
    "connection",
    "content-digest",
    "retry-after",
}


@dataclass(slots=True)
class Bindings:
    """Which live value stands for which documented one, both ways, by kind."""

    _forward: dict[tuple[str, str], str] = field(default_factory=dict)
    _back: dict[tuple[str, str], str] = field(default_factory=dict)

    def same(self, kind: str, documented: str, live: str, /) -> bool:
        """Bind two values, or tell whether they are bound to each other already."""
        forward = self._forward.setdefault((kind, documented), live)
        back = self._back.setdefault((kind, live), documented)
        return forward == live and back == documented

    def live(self, text: str, /) -> str:
        """Return a documented text, a URL for instance, with what is bound replaced."""
        for kind in ("cursor", "etag"):
            if (kind, text) in self._forward:
                return self._forward[kind, text]
        return _MADE.sub(lambda match: self._forward.get((match.lastgroup or "", match[0]), match[0]), text)

    def live_url(self, url: str, /) -> str:
        """Return a documented URL with what is bound replaced: IDs wherever they stand, cursors as whole query values."""
        path, mark, query = self.live(url).partition("?")
        pairs = [part.partition("=") for part in query.split("&")] if query else []
        return path + mark + "&".join(f"{name}{equals}{quote(self.live(unquote(value)))}" for name, equals, value in pairs)


@dataclass(frozen=True, slots=True)
class LiveAnswer:
    """What a live service answered. Header names are compared without regard to case."""

    status: int
    headers: Mapping[str, str]
    body: Any


def compare_live(recorded: Recorded, live: LiveAnswer, bindings: Bindings, /) -> list[str]:
    """Compare a recorded answer with a live one and bind what the service made.

    Members and headers that a live service adds are no difference: read schemas are open.

    :return: A line for each difference, with its pointer; empty where there is none.
    """
    if recorded.status != live.status:
        return [f"#/status: documented {recorded.status}, answered {live.status}: {short(live.body)}"]
    found: list[str] = []
    headers = {name.lower(): value for name, value in live.headers.items()}
    for name, value in recorded.headers.items():
        if name.lower() not in headers:
            found.append(f"header {name}: documented {short(value)}, and it is absent")
        elif name.lower() not in _VOLATILE:
            found += _unlike(value, headers[name.lower()], f"header {name}", name.lower(), bindings)
    found += _unlike(recorded.body, live.body, "#", "", bindings)
    return found


def _unlike(documented: Any, live: Any, pointer: str, name: str, bindings: Bindings) -> list[str]:
    if isinstance(documented, dict) and isinstance(live, dict):
        found: list[str] = []
        for key, value in documented.items():
            found += _unlike(value, live.get(key, ABSENT), f"{pointer}/{escape(key)}", key, bindings)
        return found
    if isinstance(documented, list) and isinstance(live, list):
        if len(documented) != len(live):
            return [f"{pointer}: documented {len(documented)} entries, answered {len(live)}"]
        pairs = enumerate(zip(documented, live, strict=True))
        return [line for index, (a, b) in pairs for line in _unlike(a, b, f"{pointer}/{index}", name, bindings)]
    if isinstance(documented, str) and isinstance(live, str) and _same_text(documented, live, name, bindings):
        return []
    if type(documented) is type(live) and documented == live:
        return []
    return [f"{pointer}: documented {short(documented)}, answered {short(live)}"]


def _same_text(documented: str, live: str, name: str, bindings: Bindings) -> bool:
    kind = _OPAQUE.get(name)
    if kind is not None:
        return bindings.same(kind, documented, live)
    wanted, found = list(_MADE.finditer(documented)), list(_MADE.finditer(live))
    if not wanted or [m.lastgroup for m in wanted] != [m.lastgroup for m in found]:
        return documented == live
    if _MADE.sub("§", documented) != _MADE.sub("§", live):
        return False
    pairs = zip(wanted, found, strict=True)
    # Every pair is bound, also after a difference, so that one wrong ID is reported once.
    verdicts = [_bound(a, b, bindings) for a, b in pairs]
    return all(verdicts)


def _bound(documented: re.Match[str], live: re.Match[str], bindings: Bindings) -> bool:
    kind = documented.lastgroup or ""
    if not _KINDS[kind][1]:
        return True
    prefix = documented[0].partition("_")[0]
    return live[0].startswith(prefix + "_") and bindings.same(kind, documented[0], live[0])
