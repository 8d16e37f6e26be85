"""What can be wrong with a contract, said so that its author can mend it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crm_reference.contract.documents import Place


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, at its place.

    :param place: File and line.
    :param rule: Stable name of the rule that is broken, as in ``ref.dangling``.
    :param message: What is wrong and what to do about it, in one line.
    """

    place: Place
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.message} [{self.rule}]"


class ContractError(Exception):
    """The contract can't be used; ``findings`` says why, each with file and line."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(map(str, findings)))
