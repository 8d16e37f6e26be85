"""Every hostile request of ``examples/hostile``, over HTTP, against the real contract's emulator."""

from __future__ import annotations

import resource
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from crm_reference.conformance.hostile import Siege
from crm_reference.contract import load
from crm_reference.emulator import Engine
from crm_reference.emulator.server import served

CONTRACT = load(Path(__file__).resolve().parents[2])
ATTACKS = {a.id: a for g in CONTRACT.hostile for a in g.attacks}


@pytest.fixture(scope="module")
def siege():
    engine = Engine(CONTRACT)
    with served(engine) as base:
        url = urlsplit(base)
        yield Siege(CONTRACT, engine, (url.hostname, url.port))
    engine.close()


def test_there_are_a_hundred_at_least():
    assert len(ATTACKS) >= 100


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_request_is_refused_as_documented(siege, attack):
    assert siege.run(ATTACKS[attack]).complaints == ()


def test_memory_stays_bounded(siege):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for attack in ATTACKS.values():
        if attack.content:
            siege.run(attack)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


@pytest.mark.parametrize("attack", ["unsigned-none", "foreign-id-in-path", "key-twice", "dots"])
def test_an_answer_that_is_not_the_documented_one_is_found(siege, attack):
    wrong = replace(ATTACKS[attack], statuses=(200,), code="rate_limited", absent=("{",))

    assert len(siege.run(wrong).complaints) == 3
