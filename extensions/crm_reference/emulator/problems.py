"""Problems as clients get them (RFC 9457)."""

from __future__ import annotations

from typing import Any

from crm_reference.contract import Contract
from crm_reference.contract.protocols import CATALOGUE
from crm_reference.emulator.messages import Problem


def as_problem(
    contract: Contract, problem: Problem, request_id: str, /, *, instance: str = "", language: str = ""
) -> dict[str, Any]:
    """Return a problem as JSON data.

    :param instance: The path that was asked for.
    :param language: Of the title, where the code has one in it; English otherwise.
    :raises KeyError: If no document declares the code: an undocumented code is a bug.
    """
    declared = contract.errors[problem.code]
    body: dict[str, Any] = {
        "type": CATALOGUE + problem.code,
        "title": declared.titles.get(language, declared.title),
        "status": declared.status,
        "detail": problem.detail,
        "code": problem.code,
        "request_id": request_id,
    }
    if instance:
        body["instance"] = instance
    if problem.errors:
        body["errors"] = [dict(e) for e in problem.errors[:100]]
    return body | problem.members
