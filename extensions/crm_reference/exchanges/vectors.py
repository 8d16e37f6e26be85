"""Vectors: the emulator computes every case to the letter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from crm_reference.contract import Contract, Finding, Place, Vectors
from crm_reference.emulator import Engine
from crm_reference.exchanges.pointers import contrast, difference


@dataclass(frozen=True, slots=True)
class VectorResult:
    """One case and what came of it.

    :param id: ``slug/file/case``.
    :param finding: What differs; ``None`` where the output is as written.
    """

    id: str
    service: str
    place: Place
    case: Mapping[str, Any]
    finding: Finding | None


def run_vectors(contract: Contract, engine: Engine, /) -> Iterator[VectorResult]:
    """Run every case of every service, each on a fresh world."""
    for service in contract.services.values():
        for vectors in service.vectors:
            yield from run_file(engine, vectors)


def run_file(engine: Engine, vectors: Vectors, /) -> Iterator[VectorResult]:
    """Run the cases of one file, each on a fresh world."""
    for node, case in zip(vectors.node.entries("cases"), vectors.cases, strict=True):
        name = f"{vectors.service}/{vectors.name}/{case.get('name', '')}"
        finding = _finding(engine, vectors, case, node.place)
        yield VectorResult(name, vectors.service, node.place, case, finding)


def check_vectors(contract: Contract, engine: Engine, /) -> list[Finding]:
    """Return a finding for each case whose output differs."""
    return [result.finding for result in run_vectors(contract, engine) if result.finding is not None]


def _finding(engine: Engine, vectors: Vectors, case: Mapping[str, Any], place: Place) -> Finding | None:
    where = f"{vectors.computation}, case {case.get('name', '')}"
    engine.reset()
    try:
        output = engine.vector(vectors.service, vectors.computation, case.get("input"))
    except Exception as error:  # whatever a computation raises, its author needs the case's place
        message = f"{where}: the computation fails with {type(error).__name__}: {error}"
        return Finding(place, "vector.error", message)
    unlike = difference(case.get("output"), orjson.loads(orjson.dumps(output)))
    if unlike is None:
        return None
    wanted, found = contrast(*unlike[1:])
    message = f"{where}: {unlike[0]} is written as {wanted}, and the emulator computes {found}"
    return Finding(place, "vector.output", message)
