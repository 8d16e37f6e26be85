"""Access tokens: signed JWTs that the emulator makes for its principals and for whoever gets one, and verifies on each request.

Keys are records of ``signing-keys`` where the contract has such a collection: a tenant's active key signs, and a key verifies
until it is retired. Without the collection one fixed key does both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crm_reference.contract import Principal
from crm_reference.emulator.messages import Problem

if TYPE_CHECKING:
    from crm_reference.emulator.call import World
    from crm_reference.emulator.store import Record

KEYS = "signing-keys"
REVOCATIONS = "token-revocations"
KEY_ID = "sky_01KDVDNA000000000000000001"

#: What an access token may be signed with. All else is refused, ``none`` and the HMAC family above all (RFC 8725, 3.1).
ALGORITHMS = ("EdDSA", "RS256")
#: States of a key that no longer verifies.
_ENDED = frozenset({"retired", "revoked"})
#: Claims by whose value tokens can be revoked together.
REVOCABLE = ("jti", "sid", "grant_id", "client_id", "sub")

#: How long a principal's token holds: a year, so that a world's examples never outlive it.
LIFETIME_SECONDS = 31_536_000

_NO_KEYS: Mapping[str, Any] = {}
_SEED = b"the emulator's test key, which protects nothing"


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


#: Takes the world, an opaque credential and the caller's network address; returns who calls, or ``None`` where it isn't known.
Authenticator = Callable[["World", str, str], Identity | None]
#: Authenticators of credentials that are no JWTs, by the prefix that such a credential has.
AUTHENTICATORS: dict[str, Authenticator] = {}


def authenticates(prefix: str, /) -> Callable[[Authenticator], Authenticator]:
    """Register who a credential with a prefix belongs to: API keys, personal tokens."""

    def register(function: Authenticator) -> Authenticator:
        AUTHENTICATORS[prefix] = function
        return function

    return register


class Tokens:
    """Makes and verifies tokens. Verified ones are kept: a signature check costs more than the rest of a call."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._verified: dict[str, tuple[object, Identity, str | None]] = {}

    # -- making ----------------------------------------------------------------------------------------------------------

    def make(
        self,
        principal: Principal,
        now: float,
        *,
        scopes: list[str] | None = None,
        expires_in: int = LIFETIME_SECONDS,
        **claims: Any,
    ) -> str:
        """Return a signed token of a principal.

        :param now: Time of issue in seconds since 1970.
        :param scopes: In place of the principal's.
        :param expires_in: Seconds until it expires; negative for one that has expired.
        :param claims: Claims to add or replace; ``None`` leaves one out.
        """
        granted = self._world.contract.scopes_of(principal) if scopes is None else scopes
        body: dict[str, Any] = {
            "iss": self._world.site,
            "aud": self._world.site,
            "sub": principal.user or principal.client,
            "tenant": principal.tenant,
            "client_id": principal.client,
            "scope": " ".join(granted),
            "sees": principal.sees if principal.sees != "all" else None,
            "role": principal.role,
            "jti": f"tok_{principal.name}",
            "iat": int(now) - 60,
            "exp": int(now) + expires_in,
            **claims,
        }
        return self.sign({k: v for k, v in body.items() if v not in (None, "")}, principal.tenant)

    def sign(
        self,
        claims: Mapping[str, Any],
        tenant: str,
        /,
        *,
        algorithm: str = "EdDSA",
        type: str = "at+jwt",
        headers: Mapping[str, Any] | None = None,
    ) -> str:
        """Return claims as a JWT, signed by the tenant's active key.

        :param algorithm: One of :data:`ALGORITHMS` for which the tenant has a key.
        :param type: The header's ``typ``: ``at+jwt`` (RFC 9068, section 2.1), ``JWT``, ``logout+jwt``.
        :param headers: Further members of the header.
        :raises KeyError: If the tenant has no active key for the algorithm.
        """
        id = self.signing_key(tenant, algorithm)
        return jwt.encode(dict(claims), self._private(id), algorithm=algorithm, headers={"kid": id, "typ": type, **(headers or {})})

    def signing_key(self, tenant: str, algorithm: str = "EdDSA", /) -> str:
        """Return the ID of the key that signs for a tenant now.

        :raises KeyError: If the tenant has none for the algorithm.
        """
        keys = [r for r in self._keys().values() if r[0] == tenant] if self._world.store.has(KEYS) else []
        for _, record in keys:
            if record.doc.get("status") == "active" and record.doc.get("algorithm", "EdDSA") == algorithm:
                return record.id
        if keys or algorithm != "EdDSA":
            raise KeyError(f"{tenant} has no active key for {algorithm}")
        return KEY_ID

    def public_jwk(self, id: str, /) -> dict[str, Any]:
        """Return a key's public half as a JSON Web Key (RFC 7517), with ``kid``, ``use`` and ``alg``."""
        public = self._private(id).public_key()
        algorithm = jwt.get_algorithm_by_name(self._algorithm(id))
        # RSA and Ed25519 algorithms take their own kind of key.
        jwk = dict(algorithm.to_jwk(public, as_dict=True))
        return {k: v for k, v in jwk.items() if k != "key_ops"} | {"kid": id, "use": "sig", "alg": self._algorithm(id)}

    def _keys(self) -> Mapping[str, tuple[str, Record]]:
        """Return every tenant's keys by ID, with the tenant."""
        store = self._world.store
        if not store.has(KEYS):
            return _NO_KEYS
        return store.remembered(
            KEYS, "all", lambda: {r.id: (tenant, r) for tenant in store.tenants(KEYS) for r in store.select(tenant, KEYS)}
        )

    def _algorithm(self, id: str) -> str:
        known = self._keys().get(id)
        return str(known[1].doc.get("algorithm", "EdDSA")) if known else "EdDSA"

    def _private(self, id: str) -> Any:
        known = self._keys().get(id)
        if known and (jwk := known[1].doc.get("_private_jwk")):
            return jwt.PyJWK(dict(jwk), algorithm=self._algorithm(id)).key
        # A fixed key makes the same token on every machine, and EdDSA the same signature. It signs nothing but such tokens.
        seed = _SEED if id == KEY_ID else _SEED + id.encode()
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed).digest())

    # -- verifying -------------------------------------------------------------------------------------------------------

    def verify(self, authorization: str | None, now: float, address: str = "") -> Identity:
        """Return who calls.

        :param authorization: The header's value.
        :param address: The caller's network address, to which some credentials are bound.
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
            raise refused("The Authorization header must hold the scheme Bearer and a token.")
        for prefix, authenticator in AUTHENTICATORS.items():
            if token.startswith(prefix):
                known = authenticator(self._world, token, address)
                if known is None:
                    raise refused("The credential is not known, or was revoked.")
                return known
        identity = self._identity(token.strip())
        if identity.expires_at <= now:
            raise refused("The token has expired. Get a new one.")
        if identity.claims.get("nbf", 0) > now or identity.claims["iat"] > now + 60:
            raise refused("The token is not valid yet.")
        if self._revoked(identity):
            raise refused("The token was revoked.")
        return identity

    def _identity(self, token: str) -> Identity:
        """Return what a token says, decoded once as long as the keys stay the same."""
        keys = self._keys()
        kept = self._verified.get(token)
        if kept is not None and (kept[0] is keys or kept[0] == keys):
            if kept[2] is not None:
                self._verifying(kept[2])  # its overlap may have ended meanwhile
            return kept[1]
        if len(self._verified) > 10_000:
            self._verified.clear()
        identity = self._decode(token)
        id = str(jwt.get_unverified_header(token)["kid"])
        retires = id in keys and "retires_at" in keys[id][1].doc
        self._verified[token] = (keys, identity, id if retires else None)
        return identity

    def claims(self, token: str, /, *, type: str = "at+jwt", audience: str = "") -> dict[str, Any]:
        """Return a JWT's claims once its signature, type, issuer and audience hold; times are not looked at.

        :param audience: In place of the API's.
        :raises Problem: ``invalid_token`` (401).
        """
        try:
            header = jwt.get_unverified_header(token)
            id = str(header.get("kid", ""))
            tenant = self._verifying(id)
            # The key decides the algorithm, never the token's header (RFC 8725, section 3.1).
            if header.get("typ", "").lower() != type.lower() or header.get("alg") != self._algorithm(id):
                raise refused("The token has another type or algorithm than this platform's.")
            claims: dict[str, Any] = jwt.decode(
                token,
                self._private(id).public_key(),
                algorithms=[self._algorithm(id)],
                audience=audience or self._world.site,
                issuer=self._world.site,
                # Times are compared with the world's clock, not with the machine's.
                options={
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                    "require": ["exp", "iat", "sub", "tenant"] if type == "at+jwt" else ["iat"],
                },
            )
        except (jwt.PyJWTError, AttributeError):
            raise refused("The token is malformed, or not signed by this platform.") from None
        if tenant and claims.get("tenant", tenant) != tenant:
            raise refused("The token names another tenant than the one whose key signed it.")
        return claims

    def _verifying(self, id: str) -> str:
        """Return the tenant of a key that may still verify; empty where the fixed key does.

        :raises Problem: ``invalid_token`` where the key isn't known, or has ended.
        """
        known = self._keys().get(id)
        if known is not None and not self._has_ended(known[1].doc):
            return known[0]
        if known is None and id == KEY_ID:
            return ""
        raise refused("The token is signed by a key that this platform doesn't have.")

    def _has_ended(self, key: Mapping[str, Any]) -> bool:
        """Tell whether a key's time is over: it was ended, or the overlap of a rotation is."""
        return key.get("status") in _ENDED or key.get("retires_at", "9999") <= self._world.clock.now()

    def _decode(self, token: str) -> Identity:
        claims = self.claims(token)
        if not all(isinstance(claims[name], int) for name in ("exp", "iat")):
            raise refused("The token's times are no numbers.")
        subject = str(claims["sub"])
        return Identity(
            tenant=str(claims["tenant"]),
            user=subject if subject.startswith("usr_") else "",
            client=claims.get("client_id", ""),
            scopes=frozenset(claims.get("scope", "").split()),
            sees=claims.get("sees", "all"),
            token_id=claims.get("jti", ""),
            expires_at=claims["exp"],
            claims=claims,
        )

    def _revoked(self, identity: Identity) -> bool:
        store, tenant = self._world.store, identity.tenant
        if not store.has(REVOCATIONS):
            return False
        revoked: Mapping[str, Any] = store.remembered(
            REVOCATIONS, tenant, lambda: {r.id: r.doc.get("before") for r in store.select(tenant, REVOCATIONS)}
        )
        for claim in REVOCABLE:
            value = str(identity.claims.get(claim, ""))
            # An entry with `before` ends only what was issued until then: a user who signs in anew gets tokens that hold.
            if value in revoked and (revoked[value] is None or identity.claims["iat"] <= revoked[value]):
                return True
        return False


def refused(detail: str, /) -> Problem:
    """Return the problem of a credential that doesn't hold."""
    challenge = 'Bearer realm="crm", error="invalid_token"'
    return Problem("invalid_token", detail, headers={"WWW-Authenticate": challenge})
