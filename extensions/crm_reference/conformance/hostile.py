"""Hostile requests over a real socket, byte for byte as they are written: each is refused as documented, and nothing leaks.

Every answer is held to more than its status and code: it is none of our own errors, it comes in time, it is small, it repeats
little of what was sent, and nothing is stored because of it.
"""

from __future__ import annotations

import base64
import hmac
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPException, HTTPResponse
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crm_reference.contract import Attack, Contract
from crm_reference.contract.examples import NOBODY, help_code
from crm_reference.emulator import Engine
from crm_reference.exchanges.compose import Sent
from crm_reference.exchanges.replay import Replayer

#: Seconds within which every answer comes, and bytes that none exceeds.
PATIENCE = 5.0
LARGEST_ANSWER = 65_536
#: Letters of one kind in a row: so many of those that were sent may come back.
_ECHO = b"A" * 500
#: What only an error of ours would show.
_INNARDS = (b"Traceback", b'.py"', b"sqlite", b"$argon2", b'"_secret', b'"_private', b'"_hash', b'"_password')

#: Headers that carry what a client may not learn or keep: where a browser goes, and what it stores.
_SHOWN = frozenset({"location", "set-cookie"})

#: Signs what no platform signed.
_FOREIGN_KEY = Ed25519PrivateKey.from_private_bytes(b"a key that nobody ever published")
_GUESSED_SECRET = "secret" * 6


@dataclass(frozen=True, slots=True)
class Blow:
    """What came of one hostile request.

    :param status: 0 where the connection ended without an answer.
    :param complaints: What is wrong with the answer; empty where all is right.
    """

    attack: Attack
    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float
    complaints: tuple[str, ...]


