"""Ways through the contract that pages take often, computed once a build: who raises a code, whose exchange is this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from crm_reference.contract import Contract, Exchange, Operation


def raises(exchange: Exchange) -> set[str]:
    """Return the error codes that an exchange's answer carries, as recorded or else as its author expects."""
    found = {str(v) for k, v in exchange.expect.items() if k.startswith("#") and k.rpartition("/")[2] == "code"}
    body = exchange.recorded.body if exchange.recorded else None
    if isinstance(body, dict):
        found.add(str(body.get("code", "")))
        found |= {str(e.get("code", "")) for e in body.get("errors") or () if isinstance(e, dict)}
    return found - {""}


@dataclass(frozen=True)
class Lookups:
    """Indexes over a contract."""

    contract: Contract

    @cached_property
    def _by_operation(self) -> Mapping[str, Sequence[Exchange]]:
        found: dict[str, list[Exchange]] = {}
        for service in self.contract.services.values():
            for exchange in service.exchanges.values():
                found.setdefault(exchange.operation, []).append(exchange)
        return found

    @cached_property
    def _by_code(self) -> Mapping[str, Sequence[Exchange]]:
        found: dict[str, list[Exchange]] = {}
        for service in self.contract.services.values():
            for exchange in service.exchanges.values():
                for code in raises(exchange):
                    found.setdefault(code, []).append(exchange)
        return found

    @cached_property
    def _answering(self) -> Mapping[str, Sequence[Operation]]:
        found: dict[str, list[Operation]] = {}
        for operation in self.contract.operations.values():
            for code in operation.errors:
                found.setdefault(code, []).append(operation)
        return found

    def exchanges_of(self, operation: str) -> Sequence[Exchange]:
        """Return the exchanges of an operation, in the order of their file."""
        return self._by_operation.get(operation, ())

    def raising(self, code: str, service: str = "") -> Sequence[Exchange]:
        """Return the exchanges whose answer carries a code; those of one service if it is named."""
        found = self._by_code.get(code, ())
        return [e for e in found if e.service == service] if service else found

    def answering(self, code: str) -> Sequence[Operation]:
        """Return the operations that list a code of their own."""
        return self._answering.get(code, ())
