"""Access tokens: signed JWTs that the emulator makes for its principals and verifies on each request."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crm_reference.contract import Contract, Principal
from crm_reference.emulator.messages import Problem

ISSUER = "https://auth.crm.example"
AUDIENCE = "https://api.crm.example"
KEY_ID = "sky_01KDVDNA000000000000000001"

#: How long an emulator's token holds: a year, so that a world's examples never outlive it.
LIFETIME_SECONDS = 31_536_000

# A fixed key makes the same token on every machine, and EdDSA the same signature. It signs nothing but the emulator's tokens.
_KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the emulator's test key, which protects nothing").digest())
_PUBLIC = _KEY.public_key()


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls, as a verified token says it."""

    tenant: str
    user: str
    client: str
    scopes: frozenset[str]
    sees: str
    token_id: str
    expires_at: float
    claims: Mapping[str, Any] = field(repr=False, hash=False, compare=False)

    @property
    def actor(self) -> str:
        """The user, or the client where no user acts."""
        return self.user or self.client


class Tokens:
    """Makes and verifies tokens. Verified ones are kept: a signature check costs more than the rest of a call."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._verified: dict[str, Identity] = {}

    def make(
        self,
        principal: Principal,
        now: float,
        *,
        scopes: list[str] | None = None,
        expires_in: int = LIFETIME_SECONDS,
        **claims: Any,
    ) -> str:
        """Return a signed token.

        :param now: Time of issue in seconds since 1970.
        :param scopes: In place of the principal's.
        :param expires_in: Seconds until it expires; negative for one that has expired.
        :param claims: Claims to add or replace; ``None`` leaves one out.
        """
        granted = list(principal.scopes) if scopes is None else scopes
        if "*" in granted:
            granted = sorted(self._contract.scopes)
        body: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": principal.user or principal.client,
            "tenant": principal.tenant,
            "client_id": principal.client,
            "user": principal.user,
            "scope": " ".join(granted),
            "sees": principal.sees,
            "role": principal.role,
            "jti": f"tok_{principal.name}",
            "iat": int(now) - 60,
            "exp": int(now) + expires_in,
            **claims,
        }
        body = {k: v for k, v in body.items() if v not in (None, "")}
        return jwt.encode(body, _KEY, algorithm="EdDSA", headers={"kid": KEY_ID, "typ": "at+jwt"})

    def verify(self, authorization: str | None, now: float) -> Identity:
        """Return who calls.

        :param authorization: The header's value.
        :raises Problem: ``missing_token`` or ``invalid_token`` (401), with WWW-Authenticate (RFC 6750, section 3).
        """
        if not authorization:
            raise Problem(
                "missing_token",
                "Send an access token in the Authorization header, with the scheme Bearer.",
                headers={"WWW-Authenticate": 'Bearer realm="crm"'},
            )
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise _invalid("The Authorization header must hold the scheme Bearer and a token.")
        identity = self._verified.get(token)
        if identity is None:
            identity = self._decode(token.strip())
            if len(self._verified) > 10_000:
                self._verified.clear()
            self._verified[token] = identity
        if identity.expires_at <= now:
            raise _invalid("The token has expired. Get a new one.")
        if identity.claims.get("nbf", 0) > now or identity.claims["iat"] > now + 60:
            raise _invalid("The token is not valid yet.")
        return identity

    def _decode(self, token: str) -> Identity:
        try:
            claims = jwt.decode(
                token,
                _PUBLIC,
                algorithms=["EdDSA"],
                audience=AUDIENCE,
                issuer=ISSUER,
                # Times are compared with the world's clock, not with the machine's.
                options={
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "require": ["exp", "iat", "sub", "tenant"],
                },
            )
        except jwt.PyJWTError:
            raise _invalid("The token is malformed, or not signed by this platform.") from None
        return Identity(
            tenant=claims["tenant"],
            user=claims.get("user", ""),
            client=claims.get("client_id", ""),
            scopes=frozenset(claims.get("scope", "").split()),
            sees=claims.get("sees", "all"),
            token_id=claims.get("jti", ""),
            expires_at=claims["exp"],
            claims=claims,
        )


def _invalid(detail: str) -> Problem:
    challenge = 'Bearer realm="crm", error="invalid_token"'
    return Problem("invalid_token", detail, headers={"WWW-Authenticate": challenge})
