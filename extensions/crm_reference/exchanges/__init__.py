"""Exchanges: requests that authors write, run against the emulator, recorded, compared, and shown as code.

:mod:`.replay` runs one on a fresh world, :mod:`.record` writes and checks recorded answers, :mod:`.samples` shows the request
in three languages, :mod:`.doctests` executes what pages show, :mod:`.vectors` runs computations, and :mod:`.live` compares with
a service that isn't the emulator.
"""

from crm_reference.exchanges.compose import Sent
from crm_reference.exchanges.errors import ExchangeError
from crm_reference.exchanges.live import Bindings, LiveAnswer, compare_live
from crm_reference.exchanges.record import Recording, check, record, select
from crm_reference.exchanges.replay import Answer, Replayer, compare
from crm_reference.exchanges.samples import START, Doctest, doctest_of, samples
from crm_reference.exchanges.vectors import VectorResult, check_vectors, run_vectors

__all__ = [
    "START",
    "Answer",
    "Bindings",
    "Doctest",
    "ExchangeError",
    "LiveAnswer",
    "Recording",
    "Replayer",
    "Sent",
    "VectorResult",
    "check",
    "check_vectors",
    "compare",
    "compare_live",
    "doctest_of",
    "record",
    "run_vectors",
    "samples",
    "select",
]
