"""The puzzle that stands before a registration: work that is small for one and large for many."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.clock import iso
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.authentication.acting import NO_STORE, keep, kept, refused

CHALLENGES = "bot-challenges"
DIFFICULTY_BITS = 12
LIFETIME_SECONDS = 600


@computes("bot_proof")
def is_solved(asked: Mapping[str, Any], /) -> bool:
    """Tell whether a number solves a puzzle.

    :param asked: ``challenge``, ``solution`` in decimal digits, and ``difficulty_bits``.
    """
    digest = hashlib.sha256(f"{asked['challenge']}:{asked['solution']}".encode()).digest()
    return int.from_bytes(digest) >> (256 - int(asked["difficulty_bits"])) == 0


@handles("createBotChallenge")
def create_challenge(call: Call) -> Reply:
    """Give out a puzzle that is good for one registration."""
    challenge = call.world.secret("bot-challenge", 16)
    ends = iso(call.world.clock.time() + LIFETIME_SECONDS)
    puzzle = {"challenge": challenge, "algorithm": "sha256", "difficulty_bits": DIFFICULTY_BITS, "expires_at": ends}
    keep(call.world, CHALLENGES, {"id": challenge, **puzzle})
    return Reply(200, puzzle, dict(NO_STORE))


def demand_proof(call: Call, proof: Mapping[str, str], /) -> None:
    """Use a solved puzzle up.

    :raises Problem: ``bot_proof_wrong``, or ``bot_challenge_stale`` where the puzzle was used, ran out or never was.
    """
    puzzle = kept(call.world, CHALLENGES, proof["challenge"])
    bits = puzzle.doc["difficulty_bits"] if puzzle is not None else DIFFICULTY_BITS
    if not is_solved({**proof, "difficulty_bits": bits}):
        raise refused("bot_proof_wrong", "#/bot_proof/solution", f"doesn't make a hash with {bits} leading zero bits")
    if puzzle is None or puzzle.doc.get("_used") or puzzle.doc["expires_at"] <= call.now:
        raise Problem("bot_challenge_stale", "The challenge is unknown, used or older than ten minutes. Get another one.")
    keep(call.world, CHALLENGES, {**puzzle.doc, "_used": True})
