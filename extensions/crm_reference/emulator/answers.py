"""Answers: how replies and problems become responses, and whether the contract allows what came out."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import formatdate

import orjson

from crm_reference.contract import Contract, Operation
from crm_reference.contract.protocols import PROBLEM_JSON, PROTOCOLS, help_link, protocol_error
from crm_reference.contract.validation import Validators
from crm_reference.emulator.call import Reply
from crm_reference.emulator.languages import ENGLISH, language_of
from crm_reference.emulator.messages import Problem, Request, Response
from crm_reference.emulator.problems import as_problem

#: How much of an overlong path a problem repeats.
_LONGEST_INSTANCE = 200
_URI_PATH = re.compile(r"(?:[\w.~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*", re.ASCII)


class ContractBreach(AssertionError):
    """The emulator gave an answer that the contract doesn't allow: a bug in a behaviour, a handler or a specification."""


def refusal(contract: Contract, problem: Problem, request: Request, request_id: str, profile: str, /) -> Reply:
    """Return the reply that tells a client of a problem, in the language that it asked for where its title is there in it.

    :param profile: The protocol that decides what an error looks like; the house style where empty.
    """
    if profile in PROTOCOLS:
        status, media, answer = protocol_error(
            profile,
            problem.code,
            contract.errors[problem.code].status,
            problem.detail,
            str(problem.members.get("scim_type", "")),
        )
        return Reply(status, answer, {**problem.headers, "Link": help_link(problem.code)}, media)
    language = language_of(request)
    body = as_problem(contract, problem, request_id, instance=_instance(request.path), language=language or ENGLISH)
    said = contract.errors[problem.code].titles
    headers = {**problem.headers, "Content-Language": language if language in said else ENGLISH} if language else problem.headers
    return Reply(body["status"], body, headers, PROBLEM_JSON)


def notice(operation: Operation, /) -> dict[str, str]:
    """Return the headers by which a deprecated operation says since when it is so, and when it ends (RFC 9745, RFC 8594)."""
    if not operation.deprecated:
        return {}
    said = {}
    if since := operation.node.get("x-deprecated-since"):
        said["Deprecation"] = f"@{_midnight(since)}"
    if ends := operation.node.get("x-sunset"):
        said["Sunset"] = formatdate(_midnight(ends), usegmt=True)
    return said


def _midnight(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


def _instance(path: str) -> str:
    """Return a path as a problem repeats it: what a URI may hold, and not more of it than a reader needs."""
    found = _URI_PATH.match(path[:_LONGEST_INSTANCE])
    return found[0] if found else ""


def rendered(reply: Reply, headers: dict[str, str], /) -> Response:
    """Return a reply as a response.

    :param headers: What every answer carries; those of the reply prevail.
    """
    out = {**headers, **reply.headers}
    if reply.body is None:
        return Response(reply.status, out)
    out["Content-Type"] = reply.media_type
    if isinstance(reply.body, bytes):
        return Response(reply.status, out, reply.body)
    return Response(reply.status, out, reply.body.encode() if isinstance(reply.body, str) else orjson.dumps(reply.body))


def check(validators: Validators, operation: Operation, response: Response, /) -> None:
    """Hold an answer against the contract.

    :raises ContractBreach: If the contract doesn't allow it.
    """
    declared = operation.responses.get(str(response.status))
    if declared is None:
        raise ContractBreach(
            f"{operation.place}: {operation.id} answers {response.status}, which it doesn't declare: {response.body[:300]!r}"
        )
    if not response.body:
        if declared.media:
            raise ContractBreach(f"{declared.place}: {operation.id} answers {response.status} without its body")
        return
    media = response.headers.get("Content-Type", "")
    schema = declared.media.get(media)
    if schema is None:
        raise ContractBreach(f"{declared.place}: {operation.id} answers {response.status} as {media}, which it doesn't declare")
    is_json = media.endswith("json") and not media.endswith("ndjson")
    data = orjson.loads(response.body) if is_json else response.body.decode()
    if not validators.is_valid(schema, data):
        errors = "; ".join(f"{e.pointer or '/'}: {e.detail}" for e in validators.errors(schema, data)[:5])
        raise ContractBreach(
            f"{declared.place}: {operation.id} answers {response.status} with a body that its schema refuses: {errors}"
        )
