"""Compatibility: what the last release's examples showed still happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from crm_reference.conformance.laws.lab import Broken, Lab, finds
from crm_reference.contract import Contract, ContractError, Exchange, Service
from crm_reference.exchanges.replay import Replayer, compare
from crm_reference.trace.baseline import exchanges_of, read_baselines


@finds("baseline-exchange")
def baseline_exchange(lab: Lab) -> Iterator[tuple[str, Callable[[], None]]]:
    """Each exchange of the committed baseline still gets what its author expected."""
    for slug, baseline in read_baselines(lab.contract.library.root).items():
        service = lab.contract.services.get(slug)
        if service is None:
            continue
        former = _with(lab.contract, service, exchanges_of(service, baseline))
        replayer = Replayer(former, lab.engine)
        for exchange in former.services[slug].exchanges.values():
            yield exchange.id, _check(lab, replayer, exchange)


def _with(contract: Contract, service: Service, exchanges: dict[str, Exchange]) -> Contract:
    return replace(contract, services={**contract.services, service.slug: replace(service, exchanges=exchanges)})


def _check(lab: Lab, replayer: Replayer, exchange: Exchange) -> Callable[[], None]:
    def check() -> None:
        lab.engine.clock.paused = False
        try:
            findings = compare(replayer.run(exchange), replayer.expected(exchange))
        except ContractError as error:
            raise Broken(error.findings[0].message) from error
        if findings:
            raise Broken(findings[0].message)

    return check
