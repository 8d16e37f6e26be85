"""The documented exchanges, sent to a live implementation.

Each exchange runs as a reader sees it: what stands in ``given`` first, then its request, with documented IDs, cursors and ETags
replaced by those that the implementation gave. The implementation begins with the records of ``examples/world`` and is put back to
them between exchanges by ``POST {base}/_emulator/reset``, which an implementation may offer for tests; without it, they run one
after another on the same records, and those that collide say so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from crm_reference.contract import Contract, Exchange, Finding
from crm_reference.contract.examples import DEFAULT_PRINCIPAL
from crm_reference.exchanges.compose import NOBODY, SHOWN_TOKEN, content_of, parsed
from crm_reference.exchanges.live import Bindings, LiveAnswer, compare_live
from crm_reference.exchanges.record import select
from crm_reference.exchanges.replay import seconds

#: Seconds after which an implementation that doesn't answer counts as failing.
TIMEOUT = 30


@dataclass(slots=True)
class _Runner:
    contract: Contract
    base: str
    token: str
    session: requests.Session = field(default_factory=requests.Session)
    _tokens: dict[str, str] = field(default_factory=dict)

    def run(self, exchange: Exchange) -> Iterator[Finding]:
        """Run one exchange from a fresh start and yield its differences."""
        if exchange.recorded is None:
            yield Finding(exchange.place, "conform.unrecorded", f"{exchange.id} has no recorded answer; run `crm-reference record`")
            return
        self._control("reset")
        bindings = Bindings()
        done: set[str] = set()
        try:
            yield from self._given(exchange, bindings, done)
            for line in self._send(exchange, bindings):
                yield Finding(exchange.place, "conform.difference", f"{exchange.id}: {line}")
        except _Impossible as reason:
            yield Finding(exchange.place, "conform.impossible", f"{exchange.id} can't be run here: {reason}")

    def _given(self, exchange: Exchange, bindings: Bindings, done: set[str]) -> Iterator[Finding]:
        for step in exchange.given:
            if isinstance(step, str):
                before = self.contract.exchanges[step]
                if step not in done:
                    done.add(step)
                    yield from self._given(before, bindings, done)
                    for line in self._send(before, bindings):
                        yield Finding(exchange.place, "conform.given", f"{exchange.id} builds on {step}: {line}")
            elif "advance" in step:
                self._needed("clock/advance", seconds=seconds(str(step["advance"]), exchange))
            elif "deliver" in step:
                self._needed("events", **step["deliver"])
            else:
                self._needed("faults", **step["fault"])

    def _send(self, exchange: Exchange, bindings: Bindings) -> list[str]:
        recorded = exchange.recorded
        if recorded is None:
            raise _Impossible(f"{exchange.id} has no recorded answer")
        headers = {k: bindings.live(v) for k, v in recorded.request_headers.items()}
        if headers.get("Authorization") == SHOWN_TOKEN:
            headers["Authorization"] = f"Bearer {self._token_of(exchange.principal)}"
        media = next((v for n, v in headers.items() if n.lower() == "content-type"), "")
        body = _live(recorded.request_body, bindings)
        answer = self.session.request(
            recorded.method,
            self.base.rstrip("/") + bindings.live_url(recorded.url),
            headers=headers,
            data=content_of(body, media) if exchange.request.has_body else None,
            timeout=TIMEOUT,
            allow_redirects=False,
        )
        found = parsed(answer.content, answer.headers.get("Content-Type", ""))
        return compare_live(recorded, LiveAnswer(answer.status_code, answer.headers, found), bindings)

    def _token_of(self, principal: str) -> str:
        if principal not in self._tokens:
            if principal == DEFAULT_PRINCIPAL and self.token:
                self._tokens[principal] = self.token
            else:
                answer = self.session.get(f"{self.base}/_emulator/token", params={"principal": principal}, timeout=TIMEOUT)
                if answer.status_code != 200:
                    raise _Impossible(f"it is called as {principal}, and {self.base}/_emulator/token gives no token for that")
                self._tokens[principal] = answer.json()["access_token"]
        return self._tokens[principal]

    def _control(self, action: str, **values: Any) -> bool:
        answer = self.session.post(f"{self.base}/_emulator/{action}", json=values, timeout=TIMEOUT)
        return answer.status_code == 200

    def _needed(self, action: str, **values: Any) -> None:
        if not self._control(action, **values):
            raise _Impossible(f"it needs {self.base}/_emulator/{action}, which the implementation doesn't offer")


class _Impossible(Exception):
    """An exchange needs something that the implementation doesn't offer."""


def run(contract: Contract, /, *, base: str, token: str = "", only: Collection[str] = ()) -> Iterator[Finding]:
    """Send the documented exchanges to an implementation and yield what differs.

    :param base: Base URL without ``/v1``.
    :param token: Access token of the default caller; other callers' tokens come from ``{base}/_emulator/token``.
    :param only: Services, operations or exchanges; all of them where empty.
    :raises ConnectionError: If nothing answers at the base URL.
    """
    runner = _Runner(contract, base, token)
    try:
        for exchange in select(contract, only).values():
            if exchange.scripted is None and exchange.principal in (NOBODY, *contract.principals):
                yield from runner.run(exchange)
    except requests.ConnectionError as error:
        raise ConnectionError(f"nothing answers at {base}; start the service, or correct --base") from error


def _live(value: Any, bindings: Bindings) -> Any:
    if isinstance(value, str):
        return bindings.live(value)
    if isinstance(value, dict):
        return {k: _live(v, bindings) for k, v in value.items()}
    return [_live(v, bindings) for v in value] if isinstance(value, list) else value
