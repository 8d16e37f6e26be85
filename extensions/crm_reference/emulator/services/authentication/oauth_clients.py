"""Who asks at a protocol endpoint: the client, and how it proves itself (RFC 6749, section 2.3; RFC 7523, section 2.2)."""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

import jwt

from crm_reference.emulator.call import Call, Context, World
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.services.authentication import oauth_kept as kept
from crm_reference.emulator.store import Record
from crm_reference.emulator.tokens import Identity

CLIENTS, SECRETS = "oauth-clients", "oauth-client-secrets"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#: Algorithms of assertions. The registered key decides which one it is.
ASSERTION_ALGORITHMS = ("EdDSA", "RS256", "ES256")
#: Longest life of an assertion in seconds, which is what libraries give to one, and how far clocks may differ. Each is taken once.
ASSERTION_LIFETIME, LEEWAY = 3600, 60

#: Our names of grant types, by those of the RFCs.
GRANT_TYPES: Mapping[str, str] = {
    "authorization_code": "authorization_code",
    "refresh_token": "refresh_token",
    "client_credentials": "client_credentials",
    "urn:ietf:params:oauth:grant-type:device_code": "device_code",
    "urn:ietf:params:oauth:grant-type:token-exchange": "token_exchange",
}


@dataclass(frozen=True, slots=True)
class Client:
    """A client that is turned on, with its tenant."""

    tenant: str
    record: Record

    @property
    def id(self) -> str:
        """The client's ID."""
        return self.record.id

    @property
    def doc(self) -> Mapping[str, Any]:
        """What is registered."""
        return self.record.doc

    @property
    def method(self) -> str:
        """How it authenticates."""
        return str(self.doc.get("token_endpoint_auth_method", "client_secret_basic"))

    @property
    def is_confidential(self) -> bool:
        """Whether it can keep a secret."""
        return self.method != "none"

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that it may ask for."""
        return frozenset(self.doc.get("scopes", ()))

    def demand(self, grant_type: str, /) -> None:
        """Refuse a client that isn't registered for a grant type.

        :param grant_type: By our name.
        :raises Problem: ``unauthorized_client``.
        """
        if grant_type not in self.doc.get("grant_types", ()):
            raise Problem("unauthorized_client", f"The client is not registered for {grant_type}.")


def acting(world: World, tenant: str, /, user: str = "", client: str = "") -> Context:
    """Return a context of a tenant at work in this service, for endpoints whose caller has no token of the platform."""
    return Context(world, Identity(tenant, user, client, frozenset(), "all", "", float("inf"), {}), "authentication")


def find_client(world: World, id: str, /) -> Client | None:
    """Return a client that is turned on, of whatever tenant; IDs are unique over all of them."""
    if not world.store.has(CLIENTS):
        return None
    for tenant in world.store.tenants(CLIENTS):
        record = world.store.get(tenant, CLIENTS, id)
        if record is not None:
            return Client(tenant, record) if record.doc.get("is_enabled", True) else None
    return None


def authenticate(call: Call, /) -> Client:
    """Return the client that calls, once it has proved itself as it is registered to.

    :raises Problem: ``invalid_client``; ``validation_failed`` where it tries two ways at once.
    """
    body: Mapping[str, Any] = call.body or {}
    basic = _basic(call.request.headers.get("authorization", ""))
    given = [bool(basic), "client_secret" in body, "client_assertion" in body]
    if sum(given) > 1:
        raise Problem("validation_failed", "The client authenticates in more than one way. Use the one that it is registered for.")
    if "client_assertion" in body:
        return _by_assertion(call, body)
    id = basic[0] if basic else str(body.get("client_id", ""))
    if basic and body.get("client_id", id) != id:
        raise Problem("validation_failed", "client_id names another client than the Authorization header.")
    client = find_client(call.world, id)
    secret = basic[1] if basic else str(body.get("client_secret", ""))
    method = "client_secret_basic" if basic else ("client_secret_post" if "client_secret" in body else "none")
    if client is None or client.method != method or (method != "none" and not has_secret(call.world, client, secret)):
        raise refused()
    return client


def refused() -> Problem:
    """Return the one answer to every client that doesn't prove itself."""
    detail = "The client is unknown or turned off, or its credentials don't hold. Use the method for which it is registered."
    return Problem("invalid_client", detail, headers={"WWW-Authenticate": 'Basic realm="crm"'})


