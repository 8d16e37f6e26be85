"""Loading: the corpus of 33 services from its cache, and how time grows from 100 to 2,000 operations."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from crm_reference.contract import load

sys.path.insert(0, str(Path(__file__).parent))
import corpus


def measure(root: Path) -> tuple[int, float, float]:
    """Return operations, milliseconds without a cache and best of five with it."""
    begin = time.perf_counter()
    contract = load(root)
    cold = (time.perf_counter() - begin) * 1000
    best = min(_timed(root) for _ in range(5))
    return len(contract.operations), cold, best


def _timed(root: Path) -> float:
    begin = time.perf_counter()
    load(root)
    return (time.perf_counter() - begin) * 1000


def main() -> None:
    """Print a row a size: operations, milliseconds cold and cached, and milliseconds a thousand operations."""
    print("operations  cold ms  cached ms  cached ms per thousand")
    with tempfile.TemporaryDirectory() as folder:
        for services in (3, 10, 33, 65):
            count, cold, cached = measure(corpus.write(Path(folder) / "corpus", services, record=False))
            print(f"{count:10d} {cold:8.0f} {cached:10.1f} {1000 * cached / count:10.1f}")


if __name__ == "__main__":
    main()
