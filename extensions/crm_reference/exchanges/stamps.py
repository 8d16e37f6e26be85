"""Hashes of what an example depends on, by which a run knows that nothing has changed.

An example depends on its own text, the code of this package, the common documents, the whole world, and the documents of the
services that it hit, of those that they call, and of those that hear their events. Which services it hit is known from its last
run: while none of their documents changes, it hits the same ones again.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

import crm_reference
from crm_reference.contract import Contract, Exchange, Vectors

_PACKAGES = ("contract", "emulator", "exchanges")


class Stamps:
    """Hashes of examples of one contract."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._services: dict[str, str] = {}
        self._near: dict[str, frozenset[str]] = {}

    def exchange(self, exchange: Exchange, hit: Iterable[str], /) -> str:
        """Return the hash of an exchange, given the operations that it hit."""
        chain = sorted(self._chain(exchange))
        services = {self._contract.exchanges[name].service for name in chain if name in self._contract.exchanges}
        # The doctest's text follows from the exchange, which its service's documents hold, its recording, and this code.
        return self._hash([exchange.id, chain, exchange.recorded], services | {exchange.service}, hit)

    def page(self, name: str, blocks: Any, hit: Iterable[str], /) -> str:
        """Return the hash of a page's narrative, given the operations that it hit."""
        folders = name.split("/")
        own = {folders[1]} if len(folders) > 1 and folders[0] == "services" else set()
        return self._hash(blocks, own & set(self._contract.services), hit)

    def vectors(self, vectors: Vectors, /) -> str:
        """Return the hash of a file of vectors."""
        return self._hash([vectors.node.value], {vectors.service}, ())

    def _hash(self, text: Any, services: Iterable[str], hit: Iterable[str]) -> str:
        operations = self._contract.operations
        every = set(services) | {operations[name].service for name in hit if name in operations}
        near = sorted({other for slug in every for other in self._neighbours(slug)})
        parts = [self._base, text, [self._service(slug) for slug in near]]
        return hashlib.sha256(orjson.dumps(parts)).hexdigest()

    def _chain(self, exchange: Exchange) -> Iterator[str]:
        """Yield the IDs of all exchanges in ``given``, down to the last, each once."""
        seen: set[str] = set()
        waiting = [exchange.given]
        while waiting:
            for step in waiting.pop():
                if isinstance(step, str) and step not in seen:
                    seen.add(step)
                    yield step
                    before = self._contract.exchanges.get(step)
                    if before is not None:
                        waiting.append(before.given)

    def _neighbours(self, slug: str) -> frozenset[str]:
        if slug not in self._near:
            services = self._contract.services
            manifest = services[slug].manifest
            near = {slug, *(call.service for call in manifest.calls), *(h.service for h in manifest.hears)}
            near |= {s.slug for s in services.values() if any(h.service == slug for h in s.manifest.hears)}
            self._near[slug] = frozenset(near & set(services))
        return self._near[slug]

    def _service(self, slug: str) -> str:
        if slug not in self._services:
            self._services[slug] = self._digests(f"source_specs/{slug}/*.yaml", f"examples/{slug}.yaml", f"examples/{slug}/*.yaml")
        return self._services[slug]

    @cached_property
    def _base(self) -> str:
        shared = self._digests("source_specs/common/*.yaml", "examples/world/*.yaml")
        return hashlib.sha256(f"{shared} {code_digest()} {sys.version}".encode()).hexdigest()

    def _digests(self, *patterns: str) -> str:
        library = self._contract.library
        found = hashlib.sha256()
        for pattern in patterns:
            for document in library.glob(pattern):
                found.update(f"{document.name} {document.digest}\n".encode())
        return found.hexdigest()


def code_digest() -> str:
    """Return a hash of the code that examples run on: contract, emulator and exchanges."""
    root = Path(crm_reference.__file__).parent
    found = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                found.update(f"{path.relative_to(root).as_posix()}\n".encode())
                found.update(path.read_bytes())
    return found.hexdigest()
