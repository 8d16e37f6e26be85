"""The OpenID providers of the world: what a token endpoint and a JWKS of somebody else would answer.

No example leaves the machine. A provider of the world is a record of ``idp-simulations`` with its issuer, its signing key, and what
each code that it gave out stands for. Everything that this service verifies of a provider's answer it verifies of these as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from crm_reference.emulator.call import World

SIMULATIONS = "idp-simulations"
#: How long an ID token of the world holds.
_LIFETIME = 300


class NoTokens(Exception):
    """The provider's token endpoint refused the code; the message says why."""


def simulated(world: World, issuer: str, /) -> Mapping[str, Any] | None:
    """Return the provider of the world with an issuer."""
    for tenant in world.store.tenants(SIMULATIONS) if world.store.has(SIMULATIONS) else ():
        for record in world.store.find(tenant, SIMULATIONS, issuer=issuer):
            return record.doc
    return None


def trade(world: World, provider: Mapping[str, Any], code: str, nonce: str, /) -> str:
    """Return the ID token that a provider's token endpoint gives for a code.

    :param provider: Our record of the provider, with client ID and secret.
    :param nonce: What the start sent along; a provider repeats it.
    :raises NoTokens: Where it gives none.
    """
    issuer = provider["oidc"]["issuer"]
    found = simulated(world, issuer)
    if found is None:
        raise NoTokens("The token endpoint can't be reached.")
    if provider.get("_client_secret") != found["client_secret"]:
        raise NoTokens("The token endpoint refuses our client secret.")
    if code not in found["codes"]:
        raise NoTokens("The token endpoint refuses the code.")
    now = int(world.clock.time())
    client = provider["oidc"]["external_client_id"]
    claims = {"iss": issuer, "aud": client, "nonce": nonce, "iat": now, "exp": now + _LIFETIME, **found["codes"][code]}
    is_forged = claims.pop("is_forged", False)
    token = jwt.encode(claims, _key(found), algorithm="RS256", headers={"kid": found["kid"]})
    return token[:-12] + "AAAAAAAAAAAA" if is_forged else token


def verified(world: World, issuer: str, token: str, audience: str, /) -> dict[str, Any]:
    """Return the claims of a provider's token whose signature, issuer and audience are right.

    :raises jwt.PyJWTError: Where they aren't.
    """
    found = simulated(world, issuer)
    if found is None:
        raise jwt.PyJWTError("no keys")
    # Times are compared with the world's clock, by the caller.
    claims: dict[str, Any] = jwt.decode(
        token,
        _key(found).public_key(),
        algorithms=["RS256"],
        audience=audience,
        issuer=issuer,
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["iss", "aud", "iat"]},
    )
    return claims


def _key(found: Mapping[str, Any]) -> RSAPrivateKey:
    key = load_pem_private_key(found["_private_key"].encode(), None)
    assert isinstance(key, RSAPrivateKey)
    return key