def _basic(header: str) -> tuple[str, str] | None:
    """Return ID and secret of a Basic header, form-decoded (RFC 6749, section 2.3.1); other schemes are no matter of clients."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        id, colon, secret = b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise refused() from None
    if not colon:
        raise refused()
    return unquote_plus(id), unquote_plus(secret)


def has_secret(world: World, client: Client, secret: str, /) -> bool:
    """Tell whether a secret is one of the client's that holds now; two may, while it is rotated."""
    hashed, now = kept.digest(secret), world.clock.now()
    known = world.store.find(client.tenant, SECRETS, client_id=client.id)
    valid = [s for s in known if s.doc.get("expires_at", "9999") > now and not s.doc.get("revoked_at")]
    # Every one is compared, so that the time tells nothing about which.
    matches = [hmac.compare_digest(str(s.doc.get("_hash", "")), hashed) for s in valid]
    return any(matches)


# -- assertions ------------------------------------------------------------------------------------------------------------


def _by_assertion(call: Call, body: Mapping[str, Any]) -> Client:
    if body.get("client_assertion_type") != ASSERTION_TYPE:
        raise Problem("validation_failed", f"client_assertion_type must be {ASSERTION_TYPE}.")
    assertion = str(body["client_assertion"])
    try:
        id = str(jwt.decode(assertion, options={"verify_signature": False}).get("sub", ""))
    except jwt.PyJWTError:
        raise refused() from None
    client = find_client(call.world, id)
    if client is None or client.method != "private_key_jwt" or body.get("client_id", id) != id:
        raise refused()
    claims = verified(call.world, assertion, client.doc.get("jwks", {}).get("keys", []))
    if claims is None or claims.get("iss") != id:
        raise refused()
    context = acting(call.world, client.tenant)
    key = kept.digest(f"{id} {claims['jti']}")
    if kept.look(context, kept.ASSERTIONS, key) is not None:
        raise refused()  # an assertion is taken once (RFC 7523, section 3)
    kept.keep(context, kept.ASSERTIONS, key, {"expires": claims["exp"]})
    return client


def verified(world: World, assertion: str, keys: list[Mapping[str, Any]], /) -> dict[str, Any] | None:
    """Return the claims of an assertion that one of a client's keys signed, and which is of now and for us.

    :param keys: Public keys as JWKs.
    """
    try:
        kid = jwt.get_unverified_header(assertion).get("kid")
    except jwt.PyJWTError:
        return None
    here = {world.site, f"{world.site}/v1/oauth/token", f"{world.site}/v1/oauth/par"}
    now = int(world.clock.time())
    for jwk in keys:
        if kid is not None and jwk.get("kid") != kid:
            continue
        try:
            key = jwt.PyJWK(dict(jwk))
            options: Any = {
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "require": ["exp", "sub", "iss", "jti", "aud"],
            }
            claims: dict[str, Any] = jwt.decode(
                assertion, key.key, algorithms=[_algorithm(jwk)], audience=list(here), options=options
            )
        except (jwt.PyJWTError, KeyError):
            continue
        ends = claims["exp"]
        if isinstance(ends, int) and now < ends + LEEWAY and ends <= now + ASSERTION_LIFETIME + LEEWAY:
            return claims
    return None


def _algorithm(jwk: Mapping[str, Any]) -> str:
    """Return the one algorithm of a key; the token's header has no say (RFC 8725, section 3.1)."""
    algorithm = str(jwk.get("alg") or {"OKP": "EdDSA", "RSA": "RS256", "EC": "ES256"}[jwk["kty"]])
    if algorithm not in ASSERTION_ALGORITHMS:
        raise KeyError(algorithm)
    return algorithm
