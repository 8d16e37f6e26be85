"""Hostile requests, from ``examples/hostile``: what is sent, and how it is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.contract.documents import Library, Node, Place
from crm_reference.contract.example_model import Attack, AttackGroup
from crm_reference.contract.examples import build_exchange
from crm_reference.contract.findings import ContractError, Finding


def build_attacks(library: Library, /) -> tuple[AttackGroup, ...]:
    """Build all hostile requests, grouped as their files group them.

    :raises ContractError: If two have one ID.
    """
    groups: list[AttackGroup] = []
    places: dict[str, Place] = {}
    for document in library.glob("examples/hostile/*.yaml"):
        attacks = tuple(map(_attack, document.root.entries("attacks")))
        for attack in attacks:
            if attack.id in places:
                message = f"{attack.id} stands a second time; the first is at {places[attack.id]}"
                raise ContractError([Finding(attack.place, "hostile.duplicate", message)])
            places[attack.id] = attack.place
        title, text = str(document.root.get("title", "")), str(document.root.get("text", ""))
        groups.append(AttackGroup(document.path.stem, title, text, attacks))
    return tuple(groups)


def _attack(node: Node) -> Attack:
    expect: Mapping[str, Any] = node.get("expect")
    statuses = expect["status"] if isinstance(expect["status"], list) else [expect["status"]]
    id = str(node.get("id"))
    return Attack(
        id=id,
        does=str(node.get("does")),
        # What is sent is an exchange's request but for what no client library would send.
        exchange=build_exchange("", str(node.get("operation")), id, node, summary=str(node.get("does"))),
        token=node.get("token", {}),
        target=_joined(node.get("target", ())),
        content=_joined(node.get("content", ())),
        statuses=tuple(statuses),
        code=str(expect.get("code", "")),
        absent=tuple(expect.get("absent", ())),
        changes=bool(expect.get("changes", False)),
        place=node.place,
    )


def _joined(pieces: Sequence[Any]) -> bytes:
    return b"".join(_bytes(piece) for piece in pieces)


def _bytes(piece: Any) -> bytes:
    if isinstance(piece, str):
        return piece.encode()
    if "hex" in piece:
        return bytes.fromhex(piece["hex"])
    return str(piece["text"]).encode() * int(piece["times"])
