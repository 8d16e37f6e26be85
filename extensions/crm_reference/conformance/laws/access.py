"""Who may call: tokens, scopes, public operations."""

from __future__ import annotations

import jwt

from crm_reference.conformance.laws.lab import Case, Lab, code_of, demand, describe, law
from crm_reference.contract import Contract
from crm_reference.contract.schema_tree import json_schema
from crm_reference.emulator import Response
from crm_reference.trace.subjects import guarded


def _refused(lab: Lab, case: Case, authorization: str | None, code: str) -> Response:
    before = _state(lab, case)
    response = case.send(headers={"authorization": authorization})
    demand(code_of(response) == code, f"{code} was expected, and {describe(response)} came")
    demand("WWW-Authenticate" in response.headers, "the answer has no WWW-Authenticate")
    demand(lab.state() == before, "the state changed")
    return response


def _state(lab: Lab, case: Case) -> object:
    case.rewind()
    return lab.state()


@law("no-token")
def no_token(lab: Lab, operation: str) -> None:
    """Without a token: 401 ``missing_token``."""
    response = _refused(lab, lab.any_case(operation), None, "missing_token")
    demand(response.headers["WWW-Authenticate"].startswith("Bearer"), "WWW-Authenticate doesn't name the scheme Bearer")


@law("expired-token")
def expired_token(lab: Lab, operation: str) -> None:
    """With an expired, a foreign and an unsigned token: 401 ``invalid_token``."""
    case = lab.any_case(operation)
    case.rewind()
    valid = lab.engine.token("maya" if "maya" in lab.contract.principals else next(iter(lab.contract.principals)))
    claims = jwt.decode(valid, options={"verify_signature": False})
    tokens = {
        "expired": lab.bearer(next(iter(lab.contract.principals)), expires_in=-1),
        "foreign": "Bearer " + jwt.encode(claims, "k" * 64, algorithm="HS256"),
        "unsigned": "Bearer " + jwt.encode(claims, "", algorithm="none"),
        "broken": "Bearer no.token.at-all",
    }
    for authorization in tokens.values():
        response = _refused(lab, case, authorization, "invalid_token")
        demand('error="invalid_token"' in response.headers["WWW-Authenticate"], "WWW-Authenticate doesn't say invalid_token")


@law("other-scopes")
def other_scopes(lab: Lab, operation: str) -> None:
    """With every scope but the operation's own: 403 ``insufficient_scope``."""
    case = lab.any_case(operation)
    own = set(case.operation.scopes)
    case.rewind()
    token = lab.bearer(_caller(lab, case), scopes=sorted(set(lab.contract.scopes) - own))
    response = _refused(lab, case, token, "insufficient_scope")
    # A protocol's error names the scopes in its challenge alone.
    challenge = response.headers["WWW-Authenticate"].partition('scope="')[2].partition('"')[0]
    named = challenge.split() if case.operation.is_protocol else response.json()["required_scopes"]
    demand(set(named) == own, "the answer doesn't name the operation's scopes")


def _caller(lab: Lab, case: Case) -> str:
    name = case.exchange.principal
    return name if name in lab.contract.principals else next(iter(lab.contract.principals))


@law("public-without-token")
def public_without_token(lab: Lab, operation: str) -> None:
    """A public operation answers without a token, and with a broken one."""
    case = lab.model(operation)
    for authorization in (None, "Bearer broken"):
        response = case.send(headers={"authorization": authorization})
        demand(lab.accepted(case.operation, response), f"a public operation answered {describe(response)}")


def _with_body(contract: Contract) -> list[str]:
    return [name for name in guarded(contract) if json_schema(contract.operations[name].body) is not None]


@law("precedence", _with_body)
def precedence(lab: Lab, operation: str) -> None:
    """A request that is wrong in every way is told of the first: token, scope, media type, syntax, in this order."""
    case = lab.any_case(operation)
    case.rewind()
    wrong: dict[str, str | None] = {"content-type": "text/x-wrong"}
    steps: list[tuple[dict[str, str | None], str]] = [
        ({**wrong, "authorization": None}, "missing_token"),
        ({**wrong, "authorization": lab.bearer(_caller(lab, case), scopes=[])}, "insufficient_scope"),
        (wrong, "unsupported_media_type"),
        ({}, "malformed_json"),
    ]
    for headers, code in steps:
        response = case.send(headers=headers, content=b'{"broken": ')
        demand(code_of(response) == code, f"{code} was expected, and {describe(response)} came")