class Siege:
    """Sends hostile requests to a server whose engine is at hand.

    :param engine: The server's engine: it is put into the state that an attack needs, and looked into afterwards.
    :param address: Host and port of the server.
    """

    def __init__(self, contract: Contract, engine: Engine, address: tuple[str, int]) -> None:
        self._contract = contract
        self._engine = engine
        self._address = address
        self._replayer = Replayer(contract, engine)

    def run(self, attack: Attack, /) -> Blow:
        """Do what comes before, send the request and judge the answer.

        :raises ExchangeError: If the attack can't be staged as it is written.
        """
        self._replayer.prepare(attack.exchange)
        content = self._message(attack)
        before = self._engine.world.store.contents()
        started = time.perf_counter()
        status, headers, body = self._send(content)
        seconds = time.perf_counter() - started
        complaints = list(self._judge(attack, status, headers, body, seconds))
        if not attack.changes and self._engine.world.store.contents() != before:
            complaints.append("it changed what is stored")
        return Blow(attack, status, headers, body, seconds, tuple(complaints))

    # -- sending ---------------------------------------------------------------------------------------------------------

    def _message(self, attack: Attack) -> bytes:
        """Return the request as bytes."""
        exchange = attack.exchange
        if attack.target:  # which stands in place of whatever the parameters would make
            request = replace(exchange.request, path=dict.fromkeys(self._parameters(exchange.operation), "x"))
            exchange = replace(exchange, request=request)
        sent = self._replayer.compose(exchange)
        headers = {**sent.headers, "Host": f"{self._address[0]}:{self._address[1]}", "Connection": "close"}
        if attack.token:
            headers["Authorization"] = f"Bearer {self._forged(attack, sent)}"
        content = attack.content or sent.content
        if content:
            headers.setdefault("Content-Type", "application/json")
            headers["Content-Length"] = str(len(content))
        head = [sent.method.encode() + b" " + (attack.target or sent.url.encode()) + b" HTTP/1.1"]
        head += [f"{name}: {value}".encode() for name, value in headers.items()]
        return b"\r\n".join(head) + b"\r\n\r\n" + content

    def _parameters(self, operation: str) -> list[str]:
        return [p.name for p in self._contract.operations[operation].parameters if p.location == "path"]

    def _forged(self, attack: Attack, sent: Sent) -> str:
        forge = attack.token
        if "text" in forge:
            return str(forge["text"])
        principal = attack.exchange.principal
        real = sent.headers.get("Authorization", "").removeprefix("Bearer ") or self._engine.token(
            principal if principal != NOBODY else next(iter(self._contract.principals))
        )
        claims = jwt.decode(real, options={"verify_signature": False})
        tenant = str(claims["tenant"])
        claims = _changed(claims, {n: self._value(v) for n, v in forge.get("claims", {}).items()})
        header = _changed(dict(jwt.get_unverified_header(real)), forge.get("header", {}))
        return self._tampered(forge, self._signed(forge, claims, header, tenant))

    def _signed(self, forge: Mapping[str, Any], claims: Mapping[str, Any], header: Mapping[str, Any], tenant: str) -> str:
        kind = forge.get("signed")
        extra = {n: v for n, v in header.items() if n != "alg"}
        body = dict(claims)
        if kind == "not":
            # The library refuses to write some headers that an attacker would.
            head = {**header, "alg": forge.get("header", {}).get("alg", "none")}
            return f"{_encoded(orjson.dumps(head))}.{_encoded(orjson.dumps(body))}."
        if kind == "by-another-key":
            return jwt.encode(body, _FOREIGN_KEY, algorithm="EdDSA", headers=extra)
        if kind in ("with-the-public-key", "with-a-guessed-secret"):
            key = self._public_text() if kind == "with-the-public-key" else _GUESSED_SECRET
            return _by_hmac(body, {**extra, "alg": "HS256"}, key.encode())
        return self._engine.tokens.sign(body, tenant, headers={n: v for n, v in forge.get("header", {}).items() if n != "alg"})

    def _public_text(self) -> str:
        """Return the platform's public key as text, which careless verifiers take for a shared secret."""
        tenant = next(iter(self._contract.principals.values())).tenant
        return orjson.dumps(self._engine.tokens.public_jwk(self._engine.tokens.signing_key(tenant))).decode()

    def _value(self, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("now"):
            return int(self._engine.clock.time()) + int(value.removeprefix("now") or 0)
        return value

    @staticmethod
    def _tampered(forge: Mapping[str, Any], token: str) -> str:
        head, body, signature = token.split(".")
        if forge.get("tampered") == "claims":
            claims = orjson.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
            return f"{head}.{_encoded(orjson.dumps({**claims, 'scope': '*'}))}.{signature}"
        if forge.get("tampered") == "signature":
            return f"{head}.{body}.{('B' if signature[0] == 'A' else 'A') + signature[1:]}"
        return token

    def _send(self, content: bytes) -> tuple[int, dict[str, str], bytes]:
        with socket.create_connection(self._address, timeout=PATIENCE) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was read: the answer is there
                connection.sendall(content)
            response = HTTPResponse(connection)
            try:
                response.begin()
                body = response.read(LARGEST_ANSWER + 1)
            except (OSError, HTTPException):
                return 0, {}, b""
            return response.status, dict(response.getheaders()), body

    # -- judging ---------------------------------------------------------------------------------------------------------

    def _judge(self, attack: Attack, status: int, headers: Mapping[str, str], body: bytes, seconds: float) -> list[str]:
        found = []
        if status not in attack.statuses:
            found.append(f"{' or '.join(map(str, attack.statuses))} was expected, and {status} came: {body[:200]!r}")
        if status >= 500 or not status:
            found.append("it brought the server down")
        if attack.code and attack.code != (said := _code(headers, body)):
            found.append(f"the code {attack.code} was expected, and {said or 'none'} came")
        if seconds > PATIENCE:
            found.append(f"the answer took {seconds:.1f} seconds")
        if len(body) > LARGEST_ANSWER:
            found.append(f"the answer has more than {LARGEST_ANSWER} bytes")
        shown = b"\n".join([body, *(v.encode() for n, v in headers.items() if n.lower() in _SHOWN)])
        leaks = [text for text in (*attack.absent, *(i.decode() for i in _INNARDS)) if text.encode() in shown]
        found += [f"the answer holds {text!r}" for text in leaks]
        if _ECHO in shown:
            found.append("the answer repeats what was sent")
        return found


def _code(headers: Mapping[str, str], body: bytes) -> str:
    media = next((v for n, v in headers.items() if n.lower() == "content-type"), "")
    if media.startswith("application/problem+json"):
        return str(orjson.loads(body).get("code", ""))
    return help_code(headers)


def _changed(values: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in {**values, **changes}.items() if v is not None}


def _encoded(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _by_hmac(claims: Mapping[str, Any], header: Mapping[str, Any], key: bytes) -> str:
    """Return a token signed by HMAC with any key; the library refuses a public one."""
    signed = f"{_encoded(orjson.dumps(dict(header)))}.{_encoded(orjson.dumps(dict(claims)))}"
    return f"{signed}.{_encoded(hmac.digest(key, signed.encode(), 'sha256'))}"
